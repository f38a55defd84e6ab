//! Conditions of our resources.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// What a condition says now.
#[derive(Clone, Debug)]
pub struct Says<'a> {
    /// Type.
    pub kind: &'a str,
    /// `True`, `False` or `Unknown`.
    pub status: &'a str,
    /// A word.
    pub reason: &'a str,
    /// A sentence.
    pub message: &'a str,
}

/// A condition that holds; its reason is its name.
pub fn holds(kind: &str) -> Says<'_> {
    Says { kind, status: "True", reason: kind, message: "" }
}

/// The condition of this type.
pub fn find<'a>(conditions: Option<&'a Vec<Condition>>, kind: &str) -> Option<&'a Condition> {
    conditions.into_iter().flatten().find(|condition| condition.type_ == kind)
}

/// Whether the condition of this type is `True`.
pub fn is_true(conditions: Option<&Vec<Condition>>, kind: &str) -> bool {
    find(conditions, kind).is_some_and(|condition| condition.status == "True")
}

/// Sets a condition. Its time moves with its status only. Returns whether
/// anything changed.
pub fn set(conditions: &mut Vec<Condition>, says: &Says<'_>, generation: Option<i64>, now: Timestamp) -> bool {
    let fresh = Condition {
        type_: says.kind.to_owned(),
        status: says.status.to_owned(),
        reason: says.reason.to_owned(),
        message: says.message.to_owned(),
        observed_generation: generation,
        last_transition_time: Time(now),
    };
    let Some(known) = conditions.iter_mut().find(|condition| condition.type_ == says.kind) else {
        conditions.push(fresh);
        return true;
    };
    let since = if known.status == fresh.status {
        known.last_transition_time.clone()
    } else {
        fresh.last_transition_time.clone()
    };
    let fresh = Condition { last_transition_time: since, ..fresh };
    let changed = *known != fresh;
    *known = fresh;
    changed
}

/// Sets `Ready` from the conditions that it stands for: the first that does not
/// hold gives its reason.
pub fn summarize(conditions: &mut Vec<Condition>, parts: &[&str], generation: Option<i64>, now: Timestamp) -> bool {
    let missing = parts.iter().find(|kind| !conditions.iter().any(|c| c.type_ == **kind && c.status == "True"));
    let Some(kind) = missing else { return set(conditions, &holds("Ready"), generation, now) };
    let failed = conditions.iter().any(|c| c.type_ == *kind && c.status == "False");
    let message = format!("{kind}={}", if failed { "False" } else { "Unknown" });
    let (status, reason) = if failed { ("False", "UnhealthyDependents") } else { ("Unknown", "ReconcilingDependents") };
    set(conditions, &Says { kind: "Ready", status, reason, message: &message }, generation, now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap_or_default()
    }

    #[test]
    fn the_time_moves_with_the_status_only() {
        let mut all = Vec::new();
        let says = |status, reason| Says { kind: "Launched", status, reason, message: "" };
        assert!(set(&mut all, &says("Unknown", "Begun"), Some(1), at(1)));
        assert!(set(&mut all, &says("Unknown", "Throttled"), Some(1), at(2)));
        assert_eq!(all[0].last_transition_time.0, at(1));
        assert!(set(&mut all, &says("True", "Launched"), Some(1), at(3)));
        assert_eq!(all[0].last_transition_time.0, at(3));
        assert!(!set(&mut all, &says("True", "Launched"), Some(1), at(4)));
    }

    #[test]
    fn ready_waits_for_the_first_part_that_does_not_hold() {
        let mut all = Vec::new();
        set(&mut all, &holds("Launched"), None, at(1));
        summarize(&mut all, &["Launched", "Registered"], None, at(1));
        assert_eq!(find(Some(&all), "Ready").map(|c| c.message.as_str()), Some("Registered=Unknown"));
        set(&mut all, &holds("Registered"), None, at(2));
        summarize(&mut all, &["Launched", "Registered"], None, at(2));
        assert!(is_true(Some(&all), "Ready"));
    }
}

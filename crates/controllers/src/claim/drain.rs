//! Emptying a node: which pods go next.
//!
//! Tiers go one after another: pods that are not critical, then their DaemonSets,
//! then critical pods, then critical DaemonSets. A deadline overrides budgets and
//! `do-not-disrupt`, each pod in time for its own grace period.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use stowage_k8s::pod::{is_finished, is_owned_by, is_protected};
use stowage_k8s::{duration, names};

/// What the drain needs now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drain {
    /// Pods to evict, by namespace and name.
    pub evict: Vec<(String, String)>,
    /// Pods to delete with so many seconds of grace, whatever budgets say.
    pub force: Vec<(String, String, i64)>,
    /// Pods that are still waited for, these included.
    pub left: usize,
    /// Pods that nobody may move before the deadline.
    pub protected: usize,
}

/// A pod that is stuck for so long after its grace period is not waited for.
const STUCK: Duration = Duration::from_secs(60);

/// Decides about the pods of a node. `deadline` is when the last of them must be
/// gone.
pub fn drain(pods: &[&Pod], deadline: Option<Timestamp>, now: Timestamp) -> Drain {
    let waited: Vec<&Pod> = pods.iter().copied().filter(|pod| is_waited_for(pod, now)).collect();
    let mut drain = Drain { left: waited.len(), ..Drain::default() };
    if let Some(deadline) = deadline {
        drain.force = waited.iter().filter_map(|pod| forced(pod, deadline, now)).collect();
    }
    let tier = waited.iter().map(|pod| tier(pod)).min();
    for pod in waited.iter().filter(|pod| Some(self::tier(pod)) == tier) {
        if pod.metadata.deletion_timestamp.is_some() || drain.force.iter().any(|(_, name, _)| *name == key(pod).1) {
            continue;
        }
        if is_protected(pod, now) {
            drain.protected += 1;
        } else {
            drain.evict.push(key(pod));
        }
    }
    drain
}

fn key(pod: &Pod) -> (String, String) {
    (pod.metadata.namespace.clone().unwrap_or_default(), pod.metadata.name.clone().unwrap_or_default())
}

/// Whether a drain waits for this pod at all.
pub fn is_waited_for(pod: &Pod, now: Timestamp) -> bool {
    let stuck = pod.metadata.deletion_timestamp.as_ref().is_some_and(|at| duration::since(at.0, now) > STUCK);
    let tolerations = pod.spec.as_ref().and_then(|spec| spec.tolerations.clone()).unwrap_or_default();
    let stays = tolerations.iter().any(|toleration| {
        let key = toleration.key.as_deref().unwrap_or_default();
        let any = toleration.operator.as_deref() == Some("Exists");
        let effect = toleration.effect.as_deref().unwrap_or_default();
        (key == names::DISRUPTED_TAINT && (any || toleration.value.is_none()) || key.is_empty() && any)
            && (effect.is_empty() || effect == "NoSchedule")
    });
    !(is_finished(pod) || stuck || stays || is_owned_by(pod, "Node"))
}

fn tier(pod: &Pod) -> u8 {
    let class = pod.spec.as_ref().and_then(|spec| spec.priority_class_name.as_deref()).unwrap_or_default();
    let critical = class == "system-cluster-critical" || class == "system-node-critical";
    u8::from(critical) * 2 + u8::from(is_owned_by(pod, "DaemonSet"))
}

/// A pod that must be deleted now to be gone by the deadline.
fn forced(pod: &Pod, deadline: Timestamp, now: Timestamp) -> Option<(String, String, i64)> {
    let grace = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds).unwrap_or(30).max(0);
    let begin = deadline.checked_sub(SignedDuration::from_secs(grace)).unwrap_or(Timestamp::MIN);
    if now < begin {
        return None;
    }
    let left = i64::try_from(duration::since(now, deadline).as_secs()).unwrap_or(grace).clamp(1, grace.max(1));
    // A pod that is leaving in time is let be.
    let ends = pod.metadata.deletion_timestamp.as_ref().map(|time| time.0);
    if ends.is_some_and(|ends| ends <= deadline.max(now)) {
        return None;
    }
    let (namespace, name) = key(pod);
    Some((namespace, name, left))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{at, merge};
    use serde_json::{Value, json};

    fn pod(name: &str, change: Value) -> Pod {
        let mut object = json!({
            "metadata": { "name": name, "namespace": "default" },
            "spec": { "containers": [], "terminationGracePeriodSeconds": 30 },
            "status": { "phase": "Running", "startTime": "1970-01-01T00:00:00Z" },
        });
        merge(&mut object, change);
        serde_json::from_value(object).unwrap_or_default()
    }

    fn daemon() -> Value {
        json!({ "metadata": { "ownerReferences": [
            { "apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "u" }] } })
    }

    fn critical() -> Value {
        json!({ "spec": { "priorityClassName": "system-cluster-critical" } })
    }

    fn names(drain: &Drain) -> Vec<&str> {
        drain.evict.iter().map(|(_, name)| name.as_str()).collect()
    }

    #[test]
    fn tiers_go_one_after_another() {
        let all = [pod("a", json!({})), pod("b", daemon()), pod("c", critical())];
        let mut left: Vec<&Pod> = all.iter().collect();
        for expected in ["a", "b", "c"] {
            let now = drain(&left, None, at(100));
            assert_eq!(names(&now), [expected]);
            left.remove(0);
        }
        assert_eq!(drain(&left, None, at(100)), Drain::default());
    }

    #[test]
    fn some_pods_are_not_waited_for() {
        let everything = json!({ "spec": { "tolerations": [{ "operator": "Exists" }] } });
        let mirror = json!({ "metadata": { "ownerReferences": [
            { "apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u" }] } });
        let stuck = json!({ "metadata": { "deletionTimestamp": "1970-01-01T00:00:00Z" } });
        let done = json!({ "status": { "phase": "Succeeded" } });
        for change in [everything, mirror, stuck, done] {
            assert_eq!(drain(&[&pod("a", change.clone())], None, at(100)).left, 0, "{change}");
        }
    }

    #[test]
    fn protected_pods_stay_until_the_deadline() {
        let mark = |value: &str| json!({ "metadata": { "annotations": { names::DO_NOT_DISRUPT: value } } });
        let stays = pod("a", mark("true"));
        let for_a_while = pod("b", mark("200s"));
        let first = drain(&[&stays, &for_a_while], None, at(100));
        assert_eq!((first.evict.len(), first.protected, first.left), (0, 2, 2));
        assert_eq!(names(&drain(&[&stays, &for_a_while], None, at(300))), ["b"]);
        let forced = drain(&[&stays], Some(at(125)), at(100));
        assert_eq!(forced.force, [("default".to_owned(), "a".to_owned(), 25)]);
        assert!(drain(&[&stays], Some(at(200)), at(100)).force.is_empty());
    }
}

//! Whether the nodes of a pool join: the last few launches of each pool, and the
//! condition `NodeRegistrationHealthy` that follows.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use stowage_k8s::conditions::{self, Says, holds};

/// Launches that are remembered, and how many of them may fail.
const MOST: usize = 4;
const TOO_MANY: usize = 2;
const KIND: &str = "NodeRegistrationHealthy";

/// What a pool and its class were when a launch began: another begins anew.
pub type Version = (Option<i64>, Option<i64>);

/// The last registrations of a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ring {
    version: Option<Version>,
    joined: Vec<bool>,
}

impl Ring {
    /// One more launch joined, or was given up.
    pub fn note(&mut self, joined: bool) {
        if self.joined.len() == MOST {
            self.joined.remove(0);
        }
        self.joined.push(joined);
    }

    /// Forgets what another version of the pool or its class did. The first look after
    /// a restart believes what the pool says of itself.
    pub fn look(&mut self, version: Version, known: Option<&Condition>) {
        match self.version.replace(version) {
            Some(old) if old != version => self.joined.clear(),
            None if self.joined.is_empty() => {
                let same = known.filter(|condition| condition.observed_generation == version.0);
                match same.map(|condition| condition.status.as_str()) {
                    Some("True") => self.joined.push(true),
                    Some("False") => self.joined.extend([false; TOO_MANY]),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// Writes what is known. Returns whether anything changed.
    pub fn write(&self, all: &mut Vec<Condition>, generation: Option<i64>, now: Timestamp) -> bool {
        let failed = self.joined.iter().filter(|joined| !**joined).count();
        let says = |status, reason, message| Says { kind: KIND, status, reason, message };
        let said = match (self.joined.is_empty(), failed >= TOO_MANY) {
            (true, _) => says("Unknown", "AwaitingReconciliation", "no node of this version has been launched"),
            (_, true) => says("False", "RegistrationFailed", "nodes of this pool are launched and do not join"),
            _ => holds(KIND),
        };
        conditions::set(all, &said, generation, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::at;

    fn status(ring: &Ring) -> String {
        let mut all = Vec::new();
        ring.write(&mut all, Some(1), at(0));
        all.first().map(|condition| condition.status.clone()).unwrap_or_default()
    }

    #[test]
    fn half_of_the_last_four_launches_decide() {
        let mut ring = Ring::default();
        assert_eq!(status(&ring), "Unknown");
        ring.note(false);
        assert_eq!(status(&ring), "True");
        ring.note(false);
        assert_eq!(status(&ring), "False");
        ring.note(true);
        ring.note(true);
        assert_eq!(status(&ring), "False");
        ring.note(true);
        assert_eq!(status(&ring), "True");
    }

    #[test]
    fn another_version_begins_anew_and_a_restart_does_not() {
        let mut ring = Ring::default();
        ring.look((Some(1), Some(1)), None);
        ring.note(false);
        ring.note(false);
        let mut all = Vec::new();
        ring.write(&mut all, Some(1), at(0));
        let mut restarted = Ring::default();
        restarted.look((Some(1), Some(1)), all.first());
        assert_eq!(status(&restarted), "False");
        ring.look((Some(1), Some(2)), all.first());
        assert_eq!(status(&ring), "Unknown");
    }
}

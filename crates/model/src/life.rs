//! What pods have been through, for methods that move pods off nodes that stay.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A running pod's history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Life {
    /// When its node took it, in seconds since 1970.
    pub started: Option<i64>,
    /// When it was made.
    pub created: Option<i64>,
    /// How often its containers were started again.
    pub restarts: u32,
    /// The same of its init containers.
    pub init_restarts: u32,
    /// What it has in common with others.
    pub kin: Arc<Kin>,
    /// How it is.
    pub condition: Arc<Condition>,
    /// Its labels, without those that tell pods of one workload apart.
    pub labels: Arc<BTreeMap<String, String>>,
}

/// What pods of one workload have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Kin {
    /// Kind of the controller; empty for bare pods.
    pub owner_kind: String,
    /// Its name.
    pub owner: String,
    /// Images of the containers.
    pub images: BTreeSet<String>,
    /// Quality of service.
    pub qos: Qos,
    /// Whether it keeps files on its node that go with it.
    pub local_storage: bool,
    /// Whether it uses PersistentVolumeClaims.
    pub volume_claims: bool,
    /// Whether it claims devices.
    pub device_claims: bool,
    /// `descheduler.alpha.kubernetes.io/evict`: it may go whatever else says that it may not.
    pub evict: bool,
    /// `descheduler.alpha.kubernetes.io/prefer-no-eviction`.
    pub prefers_to_stay: bool,
}

/// Quality of service; the first goes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the Kubernetes API's own names")]
pub enum Qos {
    #[default]
    BestEffort,
    Burstable,
    Guaranteed,
}

/// How a pod is, in the API's own words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Condition {
    /// `status.phase`.
    pub phase: String,
    /// Why the pod as a whole is as it is.
    pub reason: String,
    /// Why containers wait, or have ended.
    pub reasons: BTreeSet<String>,
    /// The same of init containers.
    pub init_reasons: BTreeSet<String>,
    /// What ended containers returned.
    pub exit_codes: BTreeSet<i32>,
    /// The same of init containers.
    pub init_exit_codes: BTreeSet<i32>,
}

impl Condition {
    /// Whether any of `wanted` describes the pod or its containers.
    pub fn is_any_of(&self, wanted: &BTreeSet<String>, init: bool) -> bool {
        let own = [&self.phase, &self.reason];
        let containers = self.reasons.iter().chain(self.init_reasons.iter().filter(|_| init));
        own.into_iter().chain(containers).any(|reason| wanted.contains(reason))
    }

    /// Whether a container returned any of `wanted`.
    pub fn returned_any_of(&self, wanted: &BTreeSet<i32>, init: bool) -> bool {
        let init_codes = self.init_exit_codes.iter().filter(|_| init);
        self.exit_codes.iter().chain(init_codes).any(|code| wanted.contains(code))
    }
}

/// A pod that has failed and is still there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failed {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its node, if it ever had one.
    pub node: Option<String>,
    /// Its priority.
    pub priority: i32,
    /// Whether it asked to be left alone.
    pub held: bool,
    /// Its history.
    pub life: Life,
}

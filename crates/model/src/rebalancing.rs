//! Methods that move pods off nodes that stay, as the descheduler's users know them.

use std::collections::{BTreeMap, BTreeSet};

use crate::requirements::Requirements;
use crate::taint::Taint;

/// What is to be rebalanced, and how much of it at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rebalancing {
    /// Nodes that are looked at.
    pub nodes: Requirements,
    /// Pods that go from one node at most.
    pub most_per_node: Option<usize>,
    /// Pods that go from one namespace at most.
    pub most_per_namespace: Option<usize>,
    /// Pods that go at most.
    pub most: Option<usize>,
    /// Seconds that pods have to end.
    pub grace_seconds: Option<u32>,
    /// What is done, one after another.
    pub steps: Vec<Step>,
    /// What whoever wrote it should know.
    pub notes: Vec<String>,
}

/// One method of one profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The profile.
    pub profile: String,
    /// Which pods may go at all.
    pub evictor: Evictor,
    /// Which pods the method looks at.
    pub scope: Scope,
    /// What it does.
    pub method: Method,
}

/// Which pods a profile lets go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evictor {
    /// Pods that keep files on their node may go.
    pub local_storage: bool,
    /// Pods of the system's own priorities may go; no priority protects then.
    pub system_critical: bool,
    /// Failed pods without an owner may go.
    pub failed_bare: bool,
    /// Pods with PersistentVolumeClaims stay.
    pub spares_volume_claims: bool,
    /// Pods with resource claims stay.
    pub spares_device_claims: bool,
    /// Pods without a PodDisruptionBudget stay.
    pub spares_unbudgeted: bool,
    /// Pods that prefer to stay do.
    pub heeds_preference: bool,
    /// Pods of this priority and above stay.
    pub priority_below: Option<i32>,
    /// Only these pods go.
    pub labels: Requirements,
    /// Only pods of namespaces with such labels go.
    pub namespace_labels: Option<Requirements>,
    /// The namespaces that are known to have them.
    pub namespaces: BTreeSet<String>,
    /// Pods whose owner has fewer stay.
    pub min_replicas: usize,
    /// Pods younger than that stay, in seconds.
    pub min_age: u64,
}

/// Which pods a method looks at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Only these namespaces.
    pub include: Option<BTreeSet<String>>,
    /// Not these.
    pub exclude: BTreeSet<String>,
    /// Only pods with such labels.
    pub labels: Requirements,
}

impl Scope {
    /// Whether a pod is looked at.
    pub fn admits(&self, namespace: &str, labels: &BTreeMap<String, String>) -> bool {
        self.include.as_ref().is_none_or(|all| all.contains(namespace))
            && !self.exclude.contains(namespace)
            && self.labels.admit(|key| labels.get(key).map(String::as_str))
    }
}

/// A method, with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// Pods that need not share a node with others of their owner and images.
    Duplicates {
        /// Owners of these kinds are passed over.
        spared_kinds: BTreeSet<String>,
    },
    /// From nodes that are used much to nodes that are used little.
    LowNodeUtilization(Utilization),
    /// From nodes that are used little to others, so that they become empty.
    HighNodeUtilization {
        /// A node is used little when nothing is above these.
        thresholds: Thresholds,
        /// Only pods that ask for something in the thresholds.
        only_thresholding: bool,
    },
    /// Pods whose required anti-affinity is broken.
    AntiAffinity,
    /// Pods whose node is not what their affinity asks for.
    NodeAffinity {
        /// What is required counts.
        required: bool,
        /// A node that is preferred more counts.
        preferred: bool,
    },
    /// Pods that do not tolerate a taint of their node.
    NodeTaints {
        /// `PreferNoSchedule` counts too.
        advice: bool,
        /// Only these taints, where any are listed.
        included: Vec<TaintName>,
        /// Not these.
        excluded: Vec<TaintName>,
    },
    /// Pods in domains that have too many.
    TopologySpread {
        /// `DoNotSchedule` counts.
        hard: bool,
        /// `ScheduleAnyway` counts.
        soft: bool,
    },
    /// Pods that start over and over again.
    TooManyRestarts {
        /// So many restarts are too many.
        threshold: u32,
        /// Init containers count.
        init: bool,
        /// Only pods that are like this, where any are listed.
        states: BTreeSet<String>,
    },
    /// Pods that are old.
    PodLifeTime {
        /// Older than this, in seconds.
        seconds: u64,
        /// Init containers' reasons count.
        init: bool,
        /// Only pods that are like this, where any are listed.
        states: BTreeSet<String>,
        /// Only pods of owners of these kinds, where any are listed.
        kinds: BTreeSet<String>,
    },
    /// Pods that have failed.
    FailedPods {
        /// At least so old, in seconds.
        seconds: u64,
        /// Only these reasons, where any are listed.
        reasons: BTreeSet<String>,
        /// Only these exit codes, where any are listed.
        exit_codes: BTreeSet<i32>,
        /// Init containers count.
        init: bool,
        /// Owners of these kinds are passed over.
        spared_kinds: BTreeSet<String>,
    },
}

impl Method {
    /// What the descheduler calls it, which is the reason of events too.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Duplicates { .. } => "RemoveDuplicates",
            Self::LowNodeUtilization(_) => "LowNodeUtilization",
            Self::HighNodeUtilization { .. } => "HighNodeUtilization",
            Self::AntiAffinity => "RemovePodsViolatingInterPodAntiAffinity",
            Self::NodeAffinity { .. } => "RemovePodsViolatingNodeAffinity",
            Self::NodeTaints { .. } => "RemovePodsViolatingNodeTaints",
            Self::TopologySpread { .. } => "RemovePodsViolatingTopologySpreadConstraint",
            Self::TooManyRestarts { .. } => "RemovePodsHavingTooManyRestarts",
            Self::PodLifeTime { .. } => "PodLifeTime",
            Self::FailedPods { .. } => "RemoveFailedPods",
        }
    }
}

/// Shares of what nodes have, by resource, in millionths of a percent.
pub type Thresholds = BTreeMap<String, i64>;

/// One percent.
pub const PERCENT: i64 = 1_000_000;

/// Arguments of LowNodeUtilization.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Utilization {
    /// A node is used little when nothing is above these.
    pub low: Thresholds,
    /// A node is used much when anything is above these.
    pub high: Thresholds,
    /// Both are distances from the mean of all nodes.
    pub deviation: bool,
    /// Nothing is done unless more nodes than this are used little.
    pub more_than: usize,
    /// Pods that go from one node at most.
    pub most_per_node: Option<usize>,
}

/// A taint by key, or by key and value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaintName {
    /// The key.
    pub key: String,
    /// The value, where it matters.
    pub value: Option<String>,
}

impl TaintName {
    /// Whether it names this taint.
    pub fn names(&self, taint: &Taint) -> bool {
        self.key == taint.key && self.value.as_ref().is_none_or(|value| *value == taint.value)
    }
}

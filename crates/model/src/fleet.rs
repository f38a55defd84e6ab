//! Nodes that could be given up, the pods that would have to move, and everything
//! that protects them: what disruption decides upon.

use std::collections::{BTreeMap, BTreeSet};

use crate::life::{Failed, Life};
use crate::problem::Problem;
use crate::rebalancing::Rebalancing;

/// A cluster as disruption sees it.
#[derive(Clone, Debug)]
pub struct Fleet {
    /// Every pod that could be moved beside those that wait, and the nodes as if
    /// none of these pods were on them.
    pub problem: Problem,
    /// Where each pod of the problem is, as an index into its nodes.
    pub homes: Vec<Option<u32>>,
    /// What each pod of the problem costs to move.
    pub care: Vec<Care>,
    /// Which nodes are ours, in the order of the problem's nodes.
    pub machines: Vec<Option<Machine>>,
    /// How pools may be disrupted, by name.
    pub policies: BTreeMap<String, Policy>,
    /// PodDisruptionBudgets, with what each still allows.
    pub pod_budgets: Vec<PodBudget>,
    /// What is done about pods that are badly placed though their nodes stay.
    pub rebalancing: Option<Rebalancing>,
    /// What each pod of the problem has been through; empty unless it is rebalanced.
    pub lives: Vec<Life>,
    /// Pods that have failed and are still there.
    pub failed: Vec<Failed>,
}

/// A PodDisruptionBudget.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodBudget {
    /// Namespace and name.
    pub name: String,
    /// How many of its pods may go now.
    pub allowed: u32,
}

/// A pod that nobody may move, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hold {
    /// `karpenter.sh/do-not-disrupt`.
    DoNotDisrupt,
    /// More than one PodDisruptionBudget covers it, so the eviction API refuses.
    TwoBudgets,
    /// Its PodDisruptionBudget allows no disruption.
    NoBudget,
    /// cluster-autoscaler's `safe-to-evict: "false"`.
    NotSafeToEvict,
    /// It keeps data on the node.
    LocalStorage,
    /// Nothing would make it again.
    Bare,
    /// It is of kube-system and no PodDisruptionBudget covers it.
    SystemPod,
}

impl Hold {
    /// In words, after the pod's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DoNotDisrupt => "has karpenter.sh/do-not-disrupt",
            Self::TwoBudgets => "is covered by more than one PodDisruptionBudget",
            Self::NoBudget => "has a PodDisruptionBudget that allows no disruption",
            Self::NotSafeToEvict => "has cluster-autoscaler.kubernetes.io/safe-to-evict: false",
            Self::LocalStorage => "keeps data on its node",
            Self::Bare => "has no controller that would make it again",
            Self::SystemPod => "is of kube-system and has no PodDisruptionBudget",
        }
    }
}

/// One of the units in which disruption is counted, in millionths of a pod.
pub const EVICTION: i64 = 1_000_000;

/// What moving a pod costs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Care {
    /// Why it cannot be moved.
    pub hold: Option<Hold>,
    /// How bad its eviction is, in millionths of an ordinary pod's; can be negative.
    pub cost: i64,
    /// Its PodDisruptionBudgets, as indices.
    pub budgets: Vec<u32>,
}

/// A node of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// Its claim.
    pub claim: String,
    /// Its pool.
    pub pool: String,
    /// Whether it is initialized.
    pub initialized: bool,
    /// Whether its node says that it is ready.
    pub ready: bool,
    /// Whether it is on its way out.
    pub deleting: bool,
    /// Whether pods are expected on it.
    pub nominated: bool,
    /// Which object carries `karpenter.sh/do-not-disrupt`.
    pub protected: Option<&'static str>,
    /// A pod that holds the node though it would not have to move.
    pub held_by: Option<(String, Hold)>,
    /// Whether pods that refuse are forced off in the end, so that drift need not wait for them.
    pub forceful: bool,
    /// Since when no pod came or went, in seconds since 1970.
    pub quiet_since: Option<i64>,
    /// Since when it is not what its pool says, and in what.
    pub drifted: Option<(i64, String)>,
}

/// Which nodes of a pool are consolidated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consolidation {
    /// Empty ones.
    WhenEmpty,
    /// All.
    #[default]
    WhenEmptyOrUnderutilized,
    /// All, where what is saved is worth the disruption.
    Balanced,
}

/// How a pool may be disrupted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Which of its nodes are consolidated.
    pub consolidation: Consolidation,
    /// How long a node must be quiet first, in seconds. `None`: never.
    pub after: Option<u64>,
    /// How many nodes may go at once.
    pub budgets: Vec<Budget>,
    /// Whether it keeps a fixed number of nodes.
    pub is_static: bool,
    /// Whether somebody froze it.
    pub frozen: bool,
}

/// A cap on how many nodes go at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// What it is about; everything when absent.
    pub reasons: Option<BTreeSet<String>>,
    /// How many.
    pub nodes: Share,
    /// When it counts.
    pub window: Window,
}

/// A number of nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// So many.
    Count(usize),
    /// A part of all, in percent, rounded up.
    Percent(usize),
}

impl Default for Share {
    fn default() -> Self {
        Self::Percent(10)
    }
}

impl Share {
    /// So many of `all`.
    pub fn of(self, all: usize) -> usize {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => (all * percent).div_ceil(100),
        }
    }
}

/// When a budget counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Window {
    /// Always.
    #[default]
    Always,
    /// For so many seconds from each point of a cron expression in UTC.
    Cron(String, u64),
    /// It cannot be read, so nothing is disrupted while it is there.
    Unreadable,
}

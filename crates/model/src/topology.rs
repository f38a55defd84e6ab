//! Rules that relate pods to other pods, by the value of a node label.

use std::collections::{BTreeMap, BTreeSet};

use crate::pod::NodeTerm;
use crate::requirements::Requirements;
use crate::volume::SharedVolume;

/// Pods that rules count together: those that a selector picks, by the value
/// that one label has on their nodes (`topologyKey`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group {
    /// The topology key.
    pub key: String,
    /// Namespaces whose pods count; all of them where absent.
    pub namespaces: Option<BTreeSet<String>>,
    /// Which of their pods count.
    pub selector: Requirements,
}

impl Group {
    /// Whether pods of `namespace` with `labels` count.
    pub fn counts(&self, namespace: &str, labels: &BTreeMap<String, String>) -> bool {
        self.namespaces.as_ref().is_none_or(|all| all.contains(namespace))
            && self.selector.admit(|key| labels.get(key).map(String::as_str))
    }
}

/// A topology spread constraint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spread {
    /// Index of the group that is spread.
    pub group: u32,
    /// How many more pods than the emptiest domain one may have.
    pub max_skew: u32,
    /// With fewer domains than this, the emptiest counts as empty.
    pub min_domains: u32,
    /// Whether only nodes count that the pod's selector and affinity admit.
    pub honor_affinity: bool,
    /// Whether only nodes count whose taints the pod tolerates.
    pub honor_taints: bool,
    /// `DoNotSchedule`; else `ScheduleAnyway`.
    pub hard: bool,
}

/// A term of pod affinity or anti-affinity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodTerm {
    /// Index of the group.
    pub group: u32,
    /// The weight of a preference; required terms have none.
    pub weight: Option<i32>,
}

/// A preferred node affinity term.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PreferredNode {
    /// Its weight.
    pub weight: i32,
    /// What is preferred.
    pub term: NodeTerm,
}

/// A port of the node that a pod takes for itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    /// Port number.
    pub port: i32,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// Address; empty for every address of the node.
    pub ip: String,
}

impl HostPort {
    /// Whether both cannot be taken on one node.
    pub fn conflicts(&self, other: &Self) -> bool {
        self.port == other.port
            && self.protocol == other.protocol
            && (self.ip.is_empty() || other.ip.is_empty() || self.ip == other.ip)
    }
}

/// What relates a pod to other pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topology {
    /// Groups that count this pod, ascending.
    pub member: Vec<u32>,
    /// Its spread constraints.
    pub spread: Vec<Spread>,
    /// Its affinity terms.
    pub affinity: Vec<PodTerm>,
    /// Its anti-affinity terms.
    pub anti_affinity: Vec<PodTerm>,
    /// Volumes that it shares with others.
    pub shared: Vec<SharedVolume>,
}

impl Topology {
    /// Whether nothing relates the pod to others.
    pub fn is_empty(&self) -> bool {
        self == &Self::default()
    }

    /// Whether `group` counts the pod.
    pub fn in_group(&self, group: u32) -> bool {
        self.member.binary_search(&group).is_ok()
    }

    /// Groups that required terms of `terms` name.
    pub fn required(terms: &[PodTerm]) -> impl Iterator<Item = u32> {
        terms.iter().filter(|term| term.weight.is_none()).map(|term| term.group)
    }
}

/// The name of the resource that stands for the pods of `group`, at most `most`,
/// that one node takes.
pub fn spread_slot(group: u32, most: i64) -> String {
    format!("stowage.slots/group-{group}-{most}")
}

/// The name of the resource that stands for a host port at one address, or at
/// all of them.
pub fn port_slot(port: &HostPort) -> String {
    format!("stowage.slots/port-{}-{}-{}", port.protocol, port.port, port.ip)
}

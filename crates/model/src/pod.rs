//! Pods, and the shape that identical pods share.

use std::fmt;
use std::sync::Arc;

use crate::requirements::Requirements;
use crate::resources::Resources;
use crate::taint::Toleration;
use crate::topology::{HostPort, PreferredNode, Topology};
use crate::volume::VolumeFault;

/// One alternative of a required node affinity: all of it must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeTerm(pub Requirements);

impl NodeTerm {
    /// Whether a node with these labels matches. A term without expressions
    /// matches no node, as the API reference says.
    pub fn matches<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        !self.0.is_empty() && self.0.admit(label)
    }
}

/// A scheduling rule that a pod carries and that this version does not plan for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnsupportedRule {
    /// A claim about which the input says nothing.
    UnboundVolume,
    /// `resourceClaims` (Dynamic Resource Allocation).
    ResourceClaims,
}

impl UnsupportedRule {
    /// The field a user would look for.
    pub fn field(self) -> &'static str {
        match self {
            Self::UnboundVolume => "volumes[].persistentVolumeClaim (not in the input)",
            Self::ResourceClaims => "resourceClaims",
        }
    }
}

/// Everything about a pod that decides where it can go. Pods of one shape are
/// interchangeable, so the solver counts them instead of naming them.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodShape {
    /// What it asks for, one `pods` included.
    pub requests: Resources,
    /// Its node selector.
    pub selector: Requirements,
    /// Its required node affinity: one alternative must match.
    pub affinity: Option<Vec<NodeTerm>>,
    /// Per bound volume, the alternatives of which one must match.
    pub volumes: Vec<Vec<NodeTerm>>,
    /// What is wrong with its claims; any fault keeps it from running.
    pub faults: Vec<VolumeFault>,
    /// What it tolerates.
    pub tolerations: Vec<Toleration>,
    /// Node affinity terms that it prefers.
    pub preferred: Vec<PreferredNode>,
    /// Whether taints that only advise against a node keep it away too.
    pub heeds_advice: bool,
    /// Ports that it takes of its node.
    pub ports: Vec<HostPort>,
    /// What relates it to other pods.
    pub topology: Topology,
    /// Its priority.
    pub priority: i32,
    /// What it carries that is not planned for yet.
    pub unsupported: Vec<UnsupportedRule>,
}

impl PodShape {
    /// Every requirement set that names labels, for finding out which labels
    /// and values anybody cares about.
    pub fn requirement_sets(&self) -> impl Iterator<Item = &Requirements> {
        std::iter::once(&self.selector)
            .chain(self.affinity.iter().flatten().map(|term| &term.0))
            .chain(self.volumes.iter().flatten().map(|term| &term.0))
            .chain(self.preferred.iter().map(|preferred| &preferred.term.0))
    }
}

/// The controller that a pod belongs to, for the cost report.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Workload {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Kind of the controller; `Pod` for a bare pod.
    pub kind: Arc<str>,
    /// Its name; empty for bare pods, which are reported together.
    pub name: Arc<str>,
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.is_empty() {
            write!(f, "{}/(bare pods)", self.namespace)
        } else {
            write!(f, "{}/{}/{}", self.namespace, self.kind, self.name)
        }
    }
}

/// A pod to be placed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pod {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Box<str>,
    /// Index of its shape.
    pub shape: u32,
    /// Index of its workload.
    pub workload: u32,
}

impl fmt::Display for Pod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A DaemonSet: one pod on every node that admits it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Daemon {
    /// Namespace and name.
    pub name: String,
    /// What each of its pods is like.
    pub shape: PodShape,
}

impl Daemon {
    /// Whether one of its pods would run on a node with these labels and taints.
    pub fn runs_on<'a>(&self, label: impl Fn(&str) -> Option<&'a str> + Copy, taints: &[crate::Taint]) -> bool {
        crate::taint::first_untolerated(taints, &self.shape.tolerations).is_none()
            && self.shape.selector.admit(label)
            && self.shape.affinity.as_ref().is_none_or(|terms| terms.iter().any(|t| t.matches(label)))
    }
}

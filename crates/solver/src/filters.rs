//! The scheduling rules, one file each, and the one list that orders them.
//!
//! A filter answers one question: may pods of this shape be at this place? The
//! order is that of the explanations: what a user can change most easily comes
//! first, so that the first misfit is the most useful one.

mod affinity;
mod claims;
mod faults;
mod resources;
mod selector;
mod taints;
mod volumes;

use stowage_model::{Code, LaunchLabels, Node, PodShape, Resources, Taint};

/// Somewhere a pod can be: a node that exists, or one that could be launched.
#[derive(Clone, Copy)]
pub enum Place<'a> {
    /// A node, with what is left of it.
    Node(&'a Node, &'a Resources),
    /// A launch, with what pods can have on it beside its DaemonSets.
    Launch(LaunchLabels<'a>, &'a Resources),
}

impl<'a> Place<'a> {
    /// The value of label `key` there.
    pub fn label(&self, key: &str) -> Option<&'a str> {
        match self {
            Self::Node(node, _) => node.label(key),
            Self::Launch(labels, _) => labels.get(key),
        }
    }

    /// The taints that pods must tolerate. Startup taints are gone before any
    /// pod is bound, so they do not count.
    pub fn taints(&self) -> &'a [Taint] {
        match self {
            Self::Node(node, _) => &node.taints,
            Self::Launch(labels, _) => &labels.pool.taints,
        }
    }

    /// What pods can have there.
    pub fn free(&self) -> &'a Resources {
        match self {
            Self::Node(_, free) | Self::Launch(_, free) => free,
        }
    }
}

/// Why a pod may not be at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// The stable code.
    pub code: Code,
    /// What exactly did not fit.
    pub detail: String,
    /// The label key or resource concerned.
    pub subject: String,
}

/// One scheduling rule.
pub trait Filter: Sync {
    /// What a user calls the rule.
    fn name(&self) -> &'static str;

    /// Whether the rule lets pods of `shape` be at `place`.
    fn admit(&self, shape: &PodShape, place: &Place<'_>) -> Result<(), Misfit>;

    /// Whether only labels and taints decide, so that one answer serves every
    /// size of pod and machine.
    fn decided_by_labels(&self) -> bool {
        true
    }
}

/// Every rule, in order.
pub const ORDER: &[&dyn Filter] = &[
    &claims::Claims,
    &faults::Faults,
    &taints::Taints,
    &selector::Selector,
    &affinity::Affinity,
    &volumes::Volumes,
    &resources::Fit,
];

/// The first rule that keeps pods of `shape` from `place`.
pub fn admit(shape: &PodShape, place: &Place<'_>) -> Result<(), Misfit> {
    ORDER.iter().try_for_each(|filter| filter.admit(shape, place))
}

/// Whether labels and taints alone let pods of `shape` be at `place`.
pub(crate) fn admitted_by_labels(shape: &PodShape, place: &Place<'_>) -> bool {
    ORDER.iter().filter(|f| f.decided_by_labels()).all(|f| f.admit(shape, place).is_ok())
}

#[cfg(test)]
mod tests;

//! What can be said of one pod by looking at it: whether it waits, ends, belongs to
//! its node, and may be moved.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use crate::{duration, names};

/// Whether a pod waits for a node.
pub fn is_waiting(pod: &Pod) -> bool {
    let unbound = pod.spec.as_ref().is_none_or(|spec| spec.node_name.as_deref().unwrap_or_default().is_empty());
    unbound && pod.metadata.deletion_timestamp.is_none() && phase(pod).unwrap_or("Pending") == "Pending"
}

/// Whether its containers have ended for good.
pub fn is_finished(pod: &Pod) -> bool {
    matches!(phase(pod), Some("Succeeded" | "Failed"))
}

fn phase(pod: &Pod) -> Option<&str> {
    pod.status.as_ref().and_then(|status| status.phase.as_deref())
}

/// Whether the pod has an owner of this kind.
pub fn is_owned_by(pod: &Pod, kind: &str) -> bool {
    pod.metadata.owner_references.iter().flatten().any(|owner| owner.kind == kind)
}

/// Whether nothing would make it again.
pub fn is_bare(pod: &Pod) -> bool {
    pod.metadata.owner_references.as_ref().is_none_or(Vec::is_empty)
}

/// Whether it comes and goes with its node: pods of DaemonSets, and mirrors of static pods.
pub fn is_per_node(pod: &Pod) -> bool {
    is_owned_by(pod, "DaemonSet") || is_owned_by(pod, "Node")
}

/// Whether it is being deleted, and whatever follows it is another pod that is
/// there already. A StatefulSet makes the next pod only once this one is gone.
pub fn is_replaced(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some() && !is_owned_by(pod, "StatefulSet")
}

/// Whether a place would be needed elsewhere if its node went away.
pub fn needs_a_place(pod: &Pod) -> bool {
    !(is_finished(pod) || is_replaced(pod) || is_per_node(pod))
}

/// Whether the pod asked not to be disrupted, for good or for a while from its start.
pub fn is_protected(pod: &Pod, now: Timestamp) -> bool {
    let Some(text) = pod.metadata.annotations.as_ref().and_then(|all| all.get(names::DO_NOT_DISRUPT)) else {
        return false;
    };
    if text == "true" {
        return true;
    }
    let started = pod.status.as_ref().and_then(|status| status.start_time.as_ref()).map(|time| time.0);
    let lasts = duration::span(text);
    lasts.is_some_and(|lasts| started.is_none_or(|started| duration::since(started, now) < lasts))
}

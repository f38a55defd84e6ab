//! A claim that is being deleted: its node is emptied, its instance ended, and
//! only then is the claim let go.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use stowage_k8s::conditions::{Says, holds};
use stowage_k8s::node::is_shut;
use stowage_k8s::{duration, names, node};

use super::decide::{Call, Facts, LONG, SOON, Verdict, Write, step};
use super::drain;

/// The step with which a node is gone.
pub(super) const GONE: &str = "let node go";

pub(super) fn terminate(facts: &Facts<'_>) -> Option<Verdict> {
    let deleted = facts.claim.metadata.deletion_timestamp.as_ref()?.0;
    let ours = facts.claim.metadata.finalizers.iter().flatten().any(|name| name == names::TERMINATION_FINALIZER);
    if !ours {
        return Some(Verdict::Wait(LONG));
    }
    let order = [write_deadline, shut, empty, detach, end, forget_node];
    Some(order.iter().find_map(|rule| rule(facts, deleted)).unwrap_or_else(|| forget(facts)))
}

/// When the last pods are forced off, if the claim says so.
fn deadline(facts: &Facts<'_>) -> Option<Timestamp> {
    facts.annotation(names::TERMINATION_TIMESTAMP).and_then(|text| text.parse().ok())
}

fn write_deadline(facts: &Facts<'_>, deleted: Timestamp) -> Option<Verdict> {
    let grace = facts.claim.spec.termination_grace_period.as_deref().and_then(duration::parse)?;
    if deadline(facts).is_some() {
        return None;
    }
    let at = deleted.checked_add(SignedDuration::from_nanos(grace)).unwrap_or(Timestamp::MAX);
    let annotations = json!({ names::TERMINATION_TIMESTAMP: at.to_string() });
    Some(step("deadline", Write::Claim(facts.guarded(json!({ "metadata": { "annotations": annotations } })))))
}

/// No new pods, and no new connections from outside.
fn shut(facts: &Facts<'_>, _: Timestamp) -> Option<Verdict> {
    let node = facts.node.filter(|_| !facts.memory.ended)?;
    // Whoever replaces a node shuts it long before; balancers let go of it only now.
    let excluded = node.metadata.labels.as_ref().is_some_and(|own| own.contains_key(names::EXCLUDE_BALANCERS));
    if is_shut(node) && excluded {
        return None;
    }
    let mut patch = node::shut(node, true);
    patch["metadata"]["labels"] = json!({ names::EXCLUDE_BALANCERS: "karpenter" });
    Some(step("shut", Write::Node(node.metadata.name.clone().unwrap_or_default(), patch)))
}

fn empty(facts: &Facts<'_>, deleted: Timestamp) -> Option<Verdict> {
    if facts.node.is_none() || facts.memory.ended || facts.is("Drained") {
        return None;
    }
    let drain = drain::drain(&facts.pods, deadline(facts), facts.now);
    if !drain.force.is_empty() {
        return Some(step("force", Call::Force(drain.force)));
    }
    if !drain.evict.is_empty() {
        return Some(step("evict", Call::Evict(drain.evict)));
    }
    let lasted = facts.since(Some(deleted));
    if drain.left > 0 {
        let message = format!("{} pods are waited for, {} of them may not be disrupted", drain.left, drain.protected);
        let says = Says { kind: "Drained", status: "False", reason: "Draining", message: &message };
        return Some(facts.publish(&[says], json!({})).map_or(Verdict::Wait(SOON), |call| step("draining", call)));
    }
    if lasted < facts.timeouts.drain && !facts.pods.is_empty() {
        return Some(Verdict::Wait(facts.timeouts.drain - lasted));
    }
    facts.publish(&[holds("Drained")], json!({})).map(|call| step("drained", call))
}

/// Volumes come off before the machine ends, or their data may not follow.
fn detach(facts: &Facts<'_>, _: Timestamp) -> Option<Verdict> {
    if facts.node.is_none() || facts.memory.ended || facts.is("VolumesDetached") {
        return None;
    }
    let over = deadline(facts).is_some_and(|deadline| facts.now >= deadline);
    // Pods that the drain left alone keep their volumes.
    let stays = !facts.pods.is_empty();
    if facts.attachments > 0 && !over && !stays {
        let message = format!("{} volumes are attached", facts.attachments);
        let says =
            Says { kind: "VolumesDetached", status: "False", reason: "AwaitingVolumeDetachment", message: &message };
        return Some(facts.publish(&[says], json!({})).map_or(Verdict::Wait(SOON), |call| step("detaching", call)));
    }
    facts.publish(&[holds("VolumesDetached")], json!({})).map(|call| step("detached", call))
}

/// Until the provider says that it is gone.
fn end(facts: &Facts<'_>, _: Timestamp) -> Option<Verdict> {
    let never_tried = facts.annotation(names::LAUNCH_ATTEMPT).is_none() && provider_id(facts).is_none();
    if facts.memory.ended || never_tried {
        return None;
    }
    if provider_id(facts).is_some() && !facts.is("InstanceTerminating") {
        let call = facts.publish(&[holds("InstanceTerminating")], json!({}));
        return call.map(|call| step("terminating", call));
    }
    Some(step("end instance", Call::EndInstance))
}

fn provider_id<'a>(facts: &'a Facts<'_>) -> Option<&'a str> {
    facts.claim.status.as_ref().and_then(|status| status.provider_id.as_deref())
}

fn forget_node(facts: &Facts<'_>, _: Timestamp) -> Option<Verdict> {
    let node = facts.node?;
    let name = node.metadata.name.clone().unwrap_or_default();
    if node.metadata.deletion_timestamp.is_none() {
        return Some(step("delete node", Call::DeleteNode(name)));
    }
    let mut finalizers = node.metadata.finalizers.clone().unwrap_or_default();
    let held = finalizers.len();
    finalizers.retain(|name| name != names::TERMINATION_FINALIZER);
    if finalizers.len() == held {
        return None;
    }
    let patch = json!({
        "metadata": { "finalizers": finalizers, "resourceVersion": node.metadata.resource_version },
    });
    Some(step(GONE, Write::Node(name, patch)))
}

fn forget(facts: &Facts<'_>) -> Verdict {
    let mut finalizers = facts.claim.metadata.finalizers.clone().unwrap_or_default();
    finalizers.retain(|name| name != names::TERMINATION_FINALIZER);
    step("let claim go", Write::Claim(facts.guarded(json!({ "metadata": { "finalizers": finalizers } }))))
}

//! From an instance to a node that pods can use.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Taint;
use serde_json::{Value, json};
use stowage_k8s::conditions::{self, Says, holds};
use stowage_k8s::names;
use stowage_model::labels;

use stowage_k8s::node::{is_ready, ready};

use super::decide::{Call, Facts, LONG, SOON, Verdict, Write, step};

/// Steps that say how a registration went.
pub(super) const JOINED: &str = "registered";
pub(super) const GIVEN_UP: &str = "registration timeout";

/// A node that joined becomes ours: labels, annotations, taints, owner.
pub(super) fn register(facts: &Facts<'_>) -> Option<Verdict> {
    if facts.is("Registered") {
        return None;
    }
    let Some(node) = facts.node else {
        let launched = conditions::find(facts.conditions(), "Launched").map(|c| c.last_transition_time.0);
        let waited = facts.since(launched);
        if waited >= facts.timeouts.registration {
            return Some(step(GIVEN_UP, Call::DeleteClaim("RegistrationTimeout")));
        }
        return Some(Verdict::Wait(facts.timeouts.registration - waited));
    };
    let name = node.metadata.name.clone().unwrap_or_default();
    let own = node.metadata.labels.clone().unwrap_or_default();
    if own.get(labels::REGISTERED).map(String::as_str) != Some("true") {
        return Some(step("register", Write::Node(name, synced(facts))));
    }
    facts.publish(&[holds("Registered")], json!({ "nodeName": name })).map(|call| step(JOINED, call))
}

/// The node as the claim wants it.
fn synced(facts: &Facts<'_>) -> Value {
    let Some(node) = facts.node else { return json!({}) };
    let claim = facts.claim;
    let mut own: BTreeMap<String, String> = claim.metadata.labels.clone().unwrap_or_default();
    let keep_taints = own.contains_key(names::DO_NOT_SYNC_TAINTS)
        || node.metadata.labels.as_ref().is_some_and(|l| l.contains_key(names::DO_NOT_SYNC_TAINTS));
    own.insert(labels::REGISTERED.to_owned(), "true".to_owned());
    let mut taints: Vec<Taint> = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
    taints.retain(|taint| taint.key != names::UNREGISTERED_TAINT);
    if !keep_taints {
        let wanted = claim.spec.taints.iter().flatten().chain(claim.spec.startup_taints.iter().flatten());
        for taint in wanted {
            if !taints.iter().any(|known| known.key == taint.key && known.effect == taint.effect) {
                taints.push(taint.clone());
            }
        }
    }
    let mut finalizers = node.metadata.finalizers.clone().unwrap_or_default();
    if !finalizers.iter().any(|name| name == names::TERMINATION_FINALIZER) {
        finalizers.push(names::TERMINATION_FINALIZER.to_owned());
    }
    let mut annotations: BTreeMap<String, String> = claim.metadata.annotations.clone().unwrap_or_default();
    annotations.retain(|key, _| !key.starts_with("stowage.sh/"));
    json!({
        "metadata": {
            "labels": own,
            "annotations": annotations,
            "finalizers": finalizers,
            "ownerReferences": [{
                "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim",
                "name": claim.metadata.name, "uid": claim.metadata.uid, "blockOwnerDeletion": true,
            }],
            "resourceVersion": node.metadata.resource_version,
        },
        "spec": { "taints": taints },
    })
}

/// A registered node that is ready, rid of what only its start needed, and has
/// every resource that was promised.
pub(super) fn initialize(facts: &Facts<'_>) -> Option<Verdict> {
    if facts.is("Initialized") {
        return None;
    }
    let Some(node) = facts.node else { return Some(Verdict::Wait(LONG)) };
    let name = node.metadata.name.clone().unwrap_or_default();
    if let Err((reason, message)) = settled(facts) {
        if reason == HELD
            && let Some(verdict) = held(facts, &name)
        {
            return Some(verdict);
        }
        let says = Says { kind: "Initialized", status: "Unknown", reason, message: &message };
        return Some(facts.publish(&[says], json!({})).map_or(Verdict::Wait(SOON), |call| step("waiting", call)));
    }
    let own = node.metadata.labels.clone().unwrap_or_default();
    if own.get(labels::INITIALIZED).map(String::as_str) != Some("true") {
        let patch = json!({ "metadata": { "labels": { labels::INITIALIZED: "true" } } });
        return Some(step("initialize", Write::Node(name, patch)));
    }
    facts.publish(&[holds("Initialized")], json!({})).map(|call| step("initialized", call))
}

const HELD: &str = "HeldForPlannedPods";

/// Whether the node is what was promised, or what is missing.
fn settled(facts: &Facts<'_>) -> Result<(), (&'static str, String)> {
    let Some(node) = facts.node else { return Err(("NodeNotFound", "the node is gone".to_owned())) };
    let status = node.status.clone().unwrap_or_default();
    if !is_ready(node) {
        return Err(("NodeNotReady", "the node is not Ready".to_owned()));
    }
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
    let startup: Vec<&Taint> = facts.claim.spec.startup_taints.iter().flatten().collect();
    let mut held = false;
    for taint in &taints {
        if taint.key == names::RESERVED_TAINT {
            held = true;
        } else if startup.iter().any(|s| s.key == taint.key && s.effect == taint.effect) {
            return Err(("StartupTaintsExist", format!("startup taint {} is still there", taint.key)));
        } else if names::EPHEMERAL_TAINTS.contains(&taint.key.as_str())
            || taint.key.starts_with(names::READINESS_TAINTS)
        {
            return Err(("KnownEphemeralTaintsExist", format!("taint {} is still there", taint.key)));
        }
    }
    for name in facts.claim.spec.resources.requests.keys().filter(|name| name.contains('/')) {
        let there = status.allocatable.as_ref().and_then(|all| all.get(name));
        if there.is_none_or(|amount| amount.0 == "0") {
            return Err(("ResourceNotRegistered", format!("resource {name} is not registered")));
        }
    }
    if held { Err((HELD, "pods that were planned for the node are let in first".to_owned())) } else { Ok(()) }
}

/// A node that is held for its pods, and otherwise ready: let go once they are
/// there, or have had their time.
fn held(facts: &Facts<'_>, name: &str) -> Option<Verdict> {
    let node = facts.node?;
    let ready = ready(node)?;
    let registered = conditions::find(facts.conditions(), "Registered").map(|c| c.last_transition_time.0);
    let since = ready.last_transition_time.as_ref().map(|time| time.0).max(registered);
    let quiet = facts.since(since.max(facts.landed));
    let longest = facts.since(since) >= facts.timeouts.longest_hold;
    if facts.invited + facts.uninvited > 0 && quiet < facts.timeouts.hold && !longest {
        return Some(Verdict::Wait((facts.timeouts.hold - quiet).min(SOON)));
    }
    let mut taints = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
    taints.retain(|taint| taint.key != names::RESERVED_TAINT);
    let patch = json!({
        "metadata": { "resourceVersion": node.metadata.resource_version }, "spec": { "taints": taints },
    });
    Some(step("release", Write::Node(name.to_owned(), patch)))
}

/// Whoever deletes a node means the machine.
pub(super) fn node_deleted(facts: &Facts<'_>) -> Option<Verdict> {
    let leaving = facts.node.is_some_and(|node| node.metadata.deletion_timestamp.is_some());
    leaving.then(|| step("node deleted", Call::DeleteClaim("NodeDeleted")))
}

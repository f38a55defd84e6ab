//! From an accepted claim to an instance.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use stowage_cloud::provider::{Instance, ProviderError};
use stowage_k8s::conditions::{Says, holds};
use stowage_k8s::{duration, names};
use stowage_model::{Digest, labels};

use super::decide::{Call, Facts, Verdict, Write, step};

/// Nothing is launched for a claim that could vanish unseen.
pub(super) fn finalizer(facts: &Facts<'_>) -> Option<Verdict> {
    let known = facts.claim.metadata.finalizers.clone().unwrap_or_default();
    if known.iter().any(|name| name == names::TERMINATION_FINALIZER) {
        return None;
    }
    let all: Vec<String> = known.into_iter().chain([names::TERMINATION_FINALIZER.to_owned()]).collect();
    Some(step("finalizer", Write::Claim(facts.guarded(json!({ "metadata": { "finalizers": all } })))))
}

/// Nodes that are too old go.
pub(super) fn expire(facts: &Facts<'_>) -> Option<Verdict> {
    let text = facts.claim.spec.expire_after.as_deref().filter(|text| *text != "Never")?;
    let age = facts.since(facts.claim.metadata.creation_timestamp.as_ref().map(|time| time.0));
    (age >= duration::span(text)?).then(|| step("expire", Call::DeleteClaim("Expired")))
}

/// Launches, once the attempt is written down.
pub(super) fn launch(facts: &Facts<'_>) -> Option<Verdict> {
    if facts.is("Launched") {
        return None;
    }
    let age = facts.since(facts.claim.metadata.creation_timestamp.as_ref().map(|time| time.0));
    if age >= facts.timeouts.launch {
        return Some(step("launch timeout", Call::DeleteClaim("LaunchTimeout")));
    }
    let attempt = facts.annotation(names::LAUNCH_ATTEMPT).and_then(|text| text.parse::<u32>().ok());
    Some(match attempt {
        None => step("intent", intent(facts, 1)),
        Some(attempt) => step("launch", Call::Launch(attempt)),
    })
}

/// Writes an attempt down.
pub(crate) fn intent(facts: &Facts<'_>, attempt: u32) -> Write {
    let annotations = json!({ names::LAUNCH_ATTEMPT: attempt.to_string() });
    Write::Claim(facts.guarded(json!({ "metadata": { "annotations": annotations } })))
}

/// What an attempt's token is: the same after a restart, another for another
/// attempt, cluster or claim.
pub(crate) fn token(cluster: &str, uid: &str, attempt: u32) -> String {
    let mut owner = Digest::default();
    owner.add(cluster.as_bytes());
    let uid: String = uid.chars().filter(char::is_ascii_alphanumeric).take(36).collect();
    format!("{uid}-{attempt}-{owner}").chars().take(64).collect()
}

/// Labels that the claim gets once it is known what was launched.
pub(crate) fn launched_labels(instance: &Instance) -> Value {
    let mut own: BTreeMap<&str, &str> =
        instance.launched.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    own.insert(labels::INSTANCE_TYPE, &instance.launched.instance_type);
    own.insert(labels::ZONE, &instance.launched.zone);
    own.insert(labels::CAPACITY_TYPE, instance.launched.capacity_type.as_str());
    json!({ "metadata": { "labels": own } })
}

/// The status of a claim whose instance was launched.
pub(crate) fn launched(facts: &Facts<'_>, instance: &Instance) -> Option<Write> {
    let quantities = |all: &BTreeMap<String, String>| -> BTreeMap<String, Quantity> {
        all.iter().map(|(name, amount)| (name.clone(), Quantity(amount.clone()))).collect()
    };
    let more = json!({
        "providerID": instance.provider_id,
        "imageID": instance.image,
        "capacity": quantities(&instance.launched.capacity),
        "allocatable": quantities(&instance.launched.allocatable),
    });
    let unknown = |kind| Says {
        kind,
        status: "Unknown",
        reason: "AwaitingReconciliation",
        message: "object is awaiting reconciliation",
    };
    facts.publish(&[holds("Launched"), unknown("Registered"), unknown("Initialized")], more)
}

/// The status of a claim whose launch gave nothing.
pub(crate) fn failed(facts: &Facts<'_>, error: &ProviderError) -> Option<Write> {
    let message = error.to_string();
    let says = Says { kind: "Launched", status: "Unknown", reason: error.label(), message: &message };
    facts.publish(&[says], json!({}))
}

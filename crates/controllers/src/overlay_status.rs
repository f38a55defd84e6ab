//! What NodeOverlays say of themselves: whether they can be read, and whether
//! another of the same weight says something else about the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use stowage_k8s::cluster::Cluster;
use stowage_k8s::conditions::{self, Says, holds};
use stowage_k8s::lower::overlay;
use stowage_k8s::object::Object;
use stowage_k8s::v1::NodeOverlay;
use tracing::warn;

use crate::context::Context;
use crate::provisioner::feed;
use crate::state::sorted;

/// What is wrong with an overlay.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wrong {
    /// It cannot be read.
    Invalid(String),
    /// This one counts instead, as far as both say something.
    Loses(String),
}

/// The status that an overlay should have. `None` where it has it.
fn status(overlay: &NodeOverlay, wrong: Option<&Wrong>, now: Timestamp) -> Option<Value> {
    let old = overlay.status.clone().unwrap_or_default();
    let mut all = old.conditions.unwrap_or_default();
    let message = match wrong {
        None => String::new(),
        Some(Wrong::Invalid(why)) => why.clone(),
        Some(Wrong::Loses(other)) => format!("NodeOverlay {other} has the same weight and counts instead"),
    };
    let says = match wrong {
        None => holds("ValidationSucceeded"),
        Some(wrong) => {
            let reason = if matches!(wrong, Wrong::Invalid(_)) { "RuntimeValidation" } else { "Conflict" };
            Says { kind: "ValidationSucceeded", status: "False", reason, message: &message }
        }
    };
    let generation = overlay.metadata.generation;
    let mut changed = conditions::set(&mut all, &says, generation, now);
    changed |= conditions::summarize(&mut all, &["ValidationSucceeded"], generation, now);
    let version = &overlay.metadata.resource_version;
    changed.then(|| json!({ "metadata": { "resourceVersion": version }, "status": { "conditions": all } }))
}

/// What is wrong with each, by name.
fn faults(ctx: &Context, overlays: &[Arc<NodeOverlay>]) -> Result<BTreeMap<String, Wrong>, String> {
    let mut all = BTreeMap::new();
    for overlay in overlays {
        if let Err(error) = Cluster::default().apply(Object::NodeOverlay(Box::new((**overlay).clone()))) {
            all.insert(overlay.name_any(), Wrong::Invalid(error.to_string()));
        }
    }
    let fed = feed::configuration(&ctx.state, &ctx.state.view());
    let gathered = ctx.catalogue.gather(&fed.version, &fed.cluster)?;
    let losers = overlay::conflicts(fed.cluster.overlays(), &gathered.pools, &gathered.type_sets);
    all.extend(losers.into_iter().map(|(name, other)| (name, Wrong::Loses(other))));
    Ok(all)
}

/// Runs until it is dropped.
pub async fn run(ctx: Arc<Context>) {
    let api: Api<NodeOverlay> = Api::all(ctx.client.clone());
    let mut changes = ctx.state.changes();
    loop {
        let overlays = sorted(&ctx.state.overlays);
        if !overlays.is_empty() {
            match faults(&ctx, &overlays) {
                Ok(faults) => write(&ctx, &api, &overlays, &faults).await,
                Err(why) => warn!(%why, "overlays were not compared; they are later"),
            }
        }
        crate::wait_for_change(&mut changes).await;
    }
}

async fn write(ctx: &Context, api: &Api<NodeOverlay>, overlays: &[Arc<NodeOverlay>], faults: &BTreeMap<String, Wrong>) {
    for overlay in overlays {
        let name = overlay.name_any();
        let Some(patch) = status(overlay, faults.get(&name), ctx.clock.now()) else { continue };
        match api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&patch)).await {
            Ok(_) => {}
            // Somebody else wrote first, or it is gone: the next look tells.
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => {}
            Err(error) => warn!(node_overlay = %name, %error, "its status was not written; it is tried again"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{at, read};

    #[test]
    fn an_overlay_says_what_is_wrong_with_it_once() {
        let overlay = |conditions: Value| {
            read::<NodeOverlay>(json!({
                "apiVersion": "karpenter.sh/v1alpha1", "kind": "NodeOverlay", "metadata": { "name": "o" },
                "spec": { "requirements": [] }, "status": { "conditions": conditions },
            }))
        };
        let reasons = |patch: &Value| -> Vec<Value> {
            let all = patch["status"]["conditions"].as_array().cloned().unwrap_or_default();
            all.iter().map(|condition| condition["reason"].clone()).collect()
        };
        let loses = Wrong::Loses("other".to_owned());
        let patch = status(&overlay(json!([])), Some(&loses), at(1)).unwrap_or_default();
        assert_eq!(reasons(&patch), ["Conflict", "UnhealthyDependents"]);
        let again = overlay(patch["status"]["conditions"].clone());
        assert_eq!(status(&again, Some(&loses), at(2)), None);
        let patch = status(&again, None, at(3)).unwrap_or_default();
        assert_eq!(reasons(&patch), ["ValidationSucceeded", "Ready"]);
    }
}

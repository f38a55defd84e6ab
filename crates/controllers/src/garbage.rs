//! Instances without a claim, and claims without an instance.
//!
//! Instances are listed before claims: one that is launched in between has a
//! claim already, for a claim is written before anything is launched.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions};
use kube::{Api, ResourceExt};
use serde_json::json;
use stowage_cloud::provider::{Instance, ProviderError};
use stowage_k8s::node::is_ready;
use stowage_k8s::v1::NodeClaim;
use stowage_k8s::{duration, names};
use stowage_model::labels;
use tracing::{info, warn};

use crate::context::Context;
use crate::view::{View, is};

/// Between two looks, after the first few.
const PERIOD: Duration = Duration::from_secs(60);
const FIRST_PERIOD: Duration = Duration::from_secs(10);
const FIRST: u32 = 12;
/// More instances than this are never ended at once: something is wrong then.
const MOST_AT_ONCE: usize = 50;

/// Instances that belong to no claim, by identity.
pub fn orphans<'a>(
    instances: &'a [Instance],
    claims: &BTreeSet<String>,
    age: Duration,
    now: Timestamp,
) -> Vec<&'a str> {
    instances
        .iter()
        .filter(|instance| !instance.terminating && !claims.contains(&instance.claim_uid))
        .filter(|instance| duration::since(instance.created, now) >= age)
        .map(|instance| instance.provider_id.as_str())
        .collect()
}

/// Runs until it is dropped.
pub async fn run(ctx: Arc<Context>) {
    for round in 0_u32.. {
        if let Err(why) = sweep(&ctx).await {
            warn!(%why, "orphans were not looked for; they are later");
        }
        tokio::time::sleep(if round < FIRST { FIRST_PERIOD } else { PERIOD }).await;
    }
}

async fn sweep(ctx: &Context) -> Result<(), String> {
    let instances = ctx.provider.list().await.map_err(|error| error.to_string())?;
    // A quorum read: what a watch has not told yet must not cost an instance.
    let api: Api<NodeClaim> = Api::all(ctx.client.clone());
    let claims = api.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
    let uids = claims.items.iter().filter_map(ResourceExt::uid).collect();
    let now = ctx.clock.now();
    let orphans = orphans(&instances, &uids, ctx.settings.orphan_age, now);
    for id in orphans.into_iter().take(MOST_AT_ONCE) {
        if ctx.settings.dry_run {
            info!(provider_id = %id, "dry run: an instance without a claim would be ended");
            continue;
        }
        info!(provider_id = %id, "an instance without a claim is ended");
        ctx.metrics.orphan();
        match ctx.provider.delete(id).await {
            Ok(()) | Err(ProviderError::NotFound) => {}
            Err(error) => warn!(provider_id = %id, %error, "it was not ended; it is tried again"),
        }
    }
    let there: BTreeSet<&str> = instances.iter().map(|instance| instance.provider_id.as_str()).collect();
    let view = ctx.state.view();
    for claim in claims.items.iter().filter(|claim| lost(claim, &view, &there)) {
        let id = claim.status.as_ref().and_then(|status| status.provider_id.clone()).unwrap_or_default();
        // Asked for by name before anything is done about it.
        if !matches!(ctx.provider.get(&id).await, Err(ProviderError::NotFound)) || ctx.settings.dry_run {
            continue;
        }
        info!(node_claim = %claim.name_any(), provider_id = %id, "the instance of a claim is gone");
        let same = Preconditions { uid: claim.uid(), resource_version: None };
        let deleted = api.delete(&claim.name_any(), &DeleteParams::default().preconditions(same)).await;
        if let Err(error) = deleted {
            warn!(node_claim = %claim.name_any(), %error, "it was not deleted; it is tried again");
        }
    }
    nodes(ctx, &view, &claims.items).await;
    Ok(())
}

/// Node objects of ours that outlived their claim and their instance.
async fn nodes(ctx: &Context, view: &View, claims: &[NodeClaim]) {
    let api: Api<Node> = Api::all(ctx.client.clone());
    let known: BTreeSet<&str> =
        claims.iter().filter_map(|claim| claim.status.as_ref()?.provider_id.as_deref()).collect();
    for (name, node) in &view.nodes {
        let id = node.spec.as_ref().and_then(|spec| spec.provider_id.clone()).unwrap_or_default();
        let ours = node.labels().contains_key(labels::NODEPOOL);
        if !ours || id.is_empty() || known.contains(id.as_str()) || ctx.settings.dry_run {
            continue;
        }
        if !matches!(ctx.provider.get(&id).await, Err(ProviderError::NotFound)) {
            continue;
        }
        info!(node = %name, provider_id = %id, "a node without claim and instance is removed");
        let mut kept = node.finalizers().to_vec();
        kept.retain(|finalizer| finalizer != names::TERMINATION_FINALIZER);
        let patch = json!({ "metadata": { "finalizers": kept, "resourceVersion": node.resource_version() } });
        let freed = api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.map(|_| ());
        let gone = match freed {
            Ok(()) => api.delete(name, &DeleteParams::default()).await.map(|_| ()),
            Err(error) => Err(error),
        };
        if let Err(error) = gone {
            warn!(node = %name, %error, "it was not removed; it is tried again");
        }
    }
}

/// Whether a claim was launched, and its instance is in no list, and its node
/// does not say that it is well.
fn lost(claim: &NodeClaim, view: &View, there: &BTreeSet<&str>) -> bool {
    let id = claim.status.as_ref().and_then(|status| status.provider_id.as_deref());
    let ready = view.node_of(claim).is_some_and(|node| is_ready(node));
    claim.metadata.deletion_timestamp.is_none()
        && is(claim, "Launched")
        && id.is_some_and(|id| !there.contains(id))
        && !ready
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use stowage_cloud::provider::Candidate;
    use stowage_model::CapacityType;

    #[test]
    fn only_old_instances_of_no_claim_that_are_not_ending_are_orphans() {
        let at = |second| Timestamp::from_second(second).unwrap_or_default();
        let instance = |id: &str, claim: &str, created, terminating| Instance {
            provider_id: id.to_owned(),
            claim_uid: claim.to_owned(),
            claim: claim.to_owned(),
            image: String::new(),
            launched: Candidate {
                instance_type: "m".to_owned(),
                zone: "a".to_owned(),
                capacity_type: CapacityType::OnDemand,
                labels: BTreeMap::new(),
                capacity: BTreeMap::new(),
                allocatable: BTreeMap::new(),
            },
            created: at(created),
            terminating,
        };
        let all = [
            instance("old", "x", 0, false),
            instance("young", "x", 80, false),
            instance("ending", "x", 0, true),
            instance("owned", "y", 0, false),
        ];
        let claims = BTreeSet::from(["y".to_owned()]);
        assert_eq!(orphans(&all, &claims, Duration::from_secs(30), at(100)), ["old"]);
    }
}

//! Nodes that are unwell for long are replaced, by force: their kubelet may not be
//! there to evict anything.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, ResourceExt};
use serde_json::json;
use stowage_k8s::node::readiness;
use stowage_k8s::v1::NodeClaim;
use stowage_k8s::{duration, names};
use tracing::{info, warn};

use crate::context::Context;
use crate::events::Saying;
use crate::view::{View, is, pool_of};

/// Nobody repairs a pool of which more than this share is unwell, in percent: then
/// it is not the nodes.
const MOST_UNWELL: usize = 20;
const PERIOD: Duration = Duration::from_secs(10);

/// Since when a node is not ready.
fn unwell_since(node: &Node) -> Option<Timestamp> {
    let ready = readiness(node)?;
    (ready.status != "True").then(|| ready.last_transition_time.as_ref().map(|time| time.0))?
}

/// Claims whose nodes are to be replaced, by name; and pools with too many of them.
pub fn beyond_help(view: &View, after: Duration, now: Timestamp) -> (Vec<String>, Vec<String>) {
    let mut pools: BTreeMap<&str, (usize, Vec<&Arc<NodeClaim>>)> = BTreeMap::new();
    for claim in view.claims.values().filter(|claim| is(claim, "Initialized")) {
        let Some(node) = view.node_of(claim) else { continue };
        let entry = pools.entry(pool_of(claim).unwrap_or_default()).or_default();
        entry.0 += 1;
        if unwell_since(node).is_some_and(|since| duration::since(since, now) >= after) {
            entry.1.push(claim);
        }
    }
    let (mut all, mut sick) = (Vec::new(), Vec::new());
    for (pool, (nodes, unwell)) in pools {
        if unwell.len() > (nodes * MOST_UNWELL).div_ceil(100) {
            sick.push(pool.to_owned());
        } else {
            let kept = unwell.into_iter().filter(|claim| claim.metadata.deletion_timestamp.is_none());
            all.extend(kept.map(|claim| claim.name_any()));
        }
    }
    (all, sick)
}

/// Runs until it is dropped.
pub async fn run(ctx: Arc<Context>) {
    let Some(after) = ctx.settings.repair.filter(|_| !ctx.settings.dry_run && !ctx.settings.frozen) else {
        return std::future::pending().await;
    };
    let api: Api<NodeClaim> = Api::all(ctx.client.clone());
    loop {
        let view = ctx.state.view();
        let (claims, sick) = beyond_help(&view, after, ctx.clock.now());
        for pool in sick.iter().filter_map(|name| view.pools.get(name)) {
            let note = format!("more than {MOST_UNWELL} % of its nodes are unwell: none is repaired");
            let saying = Saying { warning: true, reason: "NodeRepairBlocked", action: "Repair", note };
            ctx.events.tell(&**pool, saying).await;
        }
        for claim in claims.iter().filter_map(|name| view.claims.get(name)) {
            if let Err(error) = replace(&ctx, &api, claim).await {
                warn!(node_claim = %claim.name_any(), %error, "an unwell node was not given up; it is tried again");
            }
        }
        tokio::time::sleep(PERIOD).await;
    }
}

/// Its pods are forced off from now on.
async fn replace(ctx: &Context, api: &Api<NodeClaim>, claim: &NodeClaim) -> Result<(), kube::Error> {
    let name = claim.name_any();
    info!(node_claim = %name, "its node is unwell for too long and is replaced");
    let deadline = json!({ names::TERMINATION_TIMESTAMP: ctx.clock.now().to_string() });
    let patch = json!({ "metadata": { "annotations": deadline, "resourceVersion": claim.metadata.resource_version } });
    api.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
    ctx.metrics.disrupted("unhealthy", pool_of(claim).unwrap_or_default());
    let same = Preconditions { uid: claim.uid(), resource_version: None };
    api.delete(&name, &DeleteParams::default().preconditions(same)).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{at, read};
    use stowage_model::labels;

    /// So many nodes, of which the first are unwell since second 0.
    fn view(nodes: usize, unwell: usize) -> View {
        let name = |kind: &str, index: usize| format!("{kind}{index}");
        let claim = |index: usize| {
            let done = json!({ "type": "Initialized", "status": "True", "reason": "r", "message": "", "lastTransitionTime": at(0) });
            let object = read::<NodeClaim>(json!({
                "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim",
                "metadata": { "name": name("c", index), "labels": { labels::NODEPOOL: "p" } },
                "spec": { "requirements": [], "nodeClassRef": { "group": "g", "kind": "k", "name": "n" } },
                "status": { "providerID": name("id", index), "conditions": [done] },
            }));
            (name("c", index), object)
        };
        let node = |index: usize| {
            let status = if index < unwell { "Unknown" } else { "True" };
            let object = read::<Node>(json!({
                "metadata": { "name": name("n", index) }, "spec": { "providerID": name("id", index) },
                "status": { "conditions": [{ "type": "Ready", "status": status, "lastTransitionTime": at(0) }] },
            }));
            (name("n", index), object)
        };
        View::new((0..nodes).map(claim).collect(), BTreeMap::new(), (0..nodes).map(node).collect(), Vec::new())
    }

    #[test]
    fn a_few_unwell_nodes_are_replaced_and_many_are_left_alone() {
        let after = Duration::from_secs(60);
        assert_eq!(beyond_help(&view(5, 1), after, at(59)), (vec![], vec![]));
        assert_eq!(beyond_help(&view(5, 1), after, at(60)), (vec!["c0".to_owned()], vec![]));
        // A fifth, rounded up.
        assert_eq!(beyond_help(&view(6, 2), after, at(60)).0.len(), 2);
        assert_eq!(beyond_help(&view(6, 3), after, at(60)), (vec![], vec!["p".to_owned()]));
    }
}

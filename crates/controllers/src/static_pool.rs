//! Static pools: too many nodes become fewer, and nodes that drifted are renewed one
//! for one. What is missing the provisioner makes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use stowage_disruption::static_drift;
use stowage_k8s::pod::{is_protected, needs_a_place};
use stowage_k8s::v1::{NodeClaim, NodePool};
use stowage_k8s::{lower, names};
use stowage_model::{Price, ResourceName};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::context::Context;
use crate::disruption::order::order_of;
use crate::disruption::{self, act};
use crate::provisioner::caps::Allowance;
use crate::provisioner::plan;
use crate::view::{View, is, pool_of};

/// Between two looks at what has drifted.
const PERIOD: Duration = Duration::from_secs(5);
/// As the reason of a command spells it.
const DRIFTED: &str = "Drifted";

/// How many nodes a pool keeps, and how many it may have at once.
fn bounds(pool: &NodePool) -> Option<(usize, usize)> {
    let wanted = usize::try_from(pool.spec.replicas?).ok()?;
    let limits = lower::amounts(pool.spec.limits.as_ref().unwrap_or(&BTreeMap::new()))?;
    let most = limits.contains(ResourceName::NODES).then(|| limits.get(ResourceName::NODES));
    let most = most.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(0));
    Some((wanted.min(most), most))
}

/// Claims beyond what their static pool keeps: first those that are not launched, then
/// those whose nodes have the fewest pods; protected ones last.
fn surplus(view: &View, now: jiff::Timestamp) -> Vec<String> {
    let mut all = Vec::new();
    let standing = view.pools.iter().filter(|(_, pool)| pool.metadata.deletion_timestamp.is_none());
    for (name, wanted) in standing.filter_map(|(name, pool)| Some((name, bounds(pool)?.0))) {
        let stays = |claim: &&Arc<NodeClaim>| order_of(claim).is_none();
        let mut kept: Vec<&Arc<NodeClaim>> = view.kept_claims_of(name).filter(stays).collect();
        let Some(beyond) = kept.len().checked_sub(wanted).filter(|beyond| *beyond > 0) else { continue };
        kept.sort_by_cached_key(|claim| cost(view, claim, now));
        all.extend(kept.into_iter().take(beyond).map(|claim| claim.name_any()));
    }
    all
}

fn cost(view: &View, claim: &NodeClaim, now: jiff::Timestamp) -> (bool, bool, usize, String) {
    let node = view.node_of(claim);
    let place = node.and_then(|node| node.metadata.name.as_deref()).unwrap_or_default();
    let pods: Vec<_> = view.pods_on(place).collect();
    let spared = |notes: &BTreeMap<String, String>| notes.get(names::DO_NOT_DISRUPT).is_some_and(|v| v == "true");
    let protected = spared(claim.annotations())
        || node.is_some_and(|node| spared(node.annotations()))
        || pods.iter().any(|pod| is_protected(pod, now));
    let moving = pods.iter().filter(|pod| needs_a_place(pod)).count();
    (protected, is(claim, "Launched"), moving, claim.name_any())
}

/// Runs until it is dropped.
pub async fn run(ctx: Arc<Context>) {
    if ctx.settings.dry_run || ctx.settings.frozen {
        return std::future::pending().await;
    }
    let mut changes = ctx.state.changes();
    let mut looked: Option<Instant> = None;
    loop {
        let view = ctx.state.view();
        if view.pools.values().any(|pool| pool.spec.replicas.is_some()) {
            let beyond = surplus(&view, ctx.clock.now());
            if !beyond.is_empty() {
                info!(claims = ?beyond, "a static pool keeps fewer nodes");
                report(act::release(&ctx, &view, &beyond, "Static").await);
            }
            if ctx.settings.disruption.enabled && looked.is_none_or(|at| at.elapsed() >= PERIOD) {
                renew(&ctx, &view).await;
                looked = Some(Instant::now());
            }
        }
        crate::wait_for_change(&mut changes).await;
    }
}

/// Orders a new node for each that has drifted, as far as budgets and limits go.
async fn renew(ctx: &Context, view: &View) {
    let drifts = |claim: &NodeClaim| {
        let fixed = pool_of(claim).and_then(|pool| view.pools.get(pool)).is_some_and(|p| p.spec.replicas.is_some());
        fixed && is(claim, DRIFTED)
    };
    if !view.claims.values().any(|claim| drifts(claim)) {
        return;
    }
    let (fleet, gathered) = match disruption::fleet(ctx, view, false) {
        Ok(known) => known,
        Err(why) => return warn!(%why, "no node of a static pool is renewed before this is mended"),
    };
    let spending: Price = fleet.problem.nodes.iter().filter_map(|node| node.price).sum();
    let mut allowance = Allowance::new(&ctx.settings.caps, fleet.problem.nodes.len(), spending, 0);
    let mut slots: BTreeMap<&str, usize> = BTreeMap::new();
    for name in static_drift(&fleet, ctx.clock.now().as_second()) {
        let Some(claim) = view.claims.get(&name) else { continue };
        let Some((pool_name, pool)) = pool_of(claim).and_then(|name| view.pools.get_key_value(name)) else { continue };
        let room = slots.entry(pool_name).or_insert_with(|| {
            let most = bounds(pool).map_or(0, |(_, most)| most);
            most.saturating_sub(view.kept_claims_of(pool_name).count())
        });
        if *room == 0 {
            continue;
        }
        *room -= 1;
        let Some(new) = plan::standing_one(&gathered, pool, &mut allowance, || ctx.suffix()) else { continue };
        info!(node_claim = %name, by = %new.claim.name_any(), "a node of a static pool is renewed");
        report(act::order(ctx, view, DRIFTED, &[name], vec![new.claim]).await);
    }
}

fn report(went: Result<(), kube::Error>) {
    match went {
        Ok(()) => {}
        // Somebody else wrote first, or it is gone: the next look tells.
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => {}
        Err(error) => warn!(%error, "a static pool is looked at again"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{at, read};
    use k8s_openapi::api::core::v1::{Node, Pod};
    use serde_json::{Value, json};
    use stowage_model::labels;

    /// Claims of a static pool: launched or not, pods on the node, annotations.
    fn view(replicas: usize, claims: &[(&str, bool, usize, Value)]) -> View {
        let mut nodes = BTreeMap::new();
        let mut pods = Vec::new();
        let mut objects = BTreeMap::new();
        for (name, launched, count, notes) in claims {
            let status = if *launched { "True" } else { "Unknown" };
            let said = json!([{ "type": "Launched", "status": status, "reason": "r", "message": "",
                "lastTransitionTime": at(0) }]);
            let claim = read::<NodeClaim>(json!({
                "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim",
                "metadata": { "name": name, "labels": { labels::NODEPOOL: "p" }, "annotations": notes },
                "spec": { "requirements": [], "nodeClassRef": { "group": "g", "kind": "k", "name": "n" } },
                "status": { "providerID": name, "conditions": said },
            }));
            objects.insert((*name).to_owned(), claim);
            let node = read::<Node>(json!({ "metadata": { "name": name }, "spec": { "providerID": name } }));
            nodes.insert((*name).to_owned(), node);
            pods.extend((0..*count).map(|_| {
                read::<Pod>(json!({ "metadata": { "name": "p" }, "spec": { "containers": [], "nodeName": name },
                    "status": { "phase": "Running" } }))
            }));
        }
        let pool = read::<NodePool>(json!({
            "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": { "name": "p" },
            "spec": { "replicas": replicas, "limits": { "nodes": "9" }, "template": { "spec": {
                "requirements": [], "nodeClassRef": { "group": "g", "kind": "k", "name": "n" } } } },
        }));
        View::new(objects, [("p".to_owned(), pool)].into(), nodes, pods)
    }

    #[test]
    fn the_least_disturbing_nodes_go_first() {
        let keep = json!({ names::DO_NOT_DISRUPT: "true" });
        let order = json!({ names::REPLACED_BY:
            json!({ "reason": "Drifted", "since": at(0), "replacements": ["x"] }).to_string() });
        let all = [
            ("busy", true, 3, json!({})),
            ("empty", true, 0, json!({})),
            ("kept", true, 0, keep),
            ("new", false, 0, json!({})),
            // Another takes its place already.
            ("old", true, 0, order),
        ];
        let gone = |replicas| surplus(&view(replicas, &all), at(1));
        assert_eq!(gone(4), Vec::<String>::new());
        assert_eq!(gone(2), ["new", "empty"]);
        assert_eq!(gone(0), ["new", "empty", "busy", "kept"]);
        assert_eq!(bounds(&view(3, &[]).pools["p"]), Some((3, 9)));
    }
}

//! Nodes that nobody needs any more are given up, within their pool's budgets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, ResourceExt};
use serde_json::json;
use stowage_k8s::v1::{NodeClaim, NodePool};
use stowage_k8s::{conditions, duration, names};
use stowage_model::labels;
use tracing::{info, warn};

use crate::claim::drain;
use crate::clock;
use crate::context::{Context, locked};
use crate::node_pool;
use crate::steering;
use crate::view::{View, is};

/// Pod comings and goings of one node are written down this often at most.
const QUIET: Duration = Duration::from_secs(10);

/// Claims whose nodes can go now, by name.
pub fn expendable(view: &View, nominated: &BTreeSet<&str>, now: Timestamp) -> Vec<String> {
    let mut chosen = Vec::new();
    for (name, pool) in view.pools.iter().filter(|(_, pool)| !node_pool::is_frozen(pool)) {
        let owned: Vec<&Arc<NodeClaim>> = view.claims.values().filter(|claim| pool_of(claim) == Some(name)).collect();
        let empty: Vec<&&Arc<NodeClaim>> =
            owned.iter().filter(|claim| is_empty(claim, pool, view, nominated, now)).collect();
        if empty.is_empty() {
            continue;
        }
        let allowed = allowed(pool, &owned, view);
        chosen.extend(empty.into_iter().take(allowed).map(|claim| claim.name_any()));
    }
    chosen
}

fn pool_of(claim: &NodeClaim) -> Option<&String> {
    claim.metadata.labels.as_ref().and_then(|all| all.get(labels::NODEPOOL))
}

/// Whether nothing on the node would have to move, for long enough.
fn is_empty(claim: &NodeClaim, pool: &NodePool, view: &View, nominated: &BTreeSet<&str>, now: Timestamp) -> bool {
    let Some(node) = view.node_of(claim) else { return false };
    let spared = |annotations: Option<&BTreeMap<String, String>>| {
        annotations.and_then(|all| all.get(names::DO_NOT_DISRUPT)).is_some_and(|value| value == "true")
    };
    let name = claim.metadata.name.as_deref().unwrap_or_default();
    if claim.metadata.deletion_timestamp.is_some()
        || !is(claim, "Initialized")
        || nominated.contains(name)
        || pool.spec.replicas.is_some()
        || spared(claim.metadata.annotations.as_ref())
        || spared(node.metadata.annotations.as_ref())
        || view.pods_on(&node.name_any()).any(|pod| needs_a_place(pod))
    {
        return false;
    }
    let text = pool.spec.disruption.as_ref().and_then(|d| d.consolidate_after.as_deref()).unwrap_or("0s");
    let Some(quiet) = duration::parse(text).and_then(|nanos| u64::try_from(nanos).ok()).map(Duration::from_nanos)
    else {
        // `Never`.
        return false;
    };
    let status = claim.status.as_ref();
    let ready = conditions::find(status.and_then(|s| s.conditions.as_ref()), "Initialized");
    let last = status.and_then(|s| s.last_pod_event_time.as_ref()).map(|time| time.0);
    let since = last.max(ready.map(|c| c.last_transition_time.0)).unwrap_or(now);
    clock::since(since, now) >= quiet
}

/// Whether a pod would have to go elsewhere.
fn needs_a_place(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
    let finished = phase == "Succeeded" || phase == "Failed";
    let leaving = pod.metadata.deletion_timestamp.is_some() && !drain::is_owned_by(pod, "StatefulSet");
    !(finished || leaving || drain::is_owned_by(pod, "DaemonSet") || drain::is_owned_by(pod, "Node"))
}

/// How many nodes of a pool may be given up now: the tightest of its budgets that
/// are about empty nodes, less those that are on their way out or not ready.
fn allowed(pool: &NodePool, owned: &[&Arc<NodeClaim>], view: &View) -> usize {
    let all: Vec<&&Arc<NodeClaim>> = owned.iter().filter(|claim| is(claim, "Initialized")).collect();
    let busy = all
        .iter()
        .filter(|claim| {
            claim.metadata.deletion_timestamp.is_some() || !view.node_of(claim).is_some_and(|n| is_ready(n))
        })
        .count();
    let budgets = pool.spec.disruption.as_ref().and_then(|d| d.budgets.clone());
    let about_empty =
        |reasons: &Option<Vec<String>>| reasons.as_ref().is_none_or(|all| all.iter().any(|r| r == "Empty"));
    // A budget with a schedule counts as if its window were open: it can only hold
    // back more than it should.
    let most = match budgets {
        None => share("10%", all.len()),
        Some(list) => list
            .iter()
            .filter(|budget| about_empty(&budget.reasons))
            .map(|budget| share(budget.nodes.as_deref().unwrap_or("10%"), all.len()))
            .min()
            .unwrap_or(usize::MAX),
    };
    most.saturating_sub(busy)
}

/// A number of nodes, or a percentage of `all`, rounded up.
fn share(text: &str, all: usize) -> usize {
    match text.strip_suffix('%') {
        Some(percent) => percent.parse::<usize>().map_or(0, |percent| (all * percent).div_ceil(100)),
        None => text.parse().unwrap_or(0),
    }
}

fn is_ready(node: &Node) -> bool {
    let all = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    all.into_iter().flatten().any(|c| c.type_ == "Ready" && c.status == "True")
}

/// Which pods were last seen on each claim's node.
#[derive(Debug, Default)]
pub struct Activity(BTreeMap<String, (BTreeSet<String>, Option<Timestamp>)>);

impl Activity {
    /// Claims on whose nodes pods came or went since the last look.
    pub fn look(&mut self, view: &View, now: Timestamp) -> Vec<String> {
        let mut moved = Vec::new();
        let mut seen = BTreeMap::new();
        for (name, claim) in view.claims.iter().filter(|(_, claim)| is(claim, "Initialized")) {
            let Some(node) = view.node_of(claim) else { continue };
            let node = node.name_any();
            let pods = view.pods_on(&node).filter(|pod| needs_a_place(pod));
            let pods: BTreeSet<String> = pods.filter_map(|pod| pod.metadata.uid.clone()).collect();
            let (old, written) = self.0.remove(name).unwrap_or_else(|| (pods.clone(), None));
            let due = written.is_none_or(|at| clock::since(at, now) >= QUIET) || pods.is_empty();
            let changed = old != pods;
            if changed && due {
                moved.push(name.clone());
            }
            // What was not written yet stays to be told.
            let (kept, at) =
                if changed && !due { (old, written) } else { (pods, if changed { Some(now) } else { written }) };
            seen.insert(name.clone(), (kept, at));
        }
        self.0 = seen;
        moved
    }
}

/// Runs until it is dropped.
pub async fn run(ctx: Arc<Context>) {
    let api: Api<NodeClaim> = Api::all(ctx.client.clone());
    let mut changes = ctx.state.changes();
    let mut activity = Activity::default();
    loop {
        let view = View::take(&ctx.state);
        let now = ctx.clock.now();
        let moved = activity.look(&view, now);
        for name in &moved {
            let patch = json!({ "status": { "lastPodEventTime": Time(now) } });
            if let Err(error) = api.patch_status(name, &PatchParams::default(), &Patch::Merge(&patch)).await {
                warn!(node_claim = %name, %error, "the time of its last pod was not written");
            }
        }
        if !ctx.settings.dry_run && !ctx.settings.frozen && moved.is_empty() {
            give_up(&ctx, &api, &view, now).await;
        }
        crate::wait_for_change(&mut changes).await;
    }
}

async fn give_up(ctx: &Context, api: &Api<NodeClaim>, view: &View, now: Timestamp) {
    let nominated = {
        let planned = locked(&ctx.planned);
        steering::nominations(view.pods.iter().map(|pod| &**pod), &view.claim_refs(), &planned)
    };
    let expected = locked(&ctx.expected).clone();
    let wanted: BTreeSet<&str> = nominated.values().chain(&expected).map(String::as_str).collect();
    for name in expendable(view, &wanted, now) {
        let Some(claim) = view.claims.get(&name) else { continue };
        info!(node_claim = %name, "its node is empty");
        ctx.metrics.disrupted("empty", pool_of(claim).map_or("", String::as_str));
        let same = Preconditions { uid: claim.uid(), resource_version: claim.resource_version() };
        let gone = api.delete(&name, &DeleteParams::default().preconditions(same)).await;
        match gone {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => {}
            Err(error) => warn!(node_claim = %name, %error, "it was not deleted; it is tried again"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap_or_default()
    }

    fn read<T: serde::de::DeserializeOwned + Default>(object: Value) -> Arc<T> {
        Arc::new(serde_json::from_value(object).unwrap_or_default())
    }

    /// So many initialized nodes of one pool, with these pods, and this disruption.
    fn view(nodes: usize, pods: &[(&str, usize)], disruption: Value) -> View {
        let class = json!({ "group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "default" });
        let pool = read::<NodePool>(json!({
            "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": { "name": "p" },
            "spec": { "template": { "spec": { "requirements": [], "nodeClassRef": class } }, "disruption": disruption },
        }));
        let claim = |index: usize| {
            let done = json!({ "type": "Initialized", "status": "True", "reason": "r", "message": "",
                "lastTransitionTime": "1970-01-01T00:00:00Z" });
            read::<NodeClaim>(json!({
                "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim",
                "metadata": { "name": format!("c{index}"), "labels": { labels::NODEPOOL: "p" } },
                "spec": { "requirements": [], "nodeClassRef": class },
                "status": { "providerID": format!("id{index}"), "conditions": [done] },
            }))
        };
        let node = |index: usize| {
            read::<Node>(json!({
                "metadata": { "name": format!("n{index}") }, "spec": { "providerID": format!("id{index}") },
                "status": { "conditions": [{ "type": "Ready", "status": "True" }] },
            }))
        };
        let pod = |(name, node): &(&str, usize)| {
            read::<Pod>(json!({
                "metadata": { "name": name, "namespace": "default", "uid": name },
                "spec": { "containers": [], "nodeName": format!("n{node}") }, "status": { "phase": "Running" },
            }))
        };
        View::new(
            (0..nodes).map(|index| (format!("c{index}"), claim(index))).collect(),
            [("p".to_owned(), pool)].into(),
            (0..nodes).map(|index| (format!("n{index}"), node(index))).collect(),
            pods.iter().map(pod).collect(),
        )
    }

    #[test]
    fn budgets_bound_how_many_empty_nodes_go() {
        let none = BTreeSet::new();
        let count = |disruption: Value| expendable(&view(5, &[("a", 0)], disruption), &none, at(100)).len();
        assert_eq!(count(json!({})), 1);
        assert_eq!(count(json!({ "budgets": [{ "nodes": "100%" }] })), 4);
        assert_eq!(count(json!({ "budgets": [{ "nodes": "3" }, { "nodes": "2", "reasons": ["Empty"] }] })), 2);
        assert_eq!(count(json!({ "budgets": [{ "nodes": "0", "reasons": ["Drifted"] }] })), 4);
        assert_eq!(count(json!({ "budgets": [{ "nodes": "0" }] })), 0);
    }

    #[test]
    fn nodes_are_kept_for_as_long_as_their_pool_says() {
        let none = BTreeSet::new();
        let all = json!([{ "nodes": "100%" }]);
        let count = |after: &str, now| {
            expendable(&view(2, &[], json!({ "consolidateAfter": after, "budgets": all })), &none, at(now)).len()
        };
        assert_eq!((count("60s", 59), count("60s", 60), count("Never", 10_000)), (0, 2, 0));
        let wanted = BTreeSet::from(["c0"]);
        assert_eq!(expendable(&view(2, &[], json!({ "budgets": all })), &wanted, at(1)), ["c1"]);
    }

    #[test]
    fn pods_that_come_and_go_are_noticed_once() {
        let mut activity = Activity::default();
        assert!(activity.look(&view(1, &[("a", 0)], json!({})), at(0)).is_empty());
        assert_eq!(activity.look(&view(1, &[], json!({})), at(1)), ["c0"]);
        assert!(activity.look(&view(1, &[], json!({})), at(2)).is_empty());
    }
}

//! What claims say of themselves between launch and end: when pods last came or
//! went, whether they are quiet enough to be consolidated, whether they have drifted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use stowage_k8s::conditions::{self, Says, holds};
use stowage_k8s::pod::needs_a_place;
use stowage_k8s::v1::{NodeClaim, NodePool};
use stowage_k8s::{drift, duration, names};
use tracing::warn;

use crate::claim::READY;
use crate::context::Context;
use crate::view::{View, is, pool_of};

/// Pod comings and goings of one node are written down this often at most.
const QUIET: Duration = Duration::from_secs(10);

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
            let due = written.is_none_or(|at| duration::since(at, now) >= QUIET) || pods.is_empty();
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

/// The status that a claim should have. `None` where it has it.
fn status(claim: &NodeClaim, pool: &NodePool, moved: bool, now: Timestamp) -> Option<Value> {
    let old = claim.status.clone().unwrap_or_default();
    let mut all = old.conditions.clone().unwrap_or_default();
    let generation = claim.metadata.generation;
    let last = if moved { Some(now) } else { old.last_pod_event_time.map(|time| time.0) };
    let reason = drift::reason(claim, pool);
    let mut changed = match &reason {
        Some(reason) => {
            let says = Says { kind: "Drifted", status: "True", reason, message: reason };
            conditions::set(&mut all, &says, generation, now)
        }
        None => take_away(&mut all, "Drifted"),
    };
    changed |= match is_quiet(claim, pool, last, now) {
        true => conditions::set(&mut all, &holds("Consolidatable"), generation, now),
        false => take_away(&mut all, "Consolidatable"),
    };
    if !changed && !moved {
        return None;
    }
    conditions::summarize(&mut all, &READY, generation, now);
    let mut status = json!({ "conditions": all });
    if moved {
        status["lastPodEventTime"] = json!(Time(now));
    }
    Some(json!({ "metadata": { "resourceVersion": claim.metadata.resource_version }, "status": status }))
}

fn take_away(all: &mut Vec<k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition>, kind: &str) -> bool {
    let before = all.len();
    all.retain(|condition| condition.type_ != kind);
    all.len() < before
}

/// consolidateAfter, from the last pod or from the start.
fn is_quiet(claim: &NodeClaim, pool: &NodePool, last: Option<Timestamp>, now: Timestamp) -> bool {
    let text = pool.spec.disruption.as_ref().and_then(|d| d.consolidate_after.as_deref()).unwrap_or("0s");
    let status = claim.status.as_ref().and_then(|status| status.conditions.as_ref());
    let ready = conditions::find(status, "Initialized").map(|condition| condition.last_transition_time.0);
    // `None` is `Never`.
    duration::span(text).zip(last.max(ready)).is_some_and(|(quiet, since)| duration::since(since, now) >= quiet)
}

/// A claim whose hash was made in another way gets ours, as if its pool had not
/// changed since: that is how nodes of another controller are taken over.
fn restamped(claim: &NodeClaim, pool: &NodePool) -> Option<Value> {
    let version = claim.annotations().get(names::POOL_HASH_VERSION).map(String::as_str);
    if version == Some(names::HASH_VERSION) || is(claim, "Drifted") {
        return None;
    }
    let own = json!({ names::POOL_HASH: drift::hash(pool), names::POOL_HASH_VERSION: names::HASH_VERSION });
    Some(json!({ "metadata": { "annotations": own, "resourceVersion": claim.metadata.resource_version } }))
}

/// Runs until it is dropped.
pub async fn run(ctx: Arc<Context>) {
    let api: Api<NodeClaim> = Api::all(ctx.client.clone());
    let mut changes = ctx.state.changes();
    let mut activity = Activity::default();
    loop {
        let view = View::take(&ctx.state);
        let now = ctx.clock.now();
        let moved: BTreeSet<String> = activity.look(&view, now).into_iter().collect();
        let settled = |claim: &NodeClaim| claim.metadata.deletion_timestamp.is_none() && is(claim, "Initialized");
        for (name, claim) in view.claims.iter().filter(|(_, claim)| settled(claim)) {
            let Some(pool) = pool_of(claim).and_then(|pool| view.pools.get(pool)) else { continue };
            let plain = PatchParams::default();
            let written = match (restamped(claim, pool), status(claim, pool, moved.contains(name), now)) {
                (Some(patch), _) => api.patch(name, &plain, &Patch::Merge(&patch)).await.map(|_| ()),
                (None, Some(patch)) => api.patch_status(name, &plain, &Patch::Merge(&patch)).await.map(|_| ()),
                (None, None) => Ok(()),
            };
            match written {
                Ok(()) => {}
                // Somebody else wrote first, or it is gone: the next look tells.
                Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => {}
                Err(error) => warn!(node_claim = %name, %error, "its status was not written; it is tried again"),
            }
        }
        crate::wait_for_change(&mut changes).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{at, merge};
    use k8s_openapi::api::core::v1::{Node, Pod};
    use stowage_model::labels;

    fn read<T: serde::de::DeserializeOwned + Default>(object: Value) -> Arc<T> {
        Arc::new(serde_json::from_value(object).unwrap_or_default())
    }

    fn claim(change: Value) -> Arc<NodeClaim> {
        let mut object = json!({
            "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim",
            "metadata": { "name": "c", "labels": { labels::NODEPOOL: "p" } },
            "spec": { "requirements": [], "nodeClassRef": { "group": "g", "kind": "k", "name": "n" } },
            "status": { "providerID": "id", "conditions": [{ "type": "Initialized", "status": "True", "reason": "r",
                "message": "", "lastTransitionTime": at(0) }] },
        });
        merge(&mut object, change);
        read(object)
    }

    fn pool(disruption: Value) -> Arc<NodePool> {
        read(json!({
            "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": { "name": "p" },
            "spec": { "disruption": disruption, "template": { "spec": {
                "requirements": [], "nodeClassRef": { "group": "g", "kind": "k", "name": "n" } } } },
        }))
    }

    fn kinds(patch: Option<Value>) -> Vec<String> {
        let all = patch.map(|patch| patch["status"]["conditions"].clone()).unwrap_or_default();
        let kinds = all.as_array().into_iter().flatten().filter_map(|c| c["type"].as_str().map(str::to_owned));
        kinds.filter(|kind| kind != "Initialized" && kind != "Ready").collect()
    }

    #[test]
    fn a_quiet_claim_is_consolidatable_and_a_busy_one_is_not() {
        let quiet = |after: &str, second| {
            let pool = pool(json!({ "consolidateAfter": after }));
            kinds(status(&claim(json!({})), &pool, false, at(second)))
        };
        assert_eq!(quiet("60s", 59), [""; 0]);
        assert_eq!(quiet("60s", 60), ["Consolidatable"]);
        assert_eq!(quiet("Never", 10_000), [""; 0]);
        let said = status(&claim(json!({})), &pool(json!({ "consolidateAfter": "60s" })), true, at(100));
        assert_eq!(said.map(|s| s["status"]["lastPodEventTime"].clone()), Some(json!(Time(at(100)))));
    }

    #[test]
    fn drift_is_said_and_taken_back() {
        let pool = pool(json!({ "consolidateAfter": "Never" }));
        let stamped = |hash: &str| {
            json!({ "metadata": { "annotations":
                { names::POOL_HASH: hash, names::POOL_HASH_VERSION: names::HASH_VERSION } } })
        };
        let drifted = claim(stamped("other"));
        assert_eq!(kinds(status(&drifted, &pool, false, at(1))), ["Drifted"]);
        assert_eq!(restamped(&drifted, &pool), None);
        assert_eq!(status(&claim(stamped(&drift::hash(&pool))), &pool, false, at(1)), None);
        let foreign = claim(json!({ "metadata": { "annotations": { names::POOL_HASH_VERSION: "v3" } } }));
        assert!(restamped(&foreign, &pool).is_some());
    }

    #[test]
    fn pods_that_come_and_go_are_noticed_once() {
        let node = read::<Node>(json!({ "metadata": { "name": "n" }, "spec": { "providerID": "id" } }));
        let view = |pods: &[&str]| {
            let pod = |name: &&str| {
                read::<Pod>(json!({
                    "metadata": { "name": name, "namespace": "default", "uid": name },
                    "spec": { "containers": [], "nodeName": "n" }, "status": { "phase": "Running" },
                }))
            };
            let (claims, nodes) =
                ([("c".to_owned(), claim(json!({})))].into(), [("n".to_owned(), node.clone())].into());
            View::new(claims, BTreeMap::new(), nodes, pods.iter().map(pod).collect())
        };
        let mut activity = Activity::default();
        assert!(activity.look(&view(&["a"]), at(0)).is_empty());
        assert_eq!(activity.look(&view(&[]), at(1)), ["c"]);
        assert!(activity.look(&view(&[]), at(2)).is_empty());
    }
}

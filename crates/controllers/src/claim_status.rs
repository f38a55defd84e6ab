//! What claims say of themselves between launch and end: whether they are quiet
//! enough to be consolidated, whether they have drifted, when pods last came or went.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use stowage_k8s::conditions::{self, Says, holds};
use stowage_k8s::pool::consolidate_after;
use stowage_k8s::v1::{NodeClaim, NodePool};
use stowage_k8s::{drift, duration, names};
use stowage_model::labels;
use tracing::warn;

use crate::activity::Activity;
use crate::claim::READY;
use crate::consistency;
use crate::context::{Context, locked};
use crate::events::Saying;
use crate::machines::Gathered;
use crate::provisioner;
use crate::view::{is, pool_of};

const CONSISTENT: &str = "ConsistentStateFound";
/// Types come and go in a catalogue that is being loaded; a young claim is not judged
/// by it.
const SETTLED: Duration = Duration::from_secs(3600);

/// What else is known of a claim.
#[derive(Clone, Debug, Default)]
struct Known {
    /// Whether pods came or went since the last look.
    moved: bool,
    /// Why it would be launched otherwise by now, by catalogue or provider.
    outdated: Option<String>,
    /// What its node lacks; nothing where there is no node to look at.
    shortfall: Option<Result<(), String>>,
}

/// The status that a claim should have. `None` where it has it.
fn status(claim: &NodeClaim, pool: &NodePool, known: &Known, now: Timestamp) -> Option<Value> {
    let moved = known.moved;
    let old = claim.status.clone().unwrap_or_default();
    let mut all = old.conditions.clone().unwrap_or_default();
    let generation = claim.metadata.generation;
    let last = if moved { Some(now) } else { old.last_pod_event_time.map(|time| time.0) };
    let reason = drift::reason(claim, pool).or_else(|| known.outdated.clone());
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
    changed |= match &known.shortfall {
        Some(Ok(())) => conditions::set(&mut all, &holds(CONSISTENT), generation, now),
        Some(Err(message)) => {
            let says = Says { kind: CONSISTENT, status: "False", reason: "ConsistencyCheckFailed", message };
            conditions::set(&mut all, &says, generation, now)
        }
        None => false,
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

fn take_away(all: &mut Vec<Condition>, kind: &str) -> bool {
    let before = all.len();
    all.retain(|condition| condition.type_ != kind);
    all.len() < before
}

/// consolidateAfter, from the last pod or from the start.
fn is_quiet(claim: &NodeClaim, pool: &NodePool, last: Option<Timestamp>, now: Timestamp) -> bool {
    let status = claim.status.as_ref().and_then(|status| status.conditions.as_ref());
    let ready = conditions::find(status, "Initialized").map(|condition| condition.last_transition_time.0);
    consolidate_after(pool).zip(last.max(ready)).is_some_and(|(quiet, since)| duration::since(since, now) >= quiet)
}

/// Whether nobody sells a claim's type to its pool any more.
fn is_unsold(claim: &NodeClaim, gathered: &Gathered, now: Timestamp) -> bool {
    let label = |key: &str| claim.labels().get(key).map(String::as_str);
    let young = claim.creation_timestamp().is_none_or(|at| duration::since(at.0, now) < SETTLED);
    let (Some(kind), Some(pool)) = (label(labels::INSTANCE_TYPE), pool_of(claim)) else { return false };
    let types = gathered.pool(pool).and_then(|pool| gathered.type_sets.get(pool.type_set));
    !young && types.is_some_and(|types| types.iter().all(|known| &*known.name != kind))
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
        let view = ctx.state.view();
        let now = ctx.clock.now();
        let moved: BTreeSet<String> = activity.look(&view, now).into_iter().collect();
        let settled = |claim: &NodeClaim| claim.metadata.deletion_timestamp.is_none() && is(claim, "Initialized");
        let gathered = provisioner::machines(&ctx, &view).ok();
        let outdated = locked(&ctx.outdated).clone();
        for (name, claim) in view.claims.iter().filter(|(_, claim)| settled(claim)) {
            let Some(pool) = pool_of(claim).and_then(|pool| view.pools.get(pool)) else { continue };
            let plain = PatchParams::default();
            let id = claim.status.as_ref().and_then(|status| status.provider_id.as_ref());
            let unsold = gathered.as_ref().is_some_and(|gathered| is_unsold(claim, gathered, now));
            let node = view.node_of(claim);
            let known = Known {
                moved: moved.contains(name),
                outdated: match unsold {
                    true => Some("InstanceTypeNotFound".to_owned()),
                    false => id.and_then(|id| outdated.get(id)).cloned(),
                },
                shortfall: node.map(|node| consistency::shortfall(claim, node).map_or(Ok(()), Err)),
            };
            if let Some(Err(note)) = &known.shortfall {
                let saying =
                    Saying { warning: true, reason: "FailedConsistencyCheck", action: "Check", note: note.clone() };
                ctx.events.tell(&**claim, saying).await;
            }
            let written = match (restamped(claim, pool), status(claim, pool, &known, now)) {
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
    use crate::testing::{at, merge, read};

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
            kinds(status(&claim(json!({})), &pool, &Known::default(), at(second)))
        };
        assert_eq!(quiet("60s", 59), [""; 0]);
        assert_eq!(quiet("60s", 60), ["Consolidatable"]);
        assert_eq!(quiet("Never", 10_000), [""; 0]);
        let said = status(
            &claim(json!({})),
            &pool(json!({ "consolidateAfter": "60s" })),
            &Known { moved: true, ..Known::default() },
            at(100),
        );
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
        assert_eq!(kinds(status(&drifted, &pool, &Known::default(), at(1))), ["Drifted"]);
        assert_eq!(restamped(&drifted, &pool), None);
        assert_eq!(status(&claim(stamped(&drift::hash(&pool))), &pool, &Known::default(), at(1)), None);
        let foreign = claim(json!({ "metadata": { "annotations": { names::POOL_HASH_VERSION: "v3" } } }));
        assert!(restamped(&foreign, &pool).is_some());
    }
}

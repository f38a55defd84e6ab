//! Instances that are about to be taken away: nobody new goes there, their pods are
//! planned elsewhere at once, and they move when the new places are ready, or when
//! half of the time is over.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Node;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, ResourceExt};
use serde::{Deserialize, Serialize};
use serde_json::json;
use stowage_cloud::provider::{Notice, SoldOut};
use stowage_k8s::names;
use stowage_k8s::node::{is_shut, shut};
use stowage_k8s::pod::needs_a_place;
use stowage_k8s::v1::NodeClaim;
use stowage_model::{CapacityType, labels};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::context::{Context, locked};
use crate::events::Saying;
use crate::steering;
use crate::view::{View, pool_of};

/// Between two questions.
const PERIOD: Duration = Duration::from_secs(2);
/// A drain needs no more than this.
const LONGEST_DRAIN: SignedDuration = SignedDuration::from_secs(60);

/// What an interrupted claim carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Since when that is known.
    pub since: Timestamp,
    /// When the instance is gone.
    pub ends: Timestamp,
}

/// The mark of a claim, if it is interrupted.
pub fn mark_of(claim: &NodeClaim) -> Option<Mark> {
    claim.annotations().get(names::INTERRUPTED).and_then(|text| serde_json::from_str(text).ok())
}

/// The next thing to do about one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// Write down what is known.
    Mark,
    /// Let no more pods onto the node.
    Shut,
    /// Its pods go now.
    Release,
}

/// What is looked at: `planned` are nodes whose pods the last plan moved, `awaited`
/// says whether nodes that it chose are still on their way.
fn next(claim: &NodeClaim, view: &View, planned: &BTreeSet<String>, awaited: bool, now: Timestamp) -> Option<Step> {
    if claim.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let Some(mark) = mark_of(claim) else { return Some(Step::Mark) };
    let Some(node) = view.node_of(claim) else { return Some(Step::Release) };
    if !is_shut(node) {
        return Some(Step::Shut);
    }
    let name = node.name_any();
    let empty = !view.pods_on(&name).any(|pod| needs_a_place(pod));
    let half = mark.ends.duration_since(mark.since) / 2;
    let late = mark.ends.duration_since(now) <= half.min(LONGEST_DRAIN);
    let ready = planned.contains(&name) && !awaited;
    (empty || late || ready).then_some(Step::Release)
}

/// Runs until it is dropped.
pub async fn run(ctx: Arc<Context>) {
    loop {
        match ctx.provider.notices().await {
            Ok(notices) if !notices.is_empty() => look(&ctx, &notices).await,
            Ok(_) => {}
            Err(error) => {
                ctx.metrics.provider("Notices", Some(error.label()));
                warn!(%error, "interruptions are not known; they are asked for again");
            }
        }
        tokio::time::sleep(PERIOD).await;
    }
}

async fn look(ctx: &Context, notices: &[Notice]) {
    let view = ctx.state.view();
    let planned = locked(&ctx.accounted).clone();
    let expected = locked(&ctx.expected).clone();
    let awaited = expected.iter().any(|name| view.claims.get(name).is_some_and(|claim| steering::expects(claim)));
    let id = |claim: &NodeClaim| claim.status.as_ref().and_then(|status| status.provider_id.clone());
    for notice in notices {
        let own = view.claims.values().find(|claim| id(claim).as_ref() == Some(&notice.provider_id));
        let Some(claim) = own else { continue };
        let Some(step) = next(claim, &view, &planned, awaited, ctx.clock.now()) else { continue };
        if ctx.settings.dry_run {
            info!(node_claim = %claim.name_any(), ?step, "dry run: an interrupted node would be given up");
            continue;
        }
        match take(ctx, &view, claim, notice, &step).await {
            Ok(()) => info!(node_claim = %claim.name_any(), reason = %notice.reason, ?step, "interruption"),
            // Somebody else wrote first, or it is gone: the next look tells.
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => {}
            Err(error) => warn!(node_claim = %claim.name_any(), ?step, %error, "it is tried again"),
        }
    }
}

async fn take(ctx: &Context, view: &View, claim: &NodeClaim, notice: &Notice, step: &Step) -> Result<(), kube::Error> {
    let api: Api<NodeClaim> = Api::all(ctx.client.clone());
    let (name, plain) = (claim.name_any(), PatchParams::default());
    match step {
        Step::Mark => {
            let mark = Mark { since: ctx.clock.now(), ends: notice.ends };
            let text = serde_json::to_string(&mark).unwrap_or_default();
            let patch = json!({ "metadata": {
                "annotations": { names::INTERRUPTED: text }, "resourceVersion": claim.metadata.resource_version } });
            api.patch(&name, &plain, &Patch::Merge(&patch)).await?;
            // The next instance of that kind would not live long either.
            locked(&ctx.sold_out).extend(offer(claim).map(|offer| (offer, Instant::now())));
            let note = format!("{}: the instance is gone at {}", notice.reason, notice.ends);
            let saying = Saying { warning: true, reason: "Interrupted", action: "Disrupt", note };
            ctx.events.tell(claim, saying.clone()).await;
            if let Some(node) = view.node_of(claim) {
                ctx.events.tell(&**node, saying).await;
            }
        }
        Step::Shut => {
            if let Some(node) = view.node_of(claim) {
                let nodes: Api<Node> = Api::all(ctx.client.clone());
                nodes.patch(&node.name_any(), &plain, &Patch::Merge(&shut(node, true))).await?;
            }
        }
        Step::Release => {
            let ends = json!({ names::TERMINATION_TIMESTAMP: notice.ends.to_string() });
            let patch =
                json!({ "metadata": { "annotations": ends, "resourceVersion": claim.metadata.resource_version } });
            api.patch(&name, &plain, &Patch::Merge(&patch)).await?;
            ctx.metrics.disrupted("interrupted", pool_of(claim).unwrap_or_default());
            let same = Preconditions { uid: claim.uid(), resource_version: None };
            api.delete(&name, &DeleteParams::default().preconditions(same)).await?;
        }
    }
    Ok(())
}

/// The offer that a spot claim was launched from.
fn offer(claim: &NodeClaim) -> Option<SoldOut> {
    let label = |key: &str| claim.labels().get(key).cloned();
    let spot = label(labels::CAPACITY_TYPE).as_deref() == Some(CapacityType::Spot.as_str());
    let (instance_type, zone) = (label(labels::INSTANCE_TYPE)?, label(labels::ZONE)?);
    spot.then_some(SoldOut { instance_type, zone, capacity_type: CapacityType::Spot })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{at, read};
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::Value;
    use std::collections::BTreeMap;

    /// A claim with its node and a pod; a notice of 100 seconds came at second 0.
    fn view(marked: bool, is_shut: bool, pods: bool) -> View {
        let mark = json!({ names::INTERRUPTED: json!({ "since": at(0), "ends": at(100) }).to_string() });
        let claim = read::<NodeClaim>(json!({
            "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim",
            "metadata": { "name": "c", "annotations": if marked { mark } else { Value::Null } },
            "spec": { "requirements": [], "nodeClassRef": { "group": "g", "kind": "k", "name": "n" } },
            "status": { "providerID": "id" },
        }));
        let taints =
            if is_shut { json!([{ "key": names::DISRUPTED_TAINT, "effect": "NoSchedule" }]) } else { json!([]) };
        let node =
            read::<Node>(json!({ "metadata": { "name": "n" }, "spec": { "providerID": "id", "taints": taints } }));
        let pod = read::<Pod>(json!({ "metadata": { "name": "p", "uid": "p" },
            "spec": { "containers": [], "nodeName": "n" }, "status": { "phase": "Running" } }));
        let pods = if pods { vec![pod] } else { Vec::new() };
        View::new([("c".to_owned(), claim)].into(), BTreeMap::new(), [("n".to_owned(), node)].into(), pods)
    }

    #[test]
    fn pods_of_an_interrupted_node_move_when_their_places_are_ready_or_time_is_short() {
        let step = |view: &View, planned: &[&str], awaited, second| {
            let planned = planned.iter().map(|name| (*name).to_owned()).collect();
            next(&view.claims["c"], view, &planned, awaited, at(second))
        };
        assert_eq!(step(&view(false, false, true), &[], false, 1), Some(Step::Mark));
        assert_eq!(step(&view(true, false, true), &[], false, 1), Some(Step::Shut));
        let settled = view(true, true, true);
        assert_eq!(step(&settled, &[], false, 1), None);
        assert_eq!(step(&settled, &["n"], true, 1), None);
        assert_eq!(step(&settled, &["n"], false, 1), Some(Step::Release));
        assert_eq!(step(&settled, &[], true, 49), None);
        assert_eq!(step(&settled, &[], true, 50), Some(Step::Release));
        assert_eq!(step(&view(true, true, false), &[], false, 1), Some(Step::Release));
    }
}

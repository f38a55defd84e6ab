//! What a pass tells: logs, metrics, and each pod.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use tokio::time::Instant;
use tracing::{info, warn};

use super::plan::{Creation, Judged};
use crate::context::Context;
use crate::events::Saying;
use crate::metrics::Pass;
use crate::view::View;

pub(super) fn report(
    ctx: &Context,
    judged: &Judged,
    number: u64,
    started: Instant,
    creations: &[Creation],
    capped: &BTreeSet<&'static str>,
) {
    let plan = &judged.plan;
    let seconds = Instant::now().duration_since(started).as_secs_f64();
    ctx.metrics.pass(&Pass {
        seconds,
        price: plan.price().dollars(),
        bound: plan.bound.dollars(),
        gap: plan.gap_millionths().map(|gap| gap as f64 * 1e-6),
        unplaced: plan.unplaced.len(),
        fallback: judged.fallback,
        end: plan.end.as_str(),
    });
    info!(pass = number, pods = judged.problem.pods.len(), new_nodes = creations.len(), existing = plan.existing.len(),
        unplaced = plan.unplaced.len(), hourly_price = %plan.price(), lower_bound = %plan.bound, end = %plan.end,
        fallback = judged.fallback, seconds, "planned");
    for why in capped {
        warn!(pass = number, "nodes were left out: {why}");
    }
}

/// Tells each pod what was decided.
pub(super) async fn say(
    ctx: &Context,
    view: &View,
    judged: &Judged,
    creations: &[Creation],
    capped: &BTreeSet<&'static str>,
) {
    let by_name = by_name(view);
    let pod_of = |index: u32| by_name.get(&judged.problem.pods[index as usize].to_string()).copied();
    for unplaced in &judged.plan.unplaced {
        let Some(pod) = pod_of(unplaced.pod) else { continue };
        let reasons: Vec<String> = unplaced.reasons.iter().map(ToString::to_string).collect();
        let note = format!("no node can be made for the pod: {}", reasons.join("; "));
        ctx.events.tell(pod, Saying { warning: true, reason: "FailedScheduling", action: "Plan", note }).await;
    }
    let held_back: BTreeSet<u32> = if capped.is_empty() {
        BTreeSet::new()
    } else {
        let made: BTreeSet<u32> = creations.iter().flat_map(|c| c.pods.iter().copied()).collect();
        let all = judged.plan.nodes.iter().flat_map(|node| node.pods.iter().copied());
        all.filter(|pod| !made.contains(pod)).collect()
    };
    for pod in held_back.into_iter().filter_map(pod_of) {
        let note = capped.iter().copied().collect::<Vec<_>>().join("; ");
        ctx.events.tell(pod, Saying { warning: true, reason: "FailedScheduling", action: "Plan", note }).await;
    }
    for creation in creations {
        let claim = creation.claim.name_any();
        for pod in creation.pods.iter().filter_map(|pod| pod_of(*pod)) {
            let note = format!("Pod should schedule on: nodeclaim/{claim}");
            ctx.events.tell(pod, Saying { warning: false, reason: "Nominated", action: "Plan", note }).await;
        }
    }
}

pub(super) fn by_name(view: &View) -> BTreeMap<String, &Pod> {
    let key = |pod: &Pod| format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any());
    view.pods.iter().map(|pod| (key(pod), &**pod)).collect()
}

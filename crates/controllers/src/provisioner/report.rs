//! What a pass tells: logs, metrics, and each pod.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use kube::{Resource, ResourceExt};
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

/// Good news that one pass tells at most. Whoever waits has the claim's name in the
/// log too, and an API server has better things to do than a thousand of them.
const MOST_NOMINATED: usize = 50;

/// Tells pods what was decided. Nothing waits for that.
pub(super) fn say(
    ctx: &Arc<Context>,
    view: &View,
    judged: &Judged,
    creations: &[Creation],
    capped: &BTreeSet<&'static str>,
) {
    let all = sayings(view, judged, creations, capped);
    let ctx = ctx.clone();
    tokio::spawn(async move {
        let tell = |(pod, saying): (ObjectReference, Saying)| {
            let ctx = ctx.clone();
            async move {
                ctx.events.tell_of(pod, saying).await;
            }
        };
        futures::stream::iter(all).for_each_concurrent(4, tell).await;
    });
}

fn sayings(
    view: &View,
    judged: &Judged,
    creations: &[Creation],
    capped: &BTreeSet<&'static str>,
) -> Vec<(ObjectReference, Saying)> {
    let by_name = by_name(view);
    let pod_of = |index: u32| by_name.get(&judged.problem.pods[index as usize].to_string()).copied();
    let fails = |note: String| Saying { warning: true, reason: "FailedScheduling", action: "Plan", note };
    let mut all = Vec::new();
    for unplaced in &judged.plan.unplaced {
        let Some(pod) = pod_of(unplaced.pod) else { continue };
        let reasons: Vec<String> = unplaced.reasons.iter().map(ToString::to_string).collect();
        let note = format!("no node can be made for the pod: {}", reasons.join("; "));
        all.push((pod.object_ref(&()), fails(note)));
    }
    let held_back: BTreeSet<u32> = if capped.is_empty() {
        BTreeSet::new()
    } else {
        let made: BTreeSet<u32> = creations.iter().flat_map(|c| c.pods.iter().copied()).collect();
        let all = judged.plan.nodes.iter().flat_map(|node| node.pods.iter().copied());
        all.filter(|pod| !made.contains(pod)).collect()
    };
    let why = capped.iter().copied().collect::<Vec<_>>().join("; ");
    all.extend(held_back.into_iter().filter_map(pod_of).map(|pod| (pod.object_ref(&()), fails(why.clone()))));
    let nominated = creations.iter().flat_map(|creation| {
        let claim = creation.claim.name_any();
        creation.pods.iter().map(move |pod| (*pod, claim.clone()))
    });
    let nominated = nominated.filter_map(|(pod, claim)| Some((pod_of(pod)?, claim)));
    all.extend(nominated.take(MOST_NOMINATED).map(|(pod, claim)| {
        let note = format!("Pod should schedule on: nodeclaim/{claim}");
        (pod.object_ref(&()), Saying { warning: false, reason: "Nominated", action: "Plan", note })
    }));
    all
}

pub(super) fn by_name(view: &View) -> BTreeMap<String, &Pod> {
    let key = |pod: &Pod| format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any());
    view.pods.iter().map(|pod| (key(pod), &**pod)).collect()
}

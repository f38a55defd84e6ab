//! Moving pods off nodes that stay.
//!
//! A node that pods move from is shut to new ones for a short while, or the
//! scheduler could bring them back at once. Until when is written on the node, so
//! that whoever comes next opens it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod, Taint};
use kube::api::{DeleteParams, EvictParams, Patch, PatchParams, Preconditions};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use stowage_disruption::Rebalanced;
use stowage_k8s::names;
use tracing::{info, warn};

use super::Answer;
use crate::context::Context;
use crate::events::Saying;
use crate::view::View;

/// How long a node that pods move from takes no others.
const SHUT: Duration = Duration::from_secs(15);

/// A pod that moves, or is taken away: its method, namespace and name.
pub(super) type Moved = (&'static str, String, String);

/// What a rebalancing moves.
pub(super) fn moved(answer: &Answer) -> BTreeSet<Moved> {
    all(answer).map(|(moved, _)| moved).collect()
}

/// Everything, with the nodes that pods move between.
fn all(answer: &Answer) -> impl Iterator<Item = (Moved, Option<(&str, &str)>)> {
    let Answer { rebalanced: Rebalanced { relocations, removals, .. }, fleet, .. } = answer;
    let pods = relocations.iter().map(|one| {
        let pod = &fleet.problem.pods[one.pod as usize];
        let moved = (one.method, pod.namespace.to_string(), pod.name.to_string());
        (moved, Some((one.from.as_str(), one.to.as_str())))
    });
    pods.chain(removals.iter().map(|one| ((one.method, one.namespace.clone(), one.name.clone()), None)))
}

/// Moves what was chosen a while ago and is still right.
pub(super) async fn begin(ctx: &Context, view: &View, answer: &Answer, chosen: &BTreeSet<Moved>) {
    let still: Vec<_> = all(answer).filter(|(moved, _)| chosen.contains(moved)).collect();
    let sources: BTreeSet<&str> =
        still.iter().filter_map(|(_, way)| way.filter(|(from, to)| from != to)).map(|(from, _)| from).collect();
    let mut open: BTreeSet<&str> = BTreeSet::new();
    for name in sources {
        let Some(node) = view.nodes.get(name) else { continue };
        let until = ctx.clock.now().saturating_add(SHUT).unwrap_or(Timestamp::MAX);
        if let Err(error) = patch(ctx, node, shut(node, Some(until))).await {
            warn!(%name, %error, "a node could not be shut, so its pods stay for now");
            open.insert(name);
        }
    }
    let pods: BTreeMap<(String, String), &Pod> =
        view.pods.iter().map(|pod| ((pod.namespace().unwrap_or_default(), pod.name_any()), &**pod)).collect();
    let grace = answer.fleet.rebalancing.as_ref().and_then(|all| all.grace_seconds);
    for ((method, namespace, name), way) in still {
        let Some(pod) = pods.get(&(namespace.clone(), name.clone())) else { continue };
        if way.is_some_and(|(from, _)| open.contains(from)) {
            continue;
        }
        let note = match way {
            Some((from, to)) if from == to => format!("it is made anew, for which {to} has room"),
            Some((_, to)) => format!("it is evicted; {to} has room for it"),
            None => "it has failed and is taken away".to_owned(),
        };
        match evict(ctx, pod, grace).await {
            Ok(()) => {
                ctx.metrics.rebalanced(method, "success");
                info!(%method, %namespace, %name, "rebalancing: {note}");
                let saying = Saying { warning: false, reason: method, action: "Rebalance", note };
                ctx.events.tell(*pod, saying).await;
            }
            Err(error) => {
                ctx.metrics.rebalanced(method, "error");
                let note = format!("it could not be evicted: {error}");
                ctx.events.tell(*pod, Saying { warning: true, reason: method, action: "Rebalance", note }).await;
            }
        }
    }
}

async fn evict(ctx: &Context, pod: &Pod, grace: Option<u32>) -> Result<(), kube::Error> {
    let api: Api<Pod> = Api::namespaced(ctx.client.clone(), &pod.namespace().unwrap_or_default());
    // The very pod that was looked at, and not one that has taken its name.
    let same = Preconditions { uid: pod.uid(), resource_version: None };
    let mut options = DeleteParams::default().preconditions(same);
    options.grace_period_seconds = grace;
    let params = EvictParams { delete_options: Some(options), ..EvictParams::default() };
    match api.evict(&pod.name_any(), &params).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        done => done.map(|_| ()),
    }
}

/// Opens nodes whose time is over.
pub(super) async fn open(ctx: &Context, view: &View) {
    let now = ctx.clock.now();
    for node in view.nodes.values().filter(|node| is_over(node, now)) {
        match patch(ctx, node, shut(node, None)).await {
            Ok(()) => {}
            // Somebody else wrote first, or it is gone: the next look tells.
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => {}
            Err(error) => warn!(node = %node.name_any(), %error, "a node could not be opened again yet"),
        }
    }
}

async fn patch(ctx: &Context, node: &Node, change: Value) -> Result<(), kube::Error> {
    let api: Api<Node> = Api::all(ctx.client.clone());
    api.patch(&node.name_any(), &PatchParams::default(), &Patch::Merge(&change)).await.map(|_| ())
}

/// Whether a node was shut and need not be any more.
fn is_over(node: &Node, now: Timestamp) -> bool {
    let notes = node.metadata.annotations.as_ref();
    let Some(until) = notes.and_then(|all| all.get(names::REBALANCED_UNTIL)) else { return false };
    // What cannot be read would keep it shut for ever.
    until.parse::<Timestamp>().map_or(true, |until| until <= now)
}

/// A patch that shuts a node for a while, or opens it.
fn shut(node: &Node, until: Option<Timestamp>) -> Value {
    let mut taints: Vec<Taint> = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
    taints.retain(|taint| taint.key != names::REBALANCED_TAINT);
    if until.is_some() {
        let key = names::REBALANCED_TAINT.to_owned();
        taints.push(Taint { key, effect: "NoSchedule".to_owned(), ..Taint::default() });
    }
    json!({
        "metadata": {
            "resourceVersion": node.metadata.resource_version,
            "annotations": { names::REBALANCED_UNTIL: until.map(|until| until.to_string()) },
        },
        "spec": { "taints": taints },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{at, merge};

    #[test]
    fn a_node_is_shut_for_a_while_and_opened_by_whoever_comes() {
        let mut node =
            json!({ "metadata": { "name": "n" }, "spec": { "taints": [{ "key": "own", "effect": "NoSchedule" }] } });
        let read = |node: &Value| serde_json::from_value::<Node>(node.clone()).unwrap_or_default();
        assert!(!is_over(&read(&node), at(100)));
        let change = shut(&read(&node), Some(at(50)));
        merge(&mut node, change);
        assert_eq!(read(&node).spec.unwrap_or_default().taints.unwrap_or_default().len(), 2);
        assert!(!is_over(&read(&node), at(49)));
        assert!(is_over(&read(&node), at(50)));
        let change = shut(&read(&node), None);
        assert_eq!(change["spec"]["taints"].as_array().map(Vec::len), Some(1));
        assert!(change["metadata"]["annotations"][names::REBALANCED_UNTIL].is_null());
    }
}

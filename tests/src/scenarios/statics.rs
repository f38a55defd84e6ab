//! Pools of a fixed number of nodes.

use serde_json::{Value, json};

use super::{check, nothing_leaked};
use crate::Failure;
use crate::live::Live;

fn ready(live: &Live) -> Result<usize, Failure> {
    let is_ready = |claim: &&Value| {
        let all = claim["status"]["conditions"].as_array().cloned().unwrap_or_default();
        claim["metadata"]["deletionTimestamp"].is_null()
            && all.iter().any(|c| c["type"] == "Ready" && c["status"] == "True")
    };
    Ok(live.claims()?.iter().filter(is_ready).count())
}

/// Fewer replicas, then another template: the empty node goes, and the others are
/// renewed one for one within the limit on nodes.
pub(super) fn a_static_pool_shrinks_and_is_renewed(live: &mut Live) -> Result<(), Failure> {
    live.controller(&["--disruption-validation", "500ms"])?;
    let budgets = json!([{ "nodes": "100%" }]);
    live.pool("fixed", json!({ "replicas": 3, "limits": { "nodes": "4" }, "disruption": { "budgets": budgets } }))?;
    live.until("three ready nodes", |live| Ok(ready(live)? == 3))?;
    // One pod on each of two nodes.
    let apart = json!({ "affinity": { "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [{
        "topologyKey": "kubernetes.io/hostname", "labelSelector": { "matchLabels": { "app": "web" } } }] } } });
    live.deployment("web", 2, ("500m", "256Mi"), apart)?;
    live.until_running(2)?;
    let used: Vec<Value> = live.running()?.iter().map(|pod| pod["spec"]["nodeName"].clone()).collect();
    let pool = "/apis/karpenter.sh/v1/nodepools/fixed";
    live.plane.patch(pool, &json!({ "spec": { "replicas": 2 } }))?;
    live.until("two nodes", |live| Ok(live.nodes()?.len() == 2 && live.claims()?.len() == 2))?;
    let left: Vec<Value> = live.nodes()?.iter().map(|node| node["metadata"]["name"].clone()).collect();
    check(used.iter().all(|node| left.contains(node)), || format!("{used:?} had pods, {left:?} are left"))?;

    let change = json!({ "spec": { "template": { "metadata": { "labels": { "team": "blue" } } } } });
    live.plane.patch(pool, &change)?;
    live.until("nodes of the new kind alone", |live| {
        let claims = live.claims()?;
        let kept = claims.iter().filter(|claim| claim["metadata"]["deletionTimestamp"].is_null()).count();
        check(kept <= 4, || format!("{kept} nodes where four may be"))?;
        check(ready(live)? >= 2 || claims.len() < 2, || "fewer than two ready nodes".to_owned())?;
        let nodes = live.nodes()?;
        let blue = nodes.iter().all(|node| node["metadata"]["labels"]["team"] == "blue");
        Ok(blue && nodes.len() == 2 && claims.len() == 2 && live.running()?.len() == 2)
    })?;
    live.scale("web", 0)?;
    live.plane.patch(pool, &json!({ "spec": { "replicas": 0 } }))?;
    live.until_nothing()?;
    nothing_leaked(live)
}

//! Nodes go when their pods cost less elsewhere, and never before there is a place.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{check, nothing_leaked};
use crate::Failure;
use crate::live::Live;

/// So that a cent an hour counts.
const KEEN: [&str; 4] = ["--eviction-price", "0.0005", "--disruption-validation", "2s"];

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Node types, counted.
fn types(live: &Live) -> Result<BTreeMap<String, usize>, Failure> {
    let mut counts = BTreeMap::new();
    for node in live.nodes()? {
        *counts.entry(text(&node["metadata"]["labels"]["node.kubernetes.io/instance-type"])).or_default() += 1;
    }
    Ok(counts)
}

fn holds(object: &Value, kind: &str) -> bool {
    let all = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    all.iter().any(|condition| condition["type"] == kind && condition["status"] == "True")
}

/// Whoever goes, whatever replaces it is initialized: looked at all the while.
fn nobody_goes_too_early(live: &Live) -> Result<(), Failure> {
    let claims = live.claims()?;
    let named: BTreeMap<String, &Value> =
        claims.iter().map(|claim| (text(&claim["metadata"]["name"]), claim)).collect();
    for claim in claims.iter().filter(|claim| !claim["metadata"]["deletionTimestamp"].is_null()) {
        let order = text(&claim["metadata"]["annotations"]["stowage.sh/replaced-by"]);
        let order: Value = serde_json::from_str(&order).unwrap_or_default();
        for new in order["replacements"].as_array().into_iter().flatten() {
            let there = named.get(new.as_str().unwrap_or_default()).is_some_and(|new| holds(new, "Initialized"));
            check(there, || format!("{} goes before {new} is there", claim["metadata"]["name"]))?;
        }
    }
    Ok(())
}

/// What `stowage consolidate` says of the cluster as it is.
fn offline(live: &Live) -> Result<Value, Failure> {
    let snapshot = live.stowage(&["snapshot"], "")?;
    let types = live.plane.folder().join("types.json").display().to_string();
    let args = ["consolidate", "-", "-o", "json", "--catalog", &types, "--eviction-price", "0.0005"];
    Ok(serde_json::from_str(&live.stowage(&args, &snapshot)?)?)
}

/// The controller does what is said of its cluster offline, and no more.
pub(super) fn two_nodes_become_one(live: &mut Live) -> Result<(), Failure> {
    live.pool("default", json!({}))?;
    let watcher = live.controller(&["--no-disruption"])?;
    // 70 % of a small node; a second one does not fit beside it.
    live.deployment("web", 1, ("1400m", "1Gi"), json!({}))?;
    live.until_running(1)?;
    check(types(live)? == BTreeMap::from([("small".to_owned(), 1)]), || "the first node is odd".to_owned())?;
    live.scale("web", 2)?;
    live.until_running(2)?;
    live.until("the command, said offline", |live| {
        let command = offline(live)?["waves"][0]["commands"][0].clone();
        let launch: Vec<&Value> = command["launch"].as_array().into_iter().flatten().collect();
        let types: Vec<&Value> = launch.iter().map(|node| &node["instanceType"]).collect();
        // Nodes must be quiet for consolidateAfter first.
        Ok(command["remove"].as_array().map(Vec::len) == Some(2) && types == ["medium"])
    })?;
    live.kill(watcher)?;
    live.controller(&KEEN)?;
    // Two small ones cost 0.20, a medium one 0.19.
    live.until("one right-sized node", |live| {
        nobody_goes_too_early(live)?;
        Ok(types(live)? == BTreeMap::from([("medium".to_owned(), 1)]) && live.running()?.len() == 2)
    })?;
    check(live.metric("karpenter_voluntary_disruption_decisions_total", "replace")? >= 1.0, || {
        "no replacement was counted".to_owned()
    })?;
    let left = offline(live)?;
    check(left["summary"]["commands"] == 0, || format!("offline, more is to be done: {}", left["waves"]))?;
    live.scale("web", 0)?;
    live.until_nothing()?;
    nothing_leaked(live)
}

pub(super) fn many_nodes_become_few(live: &mut Live) -> Result<(), Failure> {
    live.pool("default", json!({}))?;
    live.controller(&KEEN)?;
    for (index, cpu) in ["500m", "700m", "1100m"].iter().enumerate() {
        live.deployment(&format!("size-{index}"), 10, (cpu, "256Mi"), json!({}))?;
    }
    live.until_running(30)?;
    let before = types(live)?.values().sum::<usize>();
    for index in 0..3 {
        live.scale(&format!("size-{index}"), 3)?;
    }
    live.until_running(9)?;
    // 6.9 cores: two medium nodes, or what costs no more.
    live.until("few nodes", |live| {
        nobody_goes_too_early(live)?;
        let cost: f64 = types(live)?
            .iter()
            .map(|(kind, count)| {
                *count as f64
                    * match kind.as_str() {
                        "small" => 0.1,
                        "medium" => 0.19,
                        _ => 0.4,
                    }
            })
            .sum();
        Ok(cost < 0.41 && live.running()?.len() == 9)
    })?;
    check(before >= 5, || format!("{before} nodes held everything: nothing was to be done"))?;
    live.until("a quiet cluster", |live| {
        let leaving = live.claims()?.iter().any(|claim| !claim["metadata"]["deletionTimestamp"].is_null());
        Ok(!leaving && live.nodes()?.iter().all(|node| node["spec"]["taints"].as_array().is_none_or(Vec::is_empty)))
    })
}

pub(super) fn drift_replaces_every_node(live: &mut Live) -> Result<(), Failure> {
    live.pool("default", json!({ "disruption": { "consolidateAfter": "Never", "budgets": [{ "nodes": "1" }] } }))?;
    live.controller(&KEEN)?;
    live.deployment("web", 6, ("1400m", "1Gi"), json!({}))?;
    live.until_running(6)?;
    let old: BTreeSet<String> = live.claims()?.iter().map(|claim| text(&claim["metadata"]["name"])).collect();
    let change = json!({ "spec": { "template": { "metadata": { "labels": { "team": "blue" } } } } });
    live.plane.patch("/apis/karpenter.sh/v1/nodepools/default", &change)?;
    live.until("nodes of the new kind alone", |live| {
        nobody_goes_too_early(live)?;
        let claims = live.claims()?;
        let leaving = claims.iter().filter(|claim| !claim["metadata"]["deletionTimestamp"].is_null()).count();
        check(leaving <= 1, || format!("{leaving} nodes leave at once where one may"))?;
        let fresh = claims.iter().all(|claim| !old.contains(&text(&claim["metadata"]["name"])));
        let blue = live.nodes()?.iter().all(|node| node["metadata"]["labels"]["team"] == "blue");
        Ok(fresh && blue && live.running()?.len() == 6)
    })
}

pub(super) fn a_new_image_replaces_every_node(live: &mut Live) -> Result<(), Failure> {
    live.pool("default", json!({ "disruption": { "consolidateAfter": "Never", "budgets": [{ "nodes": "100%" }] } }))?;
    live.controller(&KEEN)?;
    live.deployment("web", 3, ("1400m", "1Gi"), json!({}))?;
    live.until_running(3)?;
    live.tell_cloud("/image", &json!("simulated-2"))?;
    live.until("machines with the new image alone", |live| {
        nobody_goes_too_early(live)?;
        let all = live.instances()?;
        let fresh = all.iter().all(|instance| instance["image"] == "simulated-2");
        Ok(fresh && !all.is_empty() && live.running()?.len() == 3)
    })?;
    check(live.metric("karpenter_nodeclaims_disrupted_total", "drifted")? >= 1.0, || "no drift was counted".to_owned())
}

pub(super) fn what_is_protected_stays(live: &mut Live) -> Result<(), Failure> {
    live.pool("default", json!({}))?;
    live.controller(&KEEN)?;
    live.deployment("web", 1, ("1400m", "1Gi"), json!({}))?;
    live.until_running(1)?;
    live.deployment_with("stays", 1, ("1400m", "1Gi"), json!({}), json!({ "karpenter.sh/do-not-disrupt": "true" }))?;
    live.until_running(2)?;
    live.until("the reason, said", |live| {
        Ok(live.said("Unconsolidatable")?.contains("has karpenter.sh/do-not-disrupt"))
    })?;
    check(types(live)? == BTreeMap::from([("small".to_owned(), 2)]), || "a node went".to_owned())
}

pub(super) fn a_replacement_that_fails_is_taken_back(live: &mut Live) -> Result<(), Failure> {
    live.pool("default", json!({}))?;
    live.controller(&[&KEEN[..], &["--registration-timeout", "5s"]].concat())?;
    live.deployment("web", 1, ("1400m", "1Gi"), json!({}))?;
    live.until_running(1)?;
    let name = text(&live.claims()?[0]["metadata"]["name"]);
    // The pool changes and is full; machines of the other one never join.
    live.pool("mute", json!({}))?;
    let change = json!({ "spec": { "limits": { "cpu": "2" },
        "template": { "metadata": { "labels": { "team": "blue" } } } } });
    live.plane.patch("/apis/karpenter.sh/v1/nodepools/default", &change)?;
    live.until("a command taken back", |live| {
        Ok(live.metric("karpenter_voluntary_disruption_queue_failures_total", "Drifted")? >= 1.0)
    })?;
    let claims = live.claims()?;
    let kept = claims.iter().find(|claim| claim["metadata"]["name"] == name.as_str());
    check(kept.is_some_and(|claim| claim["metadata"]["deletionTimestamp"].is_null()), || {
        "the old node went".to_owned()
    })?;
    check(live.running()?.len() == 1, || "the pod was evicted".to_owned())
}

pub(super) fn a_command_outlives_its_controller(live: &mut Live) -> Result<(), Failure> {
    live.pool("default", json!({}))?;
    let first = live.controller(&KEEN)?;
    live.deployment("web", 1, ("1400m", "1Gi"), json!({}))?;
    live.until_running(1)?;
    live.scale("web", 2)?;
    let ordered = |live: &Live| -> Result<bool, Failure> {
        let claims = live.claims()?;
        Ok(claims.iter().any(|claim| claim["metadata"]["annotations"]["stowage.sh/replaces"].is_string()))
    };
    live.until("a command that has begun", ordered)?;
    live.kill(first)?;
    live.controller(&KEEN)?;
    live.until("one right-sized node", |live| {
        nobody_goes_too_early(live)?;
        Ok(types(live)? == BTreeMap::from([("medium".to_owned(), 1)]) && live.running()?.len() == 2)
    })?;
    live.scale("web", 0)?;
    live.until_nothing()?;
    nothing_leaked(live)
}

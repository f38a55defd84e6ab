//! What goes wrong costs time, never an instance.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{check, nothing_leaked};
use crate::Failure;
use crate::live::Live;

fn types(live: &Live) -> Result<Vec<String>, Failure> {
    let name = |i: &Value| i["launched"]["instanceType"].as_str().unwrap_or_default().to_owned();
    Ok(live.instances()?.iter().map(name).collect())
}

pub(super) fn another_type_where_one_is_sold_out(live: &mut Live) -> Result<(), Failure> {
    live.pool("default", json!({}))?;
    live.controller(&[])?;
    live.deployment("web", 4, ("1700m", "1Gi"), json!({}))?;
    live.until_running(4)?;
    let types = types(live)?;
    check(!types.contains(&"large".to_owned()), || format!("{types:?}"))
}

pub(super) fn calls_are_throttled(live: &mut Live) -> Result<(), Failure> {
    live.pool("default", json!({}))?;
    live.controller(&[])?;
    let apart = json!({ "affinity": { "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [{
        "topologyKey": "kubernetes.io/hostname", "labelSelector": { "matchLabels": { "app": "web" } } }] } } });
    live.deployment("web", 12, ("900m", "1Gi"), apart)?;
    live.until_running(12)?;
    let ledger = live.ledger()?;
    check(ledger["throttled"] != 0, || format!("nothing was throttled: {ledger}"))?;
    check(ledger["launched"] == 12, || format!("not one instance each: {ledger}"))
}

pub(super) fn a_machine_that_never_joins(live: &mut Live) -> Result<(), Failure> {
    live.pool("mute", json!({ "weight": 10 }))?;
    live.controller(&["--registration-timeout", "3s"])?;
    live.deployment("web", 2, ("900m", "1Gi"), json!({}))?;
    live.until("a pool that says that its nodes do not join", |live| {
        let pool = live.plane.get("/apis/karpenter.sh/v1/nodepools/mute")?;
        let all = pool["status"]["conditions"].as_array().cloned().unwrap_or_default();
        Ok(all.iter().any(|c| c["type"] == "NodeRegistrationHealthy" && c["status"] == "False"))
    })?;
    live.plane.delete_politely("/apis/karpenter.sh/v1/nodepools/mute")?;
    live.pool("default", json!({}))?;
    live.until_running(2)?;
    live.until("no mute machine", |live| {
        Ok(live.instances()?.iter().all(|i| !i["claim"].as_str().unwrap_or_default().starts_with("mute-")))
    })
}

/// The new place is ready before the old one goes, well within the notice.
pub(super) fn pods_move_before_their_machine_is_taken_away(live: &mut Live) -> Result<(), Failure> {
    live.pool("default", json!({ "disruption": { "consolidateAfter": "Never" } }))?;
    live.controller(&[])?;
    live.deployment("web", 2, ("900m", "1Gi"), json!({}))?;
    live.until_running(2)?;
    let all = live.instances()?;
    check(all.len() == 1, || format!("two small pods on {} machines", all.len()))?;
    let id = all[0]["providerId"].clone();
    let began = Instant::now();
    live.tell_cloud("/interrupt", &id)?;
    let ready = Cell::new(false);
    live.until("the pods to be elsewhere", |live| {
        let claims = live.claims()?;
        let is_new = |claim: &&Value| claim["status"]["providerID"] != id;
        let conditions = |claim: &Value| claim["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let initialized =
            |claim: &Value| conditions(claim).iter().any(|c| c["type"] == "Initialized" && c["status"] == "True");
        let new_is_ready = claims.iter().find(is_new).is_some_and(initialized);
        let leaving =
            claims.iter().any(|c| c["status"]["providerID"] == id && !c["metadata"]["deletionTimestamp"].is_null());
        ready.set(ready.get() || new_is_ready);
        check(!leaving || ready.get(), || "the old node is drained before there is another".to_owned())?;
        let gone = live.instances()?.iter().all(|instance| instance["providerId"] != id);
        Ok(gone && live.running()?.len() == 2)
    })?;
    check(began.elapsed() < Duration::from_secs(25), || format!("it took {:?} of 30 s", began.elapsed()))?;
    check(live.said("Interrupted")?.contains("SpotInterrupted"), || "nobody was told".to_owned())?;
    check(live.metric("karpenter_nodeclaims_disrupted_total", "interrupted")? == 1.0, || "not counted".to_owned())
}

pub(super) fn pods_deleted_while_their_node_starts(live: &mut Live) -> Result<(), Failure> {
    live.pool("default", json!({}))?;
    live.controller(&[])?;
    live.deployment("web", 5, ("900m", "1Gi"), json!({}))?;
    live.until("an instance", |live| Ok(!live.instances()?.is_empty()))?;
    live.scale("web", 0)?;
    live.until_nothing()?;
    nothing_leaked(live)
}

pub(super) fn a_deleted_node_is_replaced(live: &mut Live) -> Result<(), Failure> {
    live.pool("default", json!({}))?;
    live.controller(&[])?;
    live.deployment("web", 3, ("1500m", "1Gi"), json!({}))?;
    live.until_running(3)?;
    let name = live.nodes()?[0]["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    live.plane.delete_politely(&format!("/api/v1/nodes/{name}"))?;
    live.until("the node to go", |live| Ok(live.nodes()?.iter().all(|n| n["metadata"]["name"] != name.as_str())))?;
    live.until_running(3)?;
    live.scale("web", 0)?;
    live.until_nothing()?;
    nothing_leaked(live)
}

pub(super) fn a_budget_holds_a_drain_up(live: &mut Live) -> Result<(), Failure> {
    live.pool("default", json!({}))?;
    live.controller(&[])?;
    live.deployment("web", 2, ("900m", "1Gi"), json!({}))?;
    let budget = json!({ "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": { "name": "web" },
        "spec": { "maxUnavailable": 0, "selector": { "matchLabels": { "app": "web" } } } });
    let budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    live.plane.create(budgets, &budget)?;
    live.until_running(2)?;
    live.until("a budget that is known", |live| {
        Ok(live.plane.get(&format!("{budgets}/web"))?["status"]["currentHealthy"] == 2)
    })?;
    let before: BTreeSet<String> = names(live)?;
    let claim = live.claims()?[0]["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    live.plane.delete_politely(&format!("/apis/karpenter.sh/v1/nodeclaims/{claim}"))?;
    live.until("a word about the budget", |live| Ok(live.said("FailedDraining")?.contains("disruption budget")))?;
    check(names(live)? == before, || "a budget was broken".to_owned())?;
    live.plane.patch(&format!("{budgets}/web"), &json!({ "spec": { "maxUnavailable": 1 } }))?;
    live.until("the claim to go", |live| Ok(live.claims()?.iter().all(|c| c["metadata"]["name"] != claim.as_str())))?;
    live.until_running(2)
}

fn names(live: &Live) -> Result<BTreeSet<String>, Failure> {
    Ok(live.running()?.iter().map(|pod| pod["metadata"]["name"].as_str().unwrap_or_default().to_owned()).collect())
}

pub(super) fn an_instance_without_a_claim(live: &mut Live) -> Result<(), Failure> {
    live.launch_behind_its_back()?;
    check(live.instances()?.len() == 1, || "no instance".to_owned())?;
    live.controller(&["--orphan-age", "1s"])?;
    live.until_nothing()?;
    nothing_leaked(live)
}

/// Every controller is killed at another moment of its work; the next one finds
/// what was left.
pub(super) fn killed_under_churn(live: &mut Live) -> Result<(), Failure> {
    live.pool("default", json!({}))?;
    live.deployment("web", 1, ("900m", "1Gi"), json!({}))?;
    for (round, replicas) in [6, 2, 9, 0, 7, 3, 8, 1].into_iter().enumerate() {
        live.scale("web", replicas)?;
        let number = live.controller(&["--orphan-age", "5s"])?;
        let begun = Instant::now();
        let life = Duration::from_millis(900 + 700 * round as u64);
        live.until("the end of a life", |live| {
            let instances = live.instances()?;
            let claims: BTreeSet<String> = instances.iter().map(|i| i["claimUid"].to_string()).collect();
            check(claims.len() == instances.len(), || format!("a claim has two instances: {instances:?}"))?;
            Ok(begun.elapsed() >= life)
        })?;
        live.kill(number)?;
    }
    live.controller(&["--orphan-age", "5s"])?;
    live.scale("web", 4)?;
    live.until_running(4)?;
    live.scale("web", 0)?;
    live.until_nothing()?;
    nothing_leaked(live)
}

pub(super) fn the_other_one_takes_over(live: &mut Live) -> Result<(), Failure> {
    live.pool("default", json!({}))?;
    let first = live.controller(&[])?;
    live.until("a leader", |live| Ok(live.metric_of(first, "stowage_leading", "")? == 1.0))?;
    let second = live.controller(&[])?;
    live.deployment("web", 2, ("900m", "1Gi"), json!({}))?;
    live.until_running(2)?;
    check(live.metric_of(second, "stowage_leading", "")? == 0.0, || "two lead".to_owned())?;
    live.kill(first)?;
    live.scale("web", 6)?;
    live.until_running(6)?;
    check(live.metric_of(second, "stowage_leading", "")? == 1.0, || "nobody leads".to_owned())?;
    let instances = live.instances()?;
    let claims: BTreeSet<String> = instances.iter().map(|i| i["claimUid"].to_string()).collect();
    check(claims.len() == instances.len(), || "a claim has two instances".to_owned())
}

//! What must not happen does not, and users are told why.

use serde_json::json;

use super::check;
use crate::Failure;
use crate::live::Live;

pub(super) fn limits_are_kept_and_said(live: &mut Live) -> Result<(), Failure> {
    live.pool("default", json!({ "limits": { "cpu": "4" } }))?;
    live.controller(&[])?;
    live.deployment("web", 6, ("1500m", "1Gi"), json!({}))?;
    live.until_running(2)?;
    live.until("an event that names the limit", |live| Ok(live.said("FailedScheduling")?.contains("limit")))?;
    let used: i64 = live
        .instances()?
        .iter()
        .filter_map(|i| i["launched"]["capacity"]["cpu"].as_str()?.strip_suffix('m')?.parse::<i64>().ok())
        .sum();
    check(used <= 4000, || format!("{used}m of CPU were launched under a limit of 4"))?;
    live.plane.patch("/apis/karpenter.sh/v1/nodepools/default", &json!({ "spec": { "limits": { "cpu": "40" } } }))?;
    live.until_running(6)
}

pub(super) fn caps_are_kept(live: &mut Live) -> Result<(), Failure> {
    live.pool("default", json!({}))?;
    let first = live.controller(&["--max-nodes-total", "1"])?;
    let apart = json!({ "affinity": { "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [{
        "topologyKey": "kubernetes.io/hostname", "labelSelector": { "matchLabels": { "app": "web" } } }] } } });
    live.deployment("web", 3, ("900m", "1Gi"), apart)?;
    live.until("an event that names the cap on nodes", |live| {
        Ok(live.said("FailedScheduling")?.contains("cap on nodes"))
    })?;
    live.until_running(1)?;
    live.kill(first)?;
    // A small machine costs $0.10 an hour.
    let second = live.controller(&["--max-hourly-spend", "0.25"])?;
    live.until_running(2)?;
    live.until("an event that names the spend", |live| Ok(live.said("FailedScheduling")?.contains("hourly spend")))?;
    live.kill(second)?;
    live.controller(&[])?;
    live.until_running(3)
}

pub(super) fn a_dry_run_launches_nothing(live: &mut Live) -> Result<(), Failure> {
    live.pool("default", json!({}))?;
    live.controller(&["--dry-run"])?;
    live.deployment("web", 3, ("900m", "1Gi"), json!({}))?;
    live.until("a plan", |live| Ok(live.metric("stowage_plans_total", "")? >= 1.0))?;
    let nothing = live.claims()?.is_empty() && live.ledger()?["calls"] == 0;
    check(nothing, || "a dry run did something".to_owned())?;
    check(live.metric("stowage_plan_price_dollars_per_hour", "")? > 0.0, || "the plan has no price".to_owned())
}

pub(super) fn a_frozen_pool_launches_nothing(live: &mut Live) -> Result<(), Failure> {
    live.pool("default", json!({}))?;
    let path = "/apis/karpenter.sh/v1/nodepools/default";
    live.plane.patch(path, &json!({ "metadata": { "annotations": { "stowage.sh/frozen": "true" } } }))?;
    live.controller(&[])?;
    live.deployment("web", 1, ("900m", "1Gi"), json!({}))?;
    live.until("a plan", |live| Ok(live.metric("stowage_plans_total", "")? >= 1.0))?;
    check(live.claims()?.is_empty(), || "a frozen pool launched".to_owned())?;
    live.plane.patch(path, &json!({ "metadata": { "annotations": { "stowage.sh/frozen": null } } }))?;
    live.until_running(1)
}

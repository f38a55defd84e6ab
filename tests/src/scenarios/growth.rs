//! Nodes come when pods need them, where they need them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{check, nothing_leaked};
use crate::Failure;
use crate::live::Live;

pub(super) fn scale_from_zero_and_back(live: &mut Live) -> Result<(), Failure> {
    live.pool("default", json!({}))?;
    live.controller(&[])?;
    live.deployment("web", 10, ("900m", "1Gi"), json!({}))?;
    live.until_running(10)?;
    let types: Vec<Value> =
        live.nodes()?.iter().map(|n| n["metadata"]["labels"]["node.kubernetes.io/instance-type"].clone()).collect();
    // Ten pods of 0.9 cores: two machines with eight and two with two cores hold no more for less.
    check(!types.is_empty() && types.len() <= 5, || format!("odd nodes: {types:?}"))?;
    for claim in live.claims()? {
        let ready = condition(&claim, "Ready");
        check(ready == "True", || format!("a claim with running pods is not Ready: {}", claim["status"]))?;
    }
    live.scale("web", 0)?;
    live.until_nothing()?;
    nothing_leaked(live)
}

/// The status of a condition.
fn condition(object: &Value, kind: &str) -> String {
    let all = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let found = all.iter().find(|c| c["type"] == kind).map(|c| c["status"].as_str().unwrap_or_default().to_owned());
    found.unwrap_or_default()
}

/// Sizes that pack well only as planned: whoever spreads them needs more nodes.
pub(super) fn pods_land_where_they_were_planned(live: &mut Live) -> Result<(), Failure> {
    live.pool("default", json!({}))?;
    for (index, cpu) in ["450m", "650m", "1100m", "1500m", "2300m"].iter().enumerate() {
        live.deployment(&format!("size-{index}"), 8, (cpu, "256Mi"), json!({}))?;
    }
    live.controller(&["--batch-idle-duration", "2s"])?;
    live.until_running(40)?;
    let landed = |live: &Live| live.metric("stowage_pods_landed_total", "planned");
    live.until("the count of planned pods", |live| Ok(landed(live)? == 40.0))?;
    check(live.metric("stowage_pods_landed_total", "elsewhere")? == 0.0, || "pods came elsewhere".to_owned())?;
    let passes = live.metric("stowage_plans_total", "")?;
    check(passes == 1.0, || format!("{passes} plans for one batch"))?;
    let (spent, regret) = (
        live.metric("stowage_planned_dollars_per_hour_total", "")?,
        live.metric("stowage_regret_dollars_per_hour_total", "")?,
    );
    check(spent > 0.0 && regret <= 0.01 * spent, || format!("${regret} of ${spent} was bought twice"))?;
    // Nobody is held once the pods are there.
    live.until("released nodes", |live| {
        Ok(live.nodes()?.iter().all(|node| node["spec"]["taints"].as_array().is_none_or(Vec::is_empty)))
    })
}

pub(super) fn spread_over_three_zones(live: &mut Live) -> Result<(), Failure> {
    live.pool("default", json!({}))?;
    live.controller(&[])?;
    let spread = json!({ "topologySpreadConstraints": [{
        "maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": { "matchLabels": { "app": "web" } },
    }] });
    live.deployment("web", 6, ("900m", "1Gi"), spread)?;
    live.until_running(6)?;
    let zone: BTreeMap<String, String> = live
        .nodes()?
        .iter()
        .map(|n| (text(&n["metadata"]["name"]), text(&n["metadata"]["labels"]["topology.kubernetes.io/zone"])))
        .collect();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let running = live.running()?;
    for pod in &running {
        *counts.entry(zone.get(&text(&pod["spec"]["nodeName"])).map_or("", String::as_str)).or_default() += 1;
    }
    check(counts.len() == 3 && counts.values().all(|count| *count == 2), || format!("by zone: {counts:?}"))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

pub(super) fn a_static_pool_keeps_its_nodes(live: &mut Live) -> Result<(), Failure> {
    live.controller(&[])?;
    live.pool("fixed", json!({ "replicas": 3 }))?;
    live.until("three ready nodes", |live| {
        Ok(live.claims()?.iter().filter(|claim| condition(claim, "Ready") == "True").count() == 3)
    })?;
    let name = text(&live.claims()?[0]["metadata"]["name"]);
    live.plane.delete_politely(&format!("/apis/karpenter.sh/v1/nodeclaims/{name}"))?;
    live.until("a replacement", |live| {
        let claims = live.claims()?;
        let gone = claims.iter().all(|claim| claim["metadata"]["name"] != name.as_str());
        Ok(gone && claims.iter().filter(|claim| condition(claim, "Ready") == "True").count() == 3)
    })
}

pub(super) fn headroom(live: &mut Live) -> Result<(), Failure> {
    live.pool("default", json!({}))?;
    let template = json!({ "apiVersion": "v1", "kind": "PodTemplate", "metadata": { "name": "room" },
        "template": { "metadata": { "labels": { "app": "room" } }, "spec": { "containers": [
            { "name": "c", "image": "i", "resources": { "requests": { "cpu": "1500m", "memory": "1Gi" } } }] } } });
    live.plane.create("/api/v1/namespaces/default/podtemplates", &template)?;
    let buffer = json!({ "apiVersion": "autoscaling.x-k8s.io/v1beta1", "kind": "CapacityBuffer",
        "metadata": { "name": "room" }, "spec": { "podTemplateRef": { "name": "room" }, "replicas": 2 } });
    live.plane.create("/apis/autoscaling.x-k8s.io/v1beta1/namespaces/default/capacitybuffers", &buffer)?;
    live.controller(&[])?;
    live.until("room for two pods", |live| {
        let cores = |node: &Value| -> i64 {
            let cpu = text(&node["status"]["allocatable"]["cpu"]);
            cpu.strip_suffix('m').and_then(|cpu| cpu.parse().ok()).unwrap_or(0)
        };
        Ok(live.nodes()?.iter().map(|node| cores(node) / 1500).sum::<i64>() == 2)
    })?;
    let reason = |object: &Value, kind: &str| -> String {
        let all = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        all.iter().find(|c| c["type"] == kind).map(|c| text(&c["reason"])).unwrap_or_default()
    };
    let path = "/apis/autoscaling.x-k8s.io/v1beta1/namespaces/default/capacitybuffers/room";
    live.until("a buffer that says that its room is there", |live| {
        let buffer = live.plane.get(path)?;
        Ok(reason(&buffer, "ReadyForProvisioning") == "Resolved"
            && reason(&buffer, "Provisioning") == "FitsExistingCapacity"
            && buffer["status"]["replicas"] == 2)
    })?;
    live.plane.patch(path, &json!({ "spec": { "podTemplateRef": { "name": "nobody" } } }))?;
    live.until("a buffer that cannot be read", |live| {
        Ok(reason(&live.plane.get(path)?, "ReadyForProvisioning") == "PodTemplateNotFound")
    })
}

pub(super) fn overlays_say_what_is_wrong(live: &mut Live) -> Result<(), Failure> {
    live.pool("default", json!({}))?;
    live.controller(&[])?;
    let overlay = |name: &str, weight: i32, adjustment: &str| {
        json!({ "apiVersion": "karpenter.sh/v1alpha1", "kind": "NodeOverlay", "metadata": { "name": name },
            "spec": { "weight": weight, "priceAdjustment": adjustment, "requirements": [
                { "key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"] } ] } })
    };
    let path = "/apis/karpenter.sh/v1alpha1/nodeoverlays";
    for (name, weight, change) in [("first", 5, "+10%"), ("second", 5, "-10%"), ("third", 6, "-20%"), ("odd", 1, "ten")]
    {
        live.plane.create(path, &overlay(name, weight, change))?;
    }
    let expected = [
        ("first", "Conflict"),
        ("odd", "RuntimeValidation"),
        ("second", "ValidationSucceeded"),
        ("third", "ValidationSucceeded"),
    ];
    live.until("what each overlay says", |live| {
        let said: Vec<(String, String)> = live
            .list(path)?
            .iter()
            .map(|object| {
                let all = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
                let own = all.iter().find(|c| c["type"] == "ValidationSucceeded");
                (text(&object["metadata"]["name"]), own.map(|c| text(&c["reason"])).unwrap_or_default())
            })
            .collect();
        Ok(said.iter().map(|(name, reason)| (name.as_str(), reason.as_str())).eq(expected))
    })
}

pub(super) fn a_snapshot_replays_the_cluster(live: &mut Live) -> Result<(), Failure> {
    live.pool("default", json!({}))?;
    live.controller(&[])?;
    live.deployment("shop", 4, ("900m", "1Gi"), json!({}))?;
    live.until_running(4)?;
    // More pods than the pool may launch for.
    live.plane.patch("/apis/karpenter.sh/v1/nodepools/default", &json!({ "spec": { "limits": { "cpu": "4" } } }))?;
    live.scale("shop", 6)?;
    live.until("pods without a place", |live| Ok(live.said("FailedScheduling")?.contains("limit")))?;
    for flags in [&["snapshot"][..], &["snapshot", "--mask-names"][..]] {
        let text = live.stowage(flags, "")?;
        check(flags.len() == 1 || !text.contains("shop"), || {
            format!(
                "a name was not masked: {}",
                text.split("shop").next().unwrap_or_default().chars().rev().take(80).collect::<String>()
            )
        })?;
        let types = live.plane.folder().join("types.json").display().to_string();
        let plan = live.stowage(&["plan", "-", "-o", "json", "--catalog", &types], &text)?;
        let plan: Value = serde_json::from_str(&plan)?;
        let summary = &plan["summary"];
        check(plan["unplaced"].as_array().is_some_and(|pods| pods.len() == 2), || format!("{summary}"))?;
        check(plan["nodes"].as_array().is_some_and(Vec::is_empty), || format!("{summary}"))?;
    }
    Ok(())
}

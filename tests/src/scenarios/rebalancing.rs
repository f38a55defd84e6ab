//! Pods that are badly placed move though their nodes stay.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{check, nothing_leaked};
use crate::Failure;
use crate::live::Live;

const POLICY: &str = "
apiVersion: descheduler/v1alpha2
kind: DeschedulerPolicy
profiles:
  - name: tidy
    pluginConfig:
      - { name: DefaultEvictor, args: { evictFailedBarePods: true } }
      - { name: RemoveFailedPods, args: { minPodLifetimeSeconds: 0 } }
    plugins:
      deschedule: { enabled: [RemoveFailedPods] }
      balance: { enabled: [RemoveDuplicates] }
";

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// How many running pods each node has.
fn counts(live: &Live) -> Result<BTreeMap<String, usize>, Failure> {
    let mut counts = BTreeMap::new();
    for pod in live.running()?.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()) {
        *counts.entry(text(&pod["spec"]["nodeName"])).or_default() += 1;
    }
    Ok(counts)
}

/// One node was away while its pods came: they share both nodes once it is back, and a
/// pod that has failed is cleared away.
pub(super) fn pods_share_a_node_that_came_back(live: &mut Live) -> Result<(), Failure> {
    let path = live.plane.folder().join("policy.yaml");
    std::fs::write(&path, POLICY)?;
    let path = path.display().to_string();
    let flags = ["--disruption-validation", "500ms", "--rebalance-interval", "2s", "--rebalance-policy", path.as_str()];
    live.controller(&flags)?;
    live.pool("fixed", json!({ "replicas": 2, "disruption": { "budgets": [{ "nodes": "1" }] } }))?;
    live.until("two nodes", |live| Ok(live.nodes()?.iter().filter(|node| is_open(node)).count() == 2))?;
    let back = text(&live.nodes()?[0]["metadata"]["name"]);
    let node = format!("/api/v1/nodes/{back}");
    live.plane.patch(&node, &json!({ "spec": { "unschedulable": true } }))?;
    live.deployment("web", 2, ("100m", "64Mi"), json!({}))?;
    live.until_running(2)?;
    check(!counts(live)?.contains_key(&back), || "a pod is on a node that is shut".to_owned())?;
    live.plane.patch(&node, &json!({ "spec": { "unschedulable": null } }))?;
    live.until("one pod on each node", |live| {
        let counts = counts(live)?;
        Ok(counts.len() == 2 && counts.values().all(|count| *count == 1))
    })?;
    check(live.metric("stowage_pods_rebalanced_total", "RemoveDuplicates")? == 1.0, || {
        "not one pod was moved, or more".to_owned()
    })?;
    check(!live.said("RemoveDuplicates")?.is_empty(), || "nobody said why a pod went".to_owned())?;

    let gated = json!({
        "metadata": { "name": "spoilt" },
        "spec": { "schedulingGates": [{ "name": "example.com/never" }], "containers": [{ "name": "c", "image": "i" }] },
    });
    live.plane.create("/api/v1/namespaces/default/pods", &gated)?;
    let spoilt = "/api/v1/namespaces/default/pods/spoilt";
    live.plane.patch(&format!("{spoilt}/status"), &json!({ "status": { "phase": "Failed" } }))?;
    live.until("the failed pod is gone", |live| {
        let pods = live.list("/api/v1/namespaces/default/pods")?;
        Ok(pods.iter().all(|pod| pod["metadata"]["name"] != "spoilt"))
    })?;
    // The node that lost a pod takes others again, and nobody moves any more.
    live.until("open nodes", |live| Ok(live.nodes()?.iter().all(is_open)))?;
    check(live.metric("stowage_pods_rebalanced_total", "RemoveDuplicates")? == 1.0, || "pods go on moving".to_owned())?;
    live.scale("web", 0)?;
    live.plane.patch("/apis/karpenter.sh/v1/nodepools/fixed", &json!({ "spec": { "replicas": 0 } }))?;
    live.until_nothing()?;
    nothing_leaked(live)
}

fn is_open(node: &Value) -> bool {
    node["spec"]["taints"].as_array().is_none_or(Vec::is_empty) && node["spec"]["unschedulable"] != true
}

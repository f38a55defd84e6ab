//! A cluster that was packed well once and then scaled down: the nodes of a plan,
//! with a part of the pods that the plan put there.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::pods::Random;

/// The snapshot of a plan's nodes, each workload scaled to about `share` of its
/// pods at random. Pods of the same spec are a workload.
pub fn scaled_down(plan: &Value, pods: &Value, types: &Value, share: f64, seed: u64) -> Value {
    let mut random = Random::new(seed);
    let by_name: BTreeMap<&str, &Value> =
        list(&pods["items"]).map(|pod| (text(&pod["metadata"]["name"]), pod)).collect();
    let kinds: BTreeMap<&str, &Value> = list(types).map(|kind| (text(&kind["name"]), kind)).collect();
    let mut workloads: BTreeMap<String, (usize, f64)> = BTreeMap::new();
    let mut items = vec![pool()];
    for (index, node) in list(&plan["nodes"]).enumerate() {
        let name = format!("node-{index:05}");
        let Some(kind) = kinds.get(text(&node["instanceType"])) else { continue };
        items.push(machine(&name, node, kind));
        for pod in list(&node["pods"]) {
            let pod_name = text(pod).rsplit('/').next().unwrap_or_default();
            let Some(pod) = by_name.get(pod_name) else { continue };
            let count = workloads.len();
            // Around the share, so that some workloads all but vanish and others stay.
            let drawn = (share * 2.0 * random.unit()).min(1.0);
            let (workload, kept) = *workloads.entry(pod["spec"].to_string()).or_insert((count, drawn));
            if random.unit() < kept {
                items.push(running(pod, pod_name, &name, workload));
            }
        }
    }
    json!({ "apiVersion": "v1", "kind": "List", "items": items })
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn pool() -> Value {
    json!({
        "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": { "name": "default" },
        "spec": {
            "disruption": { "consolidateAfter": "0s", "budgets": [{ "nodes": "100%" }] },
            "template": { "spec": {
                "nodeClassRef": { "group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "default" },
                "requirements": [],
            } },
        },
    })
}

fn machine(name: &str, node: &Value, kind: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": name, "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {
            "karpenter.sh/nodepool": "default", "karpenter.sh/registered": "true", "karpenter.sh/initialized": "true",
            "node.kubernetes.io/instance-type": node["instanceType"], "topology.kubernetes.io/zone": node["zone"],
            "karpenter.sh/capacity-type": node["capacityType"], "kubernetes.io/arch": kind["architecture"],
            "kubernetes.io/os": "linux", "kubernetes.io/hostname": name,
        } },
        "spec": { "providerID": format!("kwok://{name}") },
        "status": {
            "capacity": kind["resources"], "allocatable": kind["resources"],
            "conditions": [{ "type": "Ready", "status": "True" }],
        },
    })
}

fn running(pod: &Value, name: &str, node: &str, workload: usize) -> Value {
    let mut pod = pod.clone();
    pod["metadata"] = json!({
        "name": name, "namespace": "bench", "labels": { "app": format!("app-{workload}") },
        "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("app-{workload}"), "uid": "u", "controller": true }],
    });
    pod["spec"]["nodeName"] = json!(node);
    pod["status"] = json!({ "phase": "Running", "startTime": "2026-01-01T00:00:00Z" });
    pod
}

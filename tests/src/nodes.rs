//! Planned nodes on a real API server.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::cases;

/// A planned node as its kubelet would register it.
pub fn planned(name: &str, node: &Value, pools: &BTreeMap<&str, &Value>) -> Value {
    let types = cases::catalog();
    let kind = types.as_array().into_iter().flatten().find(|t| t["name"] == node["instanceType"]).cloned();
    let kind = kind.unwrap_or_default();
    let cores: i64 = kind["resources"]["cpu"].as_str().and_then(|cpu| cpu.parse().ok()).unwrap_or(0);
    let resources = json!({
        "cpu": format!("{}m", cores * 1000 - 100), "memory": format!("{}Mi", cores * 4 * 1024 - 10), "pods": "110",
    });
    let mut labels = json!({
        "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": kind["architecture"],
        "node.kubernetes.io/instance-type": node["instanceType"], "topology.kubernetes.io/zone": node["zone"],
        "karpenter.sh/capacity-type": node["capacityType"], "karpenter.sh/nodepool": node["nodePool"],
    });
    for (key, value) in node["labels"].as_object().into_iter().flatten() {
        labels[key] = value.clone();
    }
    let pool = pools.get(node["nodePool"].as_str().unwrap_or_default()).copied().cloned().unwrap_or_default();
    json!({
        "apiVersion": "v1", "kind": "Node", "metadata": { "name": name, "labels": labels },
        "spec": { "taints": pool["spec"]["template"]["spec"]["taints"] },
        "status": { "capacity": resources, "allocatable": resources, "conditions": [{ "type": "Ready", "status": "True" }] },
    })
}

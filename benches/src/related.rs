//! Pods with rules about other pods, existing nodes, and many pools.

use serde_json::{Value, json};

use crate::pods::Random;

const ZONE: &str = "topology.kubernetes.io/zone";
const HOST: &str = "kubernetes.io/hostname";
const LABELS: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];

fn pod(name: String, labels: &Value, random: &mut Random, mut spec: Value) -> Value {
    let cpu = random.pick(&[100, 250, 500, 1000, 1500]);
    let memory = random.pick(&[100, 256, 512, 1024, 2048, 4096]);
    spec["containers"] = json!([{ "name": "main", "image": "example/main",
        "resources": { "requests": { "cpu": format!("{cpu}m"), "memory": format!("{memory}Mi") } } }]);
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "namespace": "bench", "labels": labels },
        "spec": spec,
        "status": { "phase": "Pending", "conditions": [{ "type": "PodScheduled", "status": "False", "reason": "Unschedulable" }] },
    })
}

fn list(items: Vec<Value>) -> Value {
    json!({ "apiVersion": "v1", "kind": "List", "items": items })
}

/// The diverse pods of Karpenter's scheduling benchmark, in fifths: generic, zone
/// spread, hostname spread, zonal affinity, hostname anti-affinity. As wishes, all
/// of them are preferred only.
pub fn diverse(count: usize, seed: u64, wishes: bool) -> Value {
    let mut random = Random::new(seed);
    let affinity = |kind: &str, labels: &Value, key: &str| {
        let term = json!({ "labelSelector": { "matchLabels": labels }, "topologyKey": key });
        let terms = if wishes {
            json!({ "preferredDuringSchedulingIgnoredDuringExecution": [{ "weight": 1, "podAffinityTerm": term }] })
        } else {
            json!({ "requiredDuringSchedulingIgnoredDuringExecution": [term] })
        };
        json!({ "affinity": { kind: terms } })
    };
    let pods = (0..count).map(|i| {
        let own = json!({ "my-label": random.pick(&LABELS) });
        let (labels, spec) = match i % 5 {
            1 | 2 => {
                let when = if wishes { "ScheduleAnyway" } else { "DoNotSchedule" };
                let constraint = json!({
                    "maxSkew": 1, "topologyKey": if i % 5 == 1 { ZONE } else { HOST }, "whenUnsatisfiable": when,
                    "labelSelector": { "matchLabels": { "my-label": random.pick(&LABELS) } } });
                (own, json!({ "topologySpreadConstraints": [constraint] }))
            }
            3 => {
                let labels = json!({ "my-affinity": random.pick(&LABELS) });
                let spec = affinity("podAffinity", &labels, ZONE);
                (labels, spec)
            }
            4 => {
                let labels = json!({ "app": "nginx" });
                let spec = affinity("podAntiAffinity", &labels, HOST);
                (labels, spec)
            }
            _ => (own, json!({})),
        };
        pod(format!("pod-{i}"), &labels, &mut random, spec)
    });
    list(pods.collect())
}

/// Nodes of four cores, each with one pod of half of it, and pods that wait.
pub fn half_full(nodes: usize, count: usize, seed: u64) -> Value {
    let mut random = Random::new(seed);
    let mut items = Vec::new();
    for index in 0..nodes {
        let name = format!("node-{index}");
        let zone = random.pick(&["us-east-1a", "us-east-1b", "us-east-1c"]);
        let resources = json!({ "cpu": "4", "memory": "16Gi", "pods": "110" });
        items.push(json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": { "name": name, "labels": { ZONE: zone, HOST: name, "kubernetes.io/arch": "amd64",
                "kubernetes.io/os": "linux", "karpenter.sh/capacity-type": "on-demand" } },
            "spec": { "providerID": format!("bench://{name}") },
            "status": { "capacity": resources, "allocatable": resources, "conditions": [{ "type": "Ready", "status": "True" }] },
        }));
        items.push(json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": format!("running-{index}"), "namespace": "bench" },
            "spec": { "nodeName": name, "containers": [{ "name": "main", "image": "example/main",
                "resources": { "requests": { "cpu": "2", "memory": "8Gi" } } }] },
            "status": { "phase": "Running" },
        }));
    }
    items.extend((0..count).map(|i| pod(format!("pod-{i}"), &json!({}), &mut random, json!({}))));
    list(items)
}

/// Pools with a taint of their own and growing weights; each pod tolerates one.
pub fn pooled(pools: usize, count: usize, seed: u64) -> Value {
    let mut random = Random::new(seed);
    let team = |index: usize| format!("team-{index}");
    let pool = |index: usize| {
        json!({
            "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": { "name": team(index) },
            "spec": { "weight": index + 1, "limits": { "cpu": "1000000000" }, "template": { "spec": {
                "nodeClassRef": { "group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "default" },
                "taints": [{ "key": "team", "value": team(index), "effect": "NoSchedule" }],
                "requirements": [{ "key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand"] }] } } },
        })
    };
    let mut items: Vec<Value> = (0..pools).map(pool).collect();
    let numbers: Vec<usize> = (0..pools).collect();
    for i in 0..count {
        let toleration = json!({ "key": "team", "value": team(random.pick(&numbers)), "effect": "NoSchedule" });
        items.push(pod(format!("pod-{i}"), &json!({}), &mut random, json!({ "tolerations": [toleration] })));
    }
    list(items)
}

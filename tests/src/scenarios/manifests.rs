//! What the API server accepts and refuses, with our definitions.

use serde_json::{Value, json};

use super::check;
use crate::Failure;
use crate::live::{Live, merge};

const POOLS: &str = "/apis/karpenter.sh/v1/nodepools";

/// A change of a NodePool that is fine, and what the server says of the result;
/// nothing where it accepts.
fn pools() -> Vec<(Value, Option<&'static str>)> {
    let spec = |change: Value| json!({ "spec": change });
    let inner = |change: Value| json!({ "spec": { "template": { "spec": change } } });
    let requirement = |entry: Value| inner(json!({ "requirements": [entry] }));
    let labels =
        |key: &str, value: &str| json!({ "spec": { "template": { "metadata": { "labels": { key: value } } } } });
    let budget = |entry: Value| spec(json!({ "disruption": { "budgets": [entry] } }));
    vec![
        (json!({}), None),
        (
            requirement(
                json!({ "key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["m5.large"], "minValues": 1 }),
            ),
            None,
        ),
        (
            requirement(json!({ "key": "karpenter.k8s.aws/instance-generation", "operator": "Gt", "values": ["2"] })),
            None,
        ),
        (
            requirement(json!({ "key": "kubernetes.io/arch", "operator": "In", "values": [] })),
            Some("must have a value defined"),
        ),
        (requirement(json!({ "key": "a", "operator": "Gt", "values": ["1", "2"] })), Some("single positive integer")),
        (requirement(json!({ "key": "a", "operator": "Gt", "values": ["-1"] })), Some("single positive integer")),
        (requirement(json!({ "key": "a", "operator": "In", "values": ["x"], "minValues": 2 })), Some("minValues")),
        (requirement(json!({ "key": "a", "operator": "In", "values": ["x"], "minValues": 51 })), Some("minValues")),
        (requirement(json!({ "key": "a", "operator": "Like", "values": ["x"] })), Some("operator")),
        (requirement(json!({ "key": "kubernetes.io/custom", "operator": "Exists" })), Some("restricted")),
        (requirement(json!({ "key": "node-restriction.kubernetes.io/custom", "operator": "Exists" })), None),
        (requirement(json!({ "key": "karpenter.sh/nodepool", "operator": "In", "values": ["x"] })), Some("restricted")),
        (
            requirement(json!({ "key": "kubernetes.io/hostname", "operator": "In", "values": ["x"] })),
            Some("restricted"),
        ),
        (requirement(json!({ "key": "kops.k8s.io/instancegroup", "operator": "Exists" })), None),
        (requirement(json!({ "key": "other.k8s.io/x", "operator": "Exists" })), Some("restricted")),
        (requirement(json!({ "key": "not a label!", "operator": "Exists" })), Some("key")),
        (labels("team", "web"), None),
        (labels("team", "not a value!"), Some("team")),
        (labels("karpenter.sh/initialized", "true"), Some("restricted")),
        (labels("kubernetes.io/hostname", "x"), Some("restricted")),
        (inner(json!({ "expireAfter": "Never" })), None),
        (inner(json!({ "expireAfter": "30d" })), Some("expireAfter")),
        (inner(json!({ "terminationGracePeriod": "1h30m" })), None),
        (inner(json!({ "terminationGracePeriod": "Never" })), Some("terminationGracePeriod")),
        (inner(json!({ "taints": [{ "key": "a", "effect": "Evict" }] })), Some("effect")),
        (inner(json!({ "taints": [{ "key": "", "effect": "NoSchedule" }] })), Some("key")),
        (inner(json!({ "nodeClassRef": { "name": "" } })), Some("name may not be empty")),
        (inner(json!({ "nodeClassRef": { "group": "a/b" } })), Some("group")),
        (budget(json!({ "nodes": "10%" })), None),
        (budget(json!({ "nodes": "101%" })), Some("nodes")),
        (budget(json!({ "nodes": "5", "schedule": "@daily" })), Some("'schedule' must be set with 'duration'")),
        (budget(json!({ "nodes": "5", "schedule": "0 9 * * 1-5", "duration": "8h" })), None),
        (budget(json!({ "nodes": "5", "schedule": "daily", "duration": "8h" })), Some("schedule")),
        (budget(json!({ "nodes": "5", "schedule": "@daily", "duration": "30s" })), Some("duration")),
        (budget(json!({ "nodes": "5", "reasons": ["Bored"] })), Some("reasons")),
        (spec(json!({ "disruption": { "consolidateAfter": "5" } })), Some("consolidateAfter")),
        (spec(json!({ "disruption": { "consolidationPolicy": "Balanced" } })), None),
        (spec(json!({ "disruption": { "consolidationPolicy": "Always" } })), Some("consolidationPolicy")),
        (spec(json!({ "weight": 0 })), Some("weight")),
        (spec(json!({ "weight": 101 })), Some("weight")),
        (spec(json!({ "replicas": 3 })), None),
        (spec(json!({ "replicas": 3, "weight": 1 })), Some("static NodePools")),
        (spec(json!({ "replicas": 3, "limits": { "cpu": "1" } })), Some("limits.nodes")),
        (spec(json!({ "replicas": 3, "limits": { "nodes": "5" } })), None),
        (spec(json!({ "replicas": -1 })), Some("replicas")),
    ]
}

pub(super) fn manifests_are_accepted_and_refused(live: &mut Live) -> Result<(), Failure> {
    for (change, refusal) in pools() {
        let mut pool = live.pool_object("tried");
        merge(&mut pool, change.clone());
        let said = live.plane.create(&format!("{POOLS}?dryRun=All"), &pool).err().map(|error| error.to_string());
        let answer = said.as_deref().and_then(|said| said.split(": {").nth(1)).unwrap_or_default();
        let right = match refusal {
            None => said.is_none(),
            Some(word) => said.as_deref().is_some_and(|said| said.contains("422")) && answer.contains(word),
        };
        check(right, || format!("{change}: wanted {refusal:?}, got {said:?}"))?;
    }
    defaults_and_transitions(live)
}

/// What is filled in, and what may not change.
fn defaults_and_transitions(live: &Live) -> Result<(), Failure> {
    let mut bare = live.pool_object("bare");
    bare["spec"].as_object_mut().map(|spec| spec.remove("disruption"));
    let made = live.plane.create(POOLS, &bare)?;
    let spec = &made["spec"];
    check(spec["template"]["spec"]["expireAfter"] == "720h", || format!("{spec}"))?;
    check(spec["disruption"]["consolidateAfter"] == "0s", || format!("{spec}"))?;
    check(spec["disruption"]["consolidationPolicy"] == "WhenEmptyOrUnderutilized", || format!("{spec}"))?;
    check(spec["disruption"]["budgets"] == json!([{ "nodes": "10%" }]), || format!("{spec}"))?;
    let path = format!("{POOLS}/bare");
    for (change, word) in [
        (json!({ "spec": { "replicas": 1 } }), "cannot transition"),
        (json!({ "spec": { "template": { "spec": { "nodeClassRef": { "group": "other" } } } } }), "group is immutable"),
        (json!({ "spec": { "template": { "spec": { "nodeClassRef": { "kind": "Other" } } } } }), "kind is immutable"),
    ] {
        let said = live.plane.patch(&path, &change).err().map(|error| error.to_string()).unwrap_or_default();
        check(said.contains(word), || format!("{change}: {said:?}"))?;
    }
    let claims = "/apis/karpenter.sh/v1/nodeclaims";
    let claim = json!({ "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "metadata": { "name": "fixed" },
        "spec": { "requirements": [], "nodeClassRef": { "group": "g", "kind": "k", "name": "n" } } });
    live.plane.create(claims, &claim)?;
    let said = live.plane.patch(&format!("{claims}/fixed"), &json!({ "spec": { "expireAfter": "1h" } }));
    check(said.is_err_and(|error| error.to_string().contains("spec is immutable")), || "a claim was changed".to_owned())
}

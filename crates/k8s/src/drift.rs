//! Whether a node is still what its pool says.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::{Map, Value};
use stowage_model::{Digest, labels};

use crate::lower::node_pool;
use crate::v1::{NodeClaim, NodePool};
use crate::{conditions, names};

/// What pool and claim alone tell.
const OWN: [&str; 2] = ["NodePoolDrifted", "RequirementsDrifted"];

/// A hash of what every node of the pool is made from. Lists are sets, and what
/// is empty counts as absent.
pub fn hash(pool: &NodePool) -> String {
    let mut template = serde_json::to_value(&pool.spec.template).unwrap_or_default();
    if let Some(spec) = template.get_mut("spec").and_then(Value::as_object_mut) {
        // Requirements narrow what is launched next; they are compared by value.
        spec.remove("requirements");
    }
    let mut digest = Digest::default();
    digest.add(canonical(&template).to_string().as_bytes());
    digest.to_string()
}

fn canonical(value: &Value) -> Value {
    match value {
        Value::Array(list) => {
            let mut all: Vec<Value> = list.iter().map(canonical).collect();
            all.sort_by_key(ToString::to_string);
            Value::Array(all)
        }
        Value::Object(map) => {
            let kept =
                map.iter().map(|(key, value)| (key.clone(), canonical(value))).filter(|(_, value)| !is_zero(value));
            Value::Object(kept.collect::<Map<String, Value>>())
        }
        other => other.clone(),
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_i64() == Some(0),
    }
}

/// Why a claim is not what its pool says any more, as the condition's reason. A
/// hash that was computed in another way proves nothing.
pub fn reason(claim: &NodeClaim, pool: &NodePool) -> Option<String> {
    let note = |key: &str| claim.metadata.annotations.as_ref().and_then(|all| all.get(key)).map(String::as_str);
    let comparable = note(names::POOL_HASH_VERSION) == Some(names::HASH_VERSION);
    if comparable && note(names::POOL_HASH).is_some_and(|known| known != hash(pool)) {
        return Some(OWN[0].to_owned());
    }
    let wanted = node_pool::requirements(&pool.spec.template.spec.requirements, "").ok()?;
    let own = claim.metadata.labels.clone().unwrap_or_default();
    let launched = own.contains_key(labels::INSTANCE_TYPE);
    let differs = wanted.iter().any(|(key, requirement)| !requirement.admits(own.get(key).map(String::as_str)));
    (launched && differs).then(|| OWN[1].to_owned())
}

/// What was found out elsewhere and written down: by the provider, or in the
/// catalogue. What can be read off pool and claim is not believed but computed.
pub fn told(conditions: Option<&Vec<Condition>>) -> Option<String> {
    let said = conditions::find(conditions, "Drifted").filter(|condition| condition.status == "True")?;
    (!OWN.contains(&said.reason.as_str())).then(|| said.reason.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pool(template: Value) -> NodePool {
        let spec = json!({ "template": template });
        let object =
            json!({ "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": { "name": "p" }, "spec": spec });
        serde_json::from_value(object).unwrap_or_default()
    }

    fn template(taints: Value, requirements: Value, expire: Value) -> Value {
        json!({ "spec": {
            "taints": taints, "requirements": requirements, "expireAfter": expire,
            "nodeClassRef": { "group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "default" },
        } })
    }

    #[test]
    fn the_hash_follows_what_nodes_are_made_from_and_nothing_else() {
        let (a, b) = (json!({ "key": "a", "effect": "NoSchedule" }), json!({ "key": "b", "effect": "NoSchedule" }));
        let any = json!([]);
        let one = hash(&pool(template(json!([a, b]), any.clone(), json!("720h"))));
        assert_eq!(one, hash(&pool(template(json!([b, a]), any.clone(), json!("720h")))));
        let narrowed = json!([{ "key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"] }]);
        assert_eq!(one, hash(&pool(template(json!([a, b]), narrowed, json!("720h")))));
        assert_ne!(one, hash(&pool(template(json!([a]), any.clone(), json!("720h")))));
        assert_ne!(one, hash(&pool(template(json!([a, b]), any, json!("24h")))));
    }

    #[test]
    fn a_claim_drifts_from_the_template_and_from_requirements() {
        let arch = json!([{ "key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"] }]);
        let pool = pool(template(json!([]), arch, json!("720h")));
        let claim = |hash: &str, version: &str, arch: &str| -> NodeClaim {
            serde_json::from_value(json!({
                "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim",
                "metadata": { "name": "c",
                    "annotations": { names::POOL_HASH: hash, names::POOL_HASH_VERSION: version },
                    "labels": { "kubernetes.io/arch": arch, labels::INSTANCE_TYPE: "m.large" } },
                "spec": { "requirements": [], "nodeClassRef": { "group": "g", "kind": "k", "name": "n" } },
            }))
            .unwrap_or_default()
        };
        let same = hash(&pool);
        assert_eq!(reason(&claim(&same, names::HASH_VERSION, "amd64"), &pool), None);
        assert_eq!(reason(&claim("other", names::HASH_VERSION, "amd64"), &pool).as_deref(), Some("NodePoolDrifted"));
        assert_eq!(reason(&claim("other", "v3", "amd64"), &pool), None);
        assert_eq!(reason(&claim(&same, "v3", "arm64"), &pool).as_deref(), Some("RequirementsDrifted"));
    }
}

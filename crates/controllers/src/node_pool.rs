//! NodePools: are they fit to launch from, what do they hold, what is the hash of
//! their template.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Map, Value, json};
use stowage_k8s::cluster::Cluster;
use stowage_k8s::conditions::{self, Says, holds};
use stowage_k8s::object::Object;
use stowage_k8s::v1::{NodeClaim, NodeClassReference, NodePool};
use stowage_k8s::{lower, names, raise};
use stowage_model::{ResourceName, Resources, labels};
use tracing::{info, warn};

use crate::context::Context;
use crate::state::{State, named};
use crate::view::View;

/// Whether a pool may be launched from, or why not.
pub fn readiness(pool: &NodePool, class_exists: impl Fn(&NodeClassReference) -> bool) -> Result<(), Unfit> {
    let mut copy = pool.clone();
    copy.metadata.deletion_timestamp = None;
    if let Err(error) = Cluster::default().apply(Object::NodePool(Box::new(copy))) {
        return Err(Unfit::Invalid(error.to_string()));
    }
    let class = &pool.spec.template.spec.node_class_ref;
    if !class_exists(class) {
        return Err(Unfit::NoClass(format!("{} {} is not there", class.kind, class.name)));
    }
    Ok(())
}

/// What keeps a pool from being launched from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Its specification.
    Invalid(String),
    /// Its NodeClass.
    NoClass(String),
}

/// Whether the class of a pool is there and not going away.
pub fn class_exists(state: &State, reference: &NodeClassReference) -> bool {
    match reference.kind.as_str() {
        "EC2NodeClass" => {
            named(&state.ec2_classes, &reference.name).is_some_and(|c| c.metadata.deletion_timestamp.is_none())
        }
        "KWOKNodeClass" => {
            named(&state.kwok_classes, &reference.name).is_some_and(|c| c.metadata.deletion_timestamp.is_none())
        }
        _ => false,
    }
}

/// Whether somebody froze the pool.
pub fn is_frozen(pool: &NodePool) -> bool {
    pool.metadata.annotations.as_ref().and_then(|all| all.get(names::FROZEN)).is_some_and(|value| value == "true")
}

/// A hash of what every node of the pool is made from. Lists are sets, and what
/// is empty counts as absent.
pub fn hash(pool: &NodePool) -> String {
    let mut template = serde_json::to_value(&pool.spec.template).unwrap_or_default();
    if let Some(spec) = template.get_mut("spec").and_then(Value::as_object_mut) {
        // Requirements narrow what is launched next; drift compares them by value.
        spec.remove("requirements");
    }
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in canonical(&template).to_string().bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash.to_string()
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

/// The annotations that a pool should have and lacks.
fn annotations(pool: &NodePool) -> Option<Value> {
    let wanted = [(names::POOL_HASH, hash(pool)), (names::POOL_HASH_VERSION, names::HASH_VERSION.to_owned())];
    let own = pool.metadata.annotations.clone().unwrap_or_default();
    let differs = wanted.iter().any(|(key, value)| own.get(*key) != Some(value));
    let wanted: BTreeMap<&str, String> = wanted.into_iter().collect();
    differs.then(|| json!({ "metadata": { "annotations": wanted } }))
}

/// The status that a pool should have. `None` where it has it.
fn status(pool: &NodePool, claims: &[&NodeClaim], fit: &Result<(), Unfit>, now: Timestamp) -> Option<Value> {
    let old = pool.status.clone().unwrap_or_default();
    let mut all: Vec<Condition> = old.conditions.clone().unwrap_or_default();
    let generation = pool.metadata.generation;
    let (valid, class) = match fit {
        Ok(()) => (holds("ValidationSucceeded"), holds("NodeClassReady")),
        Err(Unfit::Invalid(why)) => {
            let says = |kind, status, message| Says { kind, status, reason: "NodePoolValidationFailed", message };
            (says("ValidationSucceeded", "False", why.as_str()), says("NodeClassReady", "Unknown", ""))
        }
        Err(Unfit::NoClass(why)) => (
            holds("ValidationSucceeded"),
            Says { kind: "NodeClassReady", status: "False", reason: "NodeClassNotFound", message: why },
        ),
    };
    let mut changed = conditions::set(&mut all, &valid, generation, now);
    changed |= conditions::set(&mut all, &class, generation, now);
    changed |= conditions::summarize(&mut all, &["ValidationSucceeded", "NodeClassReady"], generation, now);
    let mut sum = Resources::new();
    for claim in claims {
        if let Ok(capacity) = lower::capacity(claim) {
            sum.add(&capacity);
        }
    }
    let mut resources: BTreeMap<String, String> =
        raise::quantities(&sum).into_iter().map(|(name, amount)| (name, amount.0)).collect();
    for name in [ResourceName::CPU, ResourceName::MEMORY, ResourceName::PODS, ResourceName::EPHEMERAL_STORAGE] {
        resources.entry(name.to_owned()).or_insert_with(|| "0".to_owned());
    }
    resources.insert(ResourceName::NODES.to_owned(), claims.len().to_string());
    let known: BTreeMap<String, String> =
        old.resources.clone().unwrap_or_default().into_iter().map(|(name, amount)| (name, amount.0)).collect();
    let nodes = i64::try_from(claims.len()).unwrap_or(i64::MAX);
    if !changed && known == resources && old.nodes == Some(nodes) {
        return None;
    }
    Some(json!({ "status": { "conditions": all, "resources": resources, "nodes": nodes } }))
}

/// Keeps the pools' annotations and status true.
pub async fn run(ctx: Arc<Context>) {
    let api: Api<NodePool> = Api::all(ctx.client.clone());
    let mut changes = ctx.state.changes();
    loop {
        let view = View::take(&ctx.state);
        for (name, pool) in &view.pools {
            let owned = |claim: &&NodeClaim| {
                let label = claim.metadata.labels.as_ref().and_then(|all| all.get(labels::NODEPOOL));
                label == Some(name) && claim.metadata.deletion_timestamp.is_none()
            };
            let claims: Vec<&NodeClaim> = view.claims.values().map(|claim| &**claim).filter(owned).collect();
            let fit = readiness(pool, |reference| class_exists(&ctx.state, reference));
            let written = match annotations(pool) {
                Some(patch) => api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.map(|_| ()),
                None => Ok(()),
            };
            let written = match (written, status(pool, &claims, &fit, ctx.clock.now())) {
                (Ok(()), Some(patch)) => {
                    info!(node_pool = %name, "status written");
                    api.patch_status(name, &PatchParams::default(), &Patch::Merge(&patch)).await.map(|_| ())
                }
                (written, _) => written,
            };
            if let Err(error) = written {
                warn!(node_pool = %name, %error, "the pool's status was not written; it is tried again");
            }
        }
        crate::wait_for_change(&mut changes).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_pool_without_its_class_is_not_ready_and_says_why() {
        let pool = pool(template(json!([]), json!([]), json!("Never")));
        let fit = readiness(&pool, |_| false);
        assert!(matches!(&fit, Err(Unfit::NoClass(_))));
        let said = status(&pool, &[], &fit, Timestamp::UNIX_EPOCH).unwrap_or_default();
        let ready =
            said["status"]["conditions"].as_array().and_then(|all| all.iter().find(|c| c["type"] == "Ready").cloned());
        assert_eq!(ready.map(|c| c["status"].clone()), Some(json!("False")));
        assert_eq!(readiness(&pool, |_| true), Ok(()));
    }
}

//! NodePools: are they fit to launch from, what do they hold, what is the hash of
//! their template.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use stowage_k8s::cluster::Cluster;
use stowage_k8s::conditions::{self, Says, holds};
use stowage_k8s::drift::hash;
use stowage_k8s::object::Object;
use stowage_k8s::pool::is_frozen;
use stowage_k8s::v1::{NodeClaim, NodeClassReference, NodePool};
use stowage_k8s::{lower, names, raise};
use stowage_model::{ResourceName, Resources};
use tracing::{info, warn};

use crate::context::{Context, locked};
use crate::registration_health::Ring;
use crate::state::{State, named};

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

/// The generation of a pool's class.
fn class_generation(state: &State, reference: &NodeClassReference) -> Option<i64> {
    match reference.kind.as_str() {
        "EC2NodeClass" => named(&state.ec2_classes, &reference.name)?.metadata.generation,
        "KWOKNodeClass" => named(&state.kwok_classes, &reference.name)?.metadata.generation,
        _ => None,
    }
}

/// Whether nodes may be launched from the pool now.
pub fn is_open(pool: &NodePool, state: &State) -> bool {
    let fit = readiness(pool, |reference| class_exists(state, reference)).is_ok();
    fit && pool.metadata.deletion_timestamp.is_none() && !is_frozen(pool)
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
fn status(
    pool: &NodePool,
    claims: &[&NodeClaim],
    fit: &Result<(), Unfit>,
    health: &mut Ring,
    class: Option<i64>,
    now: Timestamp,
) -> Option<Value> {
    let old = pool.status.clone().unwrap_or_default();
    let mut all: Vec<Condition> = old.conditions.clone().unwrap_or_default();
    let generation = pool.metadata.generation;
    health.look((generation, class), conditions::find(Some(&all), "NodeRegistrationHealthy"));
    let (valid, ready) = match fit {
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
    changed |= conditions::set(&mut all, &ready, generation, now);
    changed |= health.write(&mut all, generation, now);
    changed |= class.is_some() && old.node_class_observed_generation != class;
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
    Some(json!({ "status": { "conditions": all, "resources": resources, "nodes": nodes,
        "nodeClassObservedGeneration": class } }))
}

/// Keeps the pools' annotations and status true.
pub async fn run(ctx: Arc<Context>) {
    let api: Api<NodePool> = Api::all(ctx.client.clone());
    let mut changes = ctx.state.changes();
    loop {
        let view = ctx.state.view();
        for (name, pool) in &view.pools {
            let claims: Vec<&NodeClaim> = view.kept_claims_of(name).map(|claim| &**claim).collect();
            let fit = readiness(pool, |reference| class_exists(&ctx.state, reference));
            let written = match annotations(pool) {
                Some(patch) => api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.map(|_| ()),
                None => Ok(()),
            };
            let patch = {
                let mut rings = locked(&ctx.registrations);
                let ring = rings.entry(name.clone()).or_default();
                let class = class_generation(&ctx.state, &pool.spec.template.spec.node_class_ref);
                status(pool, &claims, &fit, ring, class, ctx.clock.now())
            };
            let written = match (written, patch) {
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

    fn template(requirements: Value) -> Value {
        json!({ "spec": {
            "requirements": requirements,
            "nodeClassRef": { "group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "default" },
        } })
    }

    #[test]
    fn a_pool_without_its_class_is_not_ready_and_says_why() {
        let pool = pool(template(json!([])));
        let fit = readiness(&pool, |_| false);
        assert!(matches!(&fit, Err(Unfit::NoClass(_))));
        let said = status(&pool, &[], &fit, &mut Ring::default(), None, Timestamp::UNIX_EPOCH).unwrap_or_default();
        let ready =
            said["status"]["conditions"].as_array().and_then(|all| all.iter().find(|c| c["type"] == "Ready").cloned());
        assert_eq!(ready.map(|c| c["status"].clone()), Some(json!("False")));
        assert_eq!(readiness(&pool, |_| true), Ok(()));
    }
}

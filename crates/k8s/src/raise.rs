//! From a plan back to the NodeClaims that a controller would create.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Taint;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use stowage_model::{InstanceType, NewNode, NodePool, Problem, ResourceName, Resources, labels, launch};

use crate::v1::node_claim::ResourceRequirements;
use crate::v1::{NodeClaim, NodeClassReference, SelectorRequirement, node_claim::NodeClaimSpec};

/// The claim for one planned node. The packed type comes with every alternative,
/// so that a provider short of one type can take another.
pub fn node_claim(problem: &Problem, node: &NewNode) -> Option<NodeClaim> {
    let pool = problem.pools.iter().find(|pool| pool.name == node.pool)?;
    let mut requests = Resources::new();
    for pod in &node.pods {
        requests.add(&problem.shapes[problem.pods[*pod as usize].shape as usize].requests);
    }
    Some(claim_of(pool, node, &requests))
}

/// The claim for a node of `pool` whose pods ask for `requests` together.
pub fn claim_of(pool: &NodePool, node: &NewNode, requests: &Resources) -> NodeClaim {
    let mut own_labels = pool.labels.clone();
    own_labels.extend(node.labels.clone());
    own_labels.insert(labels::NODEPOOL.to_owned(), pool.name.clone());
    let class = &pool.node_class;
    if !class.group.is_empty() {
        own_labels.insert(format!("{}/{}", class.group, class.kind.to_lowercase()), class.name.clone());
    }
    let taints = |list: &[stowage_model::Taint]| -> Option<Vec<Taint>> {
        let raised = list.iter().map(|taint| Taint {
            key: taint.key.clone(),
            value: (!taint.value.is_empty()).then(|| taint.value.clone()),
            effect: taint.effect.as_str().to_owned(),
            time_added: None,
        });
        (!list.is_empty()).then(|| raised.collect())
    };
    let spec = NodeClaimSpec {
        taints: taints(&pool.taints),
        startup_taints: taints(&pool.startup_taints),
        requirements: requirements(pool, node),
        resources: ResourceRequirements { requests: quantities(requests) },
        node_class_ref: NodeClassReference {
            group: class.group.clone(),
            kind: class.kind.clone(),
            name: class.name.clone(),
        },
        termination_grace_period: pool.termination_grace_period.clone(),
        expire_after: pool.expire_after.clone(),
    };
    let metadata = ObjectMeta {
        generate_name: Some(format!("{}-", pool.name)),
        labels: Some(own_labels),
        annotations: (!pool.annotations.is_empty()).then(|| pool.annotations.clone()),
        ..ObjectMeta::default()
    };
    NodeClaim { metadata, spec, status: None }
}

/// The node that a pool launches where nothing but the price decides, and what
/// pods can have of it.
pub fn cheapest(pool: &NodePool, types: &[InstanceType]) -> Option<(NewNode, Resources)> {
    let launch = launch::cheapest(pool, types)?;
    let node = NewNode {
        pool: pool.name.clone(),
        instance_type: launch.instance_type.name.to_string(),
        zone: launch.offering.zone.to_string(),
        capacity_type: launch.offering.capacity_type,
        reservation: None,
        os: launch.os.to_owned(),
        labels: BTreeMap::new(),
        price: launch.offering.price,
        pods: Vec::new(),
        alternatives: Vec::new(),
    };
    Some((node, launch.instance_type.allocatable.clone()))
}

fn requirements(pool: &NodePool, node: &NewNode) -> Vec<SelectorRequirement> {
    let mut types: BTreeSet<String> = node.alternatives.iter().cloned().collect();
    types.insert(node.instance_type.clone());
    let mut pinned: BTreeMap<&str, Vec<String>> = BTreeMap::from([
        (labels::INSTANCE_TYPE, types.into_iter().collect()),
        (labels::ZONE, vec![node.zone.clone()]),
        (labels::CAPACITY_TYPE, vec![node.capacity_type.to_string()]),
        (labels::OS, vec![node.os.clone()]),
        (labels::NODEPOOL, vec![node.pool.clone()]),
    ]);
    pinned.extend(node.reservation.iter().map(|id| (labels::RESERVATION_ID, vec![id.clone()])));
    pinned.extend(node.labels.iter().map(|(key, value)| (key.as_str(), vec![value.clone()])));
    let mut all: Vec<SelectorRequirement> = pinned
        .iter()
        .map(|(key, values)| SelectorRequirement {
            key: (*key).to_owned(),
            operator: "In".to_owned(),
            values: Some(values.clone()),
            min_values: None,
        })
        .collect();
    for (key, requirement) in pool.requirements.iter() {
        if pinned.contains_key(key) {
            let kept = all.iter_mut().filter(|entry| entry.key == key);
            kept.for_each(|entry| entry.min_values = requirement.min_values.map(|least| least as i32));
            continue;
        }
        all.extend(requirement.spelled().into_iter().map(|(operator, values)| SelectorRequirement {
            key: key.to_owned(),
            operator: operator.to_owned(),
            values: (!values.is_empty()).then_some(values),
            min_values: requirement.min_values.map(|least| least as i32),
        }));
    }
    all
}

/// Amounts as the API writes them.
pub fn quantities(resources: &Resources) -> BTreeMap<String, Quantity> {
    resources
        .iter()
        .filter(|(_, amount)| *amount > 0)
        .map(|(name, amount)| {
            let text = match name.as_str() {
                ResourceName::CPU => format!("{amount}m"),
                _ if name.is_bytes() && amount % (1 << 20) == 0 => format!("{}Mi", amount >> 20),
                _ => amount.to_string(),
            };
            (name.to_string(), Quantity(text))
        })
        .collect()
}

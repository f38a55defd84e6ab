//! Nodes, and claims whose node has not joined yet.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1 as core;
use stowage_model::{Node, Resources, Taint, labels};

use super::{node_pool, requests, taints};
use crate::error::FieldError;
use crate::{names, v1};

/// Lowers a node; what its pods use is added later. `startup` are the startup
/// taints of its pool or claim.
pub(crate) fn lower(node: &core::Node, startup: &[Taint]) -> Result<Node, FieldError> {
    let status = node.status.clone().unwrap_or_default();
    let spec = node.spec.clone().unwrap_or_default();
    let own_labels = normalized(node.metadata.labels.clone().unwrap_or_default());
    let capacity = requests::quantities(&status.capacity.unwrap_or_default(), "status.capacity")?;
    let allocatable = match status.allocatable {
        Some(list) => requests::quantities(&list, "status.allocatable")?,
        None => capacity.clone(),
    };
    let mut all = taints::taints(spec.taints.as_deref().unwrap_or_default(), "spec.taints")?;
    let managed = own_labels.contains_key(labels::NODEPOOL);
    let disrupted = all.iter().any(|taint| taint.key == names::DISRUPTED_TAINT);
    if managed && own_labels.get(labels::INITIALIZED).is_none_or(|v| v != "true") {
        all.retain(|taint| {
            let key = taint.key.as_str();
            // A held node takes the pods that are planned for it.
            let held = key == names::RESERVED_TAINT;
            let ephemeral = held || names::EPHEMERAL_TAINTS.contains(&key) || key.starts_with(names::READINESS_TAINTS);
            !ephemeral && !startup.iter().any(|s| s.key == taint.key && s.effect == taint.effect)
        });
    }
    Ok(Node {
        name: node.metadata.name.clone().unwrap_or_default(),
        labels: own_labels,
        taints: all,
        capacity,
        allocatable,
        used: Resources::new(),
        reserved: Resources::new(),
        members: BTreeMap::new(),
        repels: BTreeMap::new(),
        ports: Vec::new(),
        attached: BTreeSet::new(),
        pods: 0,
        price: None,
        schedulable: !(spec.unschedulable.unwrap_or(false) || disrupted || node.metadata.deletion_timestamp.is_some()),
    })
}

/// Lowers a claim without a node: capacity that is on its way. `None` where the
/// claim does not say how large it will be.
pub(crate) fn lower_claim(claim: &v1::NodeClaim) -> Result<Option<Node>, FieldError> {
    let status = claim.status.clone().unwrap_or_default();
    // Before its launch a claim says what it was planned as.
    let planned = claim.metadata.annotations.as_ref().and_then(|all| all.get(names::EXPECTED_ALLOCATABLE));
    let planned = planned.and_then(|text| serde_json::from_str(text).ok());
    let Some(allocatable) = status.allocatable.or(planned) else { return Ok(None) };
    let allocatable = requests::quantities(&allocatable, "status.allocatable")?;
    let capacity = match status.capacity {
        Some(list) => requests::quantities(&list, "status.capacity")?,
        None => allocatable.clone(),
    };
    let mut own_labels = normalized(claim.metadata.labels.clone().unwrap_or_default());
    for (key, requirement) in node_pool::requirements(&claim.spec.requirements, "spec.requirements")?.iter() {
        if let Some(value) = requirement.listed().filter(|values| values.len() == 1).and_then(|v| v.first()) {
            own_labels.entry(key.to_owned()).or_insert_with(|| value.clone());
        }
    }
    Ok(Some(Node {
        name: claim.metadata.name.clone().unwrap_or_default(),
        labels: own_labels,
        taints: taints::taints(claim.spec.taints.as_deref().unwrap_or_default(), "spec.taints")?,
        capacity,
        allocatable,
        used: Resources::new(),
        reserved: Resources::new(),
        members: BTreeMap::new(),
        repels: BTreeMap::new(),
        ports: Vec::new(),
        attached: BTreeSet::new(),
        pods: 0,
        price: None,
        schedulable: claim.metadata.deletion_timestamp.is_none(),
    }))
}

/// Old label keys also under their present names.
fn normalized(mut all: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let renamed: Vec<(String, String)> = all
        .iter()
        .filter(|(key, _)| labels::normalized(key) != key.as_str())
        .map(|(key, value)| (labels::normalized(key).to_owned(), value.clone()))
        .collect();
    for (key, value) in renamed {
        all.entry(key).or_insert(value);
    }
    all
}

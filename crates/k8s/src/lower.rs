//! From API objects to model values. Each file lowers one kind of thing; all of
//! them are pure, and only they may refuse an object.

pub(crate) mod disruption;
pub mod node;
pub mod node_pool;
pub mod overlay;
pub mod pod;
pub mod requests;
pub mod selector;
pub mod taints;
pub mod topology;
pub mod volumes;
pub mod workload;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use stowage_model::{Requirements, Resources};

use crate::error::ObjectError;
use crate::v1::NodeClaim;

/// What a claim's node must be like.
pub fn requirements(claim: &NodeClaim) -> Result<Requirements, ObjectError> {
    node_pool::requirements(&claim.spec.requirements, "spec.requirements").map_err(|e| e.of(named(claim)))
}

/// What a claim's node must have for its pods.
pub fn requests(claim: &NodeClaim) -> Result<Resources, ObjectError> {
    requests::quantities(&claim.spec.resources.requests, "spec.resources.requests").map_err(|e| e.of(named(claim)))
}

/// What a claim's node has; nothing before it is launched.
pub fn capacity(claim: &NodeClaim) -> Result<Resources, ObjectError> {
    let known = claim.status.as_ref().and_then(|status| status.capacity.clone()).unwrap_or_default();
    requests::quantities(&known, "status.capacity").map_err(|e| e.of(named(claim)))
}

/// A list of amounts, if every one of them can be read.
pub fn amounts(list: &BTreeMap<String, Quantity>) -> Option<Resources> {
    requests::quantities(list, "").ok()
}

/// What a pod asks for, as the scheduler counts it, if that can be read.
pub fn pod_requests(pod: &Pod) -> Option<Resources> {
    requests::effective_requests(pod.spec.as_ref()?, &Resources::new()).ok()
}

/// Whether a selector picks an object with these labels. One that cannot be read
/// picks nothing, as the API server would not have taken it.
pub fn selects(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    topology::label_selector(selector, "spec.selector")
        .is_ok_and(|all| all.admit(|key| labels.get(key).map(String::as_str)))
}

fn named(claim: &NodeClaim) -> String {
    format!("NodeClaim {}", claim.metadata.name.as_deref().unwrap_or_default())
}

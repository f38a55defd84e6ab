//! What can be said of one node by looking at it.

use k8s_openapi::api::core::v1::{Node, NodeCondition, Taint};
use serde_json::{Value, json};

use crate::names;

/// The condition `Ready`, whatever it says.
pub fn readiness(node: &Node) -> Option<&NodeCondition> {
    let all = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    all.into_iter().flatten().find(|condition| condition.type_ == "Ready")
}

/// The condition `Ready`, if it holds.
pub fn ready(node: &Node) -> Option<&NodeCondition> {
    readiness(node).filter(|condition| condition.status == "True")
}

/// Whether it is ready.
pub fn is_ready(node: &Node) -> bool {
    ready(node).is_some()
}

/// Whether it takes no more pods because it is on its way out.
pub fn is_shut(node: &Node) -> bool {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref());
    taints.into_iter().flatten().any(|taint| taint.key == names::DISRUPTED_TAINT)
}

/// A patch after which a node takes no more pods, or takes them again.
pub fn shut(node: &Node, shut: bool) -> Value {
    let mut taints: Vec<Taint> = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
    taints.retain(|taint| taint.key != names::DISRUPTED_TAINT);
    if shut {
        let key = names::DISRUPTED_TAINT.to_owned();
        taints.push(Taint { key, effect: "NoSchedule".to_owned(), ..Taint::default() });
    }
    json!({ "metadata": { "resourceVersion": node.metadata.resource_version }, "spec": { "taints": taints } })
}

//! Pods.

use k8s_openapi::api::core::v1::{NodeAffinity, PodSpec};
use stowage_model::{PodShape, Requirement, Requirements, Resources, UnsupportedRule, labels};

use super::topology::{self, Relations};
use super::volumes::{self, Mount};
use super::{requests, selector, taints};
use crate::error::FieldError;

/// A pod's shape, but for its volumes, which need objects that may come later.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct LoweredPod {
    /// The shape without volumes.
    pub shape: PodShape,
    /// Claims that the pod mounts.
    pub claims: Vec<Mount>,
    /// What relates it to other pods.
    pub relations: Relations,
}

/// Lowers a pod's spec. `defaults` are a LimitRange's default requests.
pub(crate) fn lower(spec: &PodSpec, defaults: &Resources) -> Result<LoweredPod, FieldError> {
    let mut node_selector = Requirements::new();
    for (key, value) in spec.node_selector.iter().flatten() {
        node_selector.add(labels::normalized(key), Requirement::exactly(value));
    }
    let node_affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let shape = PodShape {
        requests: requests::effective_requests(spec, defaults)?,
        selector: node_selector,
        affinity: required_terms(node_affinity)?,
        volumes: Vec::new(),
        tolerations: taints::tolerations(spec.tolerations.as_deref().unwrap_or_default())?,
        preferred: topology::preferred(node_affinity)?,
        ports: topology::ports(spec),
        priority: spec.priority.unwrap_or(0),
        unsupported: unsupported(spec),
        ..PodShape::default()
    };
    Ok(LoweredPod { shape, claims: volumes::mounts(spec), relations: topology::relations(spec)? })
}

fn required_terms(affinity: Option<&NodeAffinity>) -> Result<Option<Vec<stowage_model::NodeTerm>>, FieldError> {
    let Some(required) = affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref()) else {
        return Ok(None);
    };
    const FIELD: &str = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
    let terms = required.node_selector_terms.iter().enumerate();
    terms.map(|(index, term)| selector::term(term, &format!("{FIELD}[{index}]"))).collect::<Result<_, _>>().map(Some)
}

/// Rules that the pod carries and that are not planned for.
fn unsupported(spec: &PodSpec) -> Vec<UnsupportedRule> {
    let claims = spec.resource_claims.as_ref().is_some_and(|claims| !claims.is_empty());
    if claims { vec![UnsupportedRule::ResourceClaims] } else { Vec::new() }
}

//! The custom resources, as Karpenter's v1 API defines them.

pub mod capacity_buffer;
pub mod common;
pub mod ec2_node_class;
pub mod kwok_node_class;
pub mod node_claim;
pub mod node_overlay;
pub mod node_pool;
mod rules;

pub use capacity_buffer::CapacityBuffer;
pub use common::{NodeClassReference, SelectorRequirement};
pub use ec2_node_class::Ec2NodeClass;
pub use kwok_node_class::KwokNodeClass;
pub use node_claim::NodeClaim;
pub use node_overlay::NodeOverlay;
pub use node_pool::NodePool;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

/// The definitions of every custom resource, by name.
pub fn definitions() -> Vec<CustomResourceDefinition> {
    let all = vec![
        NodePool::crd(),
        NodeClaim::crd(),
        NodeOverlay::crd(),
        CapacityBuffer::crd(),
        Ec2NodeClass::crd(),
        KwokNodeClass::crd(),
    ];
    let mut all: Vec<_> = all.into_iter().map(rules::ruled).collect();
    all.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    all
}

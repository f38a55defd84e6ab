//! One look at everything that is watched, in a fixed order.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use stowage_k8s::conditions;
use stowage_k8s::v1::{NodeClaim, NodePool};
use stowage_model::labels;

use crate::disruption::order::order_of;
use crate::interruption::mark_of;
use crate::state::{State, sorted};

/// Claims, nodes and pods as they are now.
pub struct View {
    /// Claims by name.
    pub claims: BTreeMap<String, Arc<NodeClaim>>,
    /// Pools by name.
    pub pools: BTreeMap<String, Arc<NodePool>>,
    /// Nodes by name.
    pub nodes: BTreeMap<String, Arc<Node>>,
    /// Pods by namespace and name.
    pub pods: Vec<Arc<Pod>>,
    /// Node names by provider id.
    node_of: BTreeMap<String, String>,
    /// Indices of pods by node.
    on_node: BTreeMap<String, Vec<usize>>,
}

impl View {
    /// Nodes come before pods: a pod that binds in between is counted twice at
    /// worst, and never lost.
    pub fn take(state: &State) -> Self {
        let by_name = |name: &Option<String>| name.clone().unwrap_or_default();
        let claims = sorted(&state.claims).into_iter().map(|c| (by_name(&c.metadata.name), c)).collect();
        let pools = sorted(&state.pools).into_iter().map(|p| (by_name(&p.metadata.name), p)).collect();
        let nodes: BTreeMap<String, Arc<Node>> =
            sorted(&state.nodes).into_iter().map(|n| (by_name(&n.metadata.name), n)).collect();
        let pods = sorted(&state.pods);
        Self::new(claims, pools, nodes, pods)
    }

    /// A view of given objects.
    pub fn new(
        claims: BTreeMap<String, Arc<NodeClaim>>,
        pools: BTreeMap<String, Arc<NodePool>>,
        nodes: BTreeMap<String, Arc<Node>>,
        pods: Vec<Arc<Pod>>,
    ) -> Self {
        let id = |node: &Node| node.spec.as_ref().and_then(|spec| spec.provider_id.clone());
        let node_of = nodes.iter().filter_map(|(name, node)| Some((id(node)?, name.clone()))).collect();
        let mut on_node: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (index, pod) in pods.iter().enumerate() {
            let name = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).filter(|name| !name.is_empty());
            if let Some(name) = name {
                on_node.entry(name).or_default().push(index);
            }
        }
        Self { claims, pools, nodes, pods, node_of, on_node }
    }

    /// The node of a claim, once it has joined.
    pub fn node_of(&self, claim: &NodeClaim) -> Option<&Arc<Node>> {
        let id = claim.status.as_ref()?.provider_id.as_ref()?;
        self.nodes.get(self.node_of.get(id)?)
    }

    /// Pods on a node.
    pub fn pods_on(&self, node: &str) -> impl Iterator<Item = &Arc<Pod>> {
        self.on_node.get(node).into_iter().flatten().map(|index| &self.pods[*index])
    }

    /// Claims of a pool.
    pub fn claims_of(&self, pool: &str) -> impl Iterator<Item = &Arc<NodeClaim>> {
        self.claims.values().filter(move |claim| pool_of(claim) == Some(pool))
    }

    /// Claims of a pool that are not on their way out.
    pub fn kept_claims_of(&self, pool: &str) -> impl Iterator<Item = &Arc<NodeClaim>> {
        self.claims_of(pool).filter(|claim| claim.metadata.deletion_timestamp.is_none())
    }

    /// Claims by name, borrowed.
    pub fn claim_refs(&self) -> BTreeMap<String, &NodeClaim> {
        self.claims.iter().map(|(name, claim)| (name.clone(), &**claim)).collect()
    }

    /// Nodes whose claim is on its way out, is interrupted, or is being replaced. Until the claims that
    /// come are there, nobody is to look for other room.
    pub fn leaving(&self) -> std::collections::BTreeSet<&str> {
        let replaced = |claim: &NodeClaim| {
            order_of(claim).is_some_and(|order| order.replacements.iter().all(|new| self.claims.contains_key(new)))
        };
        let leaves = |claim: &NodeClaim| {
            claim.metadata.deletion_timestamp.is_some() || replaced(claim) || mark_of(claim).is_some()
        };
        let all = self.claims.values().filter(|claim| leaves(claim));
        all.filter_map(|claim| self.node_of(claim)?.metadata.name.as_deref()).collect()
    }
}

/// The pool of a claim.
pub fn pool_of(claim: &NodeClaim) -> Option<&str> {
    claim.metadata.labels.as_ref().and_then(|all| all.get(labels::NODEPOOL)).map(String::as_str)
}

/// Whether a condition of a claim holds.
pub fn is(claim: &NodeClaim, kind: &str) -> bool {
    conditions::is_true(claim.status.as_ref().and_then(|status| status.conditions.as_ref()), kind)
}

//! Volumes that take one of the attachments a CSI driver has on a node.

use std::collections::{BTreeMap, BTreeSet};

use stowage_model::volume::{UNLIMITED, attachments};
use stowage_model::{InstanceType, Node, Pod, PodShape, SharedVolume};

use super::Cluster;
use super::expand::Expanded;

/// Which drivers have limits, and which claims several pods mount.
pub(super) struct Attachments {
    limited: BTreeSet<String>,
    /// Number by namespace and name.
    shared: BTreeMap<(String, String), u32>,
}

impl Attachments {
    pub(super) fn gather(cluster: &Cluster, expanded: &[Expanded], type_sets: &[Vec<InstanceType>]) -> Self {
        let types = type_sets.iter().flatten().flat_map(|t| t.allocatable.iter()).map(|(name, _)| name.to_string());
        let nodes = cluster.attach_limits.values().flat_map(|limits| limits.keys().map(|driver| attachments(driver)));
        let limited = types.filter(|name| stowage_model::volume::counts_attachments(name)).chain(nodes).collect();
        let mut users: BTreeMap<(String, String), u32> = BTreeMap::new();
        for pod in &cluster.pods {
            for mount in &cluster.shapes.get(pod.shape).claims {
                *users.entry((cluster.names.get(pod.namespace).to_string(), mount.claim(&pod.name))).or_default() += 1;
            }
        }
        for pod in expanded {
            for mount in &pod.lowered.claims {
                *users.entry((pod.namespace.clone(), mount.claim(&pod.name))).or_default() += 1;
            }
        }
        let shared = users.into_iter().filter(|(_, users)| *users > 1).map(|(claim, _)| claim);
        Self { limited, shared: shared.zip(0..).collect() }
    }

    /// Counts a volume of `driver` among what a pod takes of its node.
    pub(super) fn count(&self, namespace: &str, claim: &str, driver: &str, shape: &mut PodShape) {
        let resource = attachments(driver);
        if !self.limited.contains(&resource) {
            return;
        }
        match self.shared.get(&(namespace.to_owned(), claim.to_owned())) {
            Some(claim) => shape.topology.shared.push(SharedVolume { claim: *claim, resource }),
            None => {
                let already = shape.requests.get(&resource);
                shape.requests.set(&resource, already + 1);
            }
        }
    }
}

/// Gives nodes and types the attachments of the drivers that `pods` need. A node
/// whose driver states no limit has no limit.
pub(super) fn provide(
    cluster: &Cluster,
    shapes: &[PodShape],
    pods: &[Pod],
    nodes: &mut BTreeMap<String, Node>,
    type_sets: &mut [Vec<InstanceType>],
) {
    let used: BTreeSet<u32> = pods.iter().map(|pod| pod.shape).collect();
    let used = used.into_iter().map(|shape| &shapes[shape as usize]);
    let asked: BTreeSet<String> = used
        .flat_map(|shape| {
            let own = shape.requests.iter().map(|(name, _)| name.as_str());
            let shared = shape.topology.shared.iter().map(|volume| volume.resource.as_str());
            own.chain(shared).filter(|name| stowage_model::volume::counts_attachments(name)).map(str::to_owned)
        })
        .collect();
    for resource in &asked {
        for (name, node) in nodes.iter_mut() {
            let limits = cluster.attach_limits.get(name);
            let limit = limits.and_then(|l| l.iter().find(|(driver, _)| attachments(driver) == **resource));
            node.allocatable.set(resource, limit.map_or(UNLIMITED, |(_, most)| *most));
        }
        for kind in type_sets.iter_mut().flatten() {
            if !kind.allocatable.contains(resource) {
                kind.allocatable.set(resource, UNLIMITED);
            }
        }
    }
}

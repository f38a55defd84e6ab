//! What machines there are, for each pool: asked again only when something that
//! decides it has changed.

use std::sync::{Arc, Mutex};

use stowage_cloud::provider::{Candidate, SoldOut};
use stowage_k8s::cluster::Cluster;
use stowage_k8s::v1::NodeClaim;
use stowage_k8s::{lower, raise};
use stowage_model::{InstanceType, LaunchLabels, Node, NodePool, Price, Variant};

use crate::context::locked;

/// Pools with the types that each can launch.
#[derive(Clone, Debug, Default)]
pub struct Gathered {
    /// Pools that nodes can be launched from for pods.
    pub pools: Vec<NodePool>,
    /// Pools that keep so many nodes.
    pub standing: Vec<NodePool>,
    /// Types, per way of configuring nodes.
    pub type_sets: Vec<Vec<InstanceType>>,
    /// What was noticed.
    pub warnings: Vec<String>,
}

/// Where machines are known from.
pub trait Machines: Send + Sync {
    /// The pools of a cluster with their types.
    fn gather(&self, cluster: &Cluster) -> Result<Gathered, String>;
    /// What an existing node costs.
    fn price_of(&self, node: &Node) -> Option<Price>;
}

/// The machines, and what was asked last.
pub struct Catalogue {
    machines: Arc<dyn Machines>,
    last: Mutex<Option<(String, Arc<Gathered>)>>,
}

impl Catalogue {
    /// A catalogue that was asked nothing yet.
    pub fn new(machines: Arc<dyn Machines>) -> Self {
        Self { machines, last: Mutex::new(None) }
    }

    /// The machines of a cluster. `version` names everything that they depend on.
    pub fn gather(&self, version: &str, cluster: &Cluster) -> Result<Arc<Gathered>, String> {
        if let Some((known, gathered)) = &*locked(&self.last)
            && known == version
        {
            return Ok(gathered.clone());
        }
        let gathered = Arc::new(self.machines.gather(cluster)?);
        *locked(&self.last) = Some((version.to_owned(), gathered.clone()));
        Ok(gathered)
    }

    /// What an existing node costs.
    pub fn price_of(&self, node: &Node) -> Option<Price> {
        self.machines.price_of(node)
    }
}

impl Gathered {
    /// The types without offers that are sold out.
    pub fn available(&self, sold_out: &[SoldOut]) -> Vec<Vec<InstanceType>> {
        let mut sets = self.type_sets.clone();
        if sold_out.is_empty() {
            return sets;
        }
        for instance_type in sets.iter_mut().flatten() {
            let name = instance_type.name.clone();
            instance_type.offerings.retain(|offering| {
                !sold_out.iter().any(|sold| {
                    sold.instance_type == *name
                        && sold.zone == *offering.zone
                        && sold.capacity_type == offering.capacity_type
                })
            });
        }
        sets.iter_mut().for_each(|types| types.retain(|t| !t.offerings.is_empty()));
        sets
    }

    /// A pool by name, static ones too.
    pub fn pool(&self, name: &str) -> Option<&NodePool> {
        self.pools.iter().chain(&self.standing).find(|pool| pool.name == name)
    }

    /// What may be launched for a claim of `pool`, cheapest first.
    pub fn candidates(
        &self,
        claim: &NodeClaim,
        pool: &NodePool,
        sold_out: &[SoldOut],
    ) -> Result<Vec<Candidate>, String> {
        let asked = lower::requirements(claim).map_err(|error| error.to_string())?;
        let needed = lower::requests(claim).map_err(|error| error.to_string())?;
        let own = claim.metadata.labels.clone().unwrap_or_default();
        let variant = Variant { labels: own };
        let sets = self.available(sold_out);
        let mut found: Vec<(Price, Candidate)> = Vec::new();
        for instance_type in sets.get(pool.type_set).into_iter().flatten() {
            if !needed.fits(&instance_type.allocatable) {
                continue;
            }
            for os in &instance_type.operating_systems {
                for offering in &instance_type.offerings {
                    let labels = LaunchLabels { pool, variant: &variant, instance_type, os, offering };
                    if labels.admitted_by_pool() && asked.admit(|key| labels.get(key)) {
                        found.push((offering.price, candidate(&labels)));
                    }
                }
            }
        }
        found.sort_by(|a, b| {
            let key = |c: &(Price, Candidate)| (c.0, c.1.instance_type.clone(), c.1.zone.clone());
            key(a).cmp(&key(b))
        });
        Ok(found.into_iter().map(|(_, candidate)| candidate).collect())
    }
}

fn candidate(labels: &LaunchLabels<'_>) -> Candidate {
    let node = labels.node(String::new());
    let texts = |resources| raise::quantities(resources).into_iter().map(|(name, amount)| (name, amount.0)).collect();
    let mut own = node.labels;
    own.remove(stowage_model::labels::HOSTNAME);
    Candidate {
        instance_type: labels.instance_type.name.to_string(),
        zone: labels.offering.zone.to_string(),
        capacity_type: labels.offering.capacity_type,
        labels: own,
        capacity: texts(&node.capacity),
        allocatable: texts(&node.allocatable),
    }
}

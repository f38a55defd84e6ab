//! NodePools with the machines that each can launch.

use std::collections::BTreeSet;

use stowage_cloud::reservations::{self, CapacityReservation, Selection};
use stowage_cloud::sizing::Sizing;
use stowage_k8s::Cluster;
use stowage_k8s::lower::overlay;
use stowage_k8s::v1::Ec2NodeClass;
use stowage_model::{Code, InstanceType, Node, NodePool, Offering, Operator, Requirement, labels, launch};

use crate::args::MachineArgs;
use crate::assumptions;
use crate::catalog::{Catalog, sizing};
use crate::error::Failure;
use crate::input;
use crate::question::Notebook;

/// What pools launch.
pub(crate) struct Pools {
    pub(crate) pools: Vec<NodePool>,
    /// One set of types per way of configuring nodes.
    pub(crate) type_sets: Vec<Vec<InstanceType>>,
    /// Static pools, and how many nodes each owes.
    pub(crate) standing: Vec<(NodePool, usize)>,
}

/// How a pool's class configures its nodes: their size, and reservations by index.
type Configuration = (Sizing, Vec<usize>);

impl Pools {
    pub(crate) fn gather(
        cluster: &Cluster,
        catalog: &Catalog,
        machines: &MachineArgs,
        notebook: &mut Notebook,
    ) -> Result<Self, Failure> {
        let reserved = match &machines.reservations {
            Some(path) => reservations::parse(&path.display().to_string(), &input::text(path)?)?,
            None => Vec::new(),
        };
        let mut pools: Vec<NodePool> = cluster.pools().cloned().collect();
        if !cluster.has_pools() {
            pools = assumed(cluster, catalog, machines, notebook);
        }
        let launching = pools.len();
        let (standing, missing): (Vec<NodePool>, Vec<usize>) =
            cluster.static_pools().map(|(pool, missing)| (pool.clone(), missing)).unzip();
        pools.extend(standing);
        let configurations = configure(cluster, &reserved, &mut pools, notebook)?;
        let mut type_sets = Vec::new();
        for (sizing, selected) in &configurations {
            let mut types = catalog.types(sizing);
            let unused = reservations::add(&mut types, selected.iter().map(|index| &reserved[*index]));
            notebook.warnings.extend(unused.into_iter().map(|id| {
                format!("reservation {id} is of a type or zone that the catalogue does not sell: it is left out")
            }));
            type_sets.push(types);
        }
        let overlays = cluster.overlays();
        if !overlays.is_empty() {
            // Overlays may name a pool, so each has types of its own.
            type_sets = pools.iter().map(|pool| overlay::apply(overlays, pool, &type_sets[pool.type_set])).collect();
            pools.iter_mut().enumerate().for_each(|(index, pool)| pool.type_set = index);
        }
        let standing = pools.split_off(launching).into_iter().zip(missing).collect();
        Ok(Self { pools, type_sets, standing })
    }

    /// The nodes that static pools owe.
    pub(crate) fn promised(&self, notebook: &mut Notebook) -> Vec<Node> {
        let owed = self.standing.iter();
        owed.flat_map(|(pool, missing)| promised(pool, *missing, &self.type_sets[pool.type_set], notebook)).collect()
    }
}

fn assumed(cluster: &Cluster, catalog: &Catalog, machines: &MachineArgs, notebook: &mut Notebook) -> Vec<NodePool> {
    match catalog {
        Catalog::Aws(_) => {
            let extended = cluster.extended_resources();
            let (assumed, said) = assumptions::default_pools(&extended, &catalog.types(&Sizing::default()));
            notebook.assumptions.extend(said);
            let kinds = if machines.capacity_types.is_empty() { "on-demand only" } else { "the capacity types given" };
            notebook.assumptions.push(format!("{kinds}, region {}", machines.region));
            assumed
        }
        Catalog::File { name, .. } => {
            notebook.assumptions.push(format!("no NodePool given: one pool \"default\" admits every type of {name}"));
            vec![assumptions::open_pool()]
        }
    }
}

/// Gives each pool the index of its configuration.
fn configure(
    cluster: &Cluster,
    reserved: &[CapacityReservation],
    pools: &mut [NodePool],
    notebook: &mut Notebook,
) -> Result<Vec<Configuration>, Failure> {
    let mut known: Vec<Configuration> = Vec::new();
    let mut missing: BTreeSet<String> = BTreeSet::new();
    for pool in pools {
        // Without a class that selects, reservations are everybody's.
        let mut own: Configuration = (Sizing::default(), (0..reserved.len()).collect());
        let reference = &pool.node_class;
        match reference.kind.as_str() {
            "EC2NodeClass" => match cluster.ec2_node_class(&reference.name) {
                Some(class) => {
                    own = (sizing(class)?, selected(class, reserved));
                    restrict_zones(pool, class)?;
                }
                None if cluster.has_pools() => {
                    missing.insert(format!("EC2NodeClass {}", reference.name));
                }
                None => {}
            },
            "KWOKNodeClass" if !cluster.has_kwok_node_class(&reference.name) => {
                missing.insert(format!("KWOKNodeClass {}", reference.name));
            }
            _ => {}
        }
        pool.type_set = known.iter().position(|known| *known == own).unwrap_or_else(|| {
            known.push(own);
            known.len() - 1
        });
    }
    for class in missing {
        notebook.warnings.push(format!("{class} is not in the input: defaults of its kind are assumed"));
    }
    Ok(known)
}

/// The reservations that a class's terms select.
fn selected(class: &Ec2NodeClass, reserved: &[CapacityReservation]) -> Vec<usize> {
    let terms = class.spec.capacity_reservation_selector_terms.iter().flatten();
    let terms: Vec<Selection> = terms
        .map(|term| Selection {
            id: term.id.clone(),
            tags: term.tags.clone().unwrap_or_default(),
            owner_id: term.owner_id.clone(),
            instance_match_criteria: term.instance_match_criteria.clone(),
        })
        .collect();
    (0..reserved.len()).filter(|index| terms.iter().any(|term| term.selects(&reserved[*index]))).collect()
}

/// A NodeClass that found its subnets launches in their zones only.
fn restrict_zones(pool: &mut NodePool, class: &Ec2NodeClass) -> Result<(), Failure> {
    let subnets = class.status.as_ref().and_then(|status| status.subnets.as_ref());
    let zones: BTreeSet<&str> = subnets.into_iter().flatten().map(|subnet| subnet.zone.as_str()).collect();
    if let Some(requirement) = Requirement::new(Operator::In, zones) {
        pool.requirements.add(labels::ZONE, requirement);
    }
    match pool.requirements.contradiction() {
        None => Ok(()),
        Some(key) => {
            let message = format!(
                "requirements on {key} and the subnets of its NodeClass have nothing in common; widen one of them"
            );
            Err(Failure::input(Code::InPool, &format!("NodePool {}", pool.name), &message))
        }
    }
}

/// The nodes that a static pool owes: the cheapest that its requirements admit,
/// for nothing else decides which the provider will launch.
fn promised(pool: &NodePool, missing: usize, types: &[InstanceType], notebook: &mut Notebook) -> Vec<Node> {
    if missing == 0 {
        return Vec::new();
    }
    let Some(launch) = launch::cheapest(pool, types) else {
        notebook
            .warnings
            .push(format!("static NodePool {} owes {missing} nodes, but its requirements admit none", pool.name));
        return Vec::new();
    };
    let Offering { zone, capacity_type, price, .. } = launch.offering;
    notebook.assumptions.push(format!(
        "static NodePool {} owes {missing} nodes: {} {capacity_type} in {zone} at {price}/h each are taken to be on their way",
        pool.name, launch.instance_type.name
    ));
    (1..=missing).map(|number| launch.node(format!("{}-static-{number}", pool.name))).collect()
}

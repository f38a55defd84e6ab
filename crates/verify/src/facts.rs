//! Kubernetes' own definitions, spelled out.

use std::collections::{BTreeMap, BTreeSet};

use stowage_model::{
    Effect, InstanceType, LaunchLabels, NewNode, NodePool, NodeTerm, Offering, Plan, PodShape, Problem, Requirements,
    ResourceName, Resources, Taint, UnsupportedRule, Variant,
};

/// Every taint that refuses pods must have a toleration for its key, value and
/// effect.
pub(crate) fn tolerates(shape: &PodShape, taints: &[Taint]) -> bool {
    for taint in taints {
        if taint.effect == Effect::PreferNoSchedule {
            continue;
        }
        let mut tolerated = false;
        for toleration in &shape.tolerations {
            let key = toleration.key.is_empty() || toleration.key == taint.key;
            let value = match &toleration.value {
                None => true,
                Some(value) => value == &taint.value,
            };
            let effect = match toleration.effect {
                None => true,
                Some(effect) => effect == taint.effect,
            };
            tolerated = tolerated || (key && value && effect);
        }
        if !tolerated {
            return false;
        }
    }
    true
}

fn holds<'a>(requirements: &Requirements, label: &dyn Fn(&str) -> Option<&'a str>) -> bool {
    for (key, requirement) in requirements.iter() {
        if !requirement.admits(label(key)) {
            return false;
        }
    }
    true
}

fn any_term<'a>(terms: &[NodeTerm], label: &dyn Fn(&str) -> Option<&'a str>) -> bool {
    terms.iter().any(|term| !term.0.is_empty() && holds(&term.0, label))
}

/// Whether labels let the pod onto a node: selector, required affinity, volumes.
pub(crate) fn labels_admit<'a>(shape: &PodShape, label: &dyn Fn(&str) -> Option<&'a str>) -> bool {
    let affinity = match &shape.affinity {
        None => true,
        Some(terms) => any_term(terms, label),
    };
    holds(&shape.selector, label) && affinity && shape.volumes.iter().all(|terms| any_term(terms, label))
}

/// A launch looked up by the names in a plan.
#[derive(Clone, Copy)]
pub(crate) struct Launched<'a> {
    pub(crate) pool: &'a NodePool,
    pub(crate) instance_type: &'a InstanceType,
    pub(crate) offering: &'a Offering,
}

/// Finds what a planned node names; `Err` says what does not exist.
pub(crate) fn find<'a>(problem: &'a Problem, node: &NewNode) -> Result<Launched<'a>, String> {
    let pool = problem.pools.iter().find(|p| p.name == node.pool).ok_or_else(|| format!("no pool {}", node.pool))?;
    let types = problem.type_sets.get(pool.type_set).map_or(&[][..], Vec::as_slice);
    let instance_type = types
        .iter()
        .find(|t| *t.name == *node.instance_type)
        .ok_or_else(|| format!("no instance type {}", node.instance_type))?;
    let offering = instance_type
        .offerings
        .iter()
        .find(|o| {
            *o.zone == *node.zone
                && o.capacity_type == node.capacity_type
                && o.reservation.as_ref().map(|r| &*r.id) == node.reservation.as_deref()
        })
        .ok_or_else(|| format!("{} is not sold as {} in {}", node.instance_type, node.capacity_type, node.zone))?;
    Ok(Launched { pool, instance_type, offering })
}

/// The allocatable of a launch less the DaemonSets that would run there.
pub(crate) fn free(problem: &Problem, labels: &LaunchLabels<'_>) -> Resources {
    let mut free = labels.instance_type.allocatable.clone();
    let label = |key: &str| labels.get(key);
    for daemon in &problem.daemons {
        let affinity = match &daemon.shape.affinity {
            None => true,
            Some(terms) => any_term(terms, &label),
        };
        if tolerates(&daemon.shape, &labels.pool.taints) && holds(&daemon.shape.selector, &label) && affinity {
            free.subtract(&daemon.shape.requests);
        }
    }
    free
}

/// Calls `visit` with every launch that the pools admit.
pub(crate) fn each_launch<'a>(problem: &'a Problem, mut visit: impl FnMut(usize, LaunchLabels<'a>)) {
    for index in 0..problem.pools.len() {
        each_launch_of(problem, index, |labels| visit(index, labels));
    }
}

/// Calls `visit` with every launch that one pool admits.
pub(crate) fn each_launch_of<'a>(problem: &'a Problem, index: usize, mut visit: impl FnMut(LaunchLabels<'a>)) {
    let pool = &problem.pools[index];
    for instance_type in &problem.type_sets[pool.type_set] {
        for variant in problem.variants(index) {
            for os in &instance_type.operating_systems {
                for offering in &instance_type.offerings {
                    let labels = LaunchLabels { pool, variant, instance_type, os, offering };
                    if holds(&pool.requirements, &|key| labels.get(key)) {
                        visit(labels);
                    }
                }
            }
        }
    }
}

/// Calls `visit` with every planned node that names a launch which exists.
pub(crate) fn each_new_node(problem: &Problem, plan: &Plan, mut visit: impl FnMut(usize, &NewNode, LaunchLabels<'_>)) {
    for (index, node) in plan.nodes.iter().enumerate() {
        let Ok(launched) = find(problem, node) else { continue };
        let variant = Variant { labels: node.labels.clone() };
        let labels = LaunchLabels {
            pool: launched.pool,
            variant: &variant,
            instance_type: launched.instance_type,
            os: &node.os,
            offering: launched.offering,
        };
        visit(index, node, labels);
    }
}

/// Whether a pod can run nowhere, whatever nodes there are.
pub(crate) fn barred(shape: &PodShape) -> bool {
    !shape.faults.is_empty() || shape.unsupported.contains(&UnsupportedRule::ResourceClaims)
}

/// How many pods of each shape a list of pods has.
pub(crate) fn shapes(problem: &Problem, pods: &[u32]) -> BTreeMap<u32, i64> {
    let mut shapes = BTreeMap::new();
    for pod in pods {
        *shapes.entry(problem.pods[*pod as usize].shape).or_insert(0) += 1;
    }
    shapes
}

/// What pods ask for together. Volumes that several of them share count once,
/// and not at all where they are `attached` already.
pub(crate) fn load(problem: &Problem, pods: &[u32], attached: &BTreeSet<u32>) -> Resources {
    let mut load = Resources::new();
    let mut volumes = BTreeMap::new();
    for (shape, count) in shapes(problem, pods) {
        let data = &problem.shapes[shape as usize];
        load.add(&data.requests.times(count));
        for volume in &data.topology.shared {
            if !attached.contains(&volume.claim) {
                volumes.insert(volume.claim, &volume.resource);
            }
        }
    }
    for resource in volumes.into_values() {
        load.set(resource, load.get(resource) + 1);
    }
    load
}

/// What one pod asks for where `attached` volumes are there already.
pub(crate) fn load_of(shape: &PodShape, attached: &BTreeSet<u32>) -> Resources {
    let mut load = shape.requests.clone();
    for volume in shape.topology.shared.iter().filter(|volume| !attached.contains(&volume.claim)) {
        load.set(&volume.resource, load.get(&volume.resource) + 1);
    }
    load
}

/// How many pods of each shape the plan places.
pub(crate) fn placed(problem: &Problem, plan: &Plan) -> Vec<i64> {
    let mut placed = vec![0; problem.shapes.len()];
    let pods = plan.nodes.iter().flat_map(|n| &n.pods).chain(plan.existing.iter().flat_map(|b| &b.pods));
    for pod in pods {
        placed[problem.pods[*pod as usize].shape as usize] += 1;
    }
    placed
}

/// What one node counts against the resources that `limits` name.
pub(crate) fn counted(capacity: &Resources, limits: &Resources) -> Resources {
    limits
        .iter()
        .map(|(name, _)| {
            let amount = if name.as_str() == ResourceName::NODES { 1 } else { capacity.get(name.as_str()) };
            (name.as_str().to_owned(), amount)
        })
        .collect()
}

//! The fleet without some of its nodes, as a packing problem.

use std::collections::{BTreeMap, BTreeSet};

use stowage_model::fleet::{Fleet, Machine};
use stowage_model::{Node, Problem, ResourceName, Resources};

/// The problem, and whose pods its pods are.
#[derive(Clone, Debug)]
pub struct WhatIf {
    /// What remains, with the pods that would need a place.
    pub problem: Problem,
    /// For each of its pods, the fleet's.
    pub origin: Vec<u32>,
}

/// A fleet made ready for many questions.
pub(crate) struct Stage<'a> {
    pub(crate) fleet: &'a Fleet,
    /// Pods by the node that they are on.
    pub(crate) pods_of: Vec<Vec<u32>>,
    /// Every node with all of its pods.
    full: Vec<Node>,
    /// Pods without a node.
    waiting: Vec<u32>,
}

impl<'a> Stage<'a> {
    pub(crate) fn new(fleet: &'a Fleet, now: i64) -> Self {
        let mut pods_of: Vec<Vec<u32>> = vec![Vec::new(); fleet.problem.nodes.len()];
        let mut full = fleet.problem.nodes.clone();
        let mut waiting = Vec::new();
        for (pod, home) in (0_u32..).zip(&fleet.homes) {
            match home {
                Some(home) => {
                    pods_of[*home as usize].push(pod);
                    let shape = fleet.problem.pods[pod as usize].shape as usize;
                    full[*home as usize].host(&fleet.problem.shapes[shape]);
                }
                None => waiting.push(pod),
            }
        }
        for (node, machine) in full.iter_mut().zip(&fleet.machines) {
            node.schedulable &= machine.as_ref().is_none_or(|machine| is_destination(fleet, machine, now));
        }
        Self { fleet, pods_of, full, waiting }
    }

    /// Nodes that pods may be moved to, with all of their pods.
    pub(crate) fn open(&self) -> impl Iterator<Item = &Node> {
        self.full.iter().filter(|node| node.schedulable)
    }

    /// The fleet without `removed`.
    pub(crate) fn without(&self, removed: &BTreeSet<u32>) -> WhatIf {
        let all = &self.fleet.problem;
        let mut origin: Vec<u32> = self.waiting.clone();
        origin.extend(removed.iter().flat_map(|node| self.pods_of[*node as usize].iter().copied()));
        origin.sort_unstable();
        let kept = (0_u32..).zip(&self.full).filter(|(index, _)| !removed.contains(index));
        let pods = origin.iter().map(|pod| all.pods[*pod as usize].clone()).collect();
        let mut problem = all.with(pods, kept.map(|(_, node)| node.clone()).collect());
        self.hold_limits(&mut problem, removed);
        WhatIf { problem, origin }
    }

    /// Old and new nodes are there together for a while, so limits count both.
    fn hold_limits(&self, problem: &mut Problem, removed: &BTreeSet<u32>) {
        let mut going: BTreeMap<&str, Resources> = BTreeMap::new();
        for index in removed {
            let node = &self.full[*index as usize];
            let Some(pool) = node.pool() else { continue };
            let sum = going.entry(pool).or_default();
            sum.add(&node.capacity);
            sum.add(&Resources::new().with(ResourceName::NODES, 1));
        }
        for pool in &mut problem.pools {
            if let (Some(limits), Some(going)) = (&mut pool.limits, going.get(pool.name.as_str())) {
                let less =
                    limits.iter().map(|(name, most)| (name.as_str().to_owned(), most - going.get(name.as_str())));
                *limits = less.collect();
            }
        }
    }
}

/// Whether pods may be moved to a node: it is settled, and not about to be looked
/// at itself.
fn is_destination(fleet: &Fleet, machine: &Machine, now: i64) -> bool {
    let after = fleet.policies.get(&machine.pool).and_then(|policy| policy.after);
    let busy =
        after.zip(machine.quiet_since).is_some_and(|(after, since)| u64::try_from(now - since).unwrap_or(0) < after);
    machine.initialized && machine.ready && !machine.deleting && !busy
}

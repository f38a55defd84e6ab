//! How many pods may still move, by everything that counts them.

use std::collections::{BTreeMap, BTreeSet};

use stowage_model::fleet::Fleet;
use stowage_model::rebalancing::Rebalancing;

use super::Why;
use super::scene::Scene;
use crate::budget::Allowance;
use crate::candidate::{Look, Reason, block};
use crate::decide::Decision;

/// What is left.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    allowance: Allowance,
    /// Nodes that pods move from: each counts once against its pool's budgets.
    nodes: BTreeSet<u32>,
    per_node: BTreeMap<String, usize>,
    per_namespace: BTreeMap<String, usize>,
    total: usize,
    most_per_node: usize,
    most_per_namespace: usize,
    most: usize,
}

impl Limits {
    pub(super) fn new(fleet: &Fleet, rebalancing: &Rebalancing, decision: &Decision, now: i64) -> Self {
        let mut allowance = Allowance::of(fleet, now);
        for command in &decision.commands {
            // What a decision takes it was allowed to.
            for (name, reason) in command.remove.iter().zip(&command.reasons) {
                let at = fleet.problem.nodes.binary_search_by(|node| node.name.cmp(name)).ok();
                let machine = at.and_then(|at| fleet.machines[at].as_ref());
                let _ = machine.map(|machine| allowance.take(&machine.pool, *reason, &[]));
            }
            for (pod, _) in &command.moves {
                allowance.draw(&fleet.care[*pod as usize].budgets);
            }
        }
        Self {
            allowance,
            nodes: BTreeSet::new(),
            per_node: BTreeMap::new(),
            per_namespace: BTreeMap::new(),
            total: 0,
            most_per_node: rebalancing.most_per_node.unwrap_or(usize::MAX),
            most_per_namespace: rebalancing.most_per_namespace.unwrap_or(usize::MAX),
            most: rebalancing.most.unwrap_or(usize::MAX),
        }
    }

    /// Takes what moving a running pod takes, or nothing.
    pub(super) fn take(&mut self, scene: &Scene<'_>, pod: u32) -> Result<(), Why> {
        let fleet = scene.fleet;
        let Some(node) = fleet.homes[pod as usize] else { return Ok(()) };
        let Some(machine) = &fleet.machines[node as usize] else { return Ok(()) };
        let care = &fleet.care[pod as usize];
        if let Some(hold) = care.hold {
            return Err(Why::Hold(hold));
        }
        let look = Look { fleet, machine, node: node as usize, pods: &[], now: scene.now };
        if let Some(block) = block(&look, Reason::Rebalanced) {
            return Err(Why::Node(block));
        }
        self.room(&scene.nodes[node as usize].name, scene.namespace(pod))?;
        // Unlike a drain, nothing waits for a budget here.
        if let Some(budget) = care.budgets.iter().find(|budget| self.allowance.left_of(**budget) == 0) {
            return Err(Why::PodBudget(fleet.pod_budgets[*budget as usize].name.clone()));
        }
        if !self.nodes.contains(&node) {
            // The pods' own budgets were looked at above.
            self.allowance.take(&machine.pool, Reason::Rebalanced, &[]).map_err(|_| Why::Budget)?;
            self.nodes.insert(node);
        }
        self.allowance.draw(&care.budgets);
        self.count(&scene.nodes[node as usize].name, scene.namespace(pod));
        Ok(())
    }

    /// Whether the policy moves one more.
    pub(super) fn room(&self, node: &str, namespace: &str) -> Result<(), Why> {
        let of = |counts: &BTreeMap<String, usize>, key: &str| counts.get(key).copied().unwrap_or(0);
        if of(&self.per_node, node) >= self.most_per_node {
            Err(Why::Most("from one node"))
        } else if of(&self.per_namespace, namespace) >= self.most_per_namespace {
            Err(Why::Most("from one namespace"))
        } else if self.total >= self.most {
            Err(Why::Most("at once"))
        } else {
            Ok(())
        }
    }

    pub(super) fn count(&mut self, node: &str, namespace: &str) {
        *self.per_node.entry(node.to_owned()).or_default() += 1;
        *self.per_namespace.entry(namespace.to_owned()).or_default() += 1;
        self.total += 1;
    }
}

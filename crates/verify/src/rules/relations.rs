//! Spread, affinity, anti-affinity and host ports let each pod come, in the
//! order that the plan gives.

use std::collections::BTreeMap;

use stowage_model::{Plan, Problem};

use crate::Rule;
use crate::facts;
use crate::world::World;

pub(crate) struct Relations;

impl Rule for Relations {
    fn name(&self) -> &'static str {
        "relations"
    }

    fn check(&self, problem: &Problem, plan: &Plan, found: &mut Vec<(String, String)>) {
        if !related(problem) {
            return;
        }
        let (mut world, mut host) = populated(problem, plan);
        let name = |pod: u32| format!("pod {}", problem.pods[pod as usize]);
        for pod in &plan.order {
            let Some(site) = host.remove(pod) else {
                found.push((name(*pod), "is in the order twice, or has no place".to_owned()));
                continue;
            };
            let shape = problem.pods[*pod as usize].shape;
            if let Err(message) = world.admits(shape, site) {
                found.push((name(*pod), message));
            }
            world.place(shape, site);
        }
        if let Some(pod) = host.keys().next() {
            found.push((name(*pod), "is missing in the order".to_owned()));
        }
    }
}

/// Whether pods have rules about other pods or ports.
pub(crate) fn related(problem: &Problem) -> bool {
    let of_pods = problem.shapes.iter().any(|shape| {
        let topology = &shape.topology;
        let required = topology.affinity.iter().chain(&topology.anti_affinity).any(|term| term.weight.is_none());
        required || topology.spread.iter().any(|spread| spread.hard) || !shape.ports.is_empty()
    });
    of_pods || problem.nodes.iter().any(|node| !node.repels.is_empty())
}

/// All nodes, without new pods, and which pod goes where.
pub(crate) fn populated<'a>(problem: &'a Problem, plan: &Plan) -> (World<'a>, BTreeMap<u32, usize>) {
    let mut world = World::new(problem);
    let mut host: BTreeMap<u32, usize> = BTreeMap::new();
    facts::each_new_node(problem, plan, |index, node, labels| {
        let taints = facts::find(problem, node).map_or(&[][..], |launched| &launched.pool.taints);
        let site = world.launched(&format!("new {index}"), labels, taints);
        let at = world.build(site);
        host.extend(node.pods.iter().map(|pod| (*pod, at)));
    });
    for binding in &plan.existing {
        if let Some(at) = problem.nodes.iter().position(|node| node.name == binding.node) {
            host.extend(binding.pods.iter().map(|pod| (*pod, at)));
        }
    }
    world.open();
    (world, host)
}

//! Pods and DaemonSets together fit each node.

use std::collections::BTreeSet;

use stowage_model::{Plan, Problem};

use crate::Rule;
use crate::facts;

pub(crate) struct Capacity;

impl Rule for Capacity {
    fn name(&self) -> &'static str {
        "capacity"
    }

    fn check(&self, problem: &Problem, plan: &Plan, found: &mut Vec<(String, String)>) {
        facts::each_new_node(problem, plan, |index, node, labels| {
            let free = facts::free(problem, &labels);
            let load = facts::load(problem, &node.pods, &BTreeSet::new());
            if let Some((name, asked, there)) = load.first_shortage(&free) {
                let message = format!("its pods ask for {asked} {name}, it has {there}");
                found.push((format!("new node {index} ({})", node.instance_type), message));
            }
        });
        for binding in &plan.existing {
            let Some(node) = problem.nodes.iter().find(|node| node.name == binding.node) else { continue };
            let mut free = node.allocatable.clone();
            free.subtract(&node.used);
            free.subtract(&node.reserved);
            let load = facts::load(problem, &binding.pods, &node.attached);
            if let Some((name, asked, there)) = load.first_shortage(&free) {
                found.push((
                    format!("node {}", node.name),
                    format!("its new pods ask for {asked} {name}, it has {there}"),
                ));
            }
        }
    }
}

//! Every new node can be bought as stated, at the price stated, from a pool that
//! admits it; every existing node exists and takes pods.

use std::collections::BTreeSet;

use stowage_model::{Plan, Problem};

use crate::Rule;
use crate::facts;

pub(crate) struct Launch;

impl Rule for Launch {
    fn name(&self) -> &'static str {
        "launch"
    }

    fn check(&self, problem: &Problem, plan: &Plan, found: &mut Vec<(String, String)>) {
        for (index, node) in plan.nodes.iter().enumerate() {
            let subject = || format!("new node {index} ({})", node.instance_type);
            match facts::find(problem, node) {
                Err(missing) => found.push((subject(), missing)),
                Ok(launched) if launched.offering.price != node.price => {
                    found.push((subject(), format!("costs {}, not {}", launched.offering.price, node.price)));
                }
                Ok(_) => {}
            }
            if node.alternatives.len() < problem.min_alternatives {
                let (has, wanted) = (node.alternatives.len(), problem.min_alternatives);
                found.push((subject(), format!("has {has} alternative types, not {wanted}")));
            }
        }
        facts::each_new_node(problem, plan, |index, node, labels| {
            let subject = || format!("new node {index} ({})", node.instance_type);
            if !labels.instance_type.operating_systems.iter().any(|os| **os == *node.os) {
                found.push((subject(), format!("does not run {}", node.os)));
            }
            for (key, requirement) in labels.pool.requirements.iter() {
                if !requirement.admits(labels.get(key)) {
                    found.push((subject(), format!("breaks requirement {key} {requirement} of pool {}", node.pool)));
                }
            }
            for key in node.labels.keys() {
                let invented = stowage_model::labels::is_provided(key)
                    || labels.pool.labels.contains_key(key)
                    || labels.pool.requirements.get(key).is_none();
                if invented {
                    found.push((subject(), format!("label {key} is not the plan's to choose")));
                }
            }
        });
        let mut seen = BTreeSet::new();
        for binding in &plan.existing {
            let node = problem.nodes.iter().find(|node| node.name == binding.node);
            if node.is_none_or(|node| !node.schedulable) || !seen.insert(&binding.node) {
                found.push((
                    format!("node {}", binding.node),
                    "does not exist, takes no pods, or is listed twice".to_owned(),
                ));
            }
        }
    }
}

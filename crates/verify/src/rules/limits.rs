//! No pool exceeds its limits. Limits count capacity, and nodes.

use stowage_model::{Plan, Problem, ResourceName};

use crate::Rule;
use crate::facts;

pub(crate) struct Limits;

impl Rule for Limits {
    fn name(&self) -> &'static str {
        "limits"
    }

    fn check(&self, problem: &Problem, plan: &Plan, found: &mut Vec<(String, String)>) {
        for pool in &problem.pools {
            let Some(limits) = &pool.limits else { continue };
            for (name, most) in limits.iter() {
                let of = |capacity: &stowage_model::Resources| {
                    if name.as_str() == ResourceName::NODES { 1 } else { i128::from(capacity.get(name.as_str())) }
                };
                let live: i128 =
                    problem.nodes.iter().filter(|n| n.pool() == Some(&pool.name)).map(|n| of(&n.capacity)).sum();
                let new: i128 = plan
                    .nodes
                    .iter()
                    .filter(|node| node.pool == pool.name)
                    .filter_map(|node| facts::find(problem, node).ok())
                    .map(|launched| of(&launched.instance_type.capacity))
                    .sum();
                if new > 0 && live + new > i128::from(most) {
                    let message = format!("new nodes bring {name} to {}, the limit is {most}", live + new);
                    found.push((format!("pool {}", pool.name), message));
                }
            }
        }
    }
}

//! No pool exceeds its limits, which count capacity and nodes, and no reservation
//! is drawn on for more instances than it has.

use std::collections::BTreeMap;

use stowage_model::{Plan, Problem, ResourceName};

use crate::Rule;
use crate::facts;

pub(crate) struct Limits;

impl Rule for Limits {
    fn name(&self) -> &'static str {
        "limits"
    }

    fn check(&self, problem: &Problem, plan: &Plan, found: &mut Vec<(String, String)>) {
        reservations(problem, plan, found);
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

fn reservations(problem: &Problem, plan: &Plan, found: &mut Vec<(String, String)>) {
    let mut drawn: BTreeMap<&str, i64> = BTreeMap::new();
    for id in plan.nodes.iter().filter_map(|node| node.reservation.as_deref()) {
        *drawn.entry(id).or_default() += 1;
    }
    for (id, nodes) in drawn {
        let all = problem.type_sets.iter().flatten().flat_map(|kind| &kind.offerings);
        let most = all.filter_map(|o| o.reservation.as_ref()).find(|r| *r.id == *id).map_or(0, |r| i64::from(r.count));
        if nodes > most {
            found.push((format!("reservation {id}"), format!("has {most} instances, the plan takes {nodes}")));
        }
    }
}

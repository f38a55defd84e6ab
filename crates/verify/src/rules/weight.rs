//! A lighter pool is used only where no heavier one would hold the pod, or where
//! the heavier one has limits.

use std::collections::BTreeSet;

use stowage_model::{Effect, Plan, Problem};

use crate::Rule;
use crate::facts;

pub(crate) struct Weight;

impl Rule for Weight {
    fn name(&self) -> &'static str {
        "weight"
    }

    fn check(&self, problem: &Problem, plan: &Plan, found: &mut Vec<(String, String)>) {
        if problem.pools.windows(2).all(|pair| pair[0].weight == pair[1].weight) {
            return;
        }
        let mut used: BTreeSet<(u32, &str)> = BTreeSet::new();
        for node in &plan.nodes {
            used.extend(facts::shapes(problem, &node.pods).into_keys().map(|shape| (shape, node.pool.as_str())));
        }
        for (shape, name) in used {
            if related(problem, shape) {
                continue;
            }
            let Some(pool) = problem.pools.iter().find(|pool| pool.name == name) else { continue };
            let heavier = heaviest_unlimited(problem, shape);
            if let Some(better) = heavier.filter(|better| better.1 > pool.weight) {
                let message =
                    format!("is in pool {name}, though pool {} of weight {} would hold it", better.0, better.1);
                found.push((format!("pods of shape {shape}"), message));
            }
        }
    }
}

/// Pods go where other pods, or their own preferences, send them.
fn related(problem: &Problem, shape: u32) -> bool {
    let data = &problem.shapes[shape as usize];
    let advised = problem.pools.iter().flat_map(|pool| &pool.taints).any(|t| t.effect == Effect::PreferNoSchedule);
    !data.topology.is_empty() || !data.preferred.is_empty() || !data.ports.is_empty() || advised
}

/// The heaviest pool without limits that would hold a pod of `shape` alone.
fn heaviest_unlimited(problem: &Problem, shape: u32) -> Option<(&str, i32)> {
    let data = &problem.shapes[shape as usize];
    let mut best: Option<(&str, i32)> = None;
    for (index, pool) in problem.pools.iter().enumerate() {
        let better = best.is_none_or(|(_, weight)| pool.weight > weight);
        if !better || pool.limits.is_some() || !facts::tolerates(data, &pool.taints) {
            continue;
        }
        let mut holds = false;
        facts::each_launch_of(problem, index, |labels| {
            holds = holds
                || facts::labels_admit(data, &|key| labels.get(key))
                    && data.requests.fits(&facts::free(problem, &labels));
        });
        if holds {
            best = Some((&pool.name, pool.weight));
        }
    }
    best
}

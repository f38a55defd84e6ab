//! A pod without a place has none: no launch holds it alone, or a limit is in
//! the way, and no existing node has room beside what the plan puts there.

use std::collections::{BTreeMap, BTreeSet};

use stowage_model::{LaunchLabels, NodePool, Offering, Plan, Problem, Resources};

use crate::Rule;
use crate::facts;
use crate::rules::relations;
use crate::world::World;

pub(crate) struct UnplacedPods;

impl Rule for UnplacedPods {
    fn name(&self) -> &'static str {
        "unplaced"
    }

    fn check(&self, problem: &Problem, plan: &Plan, found: &mut Vec<(String, String)>) {
        let mut shapes: BTreeMap<u32, u32> = BTreeMap::new();
        for unplaced in &plan.unplaced {
            shapes.entry(problem.pods[unplaced.pod as usize].shape).or_insert(unplaced.pod);
            if unplaced.reasons.is_empty() {
                let name = problem.pods[unplaced.pod as usize].to_string();
                found.push((format!("pod {name}"), "is unplaced without a reason".to_owned()));
            }
        }
        if shapes.is_empty() {
            return;
        }
        let rest = remaining(problem, plan);
        let world = relations::related(problem).then(|| after(problem, plan));
        let welcome = |shape: u32, labels: LaunchLabels<'_>, taints| {
            world
                .as_ref()
                .is_none_or(|world| world.admits_at(shape, &world.launched("another", labels, taints)).is_ok())
        };
        let mut placeable: BTreeSet<(u32, String)> = BTreeSet::new();
        let mut satisfied: BTreeSet<u32> = BTreeSet::new();
        facts::each_launch(problem, |pool, labels| {
            if used_up(plan, labels.offering) {
                return;
            }
            for shape in shapes.keys().filter(|shape| !satisfied.contains(shape)).copied().collect::<Vec<_>>() {
                let data = &problem.shapes[shape as usize];
                let admitted = facts::tolerates(data, &labels.pool.taints)
                    && facts::labels_admit(data, &|key| labels.get(key))
                    && facts::load_of(data, &BTreeSet::new()).fits(&facts::free(problem, &labels));
                let allowed = rest[pool]
                    .as_ref()
                    .is_none_or(|rest| facts::counted(&labels.instance_type.capacity, rest).fits(rest));
                let taints = &problem.pools[pool].taints;
                if admitted
                    && allowed
                    && !facts::barred(data)
                    && enough_alternatives(problem)
                    && welcome(shape, labels, taints)
                {
                    placeable.insert((
                        shape,
                        format!("pool {} could launch {}", labels.pool.name, labels.instance_type.name),
                    ));
                    satisfied.insert(shape);
                }
            }
        });
        for (index, node) in problem.nodes.iter().enumerate().filter(|(_, node)| node.schedulable) {
            let mut free = node.free();
            for binding in plan.existing.iter().filter(|binding| binding.node == node.name) {
                free.subtract(&facts::load(problem, &binding.pods, &node.attached));
            }
            for shape in shapes.keys() {
                let data = &problem.shapes[*shape as usize];
                let admitted =
                    facts::tolerates(data, &node.taints) && facts::labels_admit(data, &|key| node.label(key));
                let welcome = || world.as_ref().is_none_or(|world| world.admits(*shape, index).is_ok());
                if admitted && !facts::barred(data) && facts::load_of(data, &node.attached).fits(&free) && welcome() {
                    placeable.insert((*shape, format!("node {} has room", node.name)));
                }
            }
        }
        for (shape, where_) in placeable {
            let name = problem.pods[shapes[&shape] as usize].to_string();
            found.push((format!("pod {name}"), format!("is unplaced, though {where_}")));
        }
    }
}

/// The world after the plan, with every domain that a launch could add.
fn after<'a>(problem: &'a Problem, plan: &Plan) -> World<'a> {
    let (mut world, host) = relations::populated(problem, plan);
    let mut seen = BTreeSet::new();
    facts::each_launch(problem, |pool, labels| {
        if seen.insert((pool, world.mentioned(labels))) {
            let site = world.launched("another", labels, &problem.pools[pool].taints);
            world.could_build(site);
        }
    });
    world.open();
    for pod in &plan.order {
        if let Some(site) = host.get(pod) {
            world.place(problem.pods[*pod as usize].shape, *site);
        }
    }
    world
}

/// Whether the plan takes all that a reservation has.
fn used_up(plan: &Plan, offering: &Offering) -> bool {
    offering.reservation.as_ref().is_some_and(|reservation| {
        let taken = plan.nodes.iter().filter(|node| node.reservation.as_deref() == Some(&*reservation.id));
        taken.count() >= reservation.count as usize
    })
}

/// With a minimum of alternatives, or of values, a launch may be refused for lack of them,
/// which this rule does not judge.
fn enough_alternatives(problem: &Problem) -> bool {
    let flexible = |pool: &NodePool| pool.requirements.iter().any(|(_, r)| r.min_values.is_some());
    problem.min_alternatives == 0 && !problem.pools.iter().any(flexible)
}

/// What each pool's limits leave after the plan.
fn remaining(problem: &Problem, plan: &Plan) -> Vec<Option<Resources>> {
    problem
        .pools
        .iter()
        .map(|pool| {
            let mut rest = problem.remaining_limits(pool)?;
            for node in plan.nodes.iter().filter(|node| node.pool == pool.name) {
                if let Ok(launched) = facts::find(problem, node) {
                    let used = facts::counted(&launched.instance_type.capacity, &rest);
                    rest.subtract(&used);
                }
            }
            Some(rest)
        })
        .collect()
}

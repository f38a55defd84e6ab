//! Places for pods that move: a packing problem without anything for sale.
//!
//! Where a pod may go is put as a resource that only those nodes have, since labels
//! or taints for it would change which nodes spread constraints count.

use std::collections::BTreeMap;
use std::rc::Rc;

use stowage_model::{Plan, Pod, PodShape, Problem, Statement};
use stowage_solver::{Monitor, Options};

use super::scene::{Pick, Scene};

/// Where each pod goes, and the question behind it.
pub(super) struct Found {
    pub(super) places: Vec<Option<u32>>,
    pub(super) answer: Option<(Problem, Plan)>,
}

pub(super) fn place(scene: &Scene<'_>, picks: &[Pick], options: &Options, monitor: &dyn Monitor) -> Found {
    let nowhere = Found { places: vec![None; picks.len()], answer: None };
    if picks.is_empty() {
        return nowhere;
    }
    let problem = match question(scene, picks) {
        Ok(problem) => problem,
        // The same pods and nodes were asked about before: there is no more of anything.
        Err(_) => return nowhere,
    };
    let plan = stowage_solver::solve(&problem, options, monitor).plan;
    let pick_of: BTreeMap<String, usize> =
        picks.iter().enumerate().map(|(index, pick)| (scene.name(pick.pod), index)).collect();
    let mut places = vec![None; picks.len()];
    for binding in &plan.existing {
        let node = scene.nodes.binary_search_by(|node| node.name.cmp(&binding.node)).ok();
        for pod in &binding.pods {
            if let Some(index) = pick_of.get(&problem.pods[*pod as usize].to_string()) {
                places[*index] = node.map(|node| node as u32);
            }
        }
    }
    Found { places, answer: Some((problem, plan)) }
}

fn question(scene: &Scene<'_>, picks: &[Pick]) -> Result<Problem, stowage_model::ProblemError> {
    let all = &scene.fleet.problem;
    let mut nodes = scene.nodes.clone();
    let mut goals: BTreeMap<usize, usize> = BTreeMap::new();
    let mut shapes: BTreeMap<PodShape, u32> = BTreeMap::new();
    let mut pods = Vec::new();
    for pick in picks {
        let key = Rc::as_ptr(&pick.goal) as usize;
        let next = goals.len();
        let goal = *goals.entry(key).or_insert(next);
        let name = |resource: &str| format!("stowage.slots/goal-{goal}-{resource}");
        if goal == next {
            for (node, room) in &pick.goal.places {
                room.iter()
                    .for_each(|(resource, most)| nodes[*node as usize].allocatable.set(&name(resource.as_str()), most));
            }
        }
        let mut shape = scene.shape(pick.pod).clone();
        pick.takes.iter().for_each(|(resource, amount)| shape.requests.set(&name(resource.as_str()), amount));
        if let Some(from) = scene.home[pick.pod as usize] {
            Scene::lift(&mut nodes[from as usize], &shape);
        }
        let fresh = shapes.len() as u32;
        let index = *shapes.entry(shape).or_insert(fresh);
        pods.push(Pod { shape: index, ..all.pods[pick.pod as usize].clone() });
    }
    let mut by_index: Vec<(u32, PodShape)> = shapes.into_iter().map(|(shape, index)| (index, shape)).collect();
    by_index.sort_by_key(|(index, _)| *index);
    let mut problem = Problem::new(Statement {
        shapes: by_index.into_iter().map(|(_, shape)| shape).collect(),
        workloads: all.workloads.clone(),
        pods,
        nodes,
        daemons: all.daemons.clone(),
        groups: all.groups.clone(),
        ..Statement::default()
    })?;
    problem.preferences = all.preferences;
    Ok(problem)
}

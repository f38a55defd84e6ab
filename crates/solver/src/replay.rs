//! What a plan costs once a scheduler has bound the pods in its own order.
//!
//! The planned nodes become ready, all together or one after another; a queue of
//! pods is bound to them as kube-scheduler does it, by its filters and by its
//! scores for free and balanced resources; and pods that find no room are planned
//! again. What their nodes cost is the regret: it tells how much of a tight plan
//! survives a scheduler that knows nothing of it, or one that is told where each
//! pod should go.

mod scheduler;
mod waves;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use stowage_model::{Node, Plan, Pod, Price, Problem, ProblemError, Statement, Variant};

use crate::effort::Options;
use crate::monitor::Monitor;
use crate::random::Random;
use scheduler::Scheduler;

/// When the planned nodes become ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Before the first pod is bound.
    Together,
    /// One after another, and every pod is tried in between.
    OneByOne,
}

/// In which order pods of one priority wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// Anyhow.
    Shuffled,
    /// Workload after workload, as when each is scaled at once.
    Blocks,
}

/// What tells the scheduler where pods should go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steering {
    /// Nothing.
    None,
    /// `status.nominatedNodeName`, set for the pods of a node that is held back by
    /// a startup taint, just before the taint goes.
    Nominated,
    /// A taint of its own on each planned node, and a toleration added to the pods
    /// that are planned there: others stay away until these are bound.
    Tolerated,
}

/// How the plan is replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// When nodes become ready.
    pub readiness: Readiness,
    /// How pods wait.
    pub queue: Queue,
    /// What steers them.
    pub steering: Steering,
    /// Seed of everything that chance decides.
    pub seed: u64,
}

/// How a replay ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// Pods that the plan places.
    pub pods: usize,
    /// Pods bound to a node of the plan.
    pub bound: usize,
    /// Pods bound to the very node that the plan has them on.
    pub as_planned: usize,
    /// Nodes bought for the others.
    pub more_nodes: usize,
    /// What these cost.
    pub extra: Price,
    /// Pods that have no place even so.
    pub unplaced: usize,
}

impl Replay {
    /// What was bought afterwards, as a share of the plan's price.
    pub fn regret(&self, plan: &Plan) -> Option<f64> {
        (plan.price() > Price::ZERO).then(|| self.extra.dollars() / plan.price().dollars())
    }
}

/// Replays `plan`. The error is that of restating the problem, which cannot be
/// larger than the one that was planned.
pub fn replay(
    problem: &Problem,
    plan: &Plan,
    scenario: Scenario,
    options: &Options,
    monitor: &dyn Monitor,
) -> Result<Replay, ProblemError> {
    let existing = problem.nodes.len();
    let (mut nodes, wanted) = built(problem, plan);
    let mut random = Random::new(scenario.seed);
    let queue = queue(problem, &wanted, scenario.queue, &mut random);
    let release = release(plan, existing, nodes.len(), &wanted, scenario, &mut random);
    let mut scheduler = Scheduler::new(problem, &nodes, existing, &wanted, queue, scenario.steering, random);
    if scenario.steering == Steering::Tolerated {
        scheduler.take_turns(plan);
    }
    scheduler.begin();
    match scenario.readiness {
        Readiness::Together => scheduler.release(&release),
        Readiness::OneByOne => release.iter().for_each(|node| scheduler.release(&[*node])),
    }
    let (bound, left) = scheduler.finish();
    let as_planned = bound.iter().filter(|(pod, node)| wanted.get(pod) == Some(node)).count();
    let (extra, more_nodes, unplaced) = replan(problem, &mut nodes, &bound, &left, options, monitor)?;
    Ok(Replay { pods: wanted.len(), bound: bound.len(), as_planned, more_nodes, extra, unplaced })
}

/// The pods that must wait for others before they are let to their nodes, wave by
/// wave; everybody else can be let there at once.
pub fn turns(problem: &Problem, plan: &Plan) -> Vec<Vec<u32>> {
    if plan.order.is_empty() {
        return Vec::new();
    }
    let (nodes, wanted) = built(problem, plan);
    // Nobody waits and nothing is left to chance: only the plan decides turns.
    let (waiting, random) = (Vec::new(), Random::new(0));
    let mut scheduler =
        Scheduler::new(problem, &nodes, problem.nodes.len(), &wanted, waiting, Steering::Tolerated, random);
    scheduler.take_turns(plan);
    let mut turns: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
    for (pod, wave) in scheduler.waves() {
        turns.entry(*wave).or_default().push(*pod);
    }
    turns.into_values().collect()
}

/// The nodes, existing and planned, and which of them each pod is planned on.
fn built(problem: &Problem, plan: &Plan) -> (Vec<Node>, BTreeMap<u32, usize>) {
    let mut nodes: Vec<Node> = problem.nodes.clone();
    let mut wanted: BTreeMap<u32, usize> = BTreeMap::new();
    for (index, node) in plan.nodes.iter().enumerate() {
        let variant = Variant { labels: node.labels.clone() };
        let Some(launch) = problem.launch_of(node, &variant) else { continue };
        let mut built = launch.node(format!("planned-{index:05}"));
        let running = problem.daemons.iter().filter(|d| d.runs_on(|key| launch.get(key), &launch.pool.taints));
        for daemon in running {
            built.reserved.add(&daemon.shape.requests);
            built.ports.extend(daemon.shape.ports.iter().cloned());
        }
        wanted.extend(node.pods.iter().map(|pod| (*pod, nodes.len())));
        nodes.push(built);
    }
    for binding in &plan.existing {
        if let Some(at) = problem.nodes.iter().position(|node| node.name == binding.node) {
            wanted.extend(binding.pods.iter().map(|pod| (*pod, at)));
        }
    }
    (nodes, wanted)
}

/// The placed pods as they wait: by priority, then as the scenario has it.
fn queue(problem: &Problem, wanted: &BTreeMap<u32, usize>, queue: Queue, random: &mut Random) -> Vec<u32> {
    let mut pods: Vec<(Reverse<i32>, usize, u32)> = wanted
        .keys()
        .map(|pod| {
            let data = &problem.pods[*pod as usize];
            let turn = match queue {
                Queue::Shuffled => random.below(1 << 40),
                Queue::Blocks => data.workload as usize,
            };
            (Reverse(problem.shapes[data.shape as usize].priority), turn, *pod)
        })
        .collect();
    pods.sort_unstable();
    pods.into_iter().map(|(_, _, pod)| pod).collect()
}

/// The order in which planned nodes become ready. Steered, it is that in which
/// the plan first needs them, so that rules between pods find their turn.
fn release(
    plan: &Plan,
    existing: usize,
    nodes: usize,
    wanted: &BTreeMap<u32, usize>,
    scenario: Scenario,
    random: &mut Random,
) -> Vec<usize> {
    let mut all: Vec<usize> = (existing..nodes).collect();
    if scenario.steering == Steering::None {
        all.sort_by_cached_key(|_| random.below(1 << 40));
        return all;
    }
    let mut first = vec![usize::MAX; nodes];
    for (turn, pod) in plan.order.iter().enumerate() {
        if let Some(node) = wanted.get(pod) {
            first[*node] = first[*node].min(turn);
        }
    }
    all.sort_by_key(|node| (first[*node], *node));
    all
}

/// Plans the pods that found no room, beside those that did.
fn replan(
    problem: &Problem,
    nodes: &mut [Node],
    bound: &BTreeMap<u32, usize>,
    left: &[u32],
    options: &Options,
    monitor: &dyn Monitor,
) -> Result<(Price, usize, usize), ProblemError> {
    if left.is_empty() {
        return Ok((Price::ZERO, 0, 0));
    }
    for (pod, node) in bound {
        let shape = &problem.shapes[problem.pods[*pod as usize].shape as usize];
        nodes[*node].host(shape);
    }
    let pods: Vec<Pod> = left.iter().map(|pod| problem.pods[*pod as usize].clone()).collect();
    let mut rest = Problem::new(Statement {
        shapes: problem.shapes.clone(),
        workloads: problem.workloads.clone(),
        pods,
        nodes: nodes.to_vec(),
        pools: problem.pools.clone(),
        type_sets: problem.type_sets.clone(),
        daemons: problem.daemons.clone(),
        groups: problem.groups.clone(),
    })?;
    rest.preferences = problem.preferences;
    rest.min_values = problem.min_values;
    rest.min_alternatives = problem.min_alternatives;
    let plan = crate::solve(&rest, options, monitor).plan;
    Ok((plan.price(), plan.nodes.len(), plan.unplaced.len()))
}

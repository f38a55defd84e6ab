//! `plan --replay`: what is left of the plan once a scheduler has bound the pods.

use serde::Serialize;
use stowage_model::{Plan, Problem};
use stowage_solver::replay::{Queue, Readiness, Replay, Scenario, Steering, replay};
use stowage_solver::{Effort, Options, Unwatched};

use crate::args::SearchArgs;
use crate::error::Failure;

/// What is tried, from the best case to the worst, and with steering.
const SCENARIOS: [(&str, Readiness, Queue, Steering); 6] = [
    ("nodes ready together, pods in any order", Readiness::Together, Queue::Shuffled, Steering::None),
    ("nodes ready one by one, pods in any order", Readiness::OneByOne, Queue::Shuffled, Steering::None),
    ("nodes ready one by one, pods by workload", Readiness::OneByOne, Queue::Blocks, Steering::None),
    ("nominated node by node, pods in any order", Readiness::OneByOne, Queue::Shuffled, Steering::Nominated),
    ("nominated node by node, pods by workload", Readiness::OneByOne, Queue::Blocks, Steering::Nominated),
    ("tolerated by pod, nodes one by one", Readiness::OneByOne, Queue::Blocks, Steering::Tolerated),
];

/// How one scenario ended.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReplayView {
    pub(crate) scenario: &'static str,
    pub(crate) pods: usize,
    pub(crate) bound: usize,
    pub(crate) as_planned: usize,
    pub(crate) more_nodes: usize,
    pub(crate) unplaced: usize,
    pub(crate) extra_hourly_price: f64,
    /// The extra price as a share of the plan's.
    pub(crate) regret: Option<f64>,
}

pub(crate) fn run(problem: &Problem, plan: &Plan, args: &SearchArgs) -> Result<Vec<ReplayView>, Failure> {
    let options = Options { effort: Effort::Quick, threads: 1, seed: args.seed, ..Options::default() };
    let one = |(scenario, readiness, queue, steering)| {
        let how = Scenario { readiness, queue, steering, seed: args.seed };
        let ended: Replay = replay(problem, plan, how, &options, &Unwatched)
            .map_err(|error| Failure::fault(&format!("the plan cannot be replayed: {error}")))?;
        Ok(ReplayView {
            scenario,
            pods: ended.pods,
            bound: ended.bound,
            as_planned: ended.as_planned,
            more_nodes: ended.more_nodes,
            unplaced: ended.unplaced,
            extra_hourly_price: ended.extra.dollars(),
            regret: ended.regret(plan).map(|share| (share * 1e6).round() / 1e6),
        })
    };
    SCENARIOS.into_iter().map(one).collect()
}

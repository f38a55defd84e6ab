//! Pods onto the cheapest nodes, with a lower bound.
//!
//! ```text
//! Problem ─ launches ─ reduce ─ islands ─┬ first fit   a safe answer
//!                                        ├ fluid       pod values, a bound
//!                                        ├ greedy      guided by the values
//!                                        ├ columns     better values and bound
//!                                        ├ repair      ruin and recreate
//!                                        └ exact       small cases: proof
//!                     assemble ─ certificate ─ Plan
//! ```
//!
//! Pure: no clock, no I/O, no threads' timing in the answer. Work is counted in
//! steps; a [`Monitor`] may watch and stop it.

pub mod alternatives;
mod answer;
mod assemble;
mod bound;
mod certificate;
mod columns;
mod effort;
mod exact;
pub mod explain;
pub mod filters;
mod first_fit;
mod fluid;
mod greedy;
mod island;
mod knapsack;
pub mod launches;
mod leftover;
mod limits;
mod lp;
mod monitor;
mod packing;
pub mod parallel;
mod random;
mod reduce;
pub mod replay;
mod ruin_recreate;
mod search;
mod topology;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use stowage_model::{Certificate, End, MinValues, Plan, Price, Problem};

pub use effort::{Algorithm, Effort, Options};
pub use monitor::{Monitor, Unwatched};

/// The linear programming back end of this build.
pub const LP_BACKEND: &str = lp::NAME;

use crate::answer::Answer;
use crate::launches::Launch;
use crate::topology::demand::Demand;
use crate::topology::finish::Turn;
use crate::topology::settle;

/// The answer, with every proof of a lower bound that the search came to, the
/// strongest first.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The plan, with the strongest proof.
    pub plan: Plan,
    /// Weaker proofs, which are easier to check.
    pub weaker: Vec<(Certificate, Price)>,
    stopped: Option<End>,
    target_gap: i64,
}

impl Outcome {
    /// Gives the plan the strongest proof that `judge` accepts; some proofs are
    /// more work to check than a judge cares for. Returns whether one was.
    pub fn settle(&mut self, judge: impl Fn(&Plan) -> bool) -> bool {
        loop {
            if judge(&self.plan) {
                return true;
            }
            if self.weaker.is_empty() {
                return false;
            }
            (self.plan.certificate, self.plan.bound) = self.weaker.remove(0);
            self.conclude();
        }
    }

    /// Says why the search ended, by what is proven and what stopped it.
    pub(crate) fn conclude(&mut self) {
        self.plan.end = match (self.plan.bound >= self.plan.price(), self.stopped, self.plan.gap_millionths()) {
            (true, _, _) => End::Optimal,
            (_, Some(end), _) => end,
            (_, _, Some(gap)) if self.target_gap > 0 && gap <= self.target_gap => End::WithinGap,
            _ => End::EffortSpent,
        };
    }
}

/// Solves a problem. A plan always exists, be it one that places nothing.
pub fn solve(problem: &Problem, options: &Options, monitor: &dyn Monitor) -> Outcome {
    let all = launches::launches(problem);
    if !launches::asks_for_values(problem) {
        return among(problem, &all, &all, options, monitor);
    }
    let strict = among(problem, &launches::flexible(problem, &all), &all, options, monitor);
    if problem.min_values == MinValues::Strict || strict.plan.unplaced.is_empty() {
        return strict;
    }
    let open = among(problem, &all, &all, options, monitor);
    if unplaced(problem, &open.plan) < unplaced(problem, &strict.plan) { open } else { strict }
}

/// Pods without a place by priority, highest first.
fn unplaced(problem: &Problem, plan: &Plan) -> Vec<usize> {
    let of = |pod: u32| problem.shapes[problem.pods[pod as usize].shape as usize].priority;
    let mut counts: BTreeMap<Reverse<i32>, usize> = problem.shapes.iter().map(|s| (Reverse(s.priority), 0)).collect();
    for pod in &plan.unplaced {
        *counts.entry(Reverse(of(pod.pod))).or_default() += 1;
    }
    counts.into_values().collect()
}

/// Solves a problem with some of `all` launches.
fn among(problem: &Problem, launches: &[Launch], all: &[Launch], options: &Options, monitor: &dyn Monitor) -> Outcome {
    let demand = Demand::of(problem, launches);
    let mut answer = Answer::find(problem, launches, &demand, options, monitor);
    // Limits that bind split the search into rounds, each best by itself: the
    // baseline may still be better as a whole.
    if answer.is_split() && options.algorithm == Algorithm::Optimise {
        let baseline = Options { algorithm: Algorithm::FirstFit, ..options.clone() };
        let other = Answer::find(problem, launches, &demand, &baseline, monitor);
        if other.rank(&demand) < answer.rank(&demand) {
            answer = other;
        }
    }
    let mut assembly = assemble::Assembly::new(problem, launches, all);
    match &demand.related {
        None => answer.rounds().for_each(|round| assembly.add(&round.packing, &round.solution)),
        Some(related) => {
            let rounds: Vec<_> = answer.rounds().map(|round| (&round.packing, &round.solution)).collect();
            let mut settled = settle::settle(problem, launches, &demand, related, &rounds, Turn::Largest);
            if !settled.left.is_empty() && options.algorithm == Algorithm::Optimise {
                let baseline = Options { algorithm: Algorithm::FirstFit, ..options.clone() };
                let plain = Answer::find(problem, launches, &demand, &baseline, monitor);
                let rounds: Vec<_> = plain.rounds().map(|round| (&round.packing, &round.solution)).collect();
                let other = settle::settle(problem, launches, &demand, related, &rounds, Turn::Choosiest);
                settled = settled.or_better(other, problem, launches, related);
            }
            let settled = settle::in_other_orders(problem, launches, &demand, related, settled, monitor);
            assembly.settle(settled, |kind| related.shape_of[kind]);
        }
    }
    let proofs = match options.proves {
        true => answer.proofs(problem, all, &demand, &assembly.placed()),
        false => (vec![(Certificate::nothing(problem.shapes.len()), Price::ZERO)], false),
    };
    let stopped = answer.rounds().find_map(|round| round.stopped);
    assembly.finish(proofs, stopped, options)
}

//! The stages on one island. Each leaves a complete answer, and the best answer
//! so far is kept, so stopping anywhere is safe.

use stowage_model::{End, Price};

use crate::columns::{self, Generated};
use crate::effort::{Algorithm, Budget, Effort, Options};
use crate::exact;
use crate::first_fit;
use crate::fluid::{Fluid, Relaxation};
use crate::greedy::{Greedy, biased};
use crate::knapsack::search::{Goal, Knapsack};
use crate::leftover;
use crate::monitor::Monitor;
use crate::packing::{Limit, Packed, Packing, Solution};
use crate::ruin_recreate::{self, Run};

/// Pods up to which a complete search is tried.
const MOST_EXACT: u32 = 50;

/// What one island came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    pub(crate) solution: Solution,
    /// Values from the fluid relaxation and their resource prices.
    pub(crate) fluid: (Vec<f64>, Vec<Vec<f64>>),
    /// Better values from columns, where there are any.
    pub(crate) columns: Option<(Vec<f64>, Vec<Vec<f64>>)>,
    /// Nothing cheaper exists, by complete search.
    pub(crate) exact: bool,
    /// Why the search was cut short, if it was.
    pub(crate) stopped: Option<End>,
}

/// Searches one of so many `islands`: where there are many, each may be a little
/// dearer, for the time that all of them take together.
pub(crate) fn search(packing: &Packing, islands: usize, options: &Options, monitor: &dyn Monitor) -> Found {
    let mut budget = options.effort.budget(packing.classes.len(), packing.profiles.len());
    if options.effort != Effort::Thorough && islands > FEW_ISLANDS {
        budget.satisfied = budget.satisfied.max(SATISFIED_OF_MANY);
    }
    let mut kernel = Knapsack::default();
    let mut best = Best::new(packing, first_fit::pack(packing), monitor);
    best.report("first fit", 0.0);
    let mut relaxation = Relaxation::new(packing);
    let fluid = relaxation.solve(&mut kernel);
    let mut found = Found {
        fluid: (fluid.values.clone(), fluid.survey.prices.clone()),
        stopped: monitor.stop(),
        ..Found::default()
    };
    if options.algorithm == Algorithm::FirstFit || found.stopped.is_some() {
        found.solution = best.solution;
        return found;
    }
    best.report("fluid", fluid.values.iter().zip(packing.demand()).map(|(v, n)| v * f64::from(n)).sum());
    let mut stages = Stages { packing, relaxation, kernel, budget, options, monitor };
    stages.run(&fluid, &mut best, &mut found);
    found.solution = best.solution;
    found.stopped = monitor.stop();
    found
}

/// Islands that are each searched to the end.
const FEW_ISLANDS: usize = 8;
/// The gap that is good enough for each of more.
const SATISFIED_OF_MANY: f64 = 0.005;

/// The best answer so far.
struct Best<'a> {
    packing: &'a Packing,
    solution: Solution,
    monitor: &'a dyn Monitor,
}

impl<'a> Best<'a> {
    fn new(packing: &'a Packing, solution: Solution, monitor: &'a dyn Monitor) -> Self {
        Self { packing, solution: leftover::placed(packing, solution), monitor }
    }

    fn offer(&mut self, solution: Solution) {
        let mut solution = leftover::placed(self.packing, solution);
        solution.nodes.sort();
        if solution.rank(self.packing) < self.solution.rank(self.packing) {
            self.solution = solution;
        }
    }

    fn price(&self) -> i64 {
        self.solution.price(self.packing)
    }

    fn report(&self, stage: &str, bound: f64) {
        self.monitor.progress(stage, Some(self.solution.dollars(self.packing)), Price::from_nanos(bound as i64));
    }
}

struct Stages<'a> {
    packing: &'a Packing,
    relaxation: Relaxation<'a>,
    kernel: Knapsack,
    budget: Budget,
    options: &'a Options,
    monitor: &'a dyn Monitor,
}

/// Existing nodes filled, and what is left to launch for.
struct Filled {
    bins: Vec<Vec<(u32, u32)>>,
    demand: Vec<u32>,
}

impl Stages<'_> {
    fn run(&mut self, fluid: &Fluid, best: &mut Best<'_>, found: &mut Found) {
        let packing = self.packing;
        let filled = self.fill_bins(&fluid.values);
        // What the optimiser launches for, after existing nodes took their part.
        let rest = Packing {
            classes: packing
                .classes
                .iter()
                .zip(&filled.demand)
                .map(|(class, count)| crate::packing::Class { count: *count, ..class.clone() })
                .collect(),
            ..packing.clone()
        };
        let worth =
            |values: &[f64], demand: &[u32]| -> f64 { values.iter().zip(demand).map(|(v, n)| v * f64::from(*n)).sum() };
        let mut bound = worth(&fluid.values, &filled.demand);
        self.greedy_starts(&rest, &fluid.values, &fluid.survey.ratio, &filled, best);
        best.report("greedy", bound);
        self.followed(&rest, &fluid.values, &filled, best);
        best.report("followed", bound);
        if self.done(best, bound) {
            found.exact = self.prove(&fluid.values, &filled, best);
            return;
        }
        let mut values = fluid.values.clone();
        let mut ratio = fluid.survey.ratio.clone();
        let launched = filled.demand.iter().filter(|n| **n > 0).count();
        if self.budget.rounds > 0
            && launched <= self.budget.column_classes
            && packing.limits.is_empty()
            && let Some(mut generated) = self.columns(&rest, &fluid.values, best)
        {
            if generated.bound > bound * (1.0 + 1e-6) {
                bound = generated.bound;
                values.clone_from(&generated.values);
                ratio.clone_from(&generated.survey.ratio);
                if packing.bins.is_empty() {
                    found.columns = Some((generated.values.clone(), generated.survey.prices.clone()));
                }
            }
            best.report("generated", bound);
            self.rounded(&rest, &mut generated, &filled, best);
            best.report("rounded", bound);
            if self.budget.biases.len() > 1 {
                self.greedy_starts(&rest, &generated.values, &generated.survey.ratio, &filled, best);
                best.report("columns", bound);
            }
        }
        if self.done(best, bound) {
            found.exact = self.prove(&values, &filled, best);
            return;
        }
        found.exact = self.prove(&values, &filled, best);
        if !found.exact {
            let before = best.price();
            self.repair(&rest, (&values, &ratio), bound, &filled, best);
            best.report("repair", bound);
            found.exact = best.price() < before && self.prove(&values, &filled, best);
        }
    }

    fn done(&self, best: &Best<'_>, bound: f64) -> bool {
        let price = best.price() as f64;
        let pods: u32 = self.packing.classes.iter().map(|class| class.count).sum();
        // Small packings are worth a proof.
        let satisfied = if pods > MOST_EXACT { self.budget.satisfied } else { 0.0 };
        let enough = (self.options.target_gap as f64 * 1e-6).max(satisfied);
        self.monitor.stop().is_some() || price <= bound * (1.0 + enough)
    }

    /// Fills existing nodes with what is worth most. Pods that nothing can be
    /// launched for come first.
    fn fill_bins(&mut self, values: &[f64]) -> Filled {
        let packing = self.packing;
        let mut demand = packing.demand();
        let most = values.iter().copied().fold(1.0, f64::max) * 1e3;
        let worth: Vec<f64> = (0..packing.classes.len())
            .map(|class| {
                let launchable = packing.offers.iter().any(|offer| packing.admits(offer, class));
                let base = if launchable { values[class] } else { most };
                base + most * 1e-9
            })
            .collect();
        let mut bins = Vec::with_capacity(packing.bins.len());
        for bin in &packing.bins {
            self.kernel.columns.gather(packing, &bin.capacity, bin.admits.iter(), &worth, &demand);
            let goal = Goal { useless: -1.0, enough: 0.0, nodes: 32 };
            let filling = self.kernel.solve(&bin.capacity, goal, None).items;
            for (class, count) in &filling {
                demand[*class as usize] -= count;
            }
            bins.push(filling);
        }
        Filled { bins, demand }
    }

    fn complete(&self, nodes: Vec<Packed>, left: Vec<u32>, filled: &Filled) -> Solution {
        Solution { nodes, bins: filled.bins.clone(), unplaced: left }
    }

    fn greedy_starts(&mut self, rest: &Packing, values: &[f64], ratio: &[f64], filled: &Filled, best: &mut Best<'_>) {
        for gamma in self.budget.biases {
            if self.monitor.stop().is_some() {
                return;
            }
            let leaned = biased(rest, values, *gamma);
            // Leaning raises no value by more than 1 + γ.
            let ratio = ratio.iter().map(|r| (r + 1e-3) * (1.0 + gamma) * 1.001).collect();
            let mut greedy = Greedy::new(rest, leaned, ratio, self.budget.fillings);
            greedy.content_with(self.budget.hurry);
            let mut demand = filled.demand.clone();
            let mut limits: Vec<Limit> = rest.limits.clone();
            if let Some(nodes) = greedy.run(&mut self.kernel, &mut demand, &mut limits, i64::MAX) {
                best.offer(self.complete(nodes, demand, filled));
            }
        }
    }

    /// A greedy run whose values follow the demand that is left: once a share of
    /// the pods' worth is placed, the relaxation is solved again for the rest.
    /// Values fixed at the start let early nodes take what later ones need.
    fn followed(&mut self, rest: &Packing, values: &[f64], filled: &Filled, best: &mut Best<'_>) {
        let mut demand = filled.demand.clone();
        let mut limits = rest.limits.clone();
        let mut nodes = Vec::new();
        let mut values = values.to_vec();
        let worth =
            |values: &[f64], demand: &[u32]| values.iter().zip(demand).map(|(v, n)| v * f64::from(*n)).sum::<f64>();
        for step in 0..self.budget.follow {
            if self.monitor.stop().is_some() {
                return;
            }
            let leaned = biased(rest, &values, 0.15);
            let last = step + 1 == self.budget.follow;
            let share = 1.0 / (self.budget.follow - step) as f64;
            let target = if last { -1.0 } else { worth(&leaned, &demand) * (1.0 - share) };
            let ratio = vec![f64::INFINITY; rest.offers.len()];
            let mut greedy = Greedy::new(rest, leaned, ratio, self.budget.fillings);
            greedy.content_with(self.budget.content);
            if !last {
                greedy.only(self.relaxation.chosen());
            }
            nodes.extend(greedy.run_until(&mut self.kernel, &mut demand, &mut limits, target));
            match self.relaxation.values_for(&demand) {
                Some(next) if !last => values = next,
                _ => {}
            }
        }
        best.offer(self.complete(nodes, demand, filled));
    }

    fn columns(&mut self, rest: &Packing, values: &[f64], best: &Best<'_>) -> Option<Generated> {
        let wanted: Vec<usize> = (0..rest.classes.len()).filter(|class| rest.classes[*class].count > 0).collect();
        if wanted.len() != rest.classes.len() {
            return None;
        }
        columns::generate(rest, &mut self.kernel, &best.solution.nodes, values, self.budget.rounds, self.monitor)
    }

    /// Dives: takes whole multiples of the master's columns, solves it again for
    /// what is left, takes the columns that are used most where none is whole,
    /// and packs the last of it greedily.
    fn rounded(&mut self, rest: &Packing, generated: &mut Generated, filled: &Filled, best: &mut Best<'_>) {
        let mut demand = filled.demand.clone();
        let mut nodes = Vec::new();
        for _ in 0..self.budget.dives {
            let Some(point) = generated.point_for(&demand) else { break };
            let mut used: Vec<(f64, usize)> =
                point.iter().enumerate().filter(|(_, x)| **x > 1e-6).map(|(index, x)| (*x, index)).collect();
            used.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            let whole = used.first().is_some_and(|(x, _)| *x >= 1.0 - 1e-6);
            // Without whole columns a tenth of what is used is rounded up.
            let most = if whole { used.len() } else { used.len().div_ceil(10) };
            let mut taken = 0;
            for (x, index) in used.into_iter().take(most) {
                let column = &generated.columns[index];
                let fits = column.filling.iter().map(|(c, n)| demand[*c as usize] / n).min().unwrap_or(0);
                let times = (if whole { (x + 1e-6).floor() as u32 } else { 1 }).min(fits);
                for (class, count) in &column.filling {
                    demand[*class as usize] -= count * times;
                }
                taken += times;
                nodes.extend(std::iter::repeat_n(column.clone(), times as usize));
            }
            if taken == 0 || self.monitor.stop().is_some() {
                break;
            }
        }
        for gamma in self.budget.biases {
            let leaned = biased(rest, &generated.values, *gamma);
            let ratio = vec![f64::INFINITY; rest.offers.len()];
            let mut left = demand.clone();
            let mut greedy = Greedy::new(rest, leaned, ratio, self.budget.fillings);
            if let Some(more) = greedy.run(&mut self.kernel, &mut left, &mut [], i64::MAX) {
                let all = nodes.iter().cloned().chain(more).collect();
                best.offer(self.complete(all, left, filled));
            }
        }
    }

    fn repair(
        &mut self,
        rest: &Packing,
        (values, ratio): (&[f64], &[f64]),
        bound: f64,
        filled: &Filled,
        best: &mut Best<'_>,
    ) {
        // First fit may have used existing nodes otherwise; repair keeps them.
        let own = best.solution.bins == filled.bins;
        let bins = if own { filled.bins.clone() } else { best.solution.bins.clone() };
        let left = best.solution.unplaced.clone();
        let run = Run {
            values,
            ratio,
            work: self.budget.repairs,
            floor: (bound.ceil() as i64).max(0),
            seed: self.options.seed,
            monitor: self.monitor,
        };
        let nodes = ruin_recreate::improve(rest, &mut self.kernel, best.solution.nodes.clone(), &run);
        best.offer(Solution { nodes, bins, unplaced: left });
    }

    /// Complete search where the island is small and nothing else is in play.
    fn prove(&mut self, values: &[f64], filled: &Filled, best: &mut Best<'_>) -> bool {
        let packing = self.packing;
        let pods: u32 = packing.classes.iter().map(|class| class.count).sum();
        let plain = packing.bins.is_empty() && packing.limits.is_empty();
        let all_placed = best.solution.unplaced.iter().all(|n| *n == 0);
        if !plain || !all_placed || pods > MOST_EXACT || self.monitor.stop().is_some() {
            return false;
        }
        let proof = exact::search(packing, values, best.price(), self.budget.exact_states);
        if let Some(nodes) = proof.better {
            let unplaced = vec![0; packing.classes.len()];
            best.offer(self.complete(nodes, unplaced, filled));
        }
        proof.complete
    }
}

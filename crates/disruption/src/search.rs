//! The set of nodes whose removal is worth most.
//!
//! Each attempt removes a set and lets the packing solver place what must move, on
//! nodes that stay and on new ones, as many as it likes. Sets are prefixes of one
//! order, worst value for money first, then improved: what comes back as the same
//! machine is kept, what is kept is tried too. Effort is counted in attempts.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use stowage_model::certificate::UNITS_PER_NANO;
use stowage_model::{Certificate, CertificateKind, Plan, Price};
use stowage_solver::{Algorithm, Effort, Options};

use crate::baseline;
use crate::budget::Allowance;
use crate::candidate::Reason;
use crate::decide::Desk;
use crate::stay::{self, Stay};
use crate::what_if::WhatIf;

/// Up to so many candidates, every set is tried.
const ALL_SETS: usize = 5;
/// Attempts after the first prefixes, and as many at removing nodes without buying
/// any. Each looks at every node, so large fleets get fewer.
fn more(nodes: usize) -> usize {
    (30_000 / nodes.max(1)).clamp(6, 24)
}

/// One set, and what follows from removing it.
#[derive(Clone, Debug)]
pub(crate) struct Try {
    pub(crate) removed: BTreeSet<u32>,
    pub(crate) what_if: WhatIf,
    pub(crate) plan: Plan,
    pub(crate) proofs: Vec<(Certificate, Price)>,
}

/// What the search came to.
pub(crate) struct Found {
    pub(crate) chosen: Try,
    /// Everything removed that may be, budgets aside: the basis of the bound.
    pub(crate) everything: Try,
    /// What pods of each shape are worth, in nano-dollars per hour.
    pub(crate) values: Vec<f64>,
    /// Candidates that budgets keep this time.
    pub(crate) skipped: BTreeMap<u32, Stay>,
}

/// Removes a set and solves what follows. What matters is where pods go, so nothing
/// is proven.
pub(crate) fn attempt(desk: &Desk<'_>, removed: BTreeSet<u32>) -> Try {
    solve(desk, removed, &Options { proves: false, ..desk.rules.options.clone() })
}

pub(crate) fn solve(desk: &Desk<'_>, removed: BTreeSet<u32>, options: &Options) -> Try {
    let what_if = desk.stage.without(&removed);
    let outcome = stowage_solver::solve(&what_if.problem, options, desk.monitor);
    let mut proofs = vec![(outcome.plan.certificate.clone(), outcome.plan.bound)];
    proofs.extend(outcome.weaker);
    Try { removed, what_if, plan: outcome.plan, proofs }
}

impl Try {
    /// What the fleet costs then, with what the moves themselves are worth.
    pub(crate) fn total(&self, desk: &Desk<'_>) -> i128 {
        let kept: i128 = (0_u32..)
            .zip(&desk.fleet.problem.nodes)
            .filter(|(node, _)| !self.removed.contains(node))
            .map(|(node, _)| i128::from(desk.price(node)))
            .sum();
        let moves: i128 = self.removed.iter().map(|node| i128::from(desk.disruption_price(*node))).sum();
        kept + i128::from(self.plan.price().nanos()) + moves
    }

    /// Nobody may lose a place. Gives the homes of pods that would; none where only
    /// waiting pods would.
    pub(crate) fn feasible(&self, desk: &Desk<'_>) -> Result<(), BTreeSet<u32>> {
        let lost = self.plan.unplaced.iter().map(|unplaced| self.what_if.origin[unplaced.pod as usize]);
        let homes: Vec<Option<u32>> = lost.map(|pod| desk.fleet.homes[pod as usize]).collect();
        let stuck: BTreeSet<u32> = homes.iter().flatten().copied().collect();
        let waiting = homes.iter().filter(|home| home.is_none()).count();
        if stuck.is_empty() && waiting <= desk.baseline.unplaced.len() { Ok(()) } else { Err(stuck) }
    }
}

pub(crate) fn search(
    desk: &Desk<'_>,
    first: Try,
    reasons: &BTreeMap<u32, Reason>,
    candidates: &[u32],
    allowance: &Allowance,
) -> Found {
    let always: BTreeSet<u32> = reasons.keys().copied().collect();
    let with = |some: &[u32]| always.iter().chain(some).copied().collect::<BTreeSet<u32>>();
    let optimise = Options { algorithm: Algorithm::Optimise, ..desk.rules.options.clone() };
    let everything = solve(desk, with(candidates), &optimise);
    let values = values(&everything);
    let order = order(desk, candidates, &values);
    let mut skipped = BTreeMap::new();
    let affordable = affordable(desk, &order, allowance, reasons.len(), &mut skipped);
    if desk.rules.options.algorithm == Algorithm::FirstFit {
        // Empty and drifted nodes first, as a command of their own.
        let chosen = if always.is_empty() { baseline::moves(desk, candidates, allowance) } else { None };
        return Found { chosen: chosen.unwrap_or(first), everything, values, skipped };
    }
    let mut hunt = Hunt::new(desk, first);
    if affordable.len() <= ALL_SETS {
        for set in 1_u32..1 << affordable.len() {
            let chosen: Vec<u32> = (0..affordable.len()).filter(|i| set >> i & 1 == 1).map(|i| affordable[i]).collect();
            hunt.attempt(with(&chosen));
        }
    } else {
        if affordable.len() == candidates.len() {
            hunt.consider(everything.clone());
        }
        let by_ratio = by_ratio(desk, &affordable);
        hunt.prefixes(&affordable, &with);
        hunt.prefixes(&by_ratio, &with);
        let more = more(desk.fleet.problem.nodes.len());
        hunt.deletions(&by_ratio, &always, more);
        hunt.improve(&affordable, &with, more);
    }
    Found { chosen: hunt.finish(), everything, values, skipped }
}

/// The best set so far.
struct Hunt<'a, 'b> {
    desk: &'a Desk<'b>,
    quick: Options,
    best: Try,
    total: i128,
    seen: BTreeSet<BTreeSet<u32>>,
}

impl<'a, 'b> Hunt<'a, 'b> {
    fn new(desk: &'a Desk<'b>, first: Try) -> Self {
        let quick = Options { effort: Effort::Quick, proves: false, ..desk.rules.options.clone() };
        let total = first.total(desk);
        let seen = BTreeSet::from([first.removed.clone()]);
        Self { desk, quick, best: first, total, seen }
    }

    /// Tries several sets, on as many threads as there are; the order in which they
    /// are looked at afterwards is theirs.
    fn attempts(&mut self, sets: Vec<BTreeSet<u32>>) -> Vec<Option<i128>> {
        let fresh: Vec<bool> = sets.iter().map(|set| self.seen.insert(set.clone())).collect();
        let threads = self.desk.rules.options.threads.max(1);
        let (desk, quick) = (self.desk, Options { threads: 1, ..self.quick.clone() });
        let todo: Vec<(BTreeSet<u32>, bool)> = sets.into_iter().zip(fresh).collect();
        let work = |(set, fresh): &(BTreeSet<u32>, bool)| fresh.then(|| solve(desk, set.clone(), &quick));
        let tried = stowage_solver::parallel::map(&todo, threads, work);
        let judge = |tried: Try, hunt: &mut Self| match tried.feasible(hunt.desk) {
            Ok(()) => Some(hunt.consider(tried)),
            Err(stuck) if stuck.is_empty() => None,
            Err(stuck) => hunt.attempt(tried.removed.difference(&stuck).copied().collect()),
        };
        tried.into_iter().map(|tried| tried.and_then(|tried| judge(tried, self))).collect()
    }

    /// Tries a set; pods that would lose their place keep it. Returns its total.
    fn attempt(&mut self, mut removed: BTreeSet<u32>) -> Option<i128> {
        for _ in 0..3 {
            if !self.seen.insert(removed.clone()) {
                return None;
            }
            let tried = solve(self.desk, removed, &self.quick);
            match tried.feasible(self.desk) {
                Ok(()) => return Some(self.consider(tried)),
                Err(stuck) if stuck.is_empty() => return None,
                Err(stuck) => removed = tried.removed.difference(&stuck).copied().collect(),
            }
        }
        None
    }

    fn consider(&mut self, tried: Try) -> i128 {
        let total = tried.total(self.desk);
        if total < self.total && tried.feasible(self.desk).is_ok() {
            (self.best, self.total) = (tried, total);
        }
        total
    }

    /// Prefixes of the order at many lengths, then closer to the best.
    fn prefixes(&mut self, order: &[u32], with: &impl Fn(&[u32]) -> BTreeSet<u32>) {
        let all = order.len();
        let mut lengths: BTreeMap<usize, i128> = BTreeMap::new();
        let first = [16, 12, 8, 6, 4, 2, 1].map(|sixteenths| (all * sixteenths).div_ceil(16));
        let totals = self.attempts(first.iter().map(|length| with(&order[..*length])).collect());
        lengths.extend(first.into_iter().zip(totals).filter_map(|(length, total)| Some((length, total?))));
        for _ in 0..more(self.desk.fleet.problem.nodes.len()) / 6 {
            let Some((best, _)) = lengths.iter().min_by_key(|(length, total)| (**total, **length)) else { return };
            let best = *best;
            let below = lengths.range(..best).next_back().map(|(length, _)| (length + best) / 2);
            let above = lengths.range(best + 1..).next().map(|(length, _)| (length + best).div_ceil(2));
            let next: Vec<usize> = [below, above].into_iter().flatten().collect();
            let totals = self.attempts(next.iter().map(|length| with(&order[..*length])).collect());
            lengths.extend(next.into_iter().zip(totals).filter_map(|(length, total)| Some((length, total?))));
        }
    }

    /// Removes nodes, the most money per pod that moves first, as long as no new node
    /// is needed: the longest prefix that needs none, by thirds. The node after it is
    /// passed over, and the search goes on behind it.
    fn deletions(&mut self, order: &[u32], always: &BTreeSet<u32>, attempts: usize) {
        let free = self.desk.baseline.price();
        let mut removed = always.clone();
        // Prefixes up to `low` need no new node, those from `high` on do, or are too long.
        let (mut from, mut low, mut high) = (0, 0, order.len() + 1);
        for _ in 0..attempts / 2 {
            if low >= order.len() {
                return;
            }
            let span = high - low;
            let ends: BTreeSet<usize> = [low + span.div_ceil(3), low + (2 * span).div_ceil(3)]
                .into_iter()
                .map(|end| end.clamp(low + 1, (high - 1).max(low + 1)))
                .collect();
            let sets = ends.iter().map(|end| removed.iter().chain(&order[from..*end]).copied().collect());
            let fits = self.without_purchases(sets.collect(), free);
            match ends.iter().zip(&fits).rfind(|(_, fits)| **fits) {
                Some((end, _)) => low = *end,
                None => high = ends.first().copied().unwrap_or(high),
            }
            if let Some((end, _)) = ends.iter().zip(&fits).find(|(end, fits)| !**fits && **end > low) {
                high = high.min(*end);
            }
            if high <= low + 1 && low < order.len() {
                removed.extend(&order[from..low]);
                (from, low, high) = (low + 1, low + 1, order.len() + 1);
            }
        }
    }

    /// Which of several sets can go without a new node.
    fn without_purchases(&mut self, sets: Vec<BTreeSet<u32>>, free: Price) -> Vec<bool> {
        let desk = self.desk;
        let quick = Options { threads: 1, ..self.quick.clone() };
        let work = |set: &BTreeSet<u32>| solve(desk, set.clone(), &quick);
        let tried = stowage_solver::parallel::map(&sets, desk.rules.options.threads.max(1), work);
        let judge = |tried: Try| {
            let fits = tried.feasible(desk).is_ok() && tried.plan.price() <= free;
            self.consider(tried);
            fits
        };
        tried.into_iter().map(judge).collect()
    }

    /// Keeps what would be bought again, tries what is kept, takes back what saves least:
    /// much of each at first, and less where that gains nothing.
    fn improve(&mut self, order: &[u32], with: &impl Fn(&[u32]) -> BTreeSet<u32>, mut attempts: usize) {
        let mut depth = 0;
        // Beyond that depth no set differs from the best one.
        while attempts > 0 && 3_usize.pow(depth) <= order.len() {
            let before = self.total;
            let mut sets = self.neighbours(order, with, depth);
            sets.truncate(attempts);
            attempts -= sets.len();
            self.attempts(sets);
            depth = if self.total < before { 0 } else { depth + 2 };
        }
    }

    /// Sets near the best one that were not tried yet; at greater depth they differ from
    /// it by less.
    fn neighbours(&self, order: &[u32], with: &impl Fn(&[u32]) -> BTreeSet<u32>, depth: u32) -> Vec<BTreeSet<u32>> {
        let removed = &self.best.removed;
        let rest: Vec<u32> = order.iter().copied().filter(|node| !removed.contains(node)).collect();
        let mut back = by_ratio(self.desk, &removed.iter().copied().collect::<Vec<u32>>());
        back.reverse();
        back.retain(|node| order.contains(node));
        let mut sets = Vec::new();
        if depth == 0 {
            let kept = self.bought_again();
            sets.push(removed.difference(&kept).copied().collect());
        }
        for depth in [depth, depth + 1] {
            let (more, fewer) = (rest.len() / 3_usize.pow(depth), back.len() / 3_usize.pow(depth + 1));
            if more > 0 {
                sets.push(with(&rest[..more]).union(removed).copied().collect());
            }
            if fewer > 0 {
                let fewer: BTreeSet<u32> = back[..fewer].iter().copied().collect();
                sets.push(removed.difference(&fewer).copied().collect());
            }
        }
        sets.retain(|set: &BTreeSet<u32>| !self.seen.contains(set));
        sets
    }

    /// For each new node, a removed node that could serve in its place for no more.
    fn bought_again(&self) -> BTreeSet<u32> {
        let desk = self.desk;
        let mut kept = BTreeSet::new();
        let mut offers: Vec<u32> = self.best.removed.iter().copied().collect();
        offers.sort_by_key(|node| (desk.price(*node), Reverse(desk.disruption(*node)), *node));
        for new in &self.best.plan.nodes {
            let needed = self.best.pods_on(new);
            let serves = |node: &&u32| {
                let old = &desk.fleet.problem.nodes[**node as usize];
                !kept.contains(*node)
                    && desk.price(**node) <= new.price.nanos()
                    && old.pool() == Some(&new.pool)
                    && needed.fits(&old.free())
            };
            let found = offers.iter().find(serves).copied();
            kept.extend(found);
        }
        kept
    }

    /// The best set, solved as well as the caller wants it.
    fn finish(self) -> Try {
        let well = attempt(self.desk, self.best.removed.clone());
        if well.feasible(self.desk).is_ok() && well.plan.price() <= self.best.plan.price() { well } else { self.best }
    }
}

impl Try {
    fn pods_on(&self, new: &stowage_model::plan::NewNode) -> stowage_model::Resources {
        let mut sum = stowage_model::Resources::new();
        for pod in &new.pods {
            let shape = self.what_if.problem.pods[*pod as usize].shape as usize;
            sum.add(&self.what_if.problem.shapes[shape].requests);
        }
        sum
    }
}

/// What a pod of each shape is worth, by the strongest proof that says so.
fn values(tried: &Try) -> Vec<f64> {
    let named = tried.proofs.iter().find(|(proof, _)| proof.kind != CertificateKind::Exact);
    named.map_or_else(Vec::new, |(proof, _)| {
        proof.values.iter().map(|value| *value as f64 / UNITS_PER_NANO as f64).collect()
    })
}

/// What the pods on a node are worth, in nano-dollars per hour.
pub(crate) fn worth(desk: &Desk<'_>, node: u32, values: &[f64]) -> f64 {
    let of = |pod: &u32| values.get(desk.fleet.problem.pods[*pod as usize].shape as usize).copied().unwrap_or(0.0);
    desk.stage.pods_of[node as usize].iter().map(of).sum()
}

/// Worst value for money first: what a node wastes, per pod that would move.
fn order(desk: &Desk<'_>, candidates: &[u32], values: &[f64]) -> Vec<u32> {
    let mut scored: Vec<(f64, u32)> = candidates
        .iter()
        .map(|node| {
            let waste = desk.price(*node) as f64 - worth(desk, *node, values) - desk.disruption_price(*node) as f64;
            let moves = 1.0 + desk.disruption(*node) as f64 / stowage_model::fleet::EVICTION as f64;
            // What gains nothing comes last, what loses most at the very end.
            (if waste > 0.0 { waste / moves } else { waste }, *node)
        })
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    scored.into_iter().map(|(_, node)| node).collect()
}

/// Most money per pod that moves first.
pub(crate) fn by_ratio(desk: &Desk<'_>, nodes: &[u32]) -> Vec<u32> {
    let ratio = |node: &u32| {
        i128::from(desk.price(*node)) * 1_000_000 / i128::from(stowage_model::fleet::EVICTION + desk.disruption(*node))
    };
    let mut order = nodes.to_vec();
    order.sort_by_key(|node| (Reverse(ratio(node)), *node));
    order
}

/// Those that budgets allow together, in the same order.
fn affordable(
    desk: &Desk<'_>,
    order: &[u32],
    allowance: &Allowance,
    spent: usize,
    skipped: &mut BTreeMap<u32, Stay>,
) -> Vec<u32> {
    let mut left = allowance.clone();
    let most = desk.rules.most_nodes.map_or(usize::MAX, |most| most.saturating_sub(spent));
    let mut all = Vec::new();
    for node in order {
        let Some(machine) = &desk.fleet.machines[*node as usize] else { continue };
        if all.len() >= most {
            skipped.insert(*node, Stay::Most);
        } else if let Err(short) =
            left.take(&machine.pool, Reason::Underutilized, &desk.draws(*node, Reason::Underutilized))
        {
            skipped.insert(*node, stay::shortage(desk, short, Reason::Underutilized));
        } else {
            all.push(*node);
        }
    }
    all
}

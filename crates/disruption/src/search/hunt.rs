//! Sets that are tried, and the best of them so far.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use stowage_model::Price;
use stowage_solver::{Effort, Options};

use super::{Try, affordable, attempt, by_ratio, more, solve};
use crate::budget::Allowance;
use crate::decide::Desk;

/// The best set so far.
pub(super) struct Hunt<'a, 'b> {
    desk: &'a Desk<'b>,
    quick: Options,
    allowance: &'a Allowance,
    /// What goes for other reasons than price; the allowance is without it already.
    always: &'a BTreeSet<u32>,
    pub(super) best: Try,
    total: i128,
    seen: BTreeSet<BTreeSet<u32>>,
}

impl<'a, 'b> Hunt<'a, 'b> {
    pub(super) fn new(desk: &'a Desk<'b>, first: Try, allowance: &'a Allowance, always: &'a BTreeSet<u32>) -> Self {
        let quick = Options { effort: Effort::Quick, proves: false, ..desk.rules.options.clone() };
        let total = first.total(desk);
        let seen = BTreeSet::from([first.removed.clone()]);
        Self { desk, quick, allowance, always, best: first, total, seen }
    }

    /// Whether budgets let all of a set go.
    fn is_allowed(&self, set: &BTreeSet<u32>) -> bool {
        let nodes: Vec<u32> = set.difference(self.always).copied().collect();
        affordable(self.desk, &nodes, self.allowance, self.always.len(), &mut BTreeMap::new()).len() == nodes.len()
    }

    /// Tries a set if budgets allow it.
    pub(super) fn attempt_if_allowed(&mut self, set: BTreeSet<u32>) {
        if self.is_allowed(&set) {
            self.attempt(set);
        }
    }

    /// Lets nodes that budgets kept go in the place of others that are worth less.
    pub(super) fn swaps(&mut self, order: &[u32], mut attempts: usize) {
        while attempts > 0 {
            let outside = order.iter().filter(|node| !self.best.removed.contains(node));
            let mut sets: Vec<BTreeSet<u32>> = outside.filter_map(|node| self.swapped(*node)).collect();
            sets.retain(|set| !self.seen.contains(set));
            sets.truncate(attempts.min(8));
            attempts -= sets.len();
            if sets.is_empty() {
                return;
            }
            self.attempts(sets);
        }
    }

    /// The best set with one more node, and without those that it takes the place of.
    fn swapped(&self, node: u32) -> Option<BTreeSet<u32>> {
        let mut set = self.best.removed.clone();
        set.insert(node);
        let mut least = by_ratio(self.desk, &self.best.removed.difference(self.always).copied().collect::<Vec<u32>>());
        while !self.is_allowed(&set) {
            set.remove(&least.pop()?);
        }
        Some(set)
    }

    /// Tries several sets, on as many threads as there are; the order in which they
    /// are looked at afterwards is theirs.
    pub(super) fn attempts(&mut self, sets: Vec<BTreeSet<u32>>) -> Vec<Option<i128>> {
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

    pub(super) fn consider(&mut self, tried: Try) -> i128 {
        let total = tried.total(self.desk);
        if total < self.total && tried.feasible(self.desk).is_ok() {
            (self.best, self.total) = (tried, total);
        }
        total
    }

    /// Prefixes of the order at many lengths, then closer to the best.
    pub(super) fn prefixes(&mut self, order: &[u32], with: &impl Fn(&[u32]) -> BTreeSet<u32>) {
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
    pub(super) fn deletions(&mut self, order: &[u32], always: &BTreeSet<u32>, attempts: usize) {
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
    pub(super) fn improve(&mut self, order: &[u32], with: &impl Fn(&[u32]) -> BTreeSet<u32>, mut attempts: usize) {
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
        sets.retain(|set: &BTreeSet<u32>| !self.seen.contains(set) && self.is_allowed(set));
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
    pub(super) fn finish(self) -> Try {
        let well = attempt(self.desk, self.best.removed.clone());
        if well.feasible(self.desk).is_ok() && well.plan.price() <= self.best.plan.price() { well } else { self.best }
    }
}

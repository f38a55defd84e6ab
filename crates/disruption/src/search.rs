//! The set of nodes whose removal is worth most.
//!
//! Each attempt removes a set and lets the packing solver place what must move, on
//! nodes that stay and on new ones, as many as it likes. Sets are prefixes of one
//! order, worst value for money first, then improved: what comes back as the same
//! machine is kept, what is kept is tried too. Effort is counted in attempts.

mod hunt;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use stowage_model::certificate::UNITS_PER_NANO;
use stowage_model::{Certificate, CertificateKind, Plan, Price};
use stowage_solver::{Algorithm, Options};

use crate::baseline;
use crate::budget::Allowance;
use crate::candidate::Reason;
use crate::decide::Desk;
use crate::stay::{self, Stay};
use crate::what_if::WhatIf;
use hunt::Hunt;

/// Up to so many candidates, every set is tried.
const ALL_SETS: usize = 5;
/// Up to so many candidates, the peer's moves are among those that are compared, so
/// that nothing is worse than they are.
const MOST_FOR_PEER: usize = 64;
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
    /// What the peer would do, in small fleets: for when rules on commands object.
    pub(crate) peer: Option<Try>,
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
        return Found { chosen: chosen.unwrap_or(first), peer: None, everything, values, skipped };
    }
    let mut hunt = Hunt::new(desk, first, allowance, &always);
    if candidates.len() <= ALL_SETS {
        let sets = 1_u32..1 << candidates.len();
        let chosen = |set: u32| (0..candidates.len()).filter(move |i| set >> i & 1 == 1).map(|i| candidates[i]);
        sets.for_each(|set| hunt.attempt_if_allowed(with(&chosen(set).collect::<Vec<u32>>())));
    } else {
        let all = affordable.len() == candidates.len();
        if all {
            hunt.consider(everything.clone());
        }
        // What goes first matters all the more where budgets let only some go.
        let by_ratio = self::affordable(desk, &by_ratio(desk, candidates), allowance, reasons.len(), &mut skipped);
        let more = more(desk.fleet.problem.nodes.len());
        hunt.prefixes(&affordable, &with);
        hunt.prefixes(&by_ratio, &with);
        hunt.deletions(&by_ratio, &always, more);
        hunt.improve(&affordable, &with, more);
        if !all {
            hunt.swaps(&order, more);
        }
    }
    let compared = candidates.len() <= MOST_FOR_PEER && always.is_empty();
    let peer = if compared { baseline::moves(desk, candidates, allowance) } else { None };
    if let Some(peer) = &peer {
        hunt.consider(peer.clone());
    }
    skipped.retain(|node, _| !hunt.best.removed.contains(node));
    Found { chosen: hunt.finish(), peer, everything, values, skipped }
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

//! Karpenter's own moves, to compare with: all empty nodes; else the longest prefix
//! of at most a hundred candidates, found by bisection, that at most one new node
//! replaces for less; else the first single node for which that holds.

use std::collections::BTreeSet;

use stowage_model::labels;
use stowage_solver::{Algorithm, Options};

use crate::budget::Allowance;
use crate::candidate::Reason;
use crate::decide::Desk;
use crate::search::{self, Try};

/// Candidates that one search over prefixes looks at.
const MOST: usize = 100;

/// One command's nodes, as Karpenter would choose them.
pub(crate) fn moves(desk: &Desk<'_>, candidates: &[u32], allowance: &Allowance) -> Option<Try> {
    let mut order = search::by_ratio(desk, candidates);
    let mut left = allowance.clone();
    order.retain(|node| {
        let pool = desk.fleet.machines[*node as usize].as_ref().map(|machine| machine.pool.clone());
        pool.is_some_and(|pool| {
            left.take(&pool, Reason::Underutilized, &desk.draws(*node, Reason::Underutilized)).is_ok()
        })
    });
    many(desk, &order).or_else(|| order.iter().find_map(|node| option(desk, &[*node])))
}

fn many(desk: &Desk<'_>, order: &[u32]) -> Option<Try> {
    let (mut low, mut high) = (1_usize, order.len().min(MOST).checked_sub(1)?);
    let mut last = None;
    while low <= high {
        let middle = usize::midpoint(low, high);
        match option(desk, &order[..=middle]).filter(|tried| !is_same_type(desk, tried)) {
            Some(tried) => {
                last = Some(tried);
                low = middle + 1;
            }
            None => high = middle - 1,
        }
    }
    last
}

/// What follows from giving up these nodes, if at most one cheaper node replaces them.
fn option(desk: &Desk<'_>, nodes: &[u32]) -> Option<Try> {
    let options = Options { algorithm: Algorithm::FirstFit, ..desk.rules.options.clone() };
    let removed: BTreeSet<u32> = nodes.iter().copied().collect();
    let tried = search::solve(desk, removed, &options);
    let before: i64 = nodes.iter().map(|node| desk.price(*node)).sum();
    let added = tried.plan.price().nanos() - desk.baseline.price().nanos();
    let new = tried.plan.nodes.len().saturating_sub(desk.baseline.nodes.len());
    (tried.feasible(desk).is_ok() && new <= 1 && added < before).then_some(tried)
}

/// Whether the replacement is of the type of a node that it replaces, which would
/// be no more than fewer nodes of that type.
fn is_same_type(desk: &Desk<'_>, tried: &Try) -> bool {
    tried.plan.nodes.iter().any(|new| {
        tried.removed.iter().any(|node| {
            let old = &desk.fleet.problem.nodes[*node as usize];
            old.label(labels::INSTANCE_TYPE) == Some(&new.instance_type) && desk.price(*node) <= new.price.nanos()
        })
    })
}

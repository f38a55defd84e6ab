//! What the fleet costs at least, whatever is moved.
//!
//! With every node gone that may go, the solver proves pod values at which no new
//! node holds pods worth more than it costs. So the pods that would move cost at
//! least what they are worth, less what the nodes that stay can hold for nothing. A
//! node that may go may also stay, for its price: what it holds beyond that is given
//! away too.

use std::collections::BTreeMap;

use stowage_model::certificate::UNITS_PER_NANO;
use stowage_model::{Certificate, CertificateKind, Node, PodShape, Price, Problem, ResourceName, ResourcePrices, Unit};

use crate::budget::Allowance;
use crate::candidate::Reason;
use crate::decide::Desk;
use crate::search::Try;
use crate::stay::Stay;

pub(crate) fn floor(desk: &Desk<'_>, stay: &BTreeMap<u32, Stay>, candidates: &[u32], everything: &Try) -> Price {
    let machine = |node: u32| desk.fleet.machines[node as usize].is_some();
    let stays = |node: u32| !machine(node) || matches!(stay.get(&node), Some(Stay::Blocked(_)));
    let kept: Price = (0_u32..)
        .zip(&desk.fleet.problem.nodes)
        .filter(|(node, _)| stays(*node))
        .filter_map(|(_, node)| node.price)
        .sum();
    let named = everything.proofs.iter().filter(|(proof, _)| proof.kind != CertificateKind::Exact);
    let best = named.map(|(proof, _)| moved(desk, candidates, everything, proof)).max();
    let nanos = best.unwrap_or(0) / UNITS_PER_NANO;
    kept + Price::from_nanos(i64::try_from(nanos.max(0)).unwrap_or(i64::MAX))
}

/// What all nodes cost at least after this decision: budgets let so many of a pool go
/// at once, and so many that draw on one PodDisruptionBudget.
///
/// Let S be what goes, p prices, V what a proof says that a node's pods are worth, F
/// what all free room is worth by it. New nodes cost at least max(0, Σ V − F), so for
/// any θ from 0 to 1 what is saved is at most θ·F + Σ (p − θ·V), summed over the S
/// that is best among those that caps allow.
pub(crate) fn floor_now(desk: &Desk<'_>, able: &[u32], allowance: &Allowance, everything: &Try) -> Price {
    let all: i128 = desk.fleet.problem.nodes.iter().filter_map(|node| node.price).map(|p| i128::from(p.nanos())).sum();
    let mut most = saved(desk, able, allowance, |node| i128::from(desk.price(node)));
    for (proof, _) in everything.proofs.iter().filter(|(proof, _)| proof.kind != CertificateKind::Exact) {
        let counts = counts(desk, everything);
        let worth = Worth::new(&desk.fleet.problem, proof, &counts);
        let free: Unit = desk.stage.open().map(|node| worth.of(node)).sum();
        let value = |node: u32| -> Unit {
            let shape = |pod: &u32| desk.fleet.problem.pods[*pod as usize].shape as usize;
            desk.stage.pods_of[node as usize].iter().map(|pod| proof.values[shape(pod)]).sum()
        };
        let values: BTreeMap<u32, Unit> = able.iter().map(|node| (*node, value(*node))).collect();
        for quarters in 1..=4 {
            // Rounded so that the bound only gets weaker.
            let part = |amount: Unit| amount / UNITS_PER_NANO * quarters / 4;
            let gain = |node: u32| i128::from(desk.price(node)) - part(values.get(&node).copied().unwrap_or(0));
            most = most.min(part(free) + 2 + saved(desk, able, allowance, gain));
        }
    }
    Price::from_nanos(i64::try_from((all - most).max(0)).unwrap_or(i64::MAX))
}

/// The most that nodes can bring together: the best of each pool as far as its caps go.
fn saved(desk: &Desk<'_>, able: &[u32], allowance: &Allowance, gain: impl Fn(u32) -> i128) -> i128 {
    // A node that draws on several PodDisruptionBudgets is held to the tightest.
    let budget = |node: u32| -> Option<u32> {
        let machine = desk.fleet.machines[node as usize].as_ref()?;
        if machine.forceful && machine.drifted.is_some() {
            return None;
        }
        let draws = desk.draws(node, Reason::Underutilized);
        draws.into_iter().flatten().min_by_key(|budget| (allowance.left_of(*budget), *budget))
    };
    let mut groups: BTreeMap<(&str, Option<u32>), Vec<i128>> = BTreeMap::new();
    for node in able {
        let Some(machine) = &desk.fleet.machines[*node as usize] else { continue };
        let gain = gain(*node);
        if gain > 0 {
            groups.entry((&machine.pool, budget(*node))).or_default().push(gain);
        }
    }
    let top = |mut gains: Vec<i128>, most: usize| {
        gains.sort_unstable_by(|a, b| b.cmp(a));
        gains.truncate(most);
        gains
    };
    let mut pools: BTreeMap<&str, Vec<i128>> = BTreeMap::new();
    for ((pool, budget), gains) in groups {
        let most = budget.map_or(usize::MAX, |budget| allowance.left_of(budget) as usize);
        pools.entry(pool).or_default().extend(top(gains, most));
    }
    let all = pools.into_iter().flat_map(|(pool, gains)| top(gains, allowance.most(pool))).collect();
    top(all, desk.rules.most_nodes.unwrap_or(usize::MAX)).into_iter().sum()
}

/// How many pods of each shape would move.
fn counts(desk: &Desk<'_>, everything: &Try) -> Vec<u32> {
    let mut counts = vec![0_u32; desk.fleet.problem.shapes.len()];
    let homed = everything.what_if.origin.iter().filter(|pod| desk.fleet.homes[**pod as usize].is_some());
    for pod in homed {
        counts[desk.fleet.problem.pods[*pod as usize].shape as usize] += 1;
    }
    counts
}

/// What the pods that would move cost at least, by one proof.
fn moved(desk: &Desk<'_>, candidates: &[u32], everything: &Try, proof: &Certificate) -> Unit {
    let counts = counts(desk, everything);
    let problem = &desk.fleet.problem;
    let value: Unit = proof.values.iter().zip(&counts).map(|(value, count)| value * Unit::from(*count)).sum();
    let bins = everything.what_if.problem.nodes.iter().filter(|node| node.schedulable);
    let worth = Worth::new(problem, proof, &counts);
    let free: Unit = bins.map(|node| worth.of(node)).sum();
    let given: Unit = candidates
        .iter()
        .map(|node| {
            let room = worth.of(&problem.nodes[*node as usize]);
            (room - Unit::from(desk.price(*node)) * UNITS_PER_NANO).max(0)
        })
        .sum();
    value - free - given
}

/// A shape, how many pods it has, and by how much one is worth more than it takes.
type Over<'a> = (&'a PodShape, u32, Unit);

/// The most that pods on a node can be worth: λ·W + Σ u·max(0, v − λ·a) for the
/// best of the proof's λ.
struct Worth<'a> {
    /// Per λ, the shapes that are worth more than they take: few are, and nodes are many.
    over: Vec<(&'a ResourcePrices, Vec<Over<'a>>)>,
    /// Without any λ nothing is known but what all pods are worth together.
    all: Unit,
}

impl<'a> Worth<'a> {
    fn new(problem: &'a Problem, proof: &'a Certificate, counts: &[u32]) -> Self {
        let over = |prices: &'a ResourcePrices| {
            let shapes = problem.shapes.iter().zip(&proof.values).zip(counts).filter(|(_, count)| **count > 0);
            let over = shapes.filter_map(|((shape, value), count)| {
                let price =
                    |(name, price): (&ResourceName, &Unit)| price * Unit::from(shape.requests.get(name.as_str()));
                let over = value - prices.iter().map(price).sum::<Unit>();
                (over > 0).then_some((shape, *count, over))
            });
            (prices, over.collect())
        };
        Self {
            over: proof.prices.iter().map(over).collect(),
            all: proof.values.iter().zip(counts).map(|(value, count)| value * Unit::from(*count)).sum(),
        }
    }

    fn of(&self, node: &Node) -> Unit {
        let free = node.free();
        let room = |name: &str| free.get(name).max(0);
        let most = |shape: &PodShape, count: u32| {
            let asked = shape.requests.iter().filter(|(_, amount)| *amount > 0);
            let fit = asked.map(|(name, amount)| room(name.as_str()) / amount).min().unwrap_or(i64::MAX);
            Unit::from(fit.min(i64::from(count)))
        };
        let by = |(prices, over): &(&ResourcePrices, Vec<Over<'_>>)| -> Unit {
            let own: Unit = prices.iter().map(|(name, price)| price * Unit::from(room(name.as_str()))).sum();
            own + over.iter().map(|(shape, count, over)| over * most(shape, *count)).sum::<Unit>()
        };
        self.over.iter().map(by).min().unwrap_or(self.all)
    }
}

//! What the fleet costs at least, whatever is moved.
//!
//! With every node gone that may go, the solver proves pod values at which no new
//! node holds pods worth more than it costs. So the pods that would move cost at
//! least what they are worth, less what the nodes that stay can hold for nothing. A
//! node that may go may also stay, for its price: what it holds beyond that is given
//! away too.

use std::collections::BTreeMap;

use stowage_model::certificate::UNITS_PER_NANO;
use stowage_model::{Certificate, CertificateKind, Node, Price, Problem, Unit};

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

/// What the pods that would move cost at least, by one proof.
fn moved(desk: &Desk<'_>, candidates: &[u32], everything: &Try, proof: &Certificate) -> Unit {
    let mut counts = vec![0_u32; desk.fleet.problem.shapes.len()];
    let homed = everything.what_if.origin.iter().filter(|pod| desk.fleet.homes[**pod as usize].is_some());
    for pod in homed {
        counts[desk.fleet.problem.pods[*pod as usize].shape as usize] += 1;
    }
    let problem = &desk.fleet.problem;
    let value: Unit = proof.values.iter().zip(&counts).map(|(value, count)| value * Unit::from(*count)).sum();
    let bins = everything.what_if.problem.nodes.iter().filter(|node| node.schedulable);
    let free: Unit = bins.map(|node| worth(problem, node, proof, &counts)).sum();
    let given: Unit = candidates
        .iter()
        .map(|node| {
            let room = worth(problem, &problem.nodes[*node as usize], proof, &counts);
            (room - Unit::from(desk.price(*node)) * UNITS_PER_NANO).max(0)
        })
        .sum();
    value - free - given
}

/// The most that pods on a node can be worth: λ·W + Σ u·max(0, v − λ·a) for the
/// best of the proof's λ.
fn worth(problem: &Problem, node: &Node, proof: &Certificate, counts: &[u32]) -> Unit {
    let free = node.free();
    let of = |prices: &stowage_model::ResourcePrices| -> Unit {
        let room: Unit = prices.iter().map(|(name, price)| price * Unit::from(free.get(name.as_str()).max(0))).sum();
        let over: Unit = problem
            .shapes
            .iter()
            .zip(&proof.values)
            .zip(counts)
            .filter(|(_, count)| **count > 0)
            .map(|((shape, value), count)| {
                let asked: Unit =
                    prices.iter().map(|(name, price)| price * Unit::from(shape.requests.get(name.as_str()))).sum();
                let over = (value - asked).max(0);
                if over == 0 {
                    return 0;
                }
                let most = shape.requests.iter().filter(|(_, amount)| *amount > 0);
                let most = most.map(|(name, amount)| free.get(name.as_str()).max(0) / amount).min().unwrap_or(i64::MAX);
                over * Unit::from(most.min(i64::from(*count)))
            })
            .sum();
        room + over
    };
    proof.prices.iter().map(of).min().unwrap_or_else(|| {
        // Without prices nothing is known but what all pods are worth together.
        proof.values.iter().zip(counts).map(|(value, count)| value * Unit::from(*count)).sum()
    })
}

//! What money can buy at most, in some measure of pods.
//!
//! Give every class any weight: its cpu, its worth, or one pod of one class. A
//! node of an offer holds at most so much of that measure, so a sum of money
//! buys at most what an unbounded knapsack over the offers says. Pods that
//! measure more cannot be paid for. Linear prices see only money per unit; this
//! sees that nodes are bought whole, which is what decides small packings. It is
//! the surrogate relaxation, for a few surrogates at once.

use crate::knapsack::search::{Goal, Knapsack};
use crate::packing::{Offer, Packing};

/// Steps in which money is counted.
const STEPS: i64 = 8192;
/// Branch and bound nodes for the most worth that one offer holds.
const NODES: usize = 64;
/// Slack for float sums.
const DOUBT: f64 = 1e-9;

/// One weighing of the classes.
#[derive(Debug)]
pub(super) struct Measure {
    /// Weight of one pod of each class.
    pub(super) of_class: Vec<f64>,
    /// The most that any money buys, by steps of money.
    buys: Vec<f64>,
    /// Nano-dollars to a step.
    step: i64,
}

impl Measure {
    /// From prices and what one purchase holds at most; no more money than `top`
    /// will be asked about. Prices are rounded down to steps, so that money never
    /// promises too little.
    fn new(of_class: Vec<f64>, goods: impl Iterator<Item = (i64, f64)>, top: i64) -> Self {
        let step = (top / STEPS).max(1);
        let goods: Vec<(usize, f64)> = goods.map(|(price, holds)| ((price / step) as usize, holds)).collect();
        let mut buys = vec![0.0_f64; (top / step) as usize + 1];
        for money in 0..buys.len() {
            let mut most = if money > 0 { buys[money - 1] } else { 0.0 };
            for (price, holds) in goods.iter().filter(|(price, _)| *price <= money) {
                most = most.max(if *price > 0 { buys[money - price] + holds } else { f64::INFINITY });
            }
            buys[money] = most;
        }
        Self { of_class, buys, step }
    }

    /// The most that `money` buys.
    pub(super) fn bought(&self, money: i64) -> f64 {
        if money < 0 {
            return f64::NEG_INFINITY;
        }
        let at = (money / self.step) as usize;
        self.buys.get(at).copied().unwrap_or(f64::INFINITY) * (1.0 + DOUBT)
    }

    /// What pods of `counts` measure at least.
    pub(super) fn of(&self, counts: &[u32]) -> f64 {
        let sum: f64 = self.of_class.iter().zip(counts).map(|(weight, count)| weight * f64::from(*count)).sum();
        sum * (1.0 - DOUBT)
    }
}

/// The weighings worth trying: what pods are worth, and what they take of each
/// resource.
pub(super) fn all(packing: &Packing, values: &[f64], top: i64) -> Vec<Measure> {
    let mut kernel = Knapsack::default();
    let demand = packing.demand();
    let affordable = || packing.offers.iter().take_while(move |offer| offer.price <= top);
    let worth = |offer: &Offer| {
        let members = packing.profiles[offer.profile].iter();
        kernel.columns.gather(packing, &offer.capacity, members, values, &demand);
        let goal = Goal { useless: 0.0, enough: 0.0, nodes: NODES };
        (offer.price, kernel.solve(&offer.capacity, goal, None).bound)
    };
    let mut measures = vec![Measure::new(values.to_vec(), affordable().map(worth), top)];
    for dim in 0..packing.dims.len() {
        let sizes = packing.classes.iter().map(|class| class.size[dim] as f64).collect();
        let capacities = affordable().map(|offer| (offer.price, offer.capacity[dim].max(0) as f64));
        measures.push(Measure::new(sizes, capacities, top));
    }
    measures
}

#[cfg(test)]
mod tests {
    use super::Measure;

    #[test]
    fn nodes_are_bought_whole() {
        let measure = Measure::new(vec![1.0], [(30, 4.0), (70, 12.0)].into_iter(), 150);
        let bought: Vec<f64> = [0, 29, 30, 69, 70, 99, 100, 140].map(|money| measure.bought(money).round()).to_vec();
        assert_eq!(bought, [0.0, 0.0, 4.0, 8.0, 12.0, 12.0, 16.0, 24.0]);
    }

    #[test]
    fn what_is_free_bounds_nothing() {
        assert_eq!(Measure::new(vec![1.0], [(0, 4.0)].into_iter(), 150).bought(0), f64::INFINITY);
    }
}

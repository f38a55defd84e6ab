//! From pod values to a valid bound: on each offer, resource prices that show
//! no node is worth more than it costs, or how much too high the values are.

use crate::knapsack::relaxation::{Data, lagrangian};
use crate::knapsack::search::{Goal, Knapsack};
use crate::packing::Packing;

/// What looking at every offer has shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Survey {
    /// Per offer, an upper bound on value ÷ price.
    pub(crate) ratio: Vec<f64>,
    /// Resource prices that showed it; few, since offers share them.
    pub(crate) prices: Vec<Vec<f64>>,
    /// The largest ratio: values divided by it are valid.
    pub(crate) worst: f64,
    /// Offers that prices alone did not show to be within `enough`.
    pub(crate) open: Vec<usize>,
}

/// Surveys every offer under `values`, with resource prices `known` tried first.
/// With `nodes` > 0, offers that prices leave above `enough` × price are searched.
pub(crate) fn survey(
    packing: &Packing,
    kernel: &mut Knapsack,
    values: &[f64],
    demand: &[u32],
    known: Vec<Vec<f64>>,
    nodes: usize,
    enough: f64,
) -> Survey {
    let mut survey = Survey { prices: known, ..Survey::default() };
    let members: Vec<Vec<usize>> = packing.profiles.iter().map(|profile| profile.iter().collect()).collect();
    let mut most = Vec::new();
    for (index, offer) in packing.offers.iter().enumerate() {
        kernel.columns.gather(packing, &offer.capacity, members[offer.profile].iter().copied(), values, demand);
        let price = offer.price as f64;
        let capacity: Vec<f64> = offer.capacity.iter().map(|w| (*w).max(0) as f64).collect();
        most.clear();
        most.extend(kernel.columns.most.iter().map(|m| *m as f64));
        let columns = &kernel.columns;
        let data = Data { capacity: &capacity, weight: &columns.weight, value: &columns.value, most: &most };
        let mut bound = f64::INFINITY;
        // Recent prices first: neighbouring offers are alike.
        for (place, prices) in survey.prices.iter().enumerate().rev() {
            let seen = lagrangian(data, prices);
            bound = bound.min(seen);
            if bound <= price * enough {
                let last = survey.prices.len() - 1;
                survey.prices.swap(place, last);
                break;
            }
        }
        if bound > price * enough {
            let goal = Goal { useless: 0.0, enough: price * enough, nodes };
            let filling = kernel.solve(&offer.capacity, goal, None);
            let shown = lagrangian_of(kernel, &capacity, &most);
            if shown > price * enough && nodes > 0 {
                survey.open.push(index);
            }
            bound = bound.min(if nodes > 0 { filling.bound } else { shown });
            if kernel.columns.len() > 0 {
                survey.prices.push(kernel.prices().to_vec());
            }
        }
        let ratio = if price > 0.0 {
            bound / price
        } else if bound > 0.0 {
            f64::INFINITY
        } else {
            0.0
        };
        survey.ratio.push(ratio);
        survey.worst = survey.worst.max(ratio);
    }
    survey
}

fn lagrangian_of(kernel: &Knapsack, capacity: &[f64], most: &[f64]) -> f64 {
    if kernel.columns.len() == 0 {
        return 0.0;
    }
    let columns = &kernel.columns;
    lagrangian(Data { capacity, weight: &columns.weight, value: &columns.value, most }, kernel.prices())
}

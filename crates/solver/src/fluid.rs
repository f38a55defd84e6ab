//! The fluid relaxation: pods and nodes as liquids.
//!
//! min Σ price·y subject to Σ x ≥ demand per class and Σ size·x ≤ capacity·y per
//! offer and resource. It has no patterns, so it stays small; its duals price
//! each pod (π) and each offer's resources (λ), and for thousands of pods its
//! value is within a fraction of a percent of the Gilmore–Gomory bound
//! (Gilmore and Gomory, Operations Research 9, 1961). Classes are clustered on a
//! logarithmic grid and offers are added as they turn out to be violated; the
//! bound is then recomputed for the true classes and all offers.

use std::collections::BTreeMap;

use crate::bound::{Survey, survey};
use crate::knapsack::search::Knapsack;
use crate::lp::Covering;
use crate::packing::Packing;

const MOST_CLUSTERS: usize = 110;
const MOST_ROUNDS: usize = 8;
/// Values this far above an offer's price, relatively, make it a new column.
const VIOLATED: f64 = 1.0005;

/// Pod values from the fluid relaxation, scaled so that they prove a bound.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fluid {
    /// Per class, in nano-dollars.
    pub(crate) values: Vec<f64>,
    /// What every offer thinks of them.
    pub(crate) survey: Survey,
}

/// Classes of nearly the same size that fit the same offers.
struct Cluster {
    size: Vec<f64>,
    count: f64,
    /// Any member, for compatibility.
    profiles: Vec<bool>,
    largest: Vec<i64>,
}

/// Solves the relaxation. Where the LP fails, values fall back to a price per
/// resource taken from the cheapest offers: weaker, still valid.
pub(crate) fn solve(packing: &Packing, kernel: &mut Knapsack) -> Fluid {
    let demand = packing.demand();
    let clusters = clusters(packing);
    let mut chosen = first_offers(packing);
    let mut best = Fluid { values: vec![0.0; packing.classes.len()], survey: Survey::default() };
    let mut best_bound = -1.0;
    for _ in 0..MOST_ROUNDS {
        let Some(prices) = resource_prices(packing, &clusters, &chosen) else { break };
        let values = values(packing, &chosen, &prices);
        let found = survey(packing, kernel, &values, &demand, prices, 0, 1.0);
        let scale = if found.worst > 1.0 { 1.0 / found.worst } else { 1.0 };
        let bound: f64 = values.iter().zip(&demand).map(|(v, n)| v * scale * f64::from(*n)).sum();
        let mut violated: Vec<usize> = (0..packing.offers.len())
            .filter(|k| found.ratio[*k] > VIOLATED && chosen.binary_search(k).is_err())
            .collect();
        if bound > best_bound {
            best_bound = bound;
            best = Fluid { values: values.iter().map(|v| v * scale).collect(), survey: rescaled(found.clone(), scale) };
        }
        if violated.is_empty() {
            break;
        }
        violated.sort_by(|a, b| found.ratio[*b].total_cmp(&found.ratio[*a]).then(a.cmp(b)));
        chosen.extend(violated.into_iter().take(12));
        chosen.sort_unstable();
    }
    if best_bound < 0.0 {
        best.values = single_resource_values(packing);
        let found = survey(packing, kernel, &best.values, &demand, Vec::new(), 0, 1.0);
        let scale = if found.worst > 0.0 { 1.0 / found.worst } else { 1.0 };
        best.values.iter_mut().for_each(|v| *v *= scale);
        best.survey = rescaled(found, scale);
    }
    best
}

fn rescaled(mut survey: Survey, scale: f64) -> Survey {
    survey.ratio.iter_mut().for_each(|r| *r *= scale);
    survey.prices.iter_mut().flatten().for_each(|p| *p *= scale);
    survey.worst *= scale;
    survey
}

/// Clusters on the finest grid that keeps them few.
fn clusters(packing: &Packing) -> Vec<Cluster> {
    let membership: Vec<Vec<bool>> = (0..packing.classes.len())
        .map(|class| packing.profiles.iter().map(|profile| profile.contains(class)).collect())
        .collect();
    for step in [0.0, 0.1, 0.2, 0.35, 0.6, 1.0, 1.6, 2.5, 4.0] {
        let mut groups: BTreeMap<(&[bool], Vec<i64>), Vec<usize>> = BTreeMap::new();
        for (class, data) in packing.classes.iter().enumerate() {
            let cell = |amount: &i64| {
                if step == 0.0 || *amount <= 0 { *amount } else { ((*amount as f64).ln() / step).round() as i64 }
            };
            let key = (membership[class].as_slice(), data.size.iter().map(cell).collect());
            groups.entry(key).or_default().push(class);
        }
        if groups.len() <= MOST_CLUSTERS || step == 4.0 {
            return groups.into_iter().map(|((profiles, _), members)| cluster(packing, profiles, &members)).collect();
        }
    }
    Vec::new()
}

fn cluster(packing: &Packing, profiles: &[bool], members: &[usize]) -> Cluster {
    let dims = packing.dims.len();
    let mut size = vec![0.0; dims];
    let mut largest = vec![0; dims];
    let mut count = 0.0;
    for class in members {
        let class = &packing.classes[*class];
        let pods = f64::from(class.count);
        count += pods;
        for dim in 0..dims {
            size[dim] += class.size[dim] as f64 * pods;
            largest[dim] = largest[dim].max(class.size[dim]);
        }
    }
    size.iter_mut().for_each(|s| *s /= count);
    Cluster { size, count, profiles: profiles.to_vec(), largest }
}

/// Offers that are cheapest along some direction of resources, per profile.
fn first_offers(packing: &Packing) -> Vec<usize> {
    let dims = packing.dims.len();
    let mut largest = vec![1.0_f64; dims];
    for offer in &packing.offers {
        for (most, amount) in largest.iter_mut().zip(&offer.capacity) {
            *most = most.max(*amount as f64);
        }
    }
    let mut directions: Vec<Vec<f64>> = Vec::new();
    for a in 0..dims {
        for b in a..dims {
            for share in [0.0, 0.05, 0.15, 0.3, 0.5, 0.7, 0.85, 0.95] {
                let mut direction = vec![0.0; dims];
                direction[a] += 1.0 - share;
                direction[b] += share;
                directions.push(direction);
            }
        }
    }
    let mut chosen = std::collections::BTreeSet::new();
    for profile in 0..packing.profiles.len() {
        for direction in &directions {
            let worth = |offer: &crate::packing::Offer| -> f64 {
                let held: f64 = (0..dims).map(|d| direction[d] * offer.capacity[d] as f64 / largest[d]).sum();
                held / (offer.price as f64).max(1.0)
            };
            let best = packing
                .offers
                .iter()
                .enumerate()
                .filter(|(_, offer)| offer.profile == profile)
                .max_by(|a, b| worth(a.1).total_cmp(&worth(b.1)).then(b.0.cmp(&a.0)));
            chosen.extend(best.map(|(index, _)| index));
        }
    }
    // Every class needs an offer that holds it, or the program is infeasible.
    for class in 0..packing.classes.len() {
        if !chosen.iter().any(|k| packing.admits(&packing.offers[*k], class)) {
            chosen.extend((0..packing.offers.len()).find(|k| packing.admits(&packing.offers[*k], class)));
        }
    }
    chosen.into_iter().collect()
}

/// λ of each chosen offer.
fn resource_prices(packing: &Packing, clusters: &[Cluster], chosen: &[usize]) -> Option<Vec<Vec<f64>>> {
    let dims = packing.dims.len();
    let mut program = Covering::default();
    let row = |place: usize, dim: usize| clusters.len() + place * dims + dim;
    program.rhs = clusters.iter().map(|c| c.count).collect();
    program.rhs.resize(clusters.len() + chosen.len() * dims, 0.0);
    for (place, k) in chosen.iter().enumerate() {
        let offer = &packing.offers[*k];
        let held = (0..dims).map(|d| (row(place, d), offer.capacity[d].max(0) as f64)).collect();
        program.push(offer.price as f64, held);
        for (index, cluster) in clusters.iter().enumerate() {
            let fits = cluster.largest.iter().zip(&offer.capacity).all(|(size, free)| size <= free);
            if cluster.profiles[offer.profile] && fits {
                let mut entries = vec![(index, 1.0)];
                entries.extend((0..dims).filter(|d| cluster.size[*d] > 0.0).map(|d| (row(place, d), -cluster.size[d])));
                program.push(0.0, entries);
            }
        }
    }
    let reachable: Vec<bool> = (0..clusters.len())
        .map(|index| program.columns.iter().any(|entries| entries.first().is_some_and(|(row, _)| *row == index)))
        .collect();
    for (index, reachable) in reachable.iter().enumerate() {
        if !reachable {
            program.rhs[index] = 0.0;
        }
    }
    let optimum = program.solve()?;
    Some((0..chosen.len()).map(|place| (0..dims).map(|d| optimum.duals[row(place, d)]).collect()).collect())
}

/// π = min over the offers that hold a class of λ·size.
fn values(packing: &Packing, chosen: &[usize], prices: &[Vec<f64>]) -> Vec<f64> {
    (0..packing.classes.len())
        .map(|class| {
            let size = &packing.classes[class].size;
            let seen = chosen.iter().zip(prices).filter(|(k, _)| packing.admits(&packing.offers[**k], class));
            let least = seen
                .map(|(_, prices)| prices.iter().zip(size).map(|(p, s)| p * *s as f64).sum::<f64>())
                .fold(f64::INFINITY, f64::min);
            if least.is_finite() { least } else { 0.0 }
        })
        .collect()
}

/// What a pod's dominant resource costs where it is cheapest.
fn single_resource_values(packing: &Packing) -> Vec<f64> {
    (0..packing.classes.len())
        .map(|class| {
            packing
                .offers
                .iter()
                .filter(|offer| packing.admits(offer, class))
                .map(|offer| offer.price as f64 / packing.most(class, &offer.capacity) as f64)
                .fold(f64::INFINITY, f64::min)
        })
        .map(|value| if value.is_finite() { value } else { 0.0 })
        .collect()
}

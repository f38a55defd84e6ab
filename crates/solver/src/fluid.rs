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
use crate::packing::{Class, ClassSet, Packing};

const MOST_CLUSTERS: usize = 110;
const MOST_ROUNDS: usize = 8;
/// Offers added in one round.
const MOST_NEW: usize = 12;
/// Values this far above an offer's price, relatively, make it a new column.
const VIOLATED: f64 = 1.0005;
/// Distinct sets of classes that existing nodes may admit before the rest of
/// them is left out of the program (never out of the bound).
const MOST_POOLED: usize = 12;

/// Pod values from the fluid relaxation, scaled so that they prove a bound.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fluid {
    /// Per class, in nano-dollars.
    pub(crate) values: Vec<f64>,
    /// What every offer thinks of them.
    pub(crate) survey: Survey,
}

/// The relaxation of one packing, kept so that it can be solved again for the
/// demand that is left.
pub(crate) struct Relaxation<'a> {
    packing: &'a Packing,
    /// The packing over clusters of classes of nearly the same size.
    coarse: Packing,
    cluster_of: Vec<usize>,
    chosen: Vec<usize>,
    pooled: Vec<Pooled>,
}

/// Existing nodes that admit the same classes, poured together.
struct Pooled {
    admits: ClassSet,
    capacity: Vec<f64>,
}

impl<'a> Relaxation<'a> {
    pub(crate) fn new(packing: &'a Packing) -> Self {
        let (coarse, cluster_of) = clustered(packing);
        let chosen = first_offers(&coarse);
        Self { packing, coarse, cluster_of, chosen, pooled: pooled(packing) }
    }

    /// Solves the relaxation. Where the LP fails, values fall back to what each
    /// class costs alone: weaker, still valid after scaling.
    pub(crate) fn solve(&mut self, kernel: &mut Knapsack) -> Fluid {
        self.choose_offers(kernel);
        let demand = self.packing.demand();
        let (values, prices) =
            self.values_and_prices(&demand).unwrap_or_else(|| (single_values(self.packing), Vec::new()));
        let found = survey(self.packing, kernel, &values, &demand, prices, 0, 1.0);
        let scale = if found.worst > 1.0 { 1.0 / found.worst } else { 1.0 };
        Fluid { values: values.iter().map(|v| v * scale).collect(), survey: rescaled(found, scale) }
    }

    /// The offers that the relaxation looks at: those worth buying, about.
    pub(crate) fn chosen(&self) -> &[usize] {
        &self.chosen
    }

    /// Pod values for the demand that is left, unscaled.
    pub(crate) fn values_for(&self, demand: &[u32]) -> Option<Vec<f64>> {
        self.values_and_prices(demand).map(|(values, _)| values)
    }

    /// Adds offers until clusters are worth no more than any offer costs.
    fn choose_offers(&mut self, kernel: &mut Knapsack) {
        let demand = self.coarse.demand();
        for _ in 0..MOST_ROUNDS {
            let Some(duals) = self.duals(&demand) else { return };
            let values = least_values(&self.coarse, &self.chosen, &duals.offers, |_| f64::INFINITY);
            let found = survey(&self.coarse, kernel, &values, &demand, duals.offers, 0, 1.0);
            let mut violated: Vec<usize> = (0..self.coarse.offers.len())
                .filter(|k| found.ratio[*k] > VIOLATED && self.chosen.binary_search(k).is_err())
                .collect();
            if violated.is_empty() {
                return;
            }
            violated.sort_by(|a, b| found.ratio[*b].total_cmp(&found.ratio[*a]).then(a.cmp(b)));
            self.chosen.extend(violated.into_iter().take(MOST_NEW));
            self.chosen.sort_unstable();
        }
    }

    fn values_and_prices(&self, demand: &[u32]) -> Option<(Vec<f64>, Vec<Vec<f64>>)> {
        let mut coarse = vec![0_u32; self.coarse.classes.len()];
        for (class, count) in demand.iter().enumerate() {
            coarse[self.cluster_of[class]] += count;
        }
        let duals = self.duals(&coarse)?;
        let pooled = |class: usize| {
            let size = &self.packing.classes[class].size;
            let admitting = self.pooled.iter().zip(&duals.pooled).filter(|(pool, _)| pool.admits.contains(class));
            admitting.map(|(_, prices)| priced(prices, size)).fold(f64::INFINITY, f64::min)
        };
        let values = least_values(self.packing, &self.chosen, &duals.offers, pooled);
        Some((values, duals.offers))
    }

    /// λ of each chosen offer and of each pool of existing nodes.
    fn duals(&self, demand: &[u32]) -> Option<Duals> {
        let packing = &self.coarse;
        let (clusters, dims) = (packing.classes.len(), packing.dims.len());
        let row = |place: usize, dim: usize| clusters + place * dims + dim;
        let mut program = Covering { rhs: demand.iter().map(|n| f64::from(*n)).collect(), ..Covering::default() };
        program.rhs.resize(row(self.chosen.len() + self.pooled.len(), 0), 0.0);
        let mut reachable = vec![false; clusters];
        let mut pour = |program: &mut Covering, place: usize, cluster: usize| {
            let size = &packing.classes[cluster].size;
            let mut entries = vec![(cluster, 1.0)];
            entries.extend((0..dims).filter(|d| size[*d] > 0).map(|d| (row(place, d), -(size[d] as f64))));
            program.push(0.0, entries);
            reachable[cluster] = true;
        };
        for (place, k) in self.chosen.iter().enumerate() {
            let offer = &packing.offers[*k];
            let held = (0..dims).map(|d| (row(place, d), offer.capacity[d].max(0) as f64)).collect();
            program.push(offer.price as f64, held);
            let wanted = (0..clusters).filter(|c| demand[*c] > 0 && packing.admits(offer, *c));
            wanted.for_each(|cluster| pour(&mut program, place, cluster));
        }
        for (index, pool) in self.pooled.iter().enumerate() {
            let place = self.chosen.len() + index;
            for (dim, amount) in pool.capacity.iter().enumerate() {
                program.rhs[row(place, dim)] = -amount;
            }
            let admitted: std::collections::BTreeSet<usize> =
                pool.admits.iter().map(|class| self.cluster_of[class]).filter(|c| demand[*c] > 0).collect();
            admitted.into_iter().for_each(|cluster| pour(&mut program, place, cluster));
        }
        for (cluster, reachable) in reachable.iter().enumerate() {
            if !reachable {
                program.rhs[cluster] = 0.0;
            }
        }
        // Pods that only existing nodes take may ask for more than those have.
        for (cluster, reachable) in reachable.iter().enumerate() {
            let launchable = self.chosen.iter().any(|k| packing.admits(&packing.offers[*k], cluster));
            if *reachable && !launchable {
                let dear = packing.offers.iter().map(|o| o.price).max().unwrap_or(1) as f64;
                program.push(dear.max(1.0) * 10.0, vec![(cluster, 1.0)]);
            }
        }
        let optimum = program.solve()?;
        let prices = |place: usize| (0..dims).map(|d| optimum.duals[row(place, d)]).collect::<Vec<f64>>();
        Some(Duals {
            offers: (0..self.chosen.len()).map(prices).collect(),
            pooled: (0..self.pooled.len()).map(|index| prices(self.chosen.len() + index)).collect(),
        })
    }
}

struct Duals {
    offers: Vec<Vec<f64>>,
    pooled: Vec<Vec<f64>>,
}

fn priced(prices: &[f64], size: &[i64]) -> f64 {
    prices.iter().zip(size).map(|(price, amount)| price * *amount as f64).sum()
}

/// π = min over the offers that hold a class of λ·size, and over `other`.
fn least_values(packing: &Packing, chosen: &[usize], prices: &[Vec<f64>], other: impl Fn(usize) -> f64) -> Vec<f64> {
    (0..packing.classes.len())
        .map(|class| {
            let size = &packing.classes[class].size;
            let seen = chosen.iter().zip(prices).filter(|(k, _)| packing.admits(&packing.offers[**k], class));
            let least = seen.map(|(_, prices)| priced(prices, size)).fold(f64::INFINITY, f64::min);
            // A class that no offer holds is worth nothing to the bound.
            if least.is_finite() { least.min(other(class)) } else { 0.0 }
        })
        .collect()
}

fn rescaled(mut survey: Survey, scale: f64) -> Survey {
    survey.ratio.iter_mut().for_each(|r| *r *= scale);
    survey.prices.iter_mut().flatten().for_each(|p| *p *= scale);
    survey.worst *= scale;
    survey
}

/// Clusters on the finest grid that keeps them few, and the cluster of each
/// class.
fn clustered(packing: &Packing) -> (Packing, Vec<usize>) {
    if packing.classes.len() <= MOST_CLUSTERS {
        return (packing.clone(), (0..packing.classes.len()).collect());
    }
    let membership: Vec<Vec<bool>> = (0..packing.classes.len())
        .map(|class| packing.profiles.iter().map(|profile| profile.contains(class)).collect())
        .collect();
    let mut groups: BTreeMap<(&[bool], Vec<i64>), Vec<usize>> = BTreeMap::new();
    for step in [0.1, 0.2, 0.35, 0.6, 1.0, 1.6, 2.5, 4.0] {
        groups.clear();
        for (class, data) in packing.classes.iter().enumerate() {
            let cell = |amount: &i64| if *amount <= 0 { 0 } else { 1 + ((*amount as f64).ln() / step).round() as i64 };
            let key = (membership[class].as_slice(), data.size.iter().map(cell).collect());
            groups.entry(key).or_default().push(class);
        }
        if groups.len() <= MOST_CLUSTERS {
            break;
        }
    }
    let mut cluster_of = vec![0; packing.classes.len()];
    let mut classes = Vec::with_capacity(groups.len());
    for members in groups.values() {
        members.iter().for_each(|class| cluster_of[*class] = classes.len());
        classes.push(cluster(packing, members));
    }
    let profiles = packing
        .profiles
        .iter()
        .map(|profile| {
            let mut set = ClassSet::empty(classes.len());
            profile.iter().for_each(|class| set.insert(cluster_of[class]));
            set
        })
        .collect();
    let coarse = Packing {
        dims: packing.dims.clone(),
        offers: packing.offers.clone(),
        limits: packing.limits.clone(),
        classes,
        profiles,
        bins: Vec::new(),
    };
    (coarse, cluster_of)
}

/// A class of the members' mean size.
fn cluster(packing: &Packing, members: &[usize]) -> Class {
    let mut sums = vec![0_i128; packing.dims.len()];
    let mut count = 0_u32;
    for class in members {
        let class = &packing.classes[*class];
        count += class.count;
        for (sum, size) in sums.iter_mut().zip(&class.size) {
            *sum += i128::from(*size) * i128::from(class.count);
        }
    }
    let mean = |sum: i128| i64::try_from(sum / i128::from(count.max(1))).unwrap_or(i64::MAX);
    Class { shape: 0, size: sums.into_iter().map(mean).collect(), count, priority: 0 }
}

fn pooled(packing: &Packing) -> Vec<Pooled> {
    let mut pools: Vec<Pooled> = Vec::new();
    for bin in &packing.bins {
        let amounts = bin.capacity.iter().map(|amount| (*amount).max(0) as f64);
        if let Some(pool) = pools.iter_mut().find(|pool| pool.admits == bin.admits) {
            pool.capacity.iter_mut().zip(amounts).for_each(|(sum, amount)| *sum += amount);
        } else if pools.len() < MOST_POOLED {
            pools.push(Pooled { admits: bin.admits.clone(), capacity: amounts.collect() });
        }
    }
    pools
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

/// What a pod of each class costs where its kind is cheapest alone.
fn single_values(packing: &Packing) -> Vec<f64> {
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

//! Every way to fill one node that a cheaper plan could contain.

use super::Search;
use super::measure::Measure;
use crate::packing::{Packed, Packing};

/// A node being filled, class by class.
pub(super) struct Fill<'a> {
    packing: &'a Packing,
    values: &'a [f64],
    measures: &'a [Measure],
    demand: &'a [u32],
    /// The order in which classes are decided; the first is on the node.
    classes: Vec<usize>,
    counts: Vec<u32>,
    /// What is on the node, per dimension and per measure.
    load: Vec<i64>,
    held: Vec<f64>,
    /// Per measure and place, the most per unit of each dimension that a class
    /// from there on measures.
    density: Vec<Vec<Vec<f64>>>,
    /// Per offer and measure, what the node must hold for the money left to pay
    /// for the rest.
    needed: Vec<Vec<f64>>,
    /// What was found, with reduced costs.
    pub(super) fillings: Vec<(f64, Packed)>,
    /// Steps that may still be spent.
    pub(super) left: u64,
}

impl<'a> Fill<'a> {
    pub(super) fn new(search: &'a Search<'_>, demand: &'a [u32], class: usize, money: i64) -> Self {
        let packing = search.packing;
        let mut classes: Vec<usize> = vec![class];
        classes.extend((0..demand.len()).filter(|c| *c != class && demand[*c] > 0));
        // Large pods decide most: the tree is widest at its leaves.
        classes[1..].sort_by(|a, b| search.values[*b].total_cmp(&search.values[*a]).then(a.cmp(b)));
        let measures = &search.measures[..];
        let whole: Vec<f64> = measures.iter().map(|measure| measure.of(demand)).collect();
        let needed = packing
            .offers
            .iter()
            .take_while(|offer| offer.price <= money)
            .map(|offer| measures.iter().zip(&whole).map(|(m, whole)| whole - m.bought(money - offer.price)).collect())
            .collect();
        Self {
            packing,
            values: search.values,
            measures,
            demand,
            counts: vec![0; classes.len()],
            load: vec![0; packing.dims.len()],
            held: vec![0.0; measures.len()],
            density: measures.iter().map(|measure| densities(packing, measure, &classes)).collect(),
            needed,
            fillings: Vec::new(),
            left: search.left,
            classes,
        }
    }

    /// Decides the classes from `at` on; `holders` are the offers that can still
    /// be meant, cheapest first.
    pub(super) fn extend(&mut self, at: usize, holders: &[usize]) {
        if self.left == 0 {
            return;
        }
        self.left -= 1;
        if at == self.classes.len() {
            self.keep(holders);
            return;
        }
        let most = self.demand[self.classes[at]];
        let least = u32::from(at == 0);
        let mut holding = Vec::with_capacity(holders.len());
        self.add(at, i64::from(most));
        for count in (least..=most).rev() {
            holding.clear();
            holding.extend(holders.iter().copied().filter(|offer| self.can_hold(at, *offer)));
            if !holding.is_empty() {
                self.extend(at + 1, &holding);
            }
            if count > 0 {
                self.add(at, -1);
            }
        }
        self.add(at, -i64::from(self.counts[at]));
    }

    fn add(&mut self, at: usize, count: i64) {
        let class = self.classes[at];
        self.counts[at] = self.counts[at].saturating_add_signed(count as i32);
        self.load.iter_mut().zip(&self.packing.classes[class].size).for_each(|(load, size)| *load += size * count);
        let held = self.held.iter_mut().zip(self.measures);
        held.for_each(|(held, measure)| *held += measure.of_class[class] * count as f64);
    }

    /// Keeps the filling on its cheapest holder, where that has no room for a pod
    /// that still needs a place: the filling with it costs the same and leaves
    /// less to pay for.
    fn keep(&mut self, holders: &[usize]) {
        let Some(offer) = holders.first().filter(|offer| !self.takes_more(**offer)) else { return };
        let chosen = self.classes.iter().zip(&self.counts).filter(|(_, count)| **count > 0);
        let mut filling: Vec<(u32, u32)> = chosen.map(|(class, count)| (*class as u32, *count)).collect();
        filling.sort_unstable();
        let value: f64 = filling.iter().map(|(class, count)| self.values[*class as usize] * f64::from(*count)).sum();
        let reduced = self.packing.offers[*offer].price as f64 - value;
        self.fillings.push((reduced, Packed { offer: *offer, filling }));
    }

    fn takes_more(&self, offer: usize) -> bool {
        let offer = &self.packing.offers[offer];
        self.classes.iter().zip(&self.counts).any(|(class, count)| {
            let room = || offer.capacity.iter().zip(&self.load).map(|(capacity, load)| capacity - load);
            *count < self.demand[*class]
                && self.packing.profiles[offer.profile].contains(*class)
                && self.packing.classes[*class].size.iter().zip(room()).all(|(size, free)| *size <= free)
        })
    }

    /// Whether the offer takes what is chosen up to `at` and can still hold what
    /// it must: what fits beside it measures at most the free amount of any one
    /// resource times the best class per unit.
    fn can_hold(&self, at: usize, index: usize) -> bool {
        let offer = &self.packing.offers[index];
        let admitted = self.counts[at] == 0 || self.packing.profiles[offer.profile].contains(self.classes[at]);
        if !admitted || self.load.iter().zip(&offer.capacity).any(|(load, capacity)| load > capacity) {
            return false;
        }
        let by_measure = self.held.iter().zip(&self.density).zip(&self.needed[index]);
        by_measure.into_iter().all(|((held, density), needed)| {
            let mut more = f64::INFINITY;
            for ((load, capacity), best) in self.load.iter().zip(&offer.capacity).zip(&density[at + 1]) {
                // Nothing free times an endless density is no number; such a
                // resource bounds nothing.
                let worth = (capacity - load) as f64 * best;
                more = if worth < more { worth } else { more };
            }
            (held + more) * (1.0 + 1e-9) >= *needed
        })
    }
}

fn densities(packing: &Packing, measure: &Measure, classes: &[usize]) -> Vec<Vec<f64>> {
    let mut density = vec![vec![0.0_f64; packing.dims.len()]; classes.len() + 1];
    for at in (0..classes.len()).rev() {
        let class = classes[at];
        let weight = measure.of_class[class];
        let own = |size: &i64| match *size {
            _ if weight <= 0.0 => 0.0,
            0 => f64::INFINITY,
            size => weight / size as f64,
        };
        let sizes = packing.classes[class].size.iter();
        density[at] = sizes.zip(&density[at + 1]).map(|(size, later)| later.max(own(size))).collect();
    }
    density
}

//! A complete search for small packings: is there anything cheaper?
//!
//! Depth first over the multisets of pods still to place. The first class that
//! is left must be on some node; every filling that holds it is tried, cheapest
//! reduced cost first. What the money left cannot buy, by any of a few measures,
//! cuts the tree. States seen before are not opened again unless they were
//! reached more cheaply.

mod fill;
mod measure;

use std::collections::HashMap;

use self::fill::Fill;
use self::measure::Measure;
use crate::packing::{Packed, Packing};

/// What the search showed.
#[derive(Clone, Debug)]
pub(crate) struct Proof {
    /// The best plan, where one below the starting price was found.
    pub(crate) better: Option<Vec<Packed>>,
    /// Whether nothing else is cheaper.
    pub(crate) complete: bool,
}

/// Looks for nodes that hold all demand for less than `price`, within `budget`
/// fillings tried.
pub(crate) fn search(packing: &Packing, values: &[f64], price: i64, budget: u64) -> Proof {
    let measures = measure::all(packing, values, price);
    let mut search = Search {
        packing,
        values,
        measures,
        best: price,
        found: None,
        path: Vec::new(),
        seen: HashMap::new(),
        left: budget,
    };
    let demand = packing.demand();
    search.open(&demand, 0);
    Proof { complete: search.left > 0, better: search.found }
}

struct Search<'a> {
    packing: &'a Packing,
    values: &'a [f64],
    measures: Vec<Measure>,
    best: i64,
    found: Option<Vec<Packed>>,
    path: Vec<Packed>,
    seen: HashMap<Vec<u32>, i64>,
    left: u64,
}

impl Search<'_> {
    /// Whether `money` could pay for `demand`, by every measure.
    fn affordable(&self, demand: &[u32], money: i64) -> bool {
        self.measures.iter().all(|measure| measure.of(demand) <= measure.bought(money))
    }

    fn open(&mut self, demand: &[u32], spent: i64) {
        let Some(class) = self.hardest(demand) else {
            if spent < self.best {
                self.best = spent;
                self.found = Some(self.path.clone());
            }
            return;
        };
        if self.left == 0 || !self.affordable(demand, self.best - 1 - spent) {
            return;
        }
        match self.seen.get_mut(demand) {
            Some(before) if *before <= spent => return,
            Some(before) => *before = spent,
            None => {
                self.seen.insert(demand.to_vec(), spent);
            }
        }
        let mut fillings = self.fillings(demand, class, self.best - 1 - spent);
        fillings.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
        for (_, node) in fillings {
            let mut rest = demand.to_vec();
            for (class, count) in &node.filling {
                rest[*class as usize] -= count;
            }
            let cost = self.packing.offers[node.offer].price;
            if !self.affordable(&rest, self.best - 1 - spent - cost) {
                continue;
            }
            self.path.push(node);
            self.open(&rest, spent + cost);
            self.path.pop();
            if self.left == 0 {
                return;
            }
        }
    }

    /// The class whose pods are worth most: it has the fewest ways to be held.
    fn hardest(&self, demand: &[u32]) -> Option<usize> {
        (0..demand.len())
            .filter(|class| demand[*class] > 0)
            .max_by(|a, b| self.values[*a].total_cmp(&self.values[*b]).then(b.cmp(a)))
    }

    /// Every filling with at least one pod of `class` after which `money` can
    /// still pay for the rest, with its reduced cost.
    fn fillings(&mut self, demand: &[u32], class: usize, money: i64) -> Vec<(f64, Packed)> {
        let mut fill = Fill::new(self, demand, class, money);
        let affordable = self.packing.offers.iter().take_while(|offer| offer.price <= money).count();
        fill.extend(0, &(0..affordable).collect::<Vec<usize>>());
        let (fillings, left) = (fill.fillings, fill.left);
        self.left = left;
        fillings
    }
}

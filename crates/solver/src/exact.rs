//! A complete search for small packings: is there anything cheaper?
//!
//! Depth first over the multisets of pods still to place. The first class that
//! is left must be on some node; every filling that holds it is tried, cheapest
//! reduced cost first. Pod values that prove a bound cut the tree: what is left
//! costs at least its values. States seen before are not opened again unless
//! they were reached more cheaply.

use std::collections::HashMap;

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
    let mut search =
        Search { packing, values, best: price, found: None, path: Vec::new(), seen: HashMap::new(), left: budget };
    let demand = packing.demand();
    search.open(&demand, 0);
    Proof { complete: search.left > 0, better: search.found }
}

struct Search<'a> {
    packing: &'a Packing,
    values: &'a [f64],
    best: i64,
    found: Option<Vec<Packed>>,
    path: Vec<Packed>,
    seen: HashMap<Vec<u32>, i64>,
    left: u64,
}

impl Search<'_> {
    /// What `demand` costs at least, rounded up with a little doubt taken off.
    fn floor(&self, demand: &[u32]) -> i64 {
        let worth: f64 = self.values.iter().zip(demand).map(|(v, n)| v * f64::from(*n)).sum();
        (worth * (1.0 - 1e-9) - 1.0).floor() as i64
    }

    fn open(&mut self, demand: &[u32], spent: i64) {
        let Some(class) = self.hardest(demand) else {
            if spent < self.best {
                self.best = spent;
                self.found = Some(self.path.clone());
            }
            return;
        };
        if spent + self.floor(demand) >= self.best || self.left == 0 {
            return;
        }
        match self.seen.get_mut(demand) {
            Some(before) if *before <= spent => return,
            Some(before) => *before = spent,
            None => {
                self.seen.insert(demand.to_vec(), spent);
            }
        }
        let slack = (self.best - spent - self.floor(demand)) as f64;
        let mut fillings = self.fillings(demand, class, slack);
        fillings.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
        for (_, node) in fillings {
            let mut rest = demand.to_vec();
            for (class, count) in &node.filling {
                rest[*class as usize] -= count;
            }
            let cost = self.packing.offers[node.offer].price;
            if spent + cost + self.floor(&rest) >= self.best {
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

    /// Every filling with at least one pod of `class` whose price exceeds its
    /// pods' values by less than `slack`, with its reduced cost.
    fn fillings(&mut self, demand: &[u32], class: usize, slack: f64) -> Vec<(f64, Packed)> {
        let mut classes: Vec<usize> = vec![class];
        classes.extend((0..demand.len()).filter(|c| *c != class && demand[*c] > 0));
        let holders: Vec<usize> = (0..self.packing.offers.len()).collect();
        let mut fillings = Vec::new();
        let mut counts = vec![0_u32; classes.len()];
        let tail = Tail { density: self.densities(&classes), slack };
        self.extend(demand, &classes, 0, &mut counts, &holders, &tail, &mut fillings);
        fillings
    }

    /// Per place in the order and dimension, the most value per unit of any class
    /// from there on.
    fn densities(&self, classes: &[usize]) -> Vec<Vec<f64>> {
        let dims = self.packing.dims.len();
        let mut density = vec![vec![0.0_f64; dims]; classes.len() + 1];
        for at in (0..classes.len()).rev() {
            let class = classes[at];
            let own = |size: &i64| if *size > 0 { self.values[class] / *size as f64 } else { f64::INFINITY };
            let sizes = self.packing.classes[class].size.iter();
            density[at] = sizes.zip(&density[at + 1]).map(|(size, later)| later.max(own(size))).collect();
        }
        density
    }

    #[allow(clippy::too_many_arguments, reason = "a recursion that carries its own stack")]
    fn extend(
        &mut self,
        demand: &[u32],
        classes: &[usize],
        at: usize,
        counts: &mut Vec<u32>,
        holders: &[usize],
        tail: &Tail,
        fillings: &mut Vec<(f64, Packed)>,
    ) {
        if self.left == 0 {
            return;
        }
        self.left -= 1;
        if at == classes.len() {
            let filling = |counts: &[u32]| {
                let mut items: Vec<(u32, u32)> =
                    classes.iter().zip(counts).filter(|(_, n)| **n > 0).map(|(c, n)| (*c as u32, *n)).collect();
                items.sort_unstable();
                items
            };
            // Offers are sorted by price.
            if let Some(offer) = holders.first().filter(|k| !self.takes_more(demand, classes, counts, **k)) {
                let value: f64 = classes.iter().zip(&*counts).map(|(c, n)| self.values[*c] * f64::from(*n)).sum();
                let reduced = self.packing.offers[*offer].price as f64 - value;
                if reduced < tail.slack + 1.0 {
                    fillings.push((reduced, Packed { offer: *offer, filling: filling(counts) }));
                }
            }
            return;
        }
        let class = classes[at];
        for count in (u32::from(at == 0)..=demand[class]).rev() {
            counts[at] = count;
            let holding = self.still_holding(classes, &counts[..=at], holders, tail);
            if !holding.is_empty() {
                self.extend(demand, classes, at + 1, counts, &holding, tail, fillings);
            }
        }
        counts[at] = 0;
    }

    /// Whether the node could take another pod that needs a place: then the
    /// filling with it costs the same and leaves less to pay for.
    fn takes_more(&self, demand: &[u32], classes: &[usize], counts: &[u32], offer: usize) -> bool {
        let offer = &self.packing.offers[offer];
        let free: Vec<i64> = (0..self.packing.dims.len())
            .map(|d| {
                let used: i64 =
                    classes.iter().zip(counts).map(|(c, n)| self.packing.classes[*c].size[d] * i64::from(*n)).sum();
                offer.capacity[d] - used
            })
            .collect();
        classes.iter().zip(counts).any(|(class, count)| {
            *count < demand[*class]
                && self.packing.profiles[offer.profile].contains(*class)
                && self.packing.classes[*class].size.iter().zip(&free).all(|(size, free)| size <= free)
        })
    }

    /// The holders that take what is chosen so far and can still be worth their
    /// price: what fits beside it is worth at most the free amount of any one
    /// resource times the best value per unit.
    fn still_holding(&self, classes: &[usize], counts: &[u32], holders: &[usize], tail: &Tail) -> Vec<usize> {
        let last = counts.len() - 1;
        let dims = self.packing.dims.len();
        let value: f64 = classes.iter().zip(counts).map(|(c, n)| self.values[*c] * f64::from(*n)).sum();
        let load: Vec<i64> = (0..dims)
            .map(|d| classes.iter().zip(counts).map(|(c, n)| self.packing.classes[*c].size[d] * i64::from(*n)).sum())
            .collect();
        holders
            .iter()
            .copied()
            .filter(|k| {
                let offer = &self.packing.offers[*k];
                (counts[last] == 0 || self.packing.profiles[offer.profile].contains(classes[last]))
                    && load.iter().zip(&offer.capacity).all(|(used, free)| used <= free)
                    && {
                        let free = load.iter().zip(&offer.capacity).map(|(used, capacity)| (capacity - used) as f64);
                        let more = free.zip(&tail.density[last + 1]).map(|(free, best)| free * best);
                        // Nothing free times an endless density is no number; such a
                        // resource bounds nothing.
                        let more = more.filter(|worth| !worth.is_nan()).fold(f64::INFINITY, f64::min);
                        offer.price as f64 - value - more < tail.slack + 1.0
                    }
            })
            .collect()
    }
}

/// What a search for fillings carries along.
struct Tail {
    density: Vec<Vec<f64>>,
    slack: f64,
}

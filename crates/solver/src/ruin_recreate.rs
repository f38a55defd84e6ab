//! Ruin and recreate (Schrimpf et al. 2000): take a few poorly used nodes apart
//! and pack their pods again, with slightly shaken values; keep what is not worse.

use crate::greedy::Greedy;
use crate::knapsack::search::Knapsack;
use crate::monitor::Monitor;
use crate::packing::{Limit, Packed, Packing};
use crate::random::Random;

/// Nodes whose free space is tried before new ones are bought.
const SAMPLED: usize = 24;

/// Steps per node without a better plan after which there is little to hope for.
const PATIENCE: u64 = 60;

/// What steers and ends a run.
pub(crate) struct Run<'a> {
    /// Pod values.
    pub(crate) values: &'a [f64],
    /// Worth ÷ price of each offer under them.
    pub(crate) ratio: &'a [f64],
    /// Knapsack work to spend.
    pub(crate) work: u64,
    /// No plan is cheaper than this.
    pub(crate) floor: i64,
    pub(crate) seed: u64,
    pub(crate) monitor: &'a dyn Monitor,
}

/// Improves `nodes` until the work is spent, the price reaches the floor, or the
/// monitor says stop. Never returns anything dearer.
pub(crate) fn improve(packing: &Packing, kernel: &mut Knapsack, nodes: Vec<Packed>, run: &Run<'_>) -> Vec<Packed> {
    let mut random = Random::new(run.seed ^ 0x5eed);
    let mut state = State::new(packing, nodes, run.values, run.ratio);
    let mut best = state.nodes.clone();
    let mut best_price = state.price;
    let until = kernel.work.saturating_add(run.work);
    let mut steps: u64 = 0;
    let mut improved_at: u64 = 0;
    // Each step counts for its sampling too, so that steps without knapsacks end.
    while state.nodes.len() > 1 && kernel.work + steps * 64 < until && best_price > run.floor {
        let patient = steps - improved_at <= PATIENCE * (10 + state.nodes.len() as u64);
        if !patient || steps.is_multiple_of(64) && run.monitor.stop().is_some() {
            break;
        }
        steps += 1;
        let heat = 1.0 - (kernel.work + steps * 64) as f64 / until as f64;
        state.step(kernel, &mut random, heat.max(0.0));
        if state.price < best_price {
            best_price = state.price;
            improved_at = steps;
            best.clone_from(&state.nodes);
        }
    }
    best
}

struct State<'a> {
    packing: &'a Packing,
    base: &'a [f64],
    nodes: Vec<Packed>,
    free: Vec<Vec<i64>>,
    price: i64,
    /// What pool limits still allow.
    limits: Vec<Limit>,
    /// Offers that are nearly worth their price: others never make a good node,
    /// and a node that is not full goes to its cheapest holder anyway.
    worthy: Vec<usize>,
}

/// Worth ÷ price from which an offer is looked at; with few nodes it pays to be
/// less choosy, as their last ones are far from full.
const WORTHY: f64 = 0.97;
const WORTHY_AMONG_FEW: f64 = 0.8;
const FEW_NODES: usize = 500;

impl<'a> State<'a> {
    fn new(packing: &'a Packing, mut nodes: Vec<Packed>, base: &'a [f64], ratio: &[f64]) -> Self {
        for node in &mut nodes {
            node.offer = packing.cheapest_holder(node.offer, &node.filling);
        }
        let free = nodes.iter().map(|node| free(packing, node)).collect();
        let price = nodes.iter().map(|node| packing.offers[node.offer].price).sum();
        let limits = packing.limits.clone();
        let worthy = worthy(packing, ratio, if nodes.len() < FEW_NODES { WORTHY_AMONG_FEW } else { WORTHY });
        let mut state = Self { packing, base, nodes: Vec::new(), free, price, limits, worthy };
        for node in &nodes {
            state.account(node, -1);
        }
        state.nodes = nodes;
        state
    }

    /// Takes a node's share of its pool's limits, or gives it back.
    fn account(&mut self, node: &Packed, sign: i64) {
        let offer = &self.packing.offers[node.offer];
        if let Some(limit) = offer.limit {
            for (rest, used) in self.limits[limit].remaining.iter_mut().zip(&offer.limit_use) {
                *rest += sign * used;
            }
        }
    }

    fn worth(&self, node: &Packed) -> f64 {
        let value: f64 = node.filling.iter().map(|(c, n)| self.base[*c as usize] * f64::from(*n)).sum();
        value / self.packing.offers[node.offer].price.max(1) as f64
    }

    /// A few nodes, poor ones preferred, most often with one profile.
    fn victims(&self, random: &mut Random) -> Vec<usize> {
        let count = (2 + random.below(4)).min(self.nodes.len());
        let alike = random.below(10) < 7;
        let mut picked: Vec<usize> = Vec::new();
        for _ in 0..count {
            let mut poorest: Option<(f64, usize)> = None;
            for _ in 0..=random.below(6) {
                let index = random.below(self.nodes.len());
                let profile = |i: usize| self.packing.offers[self.nodes[i].offer].profile;
                let stranger = alike && picked.first().is_some_and(|first| profile(*first) != profile(index));
                let worth = self.worth(&self.nodes[index]);
                if !stranger && poorest.is_none_or(|(least, _)| worth < least) {
                    poorest = Some((worth, index));
                }
            }
            picked.extend(poorest.map(|(_, index)| index).filter(|index| !picked.contains(index)));
        }
        picked.sort_unstable_by(|a, b| b.cmp(a));
        picked
    }

    fn step(&mut self, kernel: &mut Knapsack, random: &mut Random, heat: f64) {
        let victims = self.victims(random);
        let limits = self.limits.clone();
        let mut removed = Vec::new();
        let mut old = 0;
        for index in victims {
            let node = self.nodes.swap_remove(index);
            self.free.swap_remove(index);
            old += self.packing.offers[node.offer].price;
            self.account(&node, 1);
            removed.push(node);
        }
        let mut classes: Vec<usize> = removed.iter().flat_map(|n| n.filling.iter().map(|(c, _)| *c as usize)).collect();
        classes.sort_unstable();
        classes.dedup();
        let mut demand = vec![0_u32; self.packing.classes.len()];
        for (class, count) in removed.iter().flat_map(|n| &n.filling) {
            demand[*class as usize] += count;
        }
        let touched = if random.below(3) > 0 { self.fill_gaps(&classes, &mut demand, random) } else { Vec::new() };

        let mut values = vec![0.0; self.packing.classes.len()];
        let floor = 1e-3;
        for class in &classes {
            values[*class] = (self.base[*class] + floor) * (1.0 + 0.15 * random.normal()).max(0.2);
        }
        let allowance = (heat * 2e-6 * -random.unit().ln() * self.price as f64) as i64;
        let ceiling = old.saturating_add(allowance).saturating_add(1);
        let mut greedy = Greedy::among(self.packing, &classes, self.worthy.clone(), values, 2);
        let wanted = demand.iter().any(|count| *count > 0);
        let bought = if wanted { greedy.run(kernel, &mut demand, &mut self.limits, ceiling) } else { Some(Vec::new()) };
        match bought.filter(|_| demand.iter().all(|count| *count == 0)) {
            Some(bought) => {
                let new: i64 = bought.iter().map(|node| self.packing.offers[node.offer].price).sum();
                self.price += new - old;
                for node in bought {
                    self.free.push(free(self.packing, &node));
                    self.nodes.push(node);
                }
            }
            None => {
                self.limits = limits;
                for (index, node, rest) in touched.into_iter().rev() {
                    self.nodes[index] = node;
                    self.free[index] = rest;
                }
                for node in removed {
                    self.free.push(free(self.packing, &node));
                    self.nodes.push(node);
                }
            }
        }
    }

    /// Puts wanted pods into the free space of some nodes; returns what those
    /// nodes were before.
    fn fill_gaps(
        &mut self,
        classes: &[usize],
        demand: &mut [u32],
        random: &mut Random,
    ) -> Vec<(usize, Packed, Vec<i64>)> {
        let mut touched = Vec::new();
        let mut largest_first = classes.to_vec();
        largest_first.sort_by(|a, b| self.base[*b].total_cmp(&self.base[*a]).then(a.cmp(b)));
        for _ in 0..self.nodes.len().min(SAMPLED) {
            let index = random.below(self.nodes.len());
            let mut before: Option<(Packed, Vec<i64>)> = None;
            for class in &largest_first {
                let profile = self.packing.offers[self.nodes[index].offer].profile;
                if demand[*class] == 0 || !self.packing.profiles[profile].contains(*class) {
                    continue;
                }
                let count = self.packing.most(*class, &self.free[index]).min(i64::from(demand[*class]));
                if count <= 0 {
                    continue;
                }
                before.get_or_insert_with(|| (self.nodes[index].clone(), self.free[index].clone()));
                for (rest, size) in self.free[index].iter_mut().zip(&self.packing.classes[*class].size) {
                    *rest -= size * count;
                }
                demand[*class] -= count as u32;
                add(&mut self.nodes[index].filling, *class as u32, count as u32);
            }
            touched.extend(before.map(|(node, rest)| (index, node, rest)));
        }
        touched
    }
}

fn worthy(packing: &Packing, ratio: &[f64], least: f64) -> Vec<usize> {
    let mut worthy: Vec<usize> =
        (0..packing.offers.len()).filter(|k| ratio.get(*k).is_none_or(|r| *r >= least)).collect();
    for class in 0..packing.classes.len() {
        let each = |k: &usize| {
            let offer = &packing.offers[*k];
            offer.price as f64 / packing.most(class, &offer.capacity) as f64
        };
        let holders = (0..packing.offers.len()).filter(|k| packing.admits(&packing.offers[*k], class));
        worthy.extend(holders.min_by(|a, b| each(a).total_cmp(&each(b)).then(a.cmp(b))));
    }
    worthy.sort_unstable();
    worthy.dedup();
    worthy
}

fn add(filling: &mut Vec<(u32, u32)>, class: u32, count: u32) {
    match filling.binary_search_by_key(&class, |(c, _)| *c) {
        Ok(at) => filling[at].1 += count,
        Err(at) => filling.insert(at, (class, count)),
    }
}

fn free(packing: &Packing, node: &Packed) -> Vec<i64> {
    let load = packing.load(&node.filling);
    packing.offers[node.offer].capacity.iter().zip(load).map(|(capacity, used)| capacity - used).collect()
}

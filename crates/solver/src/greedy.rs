//! The dual-guided greedy: buy, again and again, the node whose best filling is
//! worth most per dollar, with pods valued by the relaxation's duals.
//!
//! A bin-centric dot-product greedy in the sense of Panigrahy et al. (2011),
//! with the best possible weights. An offer's worth can only fall while demand
//! shrinks, so offers wait behind stale bounds and few are ever looked at.

use crate::knapsack::search::{Goal, Knapsack};
use crate::packing::{Items, Limit, Packed, Packing};

/// State of a greedy run: what is still wanted and what limits still allow.
pub(crate) struct Greedy<'a> {
    packing: &'a Packing,
    values: Vec<f64>,
    /// Upper bound of value ÷ price, per offer.
    ratio: Vec<f64>,
    hints: Vec<Option<Vec<f64>>>,
    members: Vec<Vec<usize>>,
    /// Offers that are looked at.
    candidates: Vec<usize>,
    nodes: usize,
    /// An offer that could be better by less than this factor is not looked at.
    content: f64,
}

impl<'a> Greedy<'a> {
    /// A run with these pod values. `ratio` bounds each offer's worth per dollar
    /// under them; infinity where nothing is known.
    pub(crate) fn new(packing: &'a Packing, values: Vec<f64>, ratio: Vec<f64>, nodes: usize) -> Self {
        let members = packing.profiles.iter().map(|profile| profile.iter().collect()).collect();
        let candidates = (0..packing.offers.len()).collect();
        Self {
            packing,
            values,
            ratio,
            hints: vec![None; packing.offers.len()],
            members,
            candidates,
            nodes,
            content: 1.0,
        }
    }

    /// Passes over offers that promise less than `share` more than the best found.
    pub(crate) fn content_with(&mut self, share: f64) {
        self.content = 1.0 + share;
    }

    /// The same, over a few classes and offers only.
    pub(crate) fn among(
        packing: &'a Packing,
        classes: &[usize],
        candidates: Vec<usize>,
        values: Vec<f64>,
        nodes: usize,
    ) -> Self {
        let members = packing
            .profiles
            .iter()
            .map(|profile| classes.iter().copied().filter(|class| profile.contains(*class)).collect())
            .collect();
        let offers = packing.offers.len();
        Self {
            packing,
            values,
            ratio: vec![f64::INFINITY; offers],
            hints: vec![None; offers],
            members,
            candidates,
            nodes,
            content: 1.0,
        }
    }

    /// Looks at these offers only.
    pub(crate) fn only(&mut self, candidates: &[usize]) {
        self.candidates = candidates.to_vec();
    }

    /// Buys nodes until `demand` is met or nothing that is left can be placed.
    /// What cannot be placed stays in `demand`. Gives up with `None` once the
    /// price exceeds `ceiling`.
    pub(crate) fn run(
        &mut self,
        kernel: &mut Knapsack,
        demand: &mut [u32],
        limits: &mut [Limit],
        ceiling: i64,
    ) -> Option<Vec<Packed>> {
        self.buy(kernel, demand, limits, ceiling, -1.0)
    }

    /// Buys nodes until what is left is worth no more than `target`. Many equal
    /// nodes are bought a few at a time, so that the target is not overshot.
    pub(crate) fn run_until(
        &mut self,
        kernel: &mut Knapsack,
        demand: &mut [u32],
        limits: &mut [Limit],
        target: f64,
    ) -> Vec<Packed> {
        self.buy(kernel, demand, limits, i64::MAX, target).unwrap_or_default()
    }

    fn buy(
        &mut self,
        kernel: &mut Knapsack,
        demand: &mut [u32],
        limits: &mut [Limit],
        ceiling: i64,
        target: f64,
    ) -> Option<Vec<Packed>> {
        let mut bought = Vec::new();
        let mut left: f64 = self.values.iter().zip(&*demand).map(|(v, n)| v * f64::from(*n)).sum();
        let mut spent: i64 = 0;
        let mut since_tidy = 0;
        while let Some((offer, filling)) = self.best(kernel, demand, limits) {
            let offer = self.packing.cheapest_holder(offer, &filling);
            let mut times = filling.iter().map(|(class, count)| demand[*class as usize] / count).min().unwrap_or(0);
            let each: f64 = filling.iter().map(|(c, n)| self.values[*c as usize] * f64::from(*n)).sum();
            if target >= 0.0 && each > 0.0 {
                times = times.min(((left - target) / each).ceil().clamp(1.0, 1e9) as u32);
            }
            let terms = &self.packing.offers[offer];
            if let Some(limit) = terms.limit {
                let room = limits[limit].remaining.iter().zip(&terms.limit_use).filter(|(_, u)| **u > 0);
                let most = room.map(|(r, u)| r / u).min().unwrap_or(i64::MAX);
                times = times.min(u32::try_from(most.max(0)).unwrap_or(u32::MAX));
                for (rest, used) in limits[limit].remaining.iter_mut().zip(&terms.limit_use) {
                    *rest -= used * i64::from(times);
                }
            }
            if times == 0 {
                self.ratio[offer] = 0.0;
                continue;
            }
            for (class, count) in &filling {
                demand[*class as usize] -= count * times;
            }
            left -= each * f64::from(times);
            spent = spent.saturating_add(terms.price.saturating_mul(i64::from(times)));
            if spent >= ceiling {
                return None;
            }
            bought.extend(std::iter::repeat_n(Packed { offer, filling }, times as usize));
            if left <= target {
                break;
            }
            since_tidy += 1;
            if since_tidy == 16 {
                since_tidy = 0;
                self.members.iter_mut().for_each(|members| members.retain(|class| demand[*class] > 0));
            }
        }
        Some(bought)
    }

    /// The offer and filling worth most per dollar.
    fn best(&mut self, kernel: &mut Knapsack, demand: &[u32], limits: &[Limit]) -> Option<(usize, Vec<(u32, u32)>)> {
        self.candidates.retain(|k| self.ratio[*k] > 0.0);
        let mut order = self.candidates.clone();
        order.sort_unstable_by(|a, b| self.ratio[*b].total_cmp(&self.ratio[*a]).then(a.cmp(b)));
        let mut best: Option<(f64, usize, Items)> = None;
        for k in order {
            let leader = best.as_ref().map_or(0.0, |(ratio, _, _)| *ratio);
            if self.ratio[k] <= leader * self.content {
                break;
            }
            let offer = &self.packing.offers[k];
            let over = |limit: usize| limits[limit].remaining.iter().zip(&offer.limit_use).any(|(r, u)| u > r);
            if offer.limit.is_some_and(over) {
                self.ratio[k] = 0.0;
                continue;
            }
            let members = self.members[offer.profile].iter().copied();
            kernel.columns.gather(self.packing, &offer.capacity, members, &self.values, demand);
            let price = (offer.price as f64).max(1.0);
            let goal = Goal { useless: leader * price, enough: 0.0, nodes: self.nodes };
            let filling = kernel.solve(&offer.capacity, goal, self.hints[k].as_deref());
            self.ratio[k] = self.ratio[k].min(filling.bound / price);
            if kernel.columns.len() > 0 && kernel.prices().len() == offer.capacity.len() {
                self.hints[k] = Some(kernel.prices().to_vec());
            }
            if !filling.items.is_empty() && filling.value / price > leader {
                best = Some((filling.value / price, k, filling.items));
            }
        }
        best.map(|(_, k, items)| (k, items))
    }
}

/// Pod values leaned towards large pods: γ of 0 is the relaxation's own view,
/// more places large pods earlier, which leaves small ones to fill gaps.
pub(crate) fn biased(packing: &Packing, values: &[f64], gamma: f64) -> Vec<f64> {
    let dims = packing.dims.len();
    let typical = typical_capacity(packing);
    let floor = values.iter().copied().fold(0.0, f64::max) * 1e-7 + 1e-3;
    values
        .iter()
        .zip(&packing.classes)
        .map(|(value, class)| {
            let share = (0..dims).map(|d| class.size[d] as f64 / typical[d].max(1.0)).fold(0.0, f64::max).min(1.0);
            (value + floor) * (1.0 + gamma * share.sqrt())
        })
        .collect()
}

/// A middling capacity per dimension: the median over offers that have any.
fn typical_capacity(packing: &Packing) -> Vec<f64> {
    (0..packing.dims.len())
        .map(|d| {
            let mut amounts: Vec<i64> = packing.offers.iter().map(|o| o.capacity[d]).filter(|a| *a > 0).collect();
            amounts.sort_unstable();
            amounts.get(amounts.len() * 3 / 4).copied().unwrap_or(1) as f64
        })
        .collect()
}

//! The judge's own complete search: is there a cheaper set of nodes?
//!
//! It serves the shape that is worth most first and tries, launch by launch,
//! every filling that leaves no room for a pod it could still take: fillings with
//! less on them leave more to pay for. What the money left cannot buy by some
//! scale (confirmed values, or a resource) needs no look.

use std::collections::HashMap;

use stowage_model::Unit;
use stowage_model::certificate::UNITS_PER_NANO;

use crate::purse::Purse;
use crate::search::{Exhausted, Item, cost, largest};

/// Fillings looked at for the most that one launch holds.
const SEARCH: u64 = 20_000;

/// A launch in a complete search.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    pub(crate) capacity: Vec<i64>,
    pub(crate) price: i64,
    pub(crate) members: Vec<usize>,
}

/// The pods of a complete search. `values` must have been confirmed: no launch
/// holds pods that are worth more than its price.
pub(crate) struct Pods<'a> {
    pub(crate) sizes: &'a [Vec<i64>],
    pub(crate) counts: &'a [i64],
    pub(crate) values: &'a [Unit],
    /// Resource prices that fit the values.
    pub(crate) prices: &'a [Vec<Unit>],
}

/// Whether no multiset of launches that holds all pods costs less than `price`.
pub(crate) fn nothing_cheaper(
    mut choices: Vec<Choice>,
    pods: &Pods<'_>,
    price: i64,
    budget: u64,
) -> Result<bool, Exhausted> {
    choices.retain(|choice| choice.price < price);
    choices.sort_by(|a, b| (a.price, &a.capacity).cmp(&(b.price, &b.capacity)));
    let scales = scales(&choices, pods, price);
    let mut search = Complete { choices: &choices, pods, scales, left: budget, failed: HashMap::new() };
    let cheaper = search.affordable(pods.counts, price - 1);
    if cheaper {
        return Ok(false);
    }
    if search.left == 0 { Err(Exhausted) } else { Ok(true) }
}

/// A way to weigh pods, and what money buys by it.
struct Scale {
    weights: Vec<Unit>,
    /// Per choice, resource prices that show little room is left for more.
    guides: Vec<Vec<Unit>>,
    purse: Purse,
}

fn scales(choices: &[Choice], pods: &Pods<'_>, top: i64) -> Vec<Scale> {
    let dims = pods.sizes.first().map_or(0, Vec::len);
    let unit = |dim: usize| (0..dims).map(|d| Unit::from(d == dim)).collect::<Vec<Unit>>();
    let of_dim = |dim: usize| {
        let weights: Vec<Unit> = pods.sizes.iter().map(|size| Unit::from(size[dim])).collect();
        let guide = [unit(dim)];
        scale(choices, pods, weights, &guide, top, Unit::MAX)
    };
    let by_value = scale(choices, pods, pods.values.to_vec(), pods.prices, top, UNITS_PER_NANO);
    std::iter::once(by_value).chain((0..dims).map(of_dim)).collect()
}

/// `per_nano` is the most that a nano-dollar is known to buy.
fn scale(
    choices: &[Choice],
    pods: &Pods<'_>,
    weights: Vec<Unit>,
    guides: &[Vec<Unit>],
    top: i64,
    per_nano: Unit,
) -> Scale {
    let mut goods = Vec::new();
    let mut chosen = Vec::new();
    for choice in choices {
        let items: Vec<Item> = choice
            .members
            .iter()
            .map(|m| {
                let size = pods.sizes[*m].clone();
                let most = most(&size, &choice.capacity).min(pods.counts[*m]);
                Item { size, value: weights[*m], most }
            })
            .collect();
        let nothing = vec![0; choice.capacity.len()];
        let (bound, guide) = guides
            .iter()
            .chain(std::iter::once(&nothing))
            .map(|guide| (relaxed(&items, &choice.capacity, guide), guide))
            .min_by_key(|(bound, _)| *bound)
            .unwrap_or((Unit::MAX, &nothing));
        let known = bound.min(Unit::from(choice.price).saturating_mul(per_nano));
        let worth = largest(&items, &choice.capacity, guide, 0, SEARCH).unwrap_or(known).min(known);
        goods.push((choice.price, worth));
        chosen.push(guide.clone());
    }
    Scale { weights, guides: chosen, purse: Purse::new(&goods, top) }
}

/// λ·W + Σ u·max(0, v − λ·a).
fn relaxed(items: &[Item], capacity: &[i64], guide: &[Unit]) -> Unit {
    let over = |item: &Item| (item.value - cost(guide, &item.size)).max(0) * Unit::from(item.most);
    cost(guide, capacity) + items.iter().map(over).sum::<Unit>()
}

/// How many of `size` fit `free`.
fn most(size: &[i64], free: &[i64]) -> i64 {
    let fits = size.iter().zip(free).filter(|(size, _)| **size > 0).map(|(size, free)| (*free).max(0) / size);
    fits.min().unwrap_or(i64::MAX)
}

struct Complete<'a> {
    choices: &'a [Choice],
    pods: &'a Pods<'a>,
    scales: Vec<Scale>,
    left: u64,
    /// Money that was not enough, by pods still to place.
    failed: HashMap<Vec<i64>, i64>,
}

/// One launch being filled.
struct Fill {
    members: Vec<usize>,
    /// Money left once it is bought.
    money: i64,
    /// Room left.
    free: Vec<i64>,
    rest: Vec<i64>,
    hopes: Vec<Hope>,
}

/// By one scale: how far a node may still come.
struct Hope {
    /// What it must hold.
    needs: Unit,
    /// What it holds, and the priced room that is left.
    has: Unit,
    /// By member, what one pod takes away from that.
    loss: Vec<Unit>,
    /// By place, what members from there on add beyond the priced room.
    gain: Vec<Unit>,
}

impl Hope {
    fn new(scale: &Scale, index: usize, members: &[usize], pods: &Pods<'_>, fill: (&[i64], &[i64], i64)) -> Self {
        let (rest, capacity, money) = fill;
        let guide = &scale.guides[index];
        let loss: Vec<Unit> = members.iter().map(|m| cost(guide, &pods.sizes[*m]) - scale.weights[*m]).collect();
        let mut gain = vec![0; members.len() + 1];
        for (at, member) in members.iter().enumerate().rev() {
            gain[at] = gain[at + 1] + (-loss[at]).max(0) * Unit::from(rest[*member]);
        }
        let needs = weigh(scale, rest).saturating_sub(scale.purse.buys(money));
        Self { needs, has: cost(guide, capacity), loss, gain }
    }
}

impl Complete<'_> {
    /// Whether `money` buys nodes for `rest`.
    fn affordable(&mut self, rest: &[i64], money: i64) -> bool {
        let Some(first) = (0..rest.len()).filter(|s| rest[*s] > 0).max_by_key(|s| (self.pods.values[*s], *s)) else {
            return money >= 0;
        };
        let enough = |scale: &Scale| weigh(scale, rest) <= scale.purse.buys(money);
        if self.left == 0
            || money < 0
            || !self.scales.iter().all(enough)
            || self.failed.get(rest).is_some_and(|tried| *tried >= money)
        {
            return false;
        }
        let choices = self.choices;
        for (index, choice) in choices.iter().enumerate() {
            if choice.price > money || !choice.members.contains(&first) {
                continue;
            }
            let mut members: Vec<usize> =
                choice.members.iter().copied().filter(|m| *m != first && rest[*m] > 0).collect();
            // Large pods decide most: the tree is widest at its leaves.
            members.sort_by_key(|member| std::cmp::Reverse(self.pods.values[*member]));
            members.insert(0, first);
            let money = money - choice.price;
            let hope = |scale: &Scale| Hope::new(scale, index, &members, self.pods, (rest, &choice.capacity, money));
            let hopes = self.scales.iter().map(hope).collect();
            let mut fill = Fill { members, money, free: choice.capacity.clone(), rest: rest.to_vec(), hopes };
            if self.fill(&mut fill, 0) {
                return true;
            }
        }
        if self.left > 0 {
            self.failed.insert(rest.to_vec(), money);
        }
        false
    }

    fn fill(&mut self, fill: &mut Fill, at: usize) -> bool {
        if self.left == 0 || fill.hopes.iter().any(|hope| hope.has + hope.gain[at] < hope.needs) {
            return false;
        }
        self.left -= 1;
        let sizes = self.pods.sizes;
        if at == fill.members.len() {
            let maximal = fill.members.iter().all(|m| fill.rest[*m] == 0 || most(&sizes[*m], &fill.free) == 0);
            return maximal && self.affordable(&fill.rest, fill.money);
        }
        let size = &sizes[fill.members[at]];
        let fits = most(size, &fill.free).min(fill.rest[fill.members[at]]);
        let least = i64::from(at == 0);
        fill.add(at, size, fits);
        for count in (least..=fits).rev() {
            if self.fill(fill, at + 1) {
                return true;
            }
            if count > least {
                fill.add(at, size, -1);
            }
        }
        fill.add(at, size, -least.min(fits));
        false
    }
}

impl Fill {
    /// Puts `count` pods of the member at `at` on the node, or takes them off.
    fn add(&mut self, at: usize, size: &[i64], count: i64) {
        self.rest[self.members[at]] -= count;
        self.free.iter_mut().zip(size).for_each(|(free, size)| *free -= size * count);
        self.hopes.iter_mut().for_each(|hope| hope.has -= hope.loss[at] * Unit::from(count));
    }
}

fn weigh(scale: &Scale, counts: &[i64]) -> Unit {
    scale.weights.iter().zip(counts).map(|(weight, count)| weight * Unit::from(*count)).sum()
}

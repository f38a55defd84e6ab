//! The judge's own searches: plain, bounded, and different from the solver's.

use std::collections::HashMap;

use stowage_model::Unit;
use stowage_model::certificate::UNITS_PER_NANO;

/// The budget ended before the answer was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exhausted;

/// Pods of one shape, as something to put on one node.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) size: Vec<i64>,
    pub(crate) value: Unit,
    pub(crate) most: i64,
}

/// Whether some filling of `capacity` is worth more than `price`. `guide` are
/// resource prices that make the estimate of what is still possible sharp.
pub(crate) fn exceeds(
    items: &[Item],
    capacity: &[i64],
    guide: &[Unit],
    price: Unit,
    budget: u64,
) -> Result<bool, Exhausted> {
    let reduced = |item: &Item| item.value - cost(guide, &item.size);
    let mut order: Vec<&Item> = items.iter().collect();
    // What is decided least by the guide comes last, where the tree is widest.
    order.sort_by_key(|item| std::cmp::Reverse(reduced(item).abs()));
    // gain[i]: what items from i on can add beyond the priced capacity.
    let mut gain = vec![0; order.len() + 1];
    for (index, item) in order.iter().enumerate().rev() {
        gain[index] = gain[index + 1] + reduced(item).max(0) * Unit::from(item.most);
    }
    let mut left = budget;
    let found = descend(&order, &gain, guide, capacity.to_vec(), 0, 0, price, &mut left);
    if found {
        return Ok(true);
    }
    if left == 0 { Err(Exhausted) } else { Ok(false) }
}

fn cost(prices: &[Unit], amounts: &[i64]) -> Unit {
    prices.iter().zip(amounts).map(|(price, amount)| price * Unit::from((*amount).max(0))).sum()
}

#[allow(clippy::too_many_arguments, reason = "a recursion that carries its own state")]
fn descend(
    order: &[&Item],
    gain: &[Unit],
    guide: &[Unit],
    rest: Vec<i64>,
    at: usize,
    value: Unit,
    price: Unit,
    left: &mut u64,
) -> bool {
    if value > price {
        return true;
    }
    if *left == 0 || at == order.len() || value + cost(guide, &rest) + gain[at] <= price {
        return false;
    }
    *left -= 1;
    let item = order[at];
    let mut fits = item.most;
    for (size, free) in item.size.iter().zip(&rest) {
        if *size > 0 {
            fits = fits.min((*free).max(0) / size);
        }
    }
    for count in (0..=fits).rev() {
        let rest = rest.iter().zip(&item.size).map(|(free, size)| free - size * count).collect();
        if descend(order, gain, guide, rest, at + 1, value + item.value * Unit::from(count), price, left) {
            return true;
        }
    }
    false
}

/// A launch in a complete search.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    pub(crate) capacity: Vec<i64>,
    pub(crate) price: i64,
    pub(crate) members: Vec<usize>,
}

/// Whether no multiset of launches that holds `counts` pods costs less than
/// `price`. `values` must have been confirmed: pods cost at least their values.
pub(crate) fn nothing_cheaper(
    choices: &[Choice],
    sizes: &[Vec<i64>],
    counts: &[i64],
    values: &[Unit],
    price: i64,
    budget: u64,
) -> Result<bool, Exhausted> {
    let mut search = Complete { choices, sizes, values, left: budget, failed: HashMap::new() };
    let cheaper = search.affordable(counts.to_vec(), price - 1);
    if cheaper {
        return Ok(false);
    }
    if search.left == 0 { Err(Exhausted) } else { Ok(true) }
}

struct Complete<'a> {
    choices: &'a [Choice],
    sizes: &'a [Vec<i64>],
    values: &'a [Unit],
    left: u64,
    /// Money that was not enough, by pods still to place.
    failed: HashMap<Vec<i64>, i64>,
}

impl Complete<'_> {
    /// The least that pods can cost, in whole nano-dollars.
    fn least(&self, rest: &[i64]) -> i64 {
        let units: Unit = self.values.iter().zip(rest).map(|(value, count)| value * Unit::from(*count)).sum();
        i64::try_from((units + UNITS_PER_NANO - 1) / UNITS_PER_NANO).unwrap_or(i64::MAX)
    }

    /// Whether `money` buys nodes for `rest`.
    fn affordable(&mut self, rest: Vec<i64>, money: i64) -> bool {
        let Some(first) = (0..rest.len()).filter(|s| rest[*s] > 0).max_by_key(|s| (self.values[*s], *s)) else {
            return money >= 0;
        };
        if self.left == 0 || self.least(&rest) > money || self.failed.get(&rest).is_some_and(|tried| *tried >= money) {
            return false;
        }
        for choice in self.choices {
            if choice.price > money || !choice.members.contains(&first) {
                continue;
            }
            let mut members: Vec<usize> =
                choice.members.iter().copied().filter(|m| *m != first && rest[*m] > 0).collect();
            members.insert(0, first);
            let mut after = rest.clone();
            if self.fill(choice, &members, 0, choice.capacity.clone(), &mut after, money) {
                return true;
            }
        }
        if self.left > 0 {
            self.failed.insert(rest, money);
        }
        false
    }

    /// Tries every filling of one launch that leaves no room for a pod it could
    /// still take: fillings with less on them leave more to pay for.
    fn fill(
        &mut self,
        choice: &Choice,
        members: &[usize],
        at: usize,
        free: Vec<i64>,
        rest: &mut Vec<i64>,
        money: i64,
    ) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        if at == members.len() {
            let maximal = members.iter().all(|m| rest[*m] == 0 || !self.holds(*m, &free));
            return maximal && self.affordable(rest.clone(), money - choice.price);
        }
        let member = members[at];
        let mut most = rest[member];
        for (size, free) in self.sizes[member].iter().zip(&free) {
            if *size > 0 {
                most = most.min(free / size);
            }
        }
        let least = i64::from(at == 0);
        for count in (least..=most).rev() {
            rest[member] -= count;
            let left: Vec<i64> = free.iter().zip(&self.sizes[member]).map(|(free, size)| free - size * count).collect();
            let found = self.fill(choice, members, at + 1, left, rest, money);
            rest[member] += count;
            if found {
                return true;
            }
        }
        false
    }

    fn holds(&self, member: usize, free: &[i64]) -> bool {
        self.sizes[member].iter().zip(free).all(|(size, free)| size <= free)
    }
}

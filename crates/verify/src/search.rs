//! The judge's own search of one node: plain, bounded, and different from the
//! solver's.

use stowage_model::Unit;

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

/// The most that a filling of `capacity` is worth, `floor` if none is worth more.
/// `guide` are resource prices that make the estimate of what is still possible
/// sharp.
pub(crate) fn largest(
    items: &[Item],
    capacity: &[i64],
    guide: &[Unit],
    floor: Unit,
    budget: u64,
) -> Result<Unit, Exhausted> {
    let reduced = |item: &Item| item.value - cost(guide, &item.size);
    let mut order: Vec<&Item> = items.iter().collect();
    // What is decided least by the guide comes last, where the tree is widest.
    order.sort_by_key(|item| std::cmp::Reverse(reduced(item).abs()));
    // gain[i]: what items from i on can add beyond the priced capacity.
    let mut gain = vec![0; order.len() + 1];
    for (index, item) in order.iter().enumerate().rev() {
        gain[index] = gain[index + 1] + reduced(item).max(0) * Unit::from(item.most);
    }
    let mut search = Largest { order, gain, guide, best: floor, left: budget };
    search.descend(capacity.to_vec(), 0, 0);
    if search.left == 0 { Err(Exhausted) } else { Ok(search.best) }
}

struct Largest<'a> {
    order: Vec<&'a Item>,
    gain: Vec<Unit>,
    guide: &'a [Unit],
    best: Unit,
    left: u64,
}

impl Largest<'_> {
    fn descend(&mut self, rest: Vec<i64>, at: usize, value: Unit) {
        self.best = self.best.max(value);
        let within = |search: &Self| value + cost(search.guide, &rest) + search.gain[at] <= search.best;
        if self.left == 0 || at == self.order.len() || within(self) {
            return;
        }
        self.left -= 1;
        let item = self.order[at];
        let mut fits = item.most;
        for (size, free) in item.size.iter().zip(&rest) {
            if *size > 0 {
                fits = fits.min((*free).max(0) / size);
            }
        }
        for count in (0..=fits).rev() {
            let rest = rest.iter().zip(&item.size).map(|(free, size)| free - size * count).collect();
            self.descend(rest, at + 1, value + item.value * Unit::from(count));
        }
    }
}

/// What `amounts` cost at `prices`.
pub(crate) fn cost(prices: &[Unit], amounts: &[i64]) -> Unit {
    prices.iter().zip(amounts).map(|(price, amount)| price * Unit::from((*amount).max(0))).sum()
}

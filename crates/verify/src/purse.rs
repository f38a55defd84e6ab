//! What a sum of money buys at most: nodes are bought whole.

use stowage_model::Unit;

/// Steps in which money is counted.
const STEPS: i64 = 8192;

/// The most worth for each sum of money.
pub(crate) struct Purse {
    /// Nano-dollars to a step.
    step: i64,
    most: Vec<Unit>,
}

impl Purse {
    /// From prices and what one purchase is worth at most. Prices are rounded down
    /// to steps, so a purse never promises too little.
    pub(crate) fn new(goods: &[(i64, Unit)], top: i64) -> Self {
        let step = (top / STEPS).max(1);
        let last = usize::try_from(top / step).unwrap_or(0);
        let mut most: Vec<Unit> = vec![0; last + 1];
        for money in 0..=last {
            let mut best = if money > 0 { most[money - 1] } else { 0 };
            for (price, worth) in goods {
                match usize::try_from(price / step).unwrap_or(0) {
                    0 => best = Unit::MAX,
                    price if price <= money => best = best.max(most[money - price].saturating_add(*worth)),
                    _ => {}
                }
            }
            most[money] = best;
        }
        Self { step, most }
    }

    /// The most that `money`, which is not negative, buys.
    pub(crate) fn buys(&self, money: i64) -> Unit {
        let at = usize::try_from(money / self.step).unwrap_or(0);
        self.most.get(at).copied().unwrap_or(Unit::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::Purse;

    #[test]
    fn money_between_two_prices_buys_the_smaller() {
        let purse = Purse::new(&[(30, 100), (70, 300)], 140);
        let worth: Vec<i128> = [0, 29, 30, 69, 70, 100, 140].iter().map(|money| purse.buys(*money)).collect();
        assert_eq!(worth, [0, 0, 100, 200, 300, 400, 600]);
    }

    #[test]
    fn what_is_free_promises_everything() {
        assert_eq!(Purse::new(&[(0, 5)], 100).buys(0), i128::MAX);
    }
}

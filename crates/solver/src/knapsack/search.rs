//! Integer fillings by branch and bound on the relaxation.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::relaxation::{Data, Relaxation, lagrangian};
use super::{Columns, Filling};

/// What a caller wants of one search.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Goal {
    /// Fillings worth no more than this are of no use: give up early.
    pub(crate) useless: f64,
    /// Once every better filling is known to be worth no more than this, stop.
    pub(crate) enough: f64,
    /// Branch and bound nodes to spend.
    pub(crate) nodes: usize,
}

/// The kernel with its scratch space.
#[derive(Debug, Default)]
pub(crate) struct Knapsack {
    /// The columns of the current knapsack.
    pub(crate) columns: Columns,
    /// Work done so far, in column visits.
    pub(crate) work: u64,
    root: Relaxation,
    child: Relaxation,
}

/// A subproblem: bounds changed on some core columns.
struct Branch {
    bound: f64,
    changes: Vec<(usize, i64, i64)>,
}

impl PartialEq for Branch {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Branch {}
impl PartialOrd for Branch {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Branch {
    fn cmp(&self, other: &Self) -> Ordering {
        self.bound.total_cmp(&other.bound)
    }
}

/// The columns that reduced costs leave undecided, and the rest fixed.
struct Core {
    columns: Vec<usize>,
    fixed: Vec<i64>,
    capacity: Vec<f64>,
    exact: Vec<i64>,
    base: f64,
    weight: Vec<Vec<f64>>,
    value: Vec<f64>,
}

impl Knapsack {
    /// Resource prices of the last root relaxation.
    pub(crate) fn prices(&self) -> &[f64] {
        &self.root.prices
    }

    /// The best filling of `capacity` with the gathered columns. `hint` is tried
    /// as resource prices first: often it shows at once that nothing is useful.
    pub(crate) fn solve(&mut self, capacity: &[i64], goal: Goal, hint: Option<&[f64]>) -> Filling {
        let columns = self.columns.len();
        if columns == 0 {
            return Filling::default();
        }
        let capacity_f: Vec<f64> = capacity.iter().map(|w| *w as f64).collect();
        let most: Vec<f64> = self.columns.most.iter().map(|m| *m as f64).collect();
        let data =
            Data { capacity: &capacity_f, weight: &self.columns.weight, value: &self.columns.value, most: &most };
        if let Some(prices) = hint.filter(|_| goal.useless > 0.0) {
            self.work += columns as u64;
            let bound = lagrangian(data, prices);
            if bound <= goal.useless {
                return Filling { bound, ..Filling::default() };
            }
        }
        self.root.forget();
        self.root.work = 0;
        self.root.solve(data);
        self.work += self.root.work;
        let bound = self.root.bound;
        if bound <= goal.useless {
            return Filling { bound, ..Filling::default() };
        }
        let ranking = self.ranking(data);
        let mut best = self.rounded(capacity, &ranking);
        let mut value = self.worth(&best);
        let from_nothing = self.filled(vec![0; columns], capacity.to_vec(), &ranking);
        let other = self.worth(&from_nothing);
        if other > value {
            (best, value) = (from_nothing, other);
        }
        let slack = 1e-9 * bound.abs().max(1e-300);
        let mut proven = bound;
        if bound > value.max(goal.enough) + slack && goal.nodes > 0 {
            proven = self.branch(capacity, goal, bound, &ranking, &mut best, &mut value).min(bound);
        }
        let mut items: Vec<(u32, u32)> = best
            .iter()
            .zip(&self.columns.class)
            .filter(|(count, _)| **count > 0)
            .map(|(count, class)| (*class, *count as u32))
            .collect();
        items.sort_unstable();
        Filling { items, value, bound: proven.max(value) }
    }

    fn worth(&self, counts: &[i64]) -> f64 {
        counts.iter().zip(&self.columns.value).map(|(count, value)| *count as f64 * value).sum()
    }

    /// Columns by value per priced weight, best first.
    fn ranking(&self, data: Data<'_>) -> Vec<u32> {
        let ratio: Vec<f64> = (0..self.columns.len())
            .map(|j| {
                let cost: f64 = self.root.prices.iter().enumerate().map(|(row, p)| p * data.weight[row][j]).sum();
                data.value[j] / cost.max(1e-9 * data.value[j])
            })
            .collect();
        let mut order: Vec<u32> = (0..self.columns.len() as u32).collect();
        order.sort_unstable_by(|a, b| ratio[*b as usize].total_cmp(&ratio[*a as usize]).then(a.cmp(b)));
        order
    }

    /// Adds columns in `ranking` order while they fit.
    fn filled(&self, mut counts: Vec<i64>, mut rest: Vec<i64>, ranking: &[u32]) -> Vec<i64> {
        for j in ranking {
            let j = *j as usize;
            let mut more = self.columns.most[j] - counts[j];
            for (row, rest) in rest.iter().enumerate() {
                let size = self.columns.exact[row][j];
                if size > 0 {
                    more = more.min(rest / size);
                }
                if more <= 0 {
                    break;
                }
            }
            if more > 0 {
                counts[j] += more;
                for (row, rest) in rest.iter_mut().enumerate() {
                    *rest -= more * self.columns.exact[row][j];
                }
            }
        }
        counts
    }

    fn rest(&self, counts: &[i64], capacity: &[i64]) -> Option<Vec<i64>> {
        let rest: Vec<i64> = capacity
            .iter()
            .enumerate()
            .map(|(row, w)| w - counts.iter().zip(&self.columns.exact[row]).map(|(c, s)| c * s).sum::<i64>())
            .collect();
        rest.iter().all(|r| *r >= 0).then_some(rest)
    }

    /// The relaxation rounded down and filled up.
    fn rounded(&self, capacity: &[i64], ranking: &[u32]) -> Vec<i64> {
        let mut counts: Vec<i64> =
            (0..self.columns.len()).map(|j| if self.root.at_most[j] { self.columns.most[j] } else { 0 }).collect();
        for (j, value) in &self.root.basic {
            counts[*j] = ((value + 1e-6).floor() as i64).clamp(0, self.columns.most[*j]);
        }
        match self.rest(&counts, capacity) {
            Some(rest) => self.filled(counts, rest, ranking),
            None => self.filled(vec![0; counts.len()], capacity.to_vec(), ranking),
        }
    }

    /// Fixes every column whose reduced cost exceeds what there is to gain
    /// (Dantzig, Fulkerson, Johnson 1954).
    fn core(&self, capacity: &[i64], gain: f64) -> Core {
        let mut core = Core {
            columns: Vec::new(),
            fixed: vec![0; self.columns.len()],
            capacity: Vec::new(),
            exact: capacity.to_vec(),
            base: 0.0,
            weight: Vec::new(),
            value: Vec::new(),
        };
        for j in 0..self.columns.len() {
            let basic = self.root.basic.iter().any(|(b, _)| *b == j);
            let reduced = self.columns.value[j]
                - self.root.prices.iter().enumerate().map(|(r, p)| p * self.columns.weight[r][j]).sum::<f64>();
            if basic || reduced.abs() <= gain {
                core.columns.push(j);
            } else if reduced > 0.0 {
                let most = self.columns.most[j];
                core.fixed[j] = most;
                core.base += most as f64 * self.columns.value[j];
                for (row, rest) in core.exact.iter_mut().enumerate() {
                    *rest -= most * self.columns.exact[row][j];
                }
            }
        }
        core.capacity = core.exact.iter().map(|w| *w as f64).collect();
        core.weight = self.columns.weight.iter().map(|row| core.columns.iter().map(|j| row[*j]).collect()).collect();
        core.value = core.columns.iter().map(|j| self.columns.value[*j]).collect();
        core
    }

    /// Best-first with plunges. Returns what no filling can exceed.
    fn branch(
        &mut self,
        capacity: &[i64],
        goal: Goal,
        bound: f64,
        ranking: &[u32],
        best: &mut Vec<i64>,
        value: &mut f64,
    ) -> f64 {
        let core = self.core(capacity, bound - *value);
        if core.exact.iter().any(|rest| *rest < 0) {
            return bound;
        }
        let slack = 1e-9 * bound.abs().max(1e-300);
        let mut open = BinaryHeap::from([Branch { bound, changes: Vec::new() }]);
        let mut plunge: Option<Branch> = None;
        let mut proven = *value;
        let mut visited = 0;
        self.child.forget();
        while let Some(branch) = plunge.take().or_else(|| open.pop()) {
            if branch.bound <= value.max(goal.enough) + slack {
                proven = proven.max(branch.bound);
                continue;
            }
            if visited >= goal.nodes {
                proven = open.iter().map(|b| b.bound).fold(proven.max(branch.bound), f64::max);
                break;
            }
            visited += 1;
            let Some((bound, fractional)) = self.visit(&core, &branch, ranking, best, value) else { continue };
            let Some((column, at)) = fractional else {
                proven = proven.max(bound);
                continue;
            };
            if bound <= value.max(goal.enough) + slack {
                proven = proven.max(bound);
                continue;
            }
            let floor = at.floor() as i64;
            let mut below = Branch { bound, changes: branch.changes.clone() };
            below.changes.push((column, 0, floor));
            let mut above = Branch { bound, changes: branch.changes };
            above.changes.push((column, floor + 1, i64::MAX));
            let (first, second) = if at - floor as f64 > 0.5 { (above, below) } else { (below, above) };
            if visited % 8 < 5 {
                plunge = Some(first);
            } else {
                open.push(first);
            }
            open.push(second);
        }
        proven.max(*value)
    }

    /// Solves one subproblem; improves `best` by rounding. `None`: infeasible.
    fn visit(
        &mut self,
        core: &Core,
        branch: &Branch,
        ranking: &[u32],
        best: &mut Vec<i64>,
        value: &mut f64,
    ) -> Option<(f64, Option<(usize, f64)>)> {
        let size = core.columns.len();
        let mut low = vec![0_i64; size];
        let mut high: Vec<i64> = core.columns.iter().map(|j| self.columns.most[*j]).collect();
        for (k, l, h) in &branch.changes {
            low[*k] = low[*k].max(*l);
            high[*k] = high[*k].min(*h);
        }
        if low.iter().zip(&high).any(|(l, h)| l > h) {
            return None;
        }
        let mut exact = core.exact.clone();
        let mut base = core.base;
        for (k, l) in low.iter().enumerate().filter(|(_, l)| **l > 0) {
            base += *l as f64 * core.value[k];
            for (row, rest) in exact.iter_mut().enumerate() {
                *rest -= l * self.columns.exact[row][core.columns[k]];
            }
        }
        if exact.iter().any(|rest| *rest < 0) {
            return None;
        }
        let capacity: Vec<f64> = exact.iter().map(|w| *w as f64).collect();
        let most: Vec<f64> = low.iter().zip(&high).map(|(l, h)| (h - l) as f64).collect();
        let data = Data { capacity: &capacity, weight: &core.weight, value: &core.value, most: &most };
        self.child.work = 0;
        self.child.solve(data);
        self.work += self.child.work + size as u64;
        let bound = (base + self.child.bound).min(branch.bound);

        let mut counts = core.fixed.clone();
        for (k, j) in core.columns.iter().enumerate() {
            counts[*j] = if self.child.at_most[k] { high[k] } else { low[k] };
        }
        let mut fractional: Option<(usize, f64, f64)> = None;
        for (k, x) in &self.child.basic {
            let whole = ((x + 1e-7).floor() as i64).clamp(0, high[*k] - low[*k]);
            counts[core.columns[*k]] = low[*k] + whole;
            let off = (x - x.round()).abs();
            if off > 1e-6 && fractional.is_none_or(|(_, most, _)| off > most) {
                fractional = Some((*k, off, x + low[*k] as f64));
            }
        }
        // The whole capacity equals the core's plus what is fixed.
        let mut whole = core.exact.clone();
        for (row, rest) in whole.iter_mut().enumerate() {
            *rest += core.fixed.iter().zip(&self.columns.exact[row]).map(|(c, s)| c * s).sum::<i64>();
        }
        if let Some(rest) = self.rest(&counts, &whole) {
            let counts = self.filled(counts, rest, ranking);
            let worth = self.worth(&counts);
            if worth > *value {
                *value = worth;
                *best = counts;
            }
        }
        Some((bound, fractional.map(|(k, _, x)| (k, x))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kernel(sizes: &[Vec<i64>], values: &[u32], most: &[i64]) -> Knapsack {
        let rows = sizes[0].len();
        let columns = Columns {
            class: (0..sizes.len() as u32).collect(),
            exact: (0..rows).map(|r| sizes.iter().map(|s| s[r]).collect()).collect(),
            weight: (0..rows).map(|r| sizes.iter().map(|s| s[r] as f64).collect()).collect(),
            value: values.iter().map(|v| f64::from(*v)).collect(),
            most: most.to_vec(),
        };
        Knapsack { columns, ..Knapsack::default() }
    }

    fn exhaustive(sizes: &[Vec<i64>], values: &[u32], most: &[i64], rest: &[i64]) -> u32 {
        let Some((size, others)) = sizes.split_first() else { return 0 };
        (0..=most[0])
            .filter_map(|count| {
                let rest: Vec<i64> = rest.iter().zip(size).map(|(r, s)| r - s * count).collect();
                rest.iter()
                    .all(|r| *r >= 0)
                    .then(|| count as u32 * values[0] + exhaustive(others, &values[1..], &most[1..], &rest))
            })
            .max()
            .unwrap_or(0)
    }

    proptest! {
        #[test]
        fn the_best_filling_is_found_and_bounds_hold(
            items in prop::collection::vec((prop::collection::vec(1..40_i64, 3), 1..50_u32, 0..5_i64), 1..6),
            capacity in prop::collection::vec(1..120_i64, 3),
        ) {
            let sizes: Vec<Vec<i64>> = items.iter().map(|i| i.0.clone()).collect();
            let values: Vec<u32> = items.iter().map(|i| i.1).collect();
            let most: Vec<i64> = items.iter().map(|i| i.2.min(crate::packing::most(&i.0, &capacity))).collect();
            let best = f64::from(exhaustive(&sizes, &values, &most, &capacity));
            let goal = Goal { useless: -1.0, enough: 0.0, nodes: 10_000 };
            let found = kernel(&sizes, &values, &most).solve(&capacity, goal, None);
            prop_assert!((found.value - best).abs() < 1e-6, "found {} best {best}", found.value);
            prop_assert!(found.bound >= best - 1e-6);
            let short = kernel(&sizes, &values, &most).solve(&capacity, Goal { nodes: 1, ..goal }, None);
            prop_assert!(short.value <= best + 1e-6 && short.bound >= best - 1e-6);
            for row in 0..3 {
                let used: i64 = found.items.iter().map(|(c, n)| sizes[*c as usize][row] * i64::from(*n)).sum();
                prop_assert!(used <= capacity[row]);
            }
        }
    }
}

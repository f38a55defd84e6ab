//! The linear relaxation by a bounded dual simplex with bound flipping.
//!
//! Every variable is boxed (a slack lies between zero and its capacity), so any
//! basis is dual feasible once each nonbasic variable sits at the bound its
//! reduced cost prefers. There is no phase one, any old basis is a warm start,
//! and each iterate's resource prices give a valid bound:
//! φ(λ) = λ·W + Σ u·max(0, p − λ·a) for λ ≥ 0. See Maros, "Computational
//! Techniques of the Simplex Method" (2003), chapter 10, for the long-step rule.

/// More than this many pivots mean numerical trouble; the bound stays valid.
const MOST_PIVOTS: usize = 200;
const TOLERANCE: f64 = 1e-9;

/// Scratch space and result of a relaxation.
#[derive(Debug, Default)]
pub(crate) struct Relaxation {
    /// Resource prices of the best bound seen.
    pub(crate) prices: Vec<f64>,
    /// φ at those prices: no filling is worth more.
    pub(crate) bound: f64,
    /// Basic columns and their values; slacks are left out.
    pub(crate) basic: Vec<(usize, f64)>,
    /// Reduced cost of each column at the last iterate.
    pub(crate) reduced: Vec<f64>,
    /// Whether each column is nonbasic at its upper bound.
    pub(crate) at_most: Vec<bool>,
    /// Pivots times columns: the work done, for step budgets.
    pub(crate) work: u64,
    basis: Vec<usize>,
    in_basis: Vec<bool>,
    breaks: Vec<(f64, usize, f64)>,
    inverse: Vec<f64>,
    matrix: Vec<f64>,
}

/// A knapsack's data, borrowed.
#[derive(Clone, Copy)]
pub(crate) struct Data<'a> {
    pub(crate) capacity: &'a [f64],
    pub(crate) weight: &'a [Vec<f64>],
    pub(crate) value: &'a [f64],
    pub(crate) most: &'a [f64],
}

impl Data<'_> {
    fn rows(&self) -> usize {
        self.capacity.len()
    }

    fn columns(&self) -> usize {
        self.value.len()
    }

    /// Upper bound of variable `j`, slacks after columns.
    fn upper(&self, j: usize) -> f64 {
        if j < self.columns() { self.most[j] } else { self.capacity[j - self.columns()] }
    }
}

/// φ(λ): what any filling is worth at most, seen with resource prices λ ≥ 0.
pub(crate) fn lagrangian(data: Data<'_>, prices: &[f64]) -> f64 {
    let mut reduced = data.value.to_vec();
    for (row, price) in prices.iter().enumerate() {
        if *price != 0.0 {
            for (r, weight) in reduced.iter_mut().zip(&data.weight[row]) {
                *r -= price * weight;
            }
        }
    }
    let own: f64 = prices.iter().zip(data.capacity).map(|(price, capacity)| price * capacity).sum();
    own + reduced.iter().zip(data.most).map(|(r, most)| r.max(0.0) * most).sum::<f64>()
}

impl Relaxation {
    /// Forgets the basis, for a knapsack whose columns have changed.
    pub(crate) fn forget(&mut self) {
        self.basis.clear();
    }

    /// Solves the relaxation. A basis left by the previous call is the start
    /// where it still is one.
    pub(crate) fn solve(&mut self, data: Data<'_>) {
        let (rows, columns) = (data.rows(), data.columns());
        self.reset(rows, columns);
        let mut best = f64::INFINITY;
        let mut lambda = vec![0.0; rows];
        for pivot in 0..=MOST_PIVOTS {
            self.work += columns as u64;
            if !self.invert(data) {
                self.basis = (columns..columns + rows).collect();
                if pivot > 0 || !self.invert(data) {
                    break;
                }
            }
            self.duals(data, &mut lambda);
            self.price_out(data, &lambda, pivot == 0);
            let clipped: Vec<f64> = lambda.iter().map(|price| price.max(0.0)).collect();
            let solution = self.basic_values(data, &lambda);
            let leaving = self.leaving(data, &solution);
            if leaving.is_none() || pivot % 8 == 7 || pivot == MOST_PIVOTS {
                let bound = lagrangian(data, &clipped);
                if bound < best {
                    best = bound;
                    self.prices.clone_from(&clipped);
                }
            }
            self.basic.clear();
            for (value, var) in solution.iter().zip(&self.basis) {
                if *var < columns {
                    self.basic.push((*var, *value));
                }
            }
            let Some((row, to_upper, excess)) = leaving else { break };
            let Some(entering) = self.entering(data, &lambda, row, to_upper, excess) else { break };
            self.basis[row] = entering;
        }
        if best.is_infinite() {
            self.prices = vec![0.0; rows];
            best = lagrangian(data, &self.prices);
        }
        self.bound = best;
    }

    fn reset(&mut self, rows: usize, columns: usize) {
        let mut seen: Vec<usize> = self.basis.clone();
        seen.sort_unstable();
        seen.dedup();
        if seen.len() != rows || seen.iter().any(|var| *var >= columns + rows) {
            self.basis = (columns..columns + rows).collect();
        }
        self.reduced.clear();
        self.reduced.resize(columns, 0.0);
        self.at_most.clear();
        self.at_most.resize(columns, false);
        self.in_basis.clear();
        self.in_basis.resize(columns, false);
        self.basic.clear();
    }

    /// Inverts the basis matrix by Gauss-Jordan with row scaling.
    fn invert(&mut self, data: Data<'_>) -> bool {
        let (rows, columns) = (data.rows(), data.columns());
        let width = 2 * rows;
        self.matrix.clear();
        self.matrix.resize(rows * width, 0.0);
        for (place, var) in self.basis.iter().enumerate() {
            if *var >= columns {
                self.matrix[(var - columns) * width + place] = 1.0;
            } else {
                for row in 0..rows {
                    self.matrix[row * width + place] = data.weight[row][*var];
                }
            }
        }
        for row in 0..rows {
            let line = &mut self.matrix[row * width..(row + 1) * width];
            let scale = line[..rows].iter().fold(0.0_f64, |most, v| most.max(v.abs()));
            if scale == 0.0 {
                return false;
            }
            line[..rows].iter_mut().for_each(|v| *v /= scale);
            line[rows + row] = 1.0 / scale;
        }
        for column in 0..rows {
            let at = |row: usize| self.matrix[row * width + column].abs();
            let pivot = (column..rows).fold(column, |best, row| if at(row) > at(best) { row } else { best });
            if at(pivot) < 1e-12 {
                return false;
            }
            for k in 0..width {
                self.matrix.swap(column * width + k, pivot * width + k);
            }
            let value = self.matrix[column * width + column];
            self.matrix[column * width..(column + 1) * width].iter_mut().for_each(|v| *v /= value);
            for row in (0..rows).filter(|row| *row != column) {
                let factor = self.matrix[row * width + column];
                if factor != 0.0 {
                    for k in 0..width {
                        self.matrix[row * width + k] -= factor * self.matrix[column * width + k];
                    }
                }
            }
        }
        self.inverse.clear();
        for place in 0..rows {
            self.inverse.extend_from_slice(&self.matrix[place * width + rows..(place + 1) * width]);
        }
        true
    }

    fn duals(&self, data: Data<'_>, lambda: &mut [f64]) {
        let rows = data.rows();
        lambda.fill(0.0);
        for (place, var) in self.basis.iter().enumerate() {
            if *var < data.columns() {
                for (row, price) in lambda.iter_mut().enumerate() {
                    *price += data.value[*var] * self.inverse[place * rows + row];
                }
            }
        }
    }

    /// Reduced costs, and the bound at which each nonbasic column sits.
    fn price_out(&mut self, data: Data<'_>, lambda: &[f64], first: bool) {
        self.reduced.copy_from_slice(data.value);
        for (row, price) in lambda.iter().enumerate() {
            if *price != 0.0 {
                for (r, weight) in self.reduced.iter_mut().zip(&data.weight[row]) {
                    *r -= price * weight;
                }
            }
        }
        self.in_basis.fill(false);
        for var in &self.basis {
            if *var < data.columns() {
                self.in_basis[*var] = true;
            }
        }
        for j in 0..data.columns() {
            let degenerate = !first && self.reduced[j].abs() < 1e-12 * data.value[j].abs();
            self.at_most[j] = !self.in_basis[j] && (if degenerate { self.at_most[j] } else { self.reduced[j] > 0.0 });
        }
    }

    fn slack_basic(&self, data: Data<'_>, row: usize) -> bool {
        self.basis.contains(&(data.columns() + row))
    }

    /// x_B = B⁻¹ (W − what sits at upper bounds).
    fn basic_values(&self, data: Data<'_>, lambda: &[f64]) -> Vec<f64> {
        let rows = data.rows();
        let mut rest: Vec<f64> = (0..rows)
            .map(|row| {
                let slack_up = !self.slack_basic(data, row) && lambda[row] < -TOLERANCE;
                if slack_up { 0.0 } else { data.capacity[row] }
            })
            .collect();
        for (row, rest) in rest.iter_mut().enumerate() {
            let held: f64 = data.weight[row]
                .iter()
                .zip(data.most)
                .zip(&self.at_most)
                .map(|((weight, most), at_most)| if *at_most { weight * most } else { 0.0 })
                .sum();
            *rest -= held;
        }
        (0..rows).map(|place| (0..rows).map(|row| self.inverse[place * rows + row] * rest[row]).sum()).collect()
    }

    /// The basic variable furthest outside its box, whether it goes to its upper
    /// bound, and by how much it is off.
    fn leaving(&self, data: Data<'_>, solution: &[f64]) -> Option<(usize, bool, f64)> {
        let mut worst = 1e-7;
        let mut found = None;
        for (place, value) in solution.iter().enumerate() {
            let upper = data.upper(self.basis[place]);
            let scale = 1.0 + upper.abs();
            if -value / scale > worst {
                worst = -value / scale;
                found = Some((place, false, -value));
            }
            if (value - upper) / scale > worst {
                worst = (value - upper) / scale;
                found = Some((place, true, value - upper));
            }
        }
        found
    }

    /// The entering variable by the bound flipping ratio test: pass breakpoints
    /// while flipping them leaves the leaving variable infeasible.
    fn entering(&mut self, data: Data<'_>, lambda: &[f64], row: usize, to_upper: bool, excess: f64) -> Option<usize> {
        let (rows, columns) = (data.rows(), data.columns());
        let sign = if to_upper { -1.0 } else { 1.0 };
        let rho: Vec<f64> = (0..rows).map(|k| sign * self.inverse[row * rows + k]).collect();
        self.breaks.clear();
        for j in 0..columns {
            if self.in_basis[j] || data.most[j] <= 0.0 {
                continue;
            }
            let alpha: f64 = (0..rows).map(|k| rho[k] * data.weight[k][j]).sum();
            let scale = (0..rows).map(|k| (rho[k] * data.weight[k][j]).abs()).sum::<f64>();
            if alpha.abs() > 1e-11 * scale.max(1e-300) && (alpha < 0.0) != self.at_most[j] {
                self.breaks.push(((self.reduced[j] / alpha).abs(), j, alpha.abs() * data.most[j]));
            }
        }
        for k in 0..rows {
            if self.slack_basic(data, k) || rho[k].abs() < 1e-300 {
                continue;
            }
            let at_upper = lambda[k] < -TOLERANCE;
            if (rho[k] < 0.0) != at_upper {
                self.breaks.push(((lambda[k] / rho[k]).abs(), columns + k, rho[k].abs() * data.capacity[k]));
            }
        }
        self.breaks.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let mut slope = excess;
        for (_, var, drop) in &self.breaks {
            slope -= drop;
            if slope <= 1e-12 {
                return Some(*var);
            }
        }
        self.breaks.last().map(|(_, var, _)| *var)
    }
}

//! Covering programs, min c·x subject to A·x ≥ b and x ≥ 0, modelled with
//! good_lp. This is the only file that names an LP crate: what the rest of the
//! solver asks of one is a value, a point and duals, all of which it re-checks.

use good_lp::{Expression, ProblemVariables, Solution, SolutionWithDual, SolverModel, Variable, variable};

/// A sparse covering program.
#[derive(Clone, Debug, Default)]
pub(crate) struct Covering {
    /// Cost of each column.
    pub(crate) cost: Vec<f64>,
    /// Row and coefficient of each column's entries.
    pub(crate) columns: Vec<Vec<(usize, f64)>>,
    /// What each row must reach.
    pub(crate) rhs: Vec<f64>,
}

/// A solved program.
#[derive(Debug)]
pub(crate) struct Optimum {
    pub(crate) point: Vec<f64>,
    pub(crate) duals: Vec<f64>,
}

impl Covering {
    /// Adds a column and returns its index.
    pub(crate) fn push(&mut self, cost: f64, entries: Vec<(usize, f64)>) -> usize {
        self.cost.push(cost);
        self.columns.push(entries);
        self.cost.len() - 1
    }

    /// Solves for a point and duals. `None` where the back end fails: callers then
    /// do without.
    pub(crate) fn solve(&self) -> Option<Optimum> {
        let rows = self.rhs.len();
        if let Some(trivial) = self.trivial() {
            return trivial;
        }
        let (scale, unit) = self.scales();
        let Model { variables, x, objective, lines } = self.model(&scale, unit);
        let mut model = backend::with_duals(variables.minimise(objective));
        let references: Vec<_> = lines
            .into_iter()
            .zip(self.rhs.iter().zip(&scale))
            .map(|(line, (rhs, scale))| model.add_constraint(line.geq(rhs / scale)))
            .collect();
        debug_assert_eq!(references.len(), rows);
        let mut solution = model.solve().ok()?;
        let point: Vec<f64> = x.iter().map(|x| solution.value(*x).max(0.0)).collect();
        let dual = solution.compute_dual();
        let duals: Vec<f64> = references
            .into_iter()
            .zip(&scale)
            .map(|(row, scale)| good_lp::DualValues::dual(&dual, row).max(0.0) * unit / scale)
            .collect();
        (point.iter().chain(&duals).all(|v| v.is_finite())).then_some(Optimum { point, duals })
    }

    /// The answer where there is nothing to compute: back ends are not made for programs
    /// without rows or columns.
    fn trivial(&self) -> Option<Option<Optimum>> {
        if !self.rhs.is_empty() && !self.cost.is_empty() {
            return None;
        }
        let met = self.rhs.iter().all(|rhs| *rhs <= 0.0);
        Some(met.then(|| Optimum { point: vec![0.0; self.cost.len()], duals: vec![0.0; self.rhs.len()] }))
    }

    /// Solves by simplex, whose answer is a vertex: it uses no more columns than
    /// there are rows, which rounding depends on.
    pub(crate) fn solve_at_vertex(&self) -> Option<Vec<f64>> {
        if let Some(trivial) = self.trivial() {
            return trivial.map(|optimum| optimum.point);
        }
        let (scale, unit) = self.scales();
        let Model { variables, x, objective, lines } = self.model(&scale, unit);
        let mut model = backend::at_vertex(variables.minimise(objective));
        for (line, (rhs, scale)) in lines.into_iter().zip(self.rhs.iter().zip(&scale)) {
            model.add_constraint(line.geq(rhs / scale));
        }
        let solution = model.solve().ok()?;
        let point: Vec<f64> = x.iter().map(|x| solution.value(*x).max(0.0)).collect();
        point.iter().all(|v| v.is_finite()).then_some(point)
    }

    /// Rows and costs are scaled to about one; resource units differ by 10⁹.
    fn scales(&self) -> (Vec<f64>, f64) {
        let mut scale = vec![0.0_f64; self.rhs.len()];
        for (row, value) in self.columns.iter().flatten() {
            scale[*row] = scale[*row].max(value.abs());
        }
        scale.iter_mut().filter(|s| **s == 0.0).for_each(|s| *s = 1.0);
        let unit = self.cost.iter().fold(0.0_f64, |most, c| most.max(c.abs())).max(1e-300);
        (scale, unit)
    }

    fn model(&self, scale: &[f64], unit: f64) -> Model {
        let mut variables = ProblemVariables::new();
        let x: Vec<Variable> = self.cost.iter().map(|_| variables.add(variable().min(0.0))).collect();
        let objective: Expression = x.iter().zip(&self.cost).map(|(x, cost)| *x * (cost / unit)).sum();
        let mut lines = vec![Expression::default(); self.rhs.len()];
        for (x, entries) in x.iter().zip(&self.columns) {
            for (row, value) in entries {
                lines[*row].add_mul(value / scale[*row], *x);
            }
        }
        Model { variables, x, objective, lines }
    }
}

/// Which solvers stand behind good_lp: an interior point method, whose central
/// duals suit column generation, and a simplex, both pure Rust.
#[cfg(not(feature = "highs"))]
mod backend {
    use good_lp::solvers::clarabel::{ClarabelProblem, clarabel};
    use good_lp::solvers::microlp::{MicroLpProblem, microlp};
    use good_lp::variable::UnsolvedProblem;

    pub(crate) const NAME: &str = "clarabel and microlp";

    pub(super) fn with_duals(problem: UnsolvedProblem) -> ClarabelProblem {
        let mut model = clarabel(problem);
        model.settings().verbose(false);
        model
    }

    pub(super) fn at_vertex(problem: UnsolvedProblem) -> MicroLpProblem {
        microlp(problem)
    }
}

/// HiGHS for both, on one thread so that answers repeat.
#[cfg(feature = "highs")]
mod backend {
    use good_lp::solvers::highs::{HighsProblem, highs};
    use good_lp::variable::UnsolvedProblem;

    pub(crate) const NAME: &str = "HiGHS";

    pub(super) fn with_duals(problem: UnsolvedProblem) -> HighsProblem {
        let mut model = highs(problem).set_threads(1);
        model.set_verbose(false);
        model
    }

    pub(super) fn at_vertex(problem: UnsolvedProblem) -> HighsProblem {
        with_duals(problem)
    }
}

/// The solvers behind the linear programs, for the report.
pub(crate) use backend::NAME;

/// A program in good_lp's terms.
struct Model {
    variables: ProblemVariables,
    x: Vec<Variable>,
    objective: Expression,
    lines: Vec<Expression>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_without_rows_or_columns_have_answers_too() {
        let nothing = Covering::default();
        assert!(nothing.solve().unwrap().point.is_empty() && nothing.solve_at_vertex().unwrap().is_empty());
        let idle = Covering { cost: vec![1.0], columns: vec![Vec::new()], rhs: Vec::new() };
        assert_eq!(idle.solve().unwrap().point, [0.0]);
        let out_of_reach = Covering { rhs: vec![1.0], ..Covering::default() };
        assert!(out_of_reach.solve().is_none() && out_of_reach.solve_at_vertex().is_none());
    }

    #[test]
    fn duals_price_the_right_hand_side() {
        // A node of 4 cores for $2 and one of 16 for $6, demand 10 cores.
        let mut program = Covering { rhs: vec![10_000.0], ..Covering::default() };
        program.push(2e9, vec![(0, 4_000.0)]);
        program.push(6e9, vec![(0, 16_000.0)]);
        let optimum = program.solve().unwrap();
        assert!((optimum.point[1] - 0.625).abs() < 1e-5 && optimum.point[0] < 1e-5);
        assert!((optimum.duals[0] - 6e9 / 16_000.0).abs() < 1.0, "{}", optimum.duals[0]);
    }

    #[test]
    fn an_impossible_program_has_no_optimum() {
        let mut program = Covering { rhs: vec![1.0, 1.0], ..Covering::default() };
        program.push(1.0, vec![(0, 1.0)]);
        assert!(program.solve().is_none());
    }
}

//! How much work a solve may do, counted in steps so that every machine does
//! the same.

/// How hard to search.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    /// Greedy answers and the fluid bound.
    Quick,
    /// Good within a second or so on a few thousand pods.
    #[default]
    Balanced,
    /// Everything there is.
    Thorough,
}

/// Which packing algorithm answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// The optimiser.
    #[default]
    Optimise,
    /// The peer's greedy: the baseline.
    FirstFit,
}

/// What a caller can choose.
#[derive(Clone, Debug)]
pub struct Options {
    /// How hard to search.
    pub effort: Effort,
    /// Which algorithm answers.
    pub algorithm: Algorithm,
    /// Seed of the randomised search.
    pub seed: u64,
    /// Threads for independent parts; never changes the answer.
    pub threads: usize,
    /// A gap, in millionths, that is good enough.
    pub target_gap: i64,
    /// Whether a bound is proven. Without it the plan claims none, which is all that
    /// whoever compares many answers needs.
    pub proves: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            effort: Effort::default(),
            algorithm: Algorithm::default(),
            seed: 0,
            threads: 1,
            target_gap: 0,
            proves: true,
        }
    }
}

/// Step budgets of one island.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    /// Size biases that the dual-guided greedy tries.
    pub(crate) biases: &'static [f64],
    /// Parts in which the following greedy places the pods' worth.
    pub(crate) follow: usize,
    /// Branch and bound nodes per filling in the greedy runs.
    pub(crate) fillings: usize,
    /// What the following greedy passes over, as a share of an offer's worth.
    pub(crate) content: f64,
    /// The same for the greedy runs from the start.
    pub(crate) hurry: f64,
    /// Rounds of column generation.
    pub(crate) rounds: usize,
    /// Masters solved while diving.
    pub(crate) dives: usize,
    /// Most classes for which columns are generated.
    pub(crate) column_classes: usize,
    /// Knapsack work, in class visits, that ruin and recreate may spend.
    pub(crate) repairs: u64,
    /// States that the exact search may visit.
    pub(crate) exact_states: u64,
    /// A gap, as a share, below which more search is not worth its time.
    pub(crate) satisfied: f64,
}

impl Effort {
    pub(crate) fn budget(self, classes: usize, profiles: usize) -> Budget {
        // With thousands of classes each knapsack is long, and pods are so varied
        // that a single greedy which follows the demand is enough.
        let biases: &[f64] = match classes {
            0..=120 => &[0.0, 0.05, 0.15, 0.4, 1.0],
            121..=400 if profiles == 1 => &[0.0, 0.05, 0.15, 0.4, 1.0],
            401..=2_000 if profiles == 1 => &[0.0, 0.15],
            // Pods pinned to many places multiply the offers to look at.
            121..=2_000 => &[0.15],
            _ => &[],
        };
        let many = classes > 2_000;
        let pinned = !many && classes > 120 && profiles > 1;
        match self {
            Self::Quick => Budget {
                biases: if many { &[] } else { &[0.0] },
                follow: if many { 6 } else { 0 },
                content: 0.01,
                hurry: 0.0,
                fillings: if many { 1 } else { 8 },
                rounds: 0,
                dives: 0,
                column_classes: 0,
                repairs: 0,
                exact_states: 20_000,
                satisfied: 0.001,
            },
            Self::Balanced => Budget {
                biases,
                // Where rules pin pods to many places, what settles them afterwards
                // moves the price by more than following the demand does.
                follow: if many {
                    8
                } else if pinned {
                    0
                } else {
                    12
                },
                content: if many { 0.004 } else { 0.0 },
                hurry: if pinned { 0.02 } else { 0.0 },
                fillings: if many { 2 } else { 8 },
                rounds: if classes <= 120 {
                    120
                } else if pinned {
                    30
                } else {
                    60
                },
                dives: 12,
                column_classes: 250,
                repairs: 1_200_000,
                exact_states: 2_000_000,
                satisfied: 0.001,
            },
            Self::Thorough => Budget {
                biases,
                follow: 40,
                content: 0.0,
                hurry: 0.0,
                fillings: 16,
                rounds: 400,
                dives: 60,
                column_classes: 300,
                repairs: 1_000_000_000,
                exact_states: 20_000_000,
                satisfied: 0.0,
            },
        }
    }
}

//! Random problems, judged by the independent checker and, where small enough,
//! by trying everything.

#![allow(clippy::unwrap_used, reason = "a test may stop at what must not happen")]

mod common;

use std::collections::BTreeMap;

use common::{Case, Kind, Shape, case, options, plain, problem, related};
use proptest::prelude::*;
use stowage_model::{End, Problem, Resources};
use stowage_solver::{Algorithm, Options, Unwatched, solve};

/// The cheapest price at which all pods can be placed, by trying every split of
/// the remaining pods into one node and the rest.
fn cheapest(problem: &Problem) -> Option<i64> {
    let launches = stowage_solver::launches::launches(problem);
    let counts: Vec<u32> = problem.counts();
    let mut known: BTreeMap<Vec<u32>, Option<i64>> = BTreeMap::new();
    fn price_of(problem: &Problem, launches: &[stowage_solver::launches::Launch], filling: &[u32]) -> Option<i64> {
        use stowage_solver::filters::{Place, admit};
        let mut load = Resources::new();
        for (shape, count) in filling.iter().enumerate() {
            load.add(&problem.shapes[shape].requests.times(i64::from(*count)));
        }
        let holds = |launch: &&stowage_solver::launches::Launch| {
            let place = Place::Launch(launch.labels(problem), &launch.free);
            load.fits(&launch.free)
                && (0..filling.len()).all(|s| filling[s] == 0 || admit(&problem.shapes[s], &place).is_ok())
        };
        launches.iter().filter(holds).map(|l| l.offering(problem).price.nanos()).min()
    }
    fn fillings(rest: &[u32]) -> Vec<Vec<u32>> {
        rest.iter().fold(vec![Vec::new()], |all, count| {
            all.into_iter().flat_map(|f| (0..=*count).map(move |n| f.iter().copied().chain([n]).collect())).collect()
        })
    }
    fn best(
        problem: &Problem,
        launches: &[stowage_solver::launches::Launch],
        rest: Vec<u32>,
        known: &mut BTreeMap<Vec<u32>, Option<i64>>,
    ) -> Option<i64> {
        let Some(first) = rest.iter().position(|n| *n > 0) else { return Some(0) };
        if let Some(price) = known.get(&rest) {
            return *price;
        }
        let mut least = None;
        for filling in fillings(&rest).into_iter().filter(|f| f[first] > 0) {
            let Some(price) = price_of(problem, launches, &filling) else { continue };
            let after = rest.iter().zip(&filling).map(|(r, f)| r - f).collect();
            let total = best(problem, launches, after, known).map(|more| more + price);
            least = match (least, total) {
                (Some(a), Some(b)) => Some(std::cmp::min::<i64>(a, b)),
                (a, b) => a.or(b),
            };
        }
        known.insert(rest, least);
        least
    }
    best(problem, &launches, counts, &mut known)
}

/// A few hundred in the ordinary run; `STOWAGE_CASES` asks for more.
fn cases() -> u32 {
    std::env::var("STOWAGE_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(256)
}

/// The judge finds nothing wrong with plan, proof and bound of either algorithm.
fn holds(case: &Case) -> Result<(), TestCaseError> {
    let problem = problem(case);
    for algorithm in [Algorithm::Optimise, Algorithm::FirstFit] {
        let mut outcome = solve(&problem, &options(algorithm), &Unwatched);
        let faults = stowage_verify::check_plan(&problem, &outcome.plan);
        prop_assert!(faults.is_empty(), "{algorithm:?}: {faults:?}");
        let settled = outcome.settle(|plan| stowage_verify::check_bound(&problem, plan).is_empty());
        prop_assert!(settled, "{algorithm:?}: {:?}", stowage_verify::check_bound(&problem, &outcome.plan));
        prop_assert!(outcome.plan.bound <= outcome.plan.price());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_plan_and_proof_holds(case in case(12)) {
        holds(&case)?;
    }

    #[test]
    fn rules_between_pods_hold(case in related(12)) {
        holds(&case)?;
    }

    #[test]
    fn the_optimiser_is_never_worse_than_first_fit(case in case(12)) {
        let problem = problem(&case);
        let plan = |algorithm| solve(&problem, &options(algorithm), &Unwatched).plan;
        let (optimised, baseline) = (plan(Algorithm::Optimise), plan(Algorithm::FirstFit));
        // Pods of higher priority count before any number of others.
        let unplaced = |plan: &stowage_model::Plan| {
            let mut by_priority: BTreeMap<i32, usize> = problem.shapes.iter().map(|s| (-s.priority, 0)).collect();
            for pod in &plan.unplaced {
                *by_priority.entry(-problem.shapes[problem.pods[pod.pod as usize].shape as usize].priority).or_default() += 1;
            }
            by_priority.into_values().collect::<Vec<_>>()
        };
        prop_assert!(unplaced(&optimised) <= unplaced(&baseline));
        if unplaced(&optimised) == unplaced(&baseline) {
            prop_assert!(optimised.price() <= baseline.price());
        }
    }

    #[test]
    fn optimal_means_optimal_and_bounds_never_exceed_it(case in plain(3)) {
        let problem = problem(&case);
        let mut outcome = solve(&problem, &options(Algorithm::Optimise), &Unwatched);
        outcome.settle(|plan| stowage_verify::check_bound(&problem, plan).is_empty());
        let plan = outcome.plan;
        if plan.unplaced.is_empty() {
            let least = cheapest(&problem).unwrap();
            prop_assert!(plan.bound.nanos() <= least, "bound {} optimum {least}", plan.bound.nanos());
            prop_assert!(plan.price().nanos() >= least);
            if plan.end == End::Optimal {
                prop_assert_eq!(plan.price().nanos(), least);
            }
        }
    }

    #[test]
    fn threads_change_nothing(case in related(8)) {
        let problem = problem(&case);
        let run = |threads| {
            let plan = solve(&problem, &Options { threads, ..Options::default() }, &Unwatched).plan;
            format!("{plan:?}")
        };
        let one = run(1);
        prop_assert_eq!(&one, &run(2));
        prop_assert_eq!(&one, &run(8));
    }
}

/// Two pods of 70 % of a node each: one node twice the size, or two, whichever
/// is cheaper, and proven.
#[test]
fn two_large_pods_get_the_right_node_and_a_proof() {
    for (large, small, nodes) in [(100, 60, 1), (100, 40, 2)] {
        let kind = |cpu: i64, cents| Kind {
            cpu: cpu * 1000,
            memory: cpu << 32,
            cents,
            arm: false,
            spot: false,
            reserved: None,
        };
        let case = Case {
            kinds: vec![kind(2, small), kind(4, large)],
            shapes: vec![Shape { cpu: 1400, memory: 1 << 30, count: 2, rule: 7 }],
            nodes: Vec::new(),
            limit: None,
            second_pool: None,
            relations: Vec::new(),
        };
        let plan = solve(&problem(&case), &Options::default(), &Unwatched).plan;
        assert_eq!((plan.nodes.len(), plan.end), (nodes, End::Optimal));
    }
}

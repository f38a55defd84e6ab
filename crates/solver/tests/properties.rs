//! Random problems, judged by the independent checker and, where small enough,
//! by trying everything.

#![allow(clippy::unwrap_used, reason = "a test may stop at what must not happen")]

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use stowage_model::{
    CapacityType, Effect, End, InstanceType, Node, NodePool, NodeTerm, Offering, Operator, Pod, PodShape, Price,
    Problem, Requirement, Requirements, Resources, Taint, Toleration, Workload, labels,
};
use stowage_solver::{Algorithm, Effort, Options, Unwatched, solve};

const ZONES: [&str; 2] = ["a", "b"];

#[derive(Clone, Debug)]
struct Kind {
    cpu: i64,
    memory: i64,
    cents: i64,
    arm: bool,
    spot: bool,
}

#[derive(Clone, Debug)]
struct Shape {
    cpu: i64,
    memory: i64,
    count: u32,
    rule: u8,
}

#[derive(Clone, Debug)]
struct Case {
    kinds: Vec<Kind>,
    shapes: Vec<Shape>,
    nodes: Vec<(i64, i64)>,
    limit: Option<i64>,
    second_pool: Option<i32>,
}

fn kinds() -> impl Strategy<Value = Vec<Kind>> {
    let kind = (1..9_i64, 1..17_i64, 1..200_i64, any::<bool>(), any::<bool>())
        .prop_map(|(cpu, memory, cents, arm, spot)| Kind { cpu: cpu * 1000, memory: memory << 30, cents, arm, spot });
    prop::collection::vec(kind, 1..6)
}

fn shapes(most: u32) -> impl Strategy<Value = Vec<Shape>> {
    let shape = (1..40_i64, 1..40_i64, 1..=most, 0..8_u8).prop_map(|(cpu, memory, count, rule)| Shape {
        cpu: cpu * 100,
        memory: memory << 28,
        count,
        rule,
    });
    prop::collection::vec(shape, 1..5)
}

fn case(most: u32) -> impl Strategy<Value = Case> {
    (
        kinds(),
        shapes(most),
        prop::collection::vec((1..8_i64, 1..12_i64), 0..3),
        prop::option::weighted(0.3, 4..40_i64),
        prop::option::weighted(0.3, 0..3_i32),
    )
        .prop_map(|(kinds, shapes, nodes, limit, second_pool)| Case { kinds, shapes, nodes, limit, second_pool })
}

/// Only packing: no existing nodes, limits or second pool.
fn plain(most: u32) -> impl Strategy<Value = Case> {
    case(most).prop_map(|case| Case { nodes: Vec::new(), limit: None, second_pool: None, ..case })
}

fn only(key: &str, value: &str) -> Requirements {
    let mut requirements = Requirements::new();
    requirements.add(key, Requirement::exactly(value));
    requirements
}

fn lower(shape: &Shape) -> PodShape {
    let requests = Resources::new().with("cpu", shape.cpu).with("memory", shape.memory).with("pods", 1);
    let plain = PodShape { requests, ..PodShape::default() };
    match shape.rule {
        0 => PodShape { selector: only(labels::ZONE, "a"), ..plain },
        1 => PodShape { selector: only(labels::ARCH, "arm64"), ..plain },
        2 => PodShape { selector: only(labels::CAPACITY_TYPE, "on-demand"), ..plain },
        3 => PodShape {
            affinity: Some(vec![NodeTerm(only(labels::ZONE, "b")), NodeTerm(only(labels::ARCH, "amd64"))]),
            ..plain
        },
        4 => PodShape { tolerations: vec![Toleration { key: "team".into(), value: None, effect: None }], ..plain },
        5 => PodShape { selector: only("team", "x"), priority: 5, ..plain },
        _ => plain,
    }
}

fn problem(case: &Case) -> Problem {
    let types = case
        .kinds
        .iter()
        .enumerate()
        .map(|(index, kind)| {
            let resources = Resources::new().with("cpu", kind.cpu).with("memory", kind.memory).with("pods", 8);
            let arch = if kind.arm { "arm64" } else { "amd64" };
            let offering = |zone: &str, capacity_type, cents: i64| Offering {
                zone: zone.into(),
                zone_id: None,
                capacity_type,
                price: Price::from_nanos(cents * 10_000_000),
            };
            let mut offerings: Vec<Offering> =
                ZONES.iter().map(|zone| offering(zone, CapacityType::OnDemand, kind.cents)).collect();
            if kind.spot {
                offerings.push(offering("b", CapacityType::Spot, kind.cents / 2 + 1));
            }
            InstanceType {
                name: format!("t{index}").into(),
                labels: Arc::new(BTreeMap::from([(labels::ARCH.to_owned(), arch.to_owned())])),
                operating_systems: vec!["linux".into()],
                capacity: resources.clone(),
                allocatable: resources,
                offerings,
            }
        })
        .collect();
    let limits = case.limit.map(|cpu| Resources::new().with("cpu", cpu * 1000));
    let mut team = Requirements::new();
    team.add("team", Requirement::new(Operator::In, ["x", "y"]).unwrap());
    let mut pools = vec![NodePool { name: "p".into(), limits, requirements: team, weight: 1, ..NodePool::default() }];
    if let Some(weight) = case.second_pool {
        let taints = vec![Taint { key: "team".into(), value: "x".into(), effect: Effect::NoSchedule }];
        pools.push(NodePool { name: "q".into(), weight, taints, ..NodePool::default() });
    }
    let nodes = case
        .nodes
        .iter()
        .enumerate()
        .map(|(index, (cpu, memory))| Node {
            name: format!("n{index}"),
            labels: [(labels::ZONE, "a"), (labels::ARCH, "amd64"), (labels::NODEPOOL, "p")]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into(),
            taints: Vec::new(),
            capacity: Resources::new().with("cpu", 1000),
            allocatable: Resources::new().with("cpu", cpu * 500).with("memory", memory << 29).with("pods", 5),
            used: Resources::new().with("cpu", 200),
            reserved: Resources::new(),
            pods: 1,
            price: None,
            schedulable: index != 1,
        })
        .collect();
    let shapes: Vec<PodShape> = case.shapes.iter().map(lower).collect();
    let mut distinct = shapes.clone();
    distinct.sort();
    distinct.dedup();
    let mut pods = Vec::new();
    for (index, (shape, data)) in shapes.iter().zip(&case.shapes).enumerate() {
        for n in 0..data.count {
            pods.push(Pod {
                namespace: "d".into(),
                name: format!("s{index}-{n}").into(),
                shape: distinct.binary_search(shape).unwrap() as u32,
                workload: 0,
            });
        }
    }
    Problem::new(distinct, vec![Workload::default()], pods, nodes, pools, vec![types], Vec::new()).unwrap()
}

fn options(algorithm: Algorithm) -> Options {
    Options { algorithm, effort: Effort::Balanced, ..Options::default() }
}

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

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_plan_and_proof_holds(case in case(12)) {
        let problem = problem(&case);
        for algorithm in [Algorithm::Optimise, Algorithm::FirstFit] {
            let mut outcome = solve(&problem, &options(algorithm), &Unwatched);
            let faults = stowage_verify::check_plan(&problem, &outcome.plan);
            prop_assert!(faults.is_empty(), "{algorithm:?}: {faults:?}");
            let settled = outcome.settle(|plan| stowage_verify::check_bound(&problem, plan).is_empty());
            prop_assert!(settled, "{algorithm:?}: {:?}", stowage_verify::check_bound(&problem, &outcome.plan));
            prop_assert!(outcome.plan.bound <= outcome.plan.price());
        }
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
    fn threads_and_input_order_change_nothing(case in case(8)) {
        let mut reversed = case.clone();
        reversed.nodes.reverse();
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
        let kind = |cpu: i64, cents| Kind { cpu: cpu * 1000, memory: cpu << 32, cents, arm: false, spot: false };
        let case = Case {
            kinds: vec![kind(2, small), kind(4, large)],
            shapes: vec![Shape { cpu: 1400, memory: 1 << 30, count: 2, rule: 7 }],
            nodes: Vec::new(),
            limit: None,
            second_pool: None,
        };
        let plan = solve(&problem(&case), &Options::default(), &Unwatched).plan;
        assert_eq!((plan.nodes.len(), plan.end), (nodes, End::Optimal));
    }
}

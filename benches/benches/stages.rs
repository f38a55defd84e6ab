//! What each stage takes, on a fixed cluster of generated pods.
//!
//! `cargo bench -p stowage-benches`

use std::collections::BTreeMap;
use std::sync::Arc;

use divan::{Bencher, black_box};
use stowage_cloud::aws::{AwsCatalog, Choice};
use stowage_cloud::prices::Prices;
use stowage_cloud::sizing::Sizing;
use stowage_model::{NodePool, Pod, PodShape, Problem, Resources, Statement, Workload, labels, quantity};
use stowage_solver::{Algorithm, Effort, Options, Unwatched, launches, solve};

fn main() {
    divan::main();
}

fn catalog() -> AwsCatalog {
    let choice = Choice { region: "us-east-1".into(), ..Choice::default() };
    AwsCatalog::load(choice, Prices::default()).expect("the embedded catalogue loads")
}

fn problem(pods: u32, shapes: u32) -> Problem {
    let shape = |i: u32| PodShape {
        requests: Resources::new()
            .with("cpu", i64::from(50 + i * 193 % 3900))
            .with("memory", i64::from(64 + i * 977 % 15_000) << 20)
            .with("pods", 1),
        ..PodShape::default()
    };
    let pod = |i: u32| Pod { namespace: Arc::from("d"), name: format!("p{i}").into(), shape: i % shapes, workload: 0 };
    let mut pool = NodePool { name: "p".into(), ..NodePool::default() };
    pool.requirements.add(labels::ARCH, stowage_model::Requirement::exactly("amd64"));
    let types = catalog().instance_types(&Sizing::default());
    Problem::new(Statement {
        shapes: (0..shapes).map(shape).collect(),
        workloads: vec![Workload::default()],
        pods: (0..pods).map(pod).collect(),
        pools: vec![pool],
        type_sets: vec![types],
        ..Statement::default()
    })
    .expect("a well-formed problem")
}

#[divan::bench]
fn load_catalogue() -> usize {
    catalog().instance_types(&Sizing::default()).len()
}

#[divan::bench(args = ["100m", "1.5Gi", "12e3"])]
fn parse_quantity(text: &str) -> bool {
    quantity::units(black_box(text)).is_ok()
}

#[divan::bench(args = [30, 200])]
fn enumerate_launches(bencher: Bencher, shapes: u32) {
    let problem = problem(1_000, shapes);
    bencher.bench(|| launches::launches(black_box(&problem)).len());
}

#[divan::bench(args = [(1_000, 20), (10_000, 40), (10_000, 200)])]
fn first_fit(bencher: Bencher, (pods, shapes): (u32, u32)) {
    let problem = problem(pods, shapes);
    let options = Options { algorithm: Algorithm::FirstFit, ..Options::default() };
    bencher.bench(|| solve(black_box(&problem), &options, &Unwatched).plan.nodes.len());
}

#[divan::bench(args = [(1_000, 20), (10_000, 40), (10_000, 200)], sample_count = 10)]
fn quick(bencher: Bencher, (pods, shapes): (u32, u32)) {
    let problem = problem(pods, shapes);
    let options = Options { effort: Effort::Quick, ..Options::default() };
    bencher.bench(|| solve(black_box(&problem), &options, &Unwatched).plan.nodes.len());
}

#[divan::bench(args = [(1_000, 20), (10_000, 40)], sample_count = 10)]
fn judge(bencher: Bencher, (pods, shapes): (u32, u32)) {
    let problem = problem(pods, shapes);
    let plan = solve(&problem, &Options::default(), &Unwatched).plan;
    bencher.bench(|| stowage_verify::check(black_box(&problem), &plan).len());
}

/// Kept to show that the map of labels is not what costs time.
#[divan::bench]
fn look_up_labels(bencher: Bencher) {
    let types = catalog().instance_types(&Sizing::default());
    let all: Vec<&BTreeMap<String, String>> = types.iter().map(|t| &*t.labels).collect();
    bencher.bench(|| all.iter().filter(|labels| labels.contains_key(black_box(labels::ARCH))).count());
}

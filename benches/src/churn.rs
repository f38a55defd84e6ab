//! A day of workloads that grow and shrink, on a virtual clock: what consolidation
//! does, and whether any of it was for nothing.
//!
//! `cargo run --release -p stowage-benches --bin churn`
//!
//! Each minute some workloads change their replicas (a random walk around a daily
//! wave), pods without a place get nodes, and one decision is carried out. The same
//! code decides as in the controller; nothing waits for machines.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use clap::Parser;
use stowage_benches::catalogs;
use stowage_benches::pods::Random;
use stowage_disruption::command::Target;
use stowage_disruption::{Command, Reason, Rules, apply, decide};
use stowage_model::fleet::{Budget, Care, EVICTION, Fleet, Machine, Policy, Share};
use stowage_model::{InstanceType, Node, NodePool, Pod, PodShape, Price, Problem, Resources, Statement, Workload};
use stowage_solver::{Effort, Options, Unwatched};

#[derive(Parser)]
struct Args {
    /// Minutes to simulate
    #[arg(long, default_value_t = 1_440)]
    minutes: i64,
    /// Workloads
    #[arg(long, default_value_t = 40)]
    workloads: usize,
    /// Seed of the random walk
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    match day(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("churn: {message}");
            ExitCode::FAILURE
        }
    }
}

/// What happened.
#[derive(Default)]
struct Day {
    created: usize,
    removed: usize,
    evictions: usize,
    replaced: usize,
    for_nothing: usize,
    came_back: usize,
    paid: i128,
    floor: i128,
    decisions: usize,
}

struct World {
    fleet: Fleet,
    types: Vec<InstanceType>,
    shapes: Vec<PodShape>,
    next: usize,
}

fn day(args: &Args) -> Result<(), String> {
    let text = catalogs::ec2_of("cmr", false, Some("amd64"))?.to_string();
    let types = stowage_cloud::kwok::parse("types", &text).map_err(|e| e.to_string())?;
    let mut random = Random::new(args.seed);
    let shapes: Vec<PodShape> = (0..args.workloads)
        .map(|_| {
            let (cpu, gib) = (random.pick(&[100, 250, 500, 1_000, 2_000]), random.pick(&[1, 1, 2, 4, 8]));
            let requests = Resources::new().with("cpu", cpu).with("memory", gib << 29).with("pods", 1);
            PodShape { requests, ..PodShape::default() }
        })
        .collect();
    let mut sizes: Vec<f64> = (0..args.workloads).map(|_| 5.0 + 30.0 * random.unit()).collect();
    let mut world = World { fleet: empty()?, types, shapes, next: 0 };
    let options = Options { effort: Effort::Quick, ..Options::default() };
    let rules = Rules { options: options.clone(), ..Rules::default() };
    let mut day = Day::default();
    for minute in 0..args.minutes {
        let wave = 1.0 + 0.5 * (minute as f64 / 1_440.0 * std::f64::consts::TAU).sin();
        for size in &mut sizes {
            if random.unit() < 0.1 {
                *size = (*size + 8.0 * (random.unit() - 0.5)).clamp(0.0, 60.0);
            }
        }
        let wanted: Vec<usize> = sizes.iter().map(|size| (size * wave) as usize).collect();
        world.scale(&wanted, minute)?;
        day.created += world.provision(&options, minute)?;
        let decision = decide(&world.fleet, &rules, minute * 60, &Unwatched);
        day.paid += i128::from(decision.price.nanos());
        day.floor += i128::from(decision.floor.nanos());
        day.decisions += 1;
        for command in &decision.commands {
            day.count(command);
        }
        let before = price(&world.fleet);
        world.fleet = apply::apply(&world.fleet, &decision.commands, minute as usize);
        if !decision.commands.is_empty() && price(&world.fleet) >= before {
            day.came_back += 1;
        }
        for machine in world.fleet.machines.iter_mut().flatten().filter(|machine| machine.quiet_since.is_none()) {
            machine.quiet_since = Some(minute * 60);
        }
    }
    println!(
        "| minutes | workloads | nodes created | nodes removed | replaced by cheaper | replaced without saving | decisions that lowered nothing | evictions | price ÷ floor |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    println!(
        "| {} | {} | {} | {} | {} | {} | {} | {} | {:.3} |",
        day.decisions,
        args.workloads,
        day.created,
        day.removed,
        day.replaced,
        day.for_nothing,
        day.came_back,
        day.evictions,
        day.paid as f64 / day.floor.max(1) as f64
    );
    if day.for_nothing + day.came_back > 0 { Err("something was done for nothing".to_owned()) } else { Ok(()) }
}

impl Day {
    fn count(&mut self, command: &Command) {
        self.removed += command.remove.len();
        self.created += command.launch.len();
        self.evictions += command.moves.len();
        if !command.launch.is_empty() {
            self.replaced += command.remove.len();
            if command.saving() <= Price::ZERO && command.reason() != Reason::Drifted {
                self.for_nothing += command.remove.len();
            }
        }
    }
}

fn price(fleet: &Fleet) -> Price {
    fleet.problem.nodes.iter().filter_map(|node| node.price).sum()
}

fn empty() -> Result<Fleet, String> {
    let budget = Budget { nodes: Share::Percent(100), ..Budget::default() };
    let policy = Policy { after: Some(60), budgets: vec![budget], ..Policy::default() };
    Ok(Fleet {
        problem: Problem::new(Statement::default()).map_err(|e| e.to_string())?,
        homes: Vec::new(),
        care: Vec::new(),
        machines: Vec::new(),
        policies: BTreeMap::from([("default".to_owned(), policy)]),
        pod_budgets: Vec::new(),
        rebalancing: None,
        lives: Vec::new(),
        failed: Vec::new(),
    })
}

impl World {
    /// Brings every workload to its replicas; what goes was not asked whether it may.
    fn scale(&mut self, wanted: &[usize], minute: i64) -> Result<(), String> {
        let mut there: Vec<Vec<(Pod, Option<u32>)>> = vec![Vec::new(); wanted.len()];
        for (pod, home) in self.fleet.problem.pods.iter().zip(&self.fleet.homes) {
            there[pod.workload as usize].push((pod.clone(), *home));
        }
        let mut touched: BTreeSet<u32> = BTreeSet::new();
        for (workload, (pods, wanted)) in there.iter_mut().zip(wanted).enumerate() {
            while pods.len() > *wanted {
                touched.extend(pods.pop().and_then(|(_, home)| home));
            }
            while pods.len() < *wanted {
                self.next += 1;
                let name = format!("pod-{:07}", self.next).into();
                pods.push((
                    Pod { namespace: "d".into(), name, shape: workload as u32, workload: workload as u32 },
                    None,
                ));
            }
        }
        for node in touched {
            if let Some(machine) = &mut self.fleet.machines[node as usize] {
                machine.quiet_since = Some(minute * 60);
            }
        }
        let homes: BTreeMap<String, Option<u32>> =
            there.iter().flatten().map(|(pod, home)| (pod.to_string(), *home)).collect();
        let pods = there.into_iter().flatten().map(|(pod, _)| pod).collect();
        self.state(pods, self.fleet.problem.nodes.clone(), homes)
    }

    fn state(&mut self, pods: Vec<Pod>, nodes: Vec<Node>, homes: BTreeMap<String, Option<u32>>) -> Result<(), String> {
        let workloads = vec![Workload::default(); self.shapes.len()];
        // Shapes are sorted by the problem; a pod keeps its workload's number.
        let pods = pods.into_iter().map(|pod| Pod { shape: pod.workload, ..pod }).collect();
        let pools = vec![NodePool { name: "default".to_owned(), ..NodePool::default() }];
        let statement = Statement {
            shapes: self.shapes.clone(),
            workloads,
            pods,
            nodes,
            pools,
            type_sets: vec![self.types.clone()],
            ..Statement::default()
        };
        self.fleet.problem = Problem::new(statement).map_err(|e| e.to_string())?;
        self.fleet.homes =
            self.fleet.problem.pods.iter().map(|pod| homes.get(&pod.to_string()).copied().flatten()).collect();
        self.fleet.care = vec![Care { cost: EVICTION, ..Care::default() }; self.fleet.homes.len()];
        Ok(())
    }

    /// Nodes for pods without one. Returns how many.
    fn provision(&mut self, options: &Options, minute: i64) -> Result<usize, String> {
        let fleet = &self.fleet;
        let mut nodes = fleet.problem.nodes.clone();
        let (mut pods, mut origin) = (Vec::new(), Vec::new());
        for (index, (pod, home)) in (0_u32..).zip(fleet.problem.pods.iter().zip(&fleet.homes)) {
            match home {
                Some(home) => nodes[*home as usize].host(&fleet.problem.shapes[pod.shape as usize]),
                None => {
                    pods.push(pod.clone());
                    origin.push(index);
                }
            }
        }
        if pods.is_empty() {
            return Ok(0);
        }
        let plan = stowage_solver::solve(&fleet.problem.with(pods, nodes), options, &Unwatched).plan;
        if !plan.unplaced.is_empty() {
            return Err(format!("{} pods have no place", plan.unplaced.len()));
        }
        let mut moves = Vec::new();
        for binding in &plan.existing {
            moves.extend(binding.pods.iter().map(|pod| (origin[*pod as usize], Target::Node(binding.node.clone()))));
        }
        for (place, node) in plan.nodes.iter().enumerate() {
            moves.extend(node.pods.iter().map(|pod| (origin[*pod as usize], Target::New(place))));
        }
        let touched: BTreeSet<String> = plan.existing.iter().map(|binding| binding.node.clone()).collect();
        let created = plan.nodes.len();
        let command = Command {
            remove: Vec::new(),
            reasons: Vec::new(),
            claims: Vec::new(),
            launch: plan.nodes,
            moves,
            before: Price::ZERO,
            after: Price::ZERO,
            disruption: 0,
        };
        // Far from the numbers of decisions, so that names differ.
        self.fleet = apply::apply(&self.fleet, &[command], 1_000_000 + minute as usize);
        for (node, machine) in self.fleet.problem.nodes.iter().zip(&mut self.fleet.machines) {
            let Some(machine) = machine else { continue };
            if touched.contains(&node.name) || machine.quiet_since.is_none() {
                *machine = Machine { quiet_since: Some(minute * 60), ..machine.clone() };
            }
        }
        Ok(created)
    }
}

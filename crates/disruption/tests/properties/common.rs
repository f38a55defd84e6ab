//! Fleets from a few words.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stowage_model::fleet::{Budget, Care, Consolidation, EVICTION, Fleet, Hold, Machine, PodBudget, Policy, Share};
use stowage_model::{
    CapacityType, InstanceType, LaunchLabels, Node, NodePool, Offering, Pod, PodShape, Price, Problem, Resources,
    Statement, Variant, Workload, labels,
};

/// Types by name: milli-cores, and micro-dollars per hour. Larger ones are a
/// little cheaper per core.
pub const TYPES: [(&str, i64, i64); 4] =
    [("m.1", 1_000, 50_000), ("m.2", 2_000, 100_000), ("m.4", 4_000, 195_000), ("m.8", 8_000, 380_000)];
pub const SIZES: [i64; 5] = [100, 300, 500, 700, 1_400];

/// A node in words.
#[derive(Clone, Debug, Default)]
pub struct Spec {
    pub kind: usize,
    pub zone: usize,
    /// Sizes of its pods, and what protects each.
    pub pods: Vec<(usize, Guard)>,
    pub spot: bool,
    pub flag: Flag,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Guard {
    #[default]
    None,
    Held,
    /// Of the one PodDisruptionBudget.
    Budget,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flag {
    #[default]
    None,
    Protected,
    Deleting,
    NotReady,
    NotInitialized,
    Nominated,
    Drifted,
    Busy,
}

#[derive(Clone, Debug)]
pub struct Setting {
    pub nodes: Vec<Spec>,
    /// Sizes of pods that wait.
    pub waiting: Vec<usize>,
    pub share: Share,
    pub pod_budget: u32,
    pub policy: Consolidation,
    /// The most milli-cores of the pool.
    pub limit: Option<i64>,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            nodes: Vec::new(),
            waiting: Vec::new(),
            share: Share::Percent(100),
            pod_budget: 0,
            policy: Consolidation::default(),
            limit: None,
        }
    }
}

pub const NOW: i64 = 1_000_000;

fn types() -> Vec<InstanceType> {
    let of = |(name, cpu, micros): &(&str, i64, i64)| {
        let room = Resources::new().with("cpu", *cpu).with("pods", 30);
        let offering = |zone: &str, capacity_type, percent| Offering {
            zone: zone.into(),
            zone_id: None,
            capacity_type,
            price: Price::from_nanos(micros * 10 * percent),
            reservation: None,
        };
        let zones = ["a", "b"];
        InstanceType {
            name: (*name).into(),
            labels: Arc::new(BTreeMap::new()),
            operating_systems: vec!["linux".into()],
            capacity: room.clone(),
            allocatable: room,
            offerings: zones
                .iter()
                .flat_map(|zone| {
                    [(CapacityType::OnDemand, 100), (CapacityType::Spot, 40)].map(|(c, p)| offering(zone, c, p))
                })
                .collect(),
        }
    };
    TYPES.iter().map(of).collect()
}

pub fn fleet(setting: &Setting) -> Fleet {
    let shapes: Vec<PodShape> = SIZES
        .iter()
        .map(|cpu| PodShape { requests: Resources::new().with("cpu", *cpu).with("pods", 1), ..PodShape::default() })
        .collect();
    let pool = NodePool {
        name: "default".to_owned(),
        limits: setting.limit.map(|cpu| Resources::new().with("cpu", cpu)),
        ..NodePool::default()
    };
    let types = types();
    let unvaried = Variant::default();
    let name = |index: usize| format!("node-{index:03}");
    let nodes: Vec<Node> = setting
        .nodes
        .iter()
        .enumerate()
        .map(|(index, spec)| {
            let kind = &types[spec.kind];
            let wanted = if spec.spot { CapacityType::Spot } else { CapacityType::OnDemand };
            let zone = ["a", "b"][spec.zone];
            let offering = kind.offerings.iter().find(|o| &*o.zone == zone && o.capacity_type == wanted).unwrap();
            let launch = LaunchLabels { pool: &pool, variant: &unvaried, instance_type: kind, os: "linux", offering };
            let mut node = launch.node(name(index));
            node.schedulable = spec.flag != Flag::Deleting;
            node
        })
        .collect();
    let mut pods = Vec::new();
    let mut facts: BTreeMap<String, (Option<String>, Care)> = BTreeMap::new();
    let mut add = |home: Option<String>, size: usize, guard: Guard| {
        let pod = Pod {
            namespace: "default".into(),
            name: format!("pod-{:04}", pods.len()).into(),
            shape: size as u32,
            workload: 0,
        };
        let care = Care {
            hold: (guard == Guard::Held).then_some(Hold::DoNotDisrupt),
            cost: EVICTION,
            budgets: if guard == Guard::Budget { vec![0] } else { Vec::new() },
        };
        facts.insert(pod.to_string(), (home, care));
        pods.push(pod);
    };
    for (index, spec) in setting.nodes.iter().enumerate() {
        let mut room = TYPES[spec.kind].1;
        for (size, guard) in &spec.pods {
            if SIZES[*size] <= room {
                room -= SIZES[*size];
                add(Some(name(index)), *size, *guard);
            }
        }
    }
    for size in &setting.waiting {
        add(None, *size, Guard::None);
    }
    let problem = Problem::new(Statement {
        shapes,
        workloads: vec![Workload::default()],
        pods,
        nodes,
        pools: vec![pool],
        type_sets: vec![types],
        ..Statement::default()
    })
    .unwrap();
    let place = |home: &String| problem.nodes.iter().position(|node| node.name == *home).unwrap() as u32;
    let machines =
        setting.nodes.iter().enumerate().map(|(index, spec)| Some(machine(name(index), spec.flag))).collect();
    let policy = Policy {
        consolidation: setting.policy,
        after: Some(60),
        budgets: vec![Budget { nodes: setting.share, ..Budget::default() }],
        ..Policy::default()
    };
    Fleet {
        homes: problem.pods.iter().map(|pod| facts[&pod.to_string()].0.as_ref().map(place)).collect(),
        care: problem.pods.iter().map(|pod| facts[&pod.to_string()].1.clone()).collect(),
        machines,
        policies: BTreeMap::from([("default".to_owned(), policy)]),
        pod_budgets: vec![PodBudget { name: "default/budget".to_owned(), allowed: setting.pod_budget }],
        rebalancing: None,
        lives: Vec::new(),
        failed: Vec::new(),
        problem,
    }
}

fn machine(claim: String, flag: Flag) -> Machine {
    Machine {
        claim,
        pool: "default".to_owned(),
        initialized: flag != Flag::NotInitialized,
        ready: flag != Flag::NotReady,
        deleting: flag == Flag::Deleting,
        nominated: flag == Flag::Nominated,
        protected: (flag == Flag::Protected).then_some("Node"),
        quiet_since: Some(if flag == Flag::Busy { NOW - 10 } else { 0 }),
        drifted: (flag == Flag::Drifted).then(|| (5, "NodePoolDrifted".to_owned())),
        ..Machine::default()
    }
}

/// What tells two states of a fleet apart: each node's launch and pods, names aside.
pub fn state(fleet: &Fleet) -> Vec<(String, Vec<u32>)> {
    let mut all: Vec<(String, Vec<u32>)> = (0_u32..)
        .zip(&fleet.problem.nodes)
        .map(|(index, node)| {
            let keys = [labels::INSTANCE_TYPE, labels::ZONE, labels::CAPACITY_TYPE];
            let mut launch: Vec<&str> = keys.iter().filter_map(|key| node.label(key)).collect();
            let drifted = fleet.machines[index as usize].as_ref().is_some_and(|machine| machine.drifted.is_some());
            launch.extend(drifted.then_some("drifted"));
            let homes = fleet.problem.pods.iter().zip(&fleet.homes);
            let mut pods: Vec<u32> =
                homes.filter(|(_, home)| **home == Some(index)).map(|(pod, _)| pod.shape).collect();
            pods.sort_unstable();
            (launch.join(" "), pods)
        })
        .collect();
    all.sort();
    all
}

/// The names of a decision's removed nodes.
pub fn removed(decision: &stowage_disruption::Decision) -> BTreeSet<String> {
    decision.commands.iter().flat_map(|command| command.remove.iter().cloned()).collect()
}

//! Random problems.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use stowage_model::{
    CapacityType, Effect, Group, HostPort, InstanceType, Node, NodePool, NodeTerm, Offering, Operator, Pod, PodShape,
    PodTerm, Price, Problem, Requirement, Requirements, Reservation, Resources, SharedVolume, Spread, Statement, Taint,
    Toleration, Workload, labels,
};
use stowage_solver::{Algorithm, Effort, Options};

const ZONES: [&str; 2] = ["a", "b"];

#[derive(Clone, Debug)]
pub struct Kind {
    pub cpu: i64,
    pub memory: i64,
    pub cents: i64,
    pub arm: bool,
    pub spot: bool,
    /// Instances of it that are reserved.
    pub reserved: Option<u32>,
}

#[derive(Clone, Debug)]
pub struct Shape {
    pub cpu: i64,
    pub memory: i64,
    pub count: u32,
    pub rule: u8,
}

#[derive(Clone, Debug)]
pub struct Case {
    pub kinds: Vec<Kind>,
    pub shapes: Vec<Shape>,
    pub nodes: Vec<(i64, i64)>,
    pub limit: Option<i64>,
    pub second_pool: Option<i32>,
    pub relations: Vec<Relation>,
}

/// A rule of one shape about the pods of another, or of the same.
#[derive(Clone, Debug)]
pub struct Relation {
    pub owner: usize,
    pub target: usize,
    pub rule: u8,
    pub key: u8,
    pub wish: bool,
    pub skew: u32,
}

pub fn kinds() -> impl Strategy<Value = Vec<Kind>> {
    let kind = (1..9_i64, 1..17_i64, 1..200_i64, any::<bool>(), any::<bool>(), prop::option::weighted(0.1, 0..4_u32))
        .prop_map(|(cpu, memory, cents, arm, spot, reserved)| Kind {
            cpu: cpu * 1000,
            memory: memory << 30,
            cents,
            arm,
            spot,
            reserved,
        });
    prop::collection::vec(kind, 1..6)
}

pub fn shapes(most: u32) -> impl Strategy<Value = Vec<Shape>> {
    let shape = (1..40_i64, 1..40_i64, 1..=most, 0..8_u8).prop_map(|(cpu, memory, count, rule)| Shape {
        cpu: cpu * 100,
        memory: memory << 28,
        count,
        rule,
    });
    prop::collection::vec(shape, 1..5)
}

pub fn case(most: u32) -> impl Strategy<Value = Case> {
    (
        kinds(),
        shapes(most),
        prop::collection::vec((1..8_i64, 1..12_i64), 0..3),
        prop::option::weighted(0.3, 4..40_i64),
        prop::option::weighted(0.3, 0..3_i32),
    )
        .prop_map(|(kinds, shapes, nodes, limit, second_pool)| Case {
            kinds,
            shapes,
            nodes,
            limit,
            second_pool,
            relations: Vec::new(),
        })
}

/// With rules between pods.
pub fn related(most: u32) -> impl Strategy<Value = Case> {
    let relation = (0..4_usize, 0..4_usize, 0..6_u8, 0..3_u8, any::<bool>(), 1..3_u32)
        .prop_map(|(owner, target, rule, key, wish, skew)| Relation { owner, target, rule, key, wish, skew });
    (case(most), prop::collection::vec(relation, 1..4)).prop_map(|(case, relations)| Case { relations, ..case })
}

/// Only packing: no existing nodes, reservations, limits or second pool.
pub fn plain(most: u32) -> impl Strategy<Value = Case> {
    case(most).prop_map(|case| {
        let kinds = case.kinds.into_iter().map(|kind| Kind { reserved: None, ..kind }).collect();
        Case { kinds, nodes: Vec::new(), limit: None, second_pool: None, ..case }
    })
}

pub fn only(key: &str, value: &str) -> Requirements {
    let mut requirements = Requirements::new();
    requirements.add(key, Requirement::exactly(value));
    requirements
}

pub fn lower(shape: &Shape) -> PodShape {
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

const ATTACHMENTS: &str = "attachable-volumes-csi-disk";

/// Gives shapes their rules; returns the groups, one per relation.
fn relate(case: &Case, shapes: &mut [PodShape]) -> Vec<Group> {
    const KEYS: [&str; 3] = [labels::ZONE, labels::HOSTNAME, labels::CAPACITY_TYPE];
    let count = shapes.len();
    for (group, relation) in (0_u32..).zip(&case.relations) {
        shapes[relation.target % count].topology.member.push(group);
        let owner = &mut shapes[relation.owner % count];
        let term = PodTerm { group, weight: relation.wish.then_some(10) };
        match relation.rule {
            0 => owner.topology.affinity.push(term),
            1 => owner.topology.anti_affinity.push(term),
            2 => owner.topology.spread.push(Spread {
                group,
                max_skew: relation.skew,
                min_domains: u32::from(relation.key) + 1,
                honor_affinity: relation.skew == 1,
                honor_taints: relation.skew == 2,
                hard: !relation.wish,
            }),
            4 => owner.requests.set(ATTACHMENTS, i64::from(relation.skew)),
            5 => owner
                .topology
                .shared
                .push(SharedVolume { claim: u32::from(relation.key), resource: ATTACHMENTS.to_owned() }),
            _ => owner.ports.push(HostPort {
                port: 80 + i32::from(relation.key),
                protocol: "TCP".into(),
                ip: String::new(),
            }),
        }
    }
    for shape in shapes.iter_mut() {
        shape.ports.sort();
        shape.ports.dedup();
        shape.topology.shared.sort();
        shape.topology.shared.dedup();
        shape.topology.spread.sort();
        shape.topology.affinity.sort();
        shape.topology.anti_affinity.sort();
    }
    let group = |(index, relation): (usize, &Relation)| Group {
        key: KEYS[usize::from(relation.key)].to_owned(),
        namespaces: None,
        selector: only("app", &format!("a{index}")),
    };
    case.relations.iter().enumerate().map(group).collect()
}

pub fn problem(case: &Case) -> Problem {
    let types = case
        .kinds
        .iter()
        .enumerate()
        .map(|(index, kind)| {
            let resources =
                Resources::new().with("cpu", kind.cpu).with("memory", kind.memory).with("pods", 8).with(ATTACHMENTS, 2);
            let arch = if kind.arm { "arm64" } else { "amd64" };
            let offering = |zone: &str, capacity_type, cents: i64| Offering {
                zone: zone.into(),
                zone_id: None,
                capacity_type,
                price: Price::from_nanos(cents * 10_000_000),
                reservation: None,
            };
            let mut offerings: Vec<Offering> =
                ZONES.iter().map(|zone| offering(zone, CapacityType::OnDemand, kind.cents)).collect();
            if let Some(count) = kind.reserved {
                let list_price = Price::from_nanos(kind.cents * 10_000_000);
                let reservation = Reservation { id: format!("cr-{index}").into(), count, list_price };
                offerings.push(Offering { reservation: Some(reservation), ..offering("a", CapacityType::Reserved, 0) });
            }
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
            allocatable: Resources::new()
                .with("cpu", cpu * 500)
                .with("memory", memory << 29)
                .with("pods", 5)
                .with(ATTACHMENTS, 1),
            used: Resources::new().with("cpu", 200),
            reserved: Resources::new(),
            members: BTreeMap::new(),
            repels: BTreeMap::new(),
            ports: Vec::new(),
            attached: BTreeSet::new(),
            pods: 1,
            price: None,
            schedulable: index != 1,
        })
        .collect();
    let mut shapes: Vec<PodShape> = case.shapes.iter().map(lower).collect();
    let groups = relate(case, &mut shapes);
    let mut nodes: Vec<Node> = nodes;
    if let (Some(node), Some(relation)) = (nodes.first_mut(), case.relations.first()) {
        // A pod of the first group runs already, and may want to be alone.
        node.members.insert(0, 1);
        if relation.skew == 2 {
            node.repels.insert(0, 1);
        }
    }
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
    Problem::new(Statement {
        shapes: distinct,
        workloads: vec![Workload::default()],
        pods,
        nodes,
        pools,
        type_sets: vec![types],
        groups,
        ..Statement::default()
    })
    .unwrap()
}

pub fn options(algorithm: Algorithm) -> Options {
    Options { algorithm, effort: Effort::Balanced, ..Options::default() }
}

//! Random fleets: what is protected stays, budgets hold, every moved pod has a
//! place, and commands alone never bring a state back.
//!
//! `STOWAGE_CASES=1000000 cargo test --release -p stowage-disruption --test properties`

#![allow(clippy::unwrap_used, reason = "a test may stop at what must not happen")]

mod common;
mod rebalancing;

use std::collections::{BTreeMap, BTreeSet};

use common::{Flag, Guard, NOW, SIZES, Setting, Spec, TYPES, fleet, removed, state};
use proptest::prelude::*;
use stowage_disruption::command::Target;
use stowage_disruption::{Decision, Reason, Rules, apply, decide};
use stowage_model::fleet::{Consolidation, Share};
use stowage_model::{CapacityType, Fleet, Price};
use stowage_solver::{Algorithm, Effort, Options, Unwatched};

fn rules() -> Rules {
    Rules { options: Options { effort: Effort::Quick, ..Options::default() }, ..Rules::default() }
}

fn decided(fleet: &Fleet) -> Decision {
    decide(fleet, &rules(), NOW, &Unwatched)
}

fn flag() -> impl Strategy<Value = Flag> {
    prop_oneof![
        8 => Just(Flag::None),
        1 => Just(Flag::Protected),
        1 => Just(Flag::Deleting),
        1 => Just(Flag::NotReady),
        1 => Just(Flag::NotInitialized),
        1 => Just(Flag::Nominated),
        1 => Just(Flag::Drifted),
        1 => Just(Flag::Busy),
    ]
}

fn guard() -> impl Strategy<Value = Guard> {
    prop_oneof![10 => Just(Guard::None), 1 => Just(Guard::Held), 3 => Just(Guard::Budget)]
}

fn spec() -> impl Strategy<Value = Spec> {
    let pods = prop::collection::vec((0..SIZES.len(), guard()), 0..6);
    (0..TYPES.len(), 0..2_usize, pods, prop::bool::weighted(0.3), flag())
        .prop_map(|(kind, zone, pods, spot, flag)| Spec { kind, zone, pods, spot, flag })
}

fn setting() -> impl Strategy<Value = Setting> {
    let share = prop_oneof![(0..4_usize).prop_map(Share::Count), (0..=100_usize).prop_map(Share::Percent)];
    let policy = prop_oneof![
        1 => Just(Consolidation::WhenEmpty),
        4 => Just(Consolidation::WhenEmptyOrUnderutilized),
        1 => Just(Consolidation::Balanced),
    ];
    let nodes = prop::collection::vec(spec(), 1..12);
    let waiting = prop::collection::vec(0..SIZES.len(), 0..3);
    let limit = prop::option::weighted(0.2, 4_000_i64..60_000);
    (nodes, waiting, share, 0..4_u32, policy, limit).prop_map(|(nodes, waiting, share, pod_budget, policy, limit)| {
        Setting { nodes, waiting, share, pod_budget, policy, limit }
    })
}

/// Everything that a decision may not do, by a second handwriting.
fn faults(setting: &Setting, fleet: &Fleet, decision: &Decision) -> Vec<String> {
    let mut faults = Vec::new();
    let gone = removed(decision);
    let spec_of =
        |name: &str| name.strip_prefix("node-").and_then(|n| n.parse::<usize>().ok()).map(|n| &setting.nodes[n]);
    let mut draws: Vec<usize> = Vec::new();
    for command in &decision.commands {
        for name in &command.remove {
            let Some(spec) = spec_of(name) else { continue };
            let stays = [Flag::Protected, Flag::Deleting, Flag::NotInitialized, Flag::Nominated];
            if stays.contains(&spec.flag) || (spec.flag == Flag::Busy && command.reason() != Reason::Drifted) {
                faults.push(format!("{name} is {:?} and goes", spec.flag));
            }
            let index = fleet.problem.nodes.iter().position(|node| node.name == *name).unwrap() as u32;
            draws.push(0);
            for (pod, home) in fleet.homes.iter().enumerate() {
                if *home == Some(index) {
                    *draws.last_mut().unwrap() += fleet.care[pod].budgets.len();
                    if fleet.care[pod].hold.is_some() {
                        faults.push(format!("{name} goes with a pod that nobody may move"));
                    }
                }
            }
            if setting.policy == Consolidation::WhenEmpty && command.reason() == Reason::Underutilized {
                faults.push(format!("{name} is not empty and goes"));
            }
        }
        // Without the option, spot is never replaced by spot.
        let all_spot = command.remove.iter().filter_map(|name| spec_of(name)).all(|spec| spec.spot);
        let new_spot = command.launch.iter().any(|node| node.capacity_type == CapacityType::Spot);
        if command.reason() == Reason::Underutilized && all_spot && new_spot {
            faults.push("spot is replaced by spot".to_owned());
        }
        let moved: BTreeSet<u32> = command.moves.iter().map(|(pod, _)| *pod).collect();
        let homes = fleet.homes.iter().enumerate().filter(|(_, home)| {
            home.is_some_and(|home| command.remove.contains(&fleet.problem.nodes[home as usize].name))
        });
        let expected: BTreeSet<u32> = homes.map(|(pod, _)| pod as u32).collect();
        if moved != expected {
            faults.push("not every pod of the removed nodes has a place".to_owned());
        }
        if command.reason() != Reason::Drifted && command.saving() <= Price::ZERO {
            faults.push("a command saves nothing".to_owned());
        }
    }
    // A drain waits for each pod, so one node may have more of them than may go at once.
    let (all, largest) = (draws.iter().sum::<usize>(), draws.iter().copied().max().unwrap_or(0));
    if largest > 0 && all - largest >= setting.pod_budget as usize {
        faults.push(format!("{draws:?} pods of a budget of {} go", setting.pod_budget));
    }
    let initialized = setting.nodes.iter().filter(|spec| spec.flag != Flag::NotInitialized);
    let busy = initialized.clone().filter(|s| matches!(s.flag, Flag::Deleting | Flag::NotReady)).count();
    let most = setting.share.of(initialized.count()).saturating_sub(busy);
    if gone.len() > most {
        faults.push(format!("{} nodes go where {most} may", gone.len()));
    }
    if decision.floor_now > decision.after {
        faults.push(format!("the floor {} is above the price {}", decision.floor_now, decision.after));
    }
    faults.extend(room(fleet, decision));
    faults
        .extend(stowage_verify::check_plan(&decision.what_if.problem, &decision.plan).iter().map(ToString::to_string));
    faults
}

/// Nodes that would hold more than they can, pods on nodes that go, and limits that
/// old and new nodes break together.
fn room(fleet: &Fleet, decision: &Decision) -> Vec<String> {
    let mut faults = Vec::new();
    let gone = removed(decision);
    let mut load: BTreeMap<String, i64> = BTreeMap::new();
    let cpu = |pod: usize| fleet.problem.shapes[fleet.problem.pods[pod].shape as usize].requests.get("cpu");
    for (pod, home) in fleet.homes.iter().enumerate() {
        let Some(home) = home.map(|home| &fleet.problem.nodes[home as usize].name) else { continue };
        if !gone.contains(home) {
            *load.entry(home.clone()).or_default() += cpu(pod);
        }
    }
    for (index, command) in decision.commands.iter().enumerate() {
        for (pod, target) in &command.moves {
            let to = match target {
                Target::Node(name) => name.clone(),
                Target::New(place) => format!("new {index} {place} {}", command.launch[*place].instance_type),
            };
            if gone.contains(&to) {
                faults.push(format!("a pod moves to {to}, which goes"));
            }
            *load.entry(to).or_default() += cpu(*pod as usize);
        }
    }
    for (node, load) in &load {
        let old = fleet.problem.nodes.iter().find(|n| n.name == *node).map(|n| n.allocatable.get("cpu"));
        let new = TYPES.iter().find(|(name, ..)| node.ends_with(name)).map(|(_, cpu, _)| *cpu);
        if *load > old.or(new).unwrap_or(0) {
            faults.push(format!("{node} would hold {load}"));
        }
    }
    let limit = fleet.problem.pools[0].limits.as_ref().map(|limits| limits.get("cpu"));
    let old: i64 = fleet.problem.nodes.iter().map(|node| node.capacity.get("cpu")).sum();
    let launched = decision.commands.iter().flat_map(|command| &command.launch);
    let new: i64 = launched.map(|n| TYPES.iter().find(|(name, ..)| *name == n.instance_type).map_or(0, |t| t.1)).sum();
    if new > 0 && limit.is_some_and(|limit| old + new > limit) {
        faults.push(format!("{old} and {new} milli-cores are more than the limit"));
    }
    faults
}

fn cases() -> u32 {
    std::env::var("STOWAGE_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(400)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn nothing_protected_is_disrupted(setting in setting()) {
        let fleet = fleet(&setting);
        let decision = decided(&fleet);
        let faults = faults(&setting, &fleet, &decision);
        prop_assert!(faults.is_empty(), "{faults:?}");
    }

    #[test]
    fn commands_alone_never_bring_a_state_back(setting in setting()) {
        let mut fleet = fleet(&setting);
        let first = decided(&fleet);
        let mut seen = BTreeSet::from([state(&fleet)]);
        let mut potential = (drifted(&fleet), price(&fleet));
        for wave in 0.. {
            let decision = decided(&fleet);
            if decision.commands.is_empty() {
                break;
            }
            fleet = apply::apply(&fleet, &decision.commands, wave);
            let next = (drifted(&fleet), price(&fleet));
            prop_assert!(next < potential, "{next:?} is not below {potential:?}");
            prop_assert!(seen.insert(state(&fleet)), "a state came back after {wave} decisions");
            prop_assert!(wave < 200, "it does not end");
            potential = next;
        }
        // The bound is about what the first decision may move; pods and nodes that
        // were not settled then may be now.
        let settled = setting.nodes.iter().all(|spec| matches!(spec.flag, Flag::None | Flag::Protected));
        if settled && setting.pod_budget == 0 {
            prop_assert!(price(&fleet) >= first.floor, "{} is below the floor {}", price(&fleet), first.floor);
        }
    }

    #[test]
    fn nothing_costs_more_than_by_karpenters_moves(setting in setting()) {
        let keen = |algorithm| Rules {
            options: Options { algorithm, ..rules().options },
            eviction_price: Price::ZERO,
            least_saving: Price::from_nanos(1),
            ..rules()
        };
        // One decision each on the same snapshot.
        let fleet = fleet(&setting);
        let end = |rules: &Rules| {
            let decision = decide(&fleet, rules, NOW, &Unwatched);
            let gone = removed(&decision);
            let kept = fleet.problem.nodes.iter().filter(|node| !gone.contains(&node.name));
            // What is bought for pods that wait counts too: whoever takes their room pays for it.
            kept.filter_map(|node| node.price).sum::<Price>() + decision.plan.price()
        };
        let (ours, theirs) = (end(&keen(Algorithm::Optimise)), end(&keen(Algorithm::FirstFit)));
        prop_assert!(ours <= theirs, "{ours} is more than {theirs}");
    }

    #[test]
    fn the_same_fleet_gives_the_same_decision(setting in setting()) {
        let fleet = fleet(&setting);
        let threads = |threads| Rules { options: Options { threads, ..rules().options }, ..rules() };
        let decide = |rules: &Rules| format!("{:?}", decide(&fleet, rules, NOW, &Unwatched).commands);
        prop_assert_eq!(decide(&threads(1)), decide(&threads(4)));
    }
}

fn drifted(fleet: &Fleet) -> usize {
    fleet.machines.iter().flatten().filter(|machine| machine.drifted.is_some()).count()
}

fn price(fleet: &Fleet) -> Price {
    fleet.problem.nodes.iter().filter_map(|node| node.price).sum()
}

fn spec_of(kind: usize, pods: &[usize]) -> Spec {
    Spec { kind, pods: pods.iter().map(|size| (*size, Guard::None)).collect(), ..Spec::default() }
}

#[test]
fn two_pods_of_seventy_percent_become_one_right_sized_node() {
    // 1.4 of 2 cores each: neither fits beside the other, one node of 4 costs less.
    let setting = Setting { nodes: vec![spec_of(1, &[4]), spec_of(1, &[4])], ..Setting::default() };
    let fleet = fleet(&setting);
    let decision = decide(&fleet, &Rules { eviction_price: Price::from_nanos(1_000_000), ..rules() }, NOW, &Unwatched);
    assert_eq!(decision.commands.len(), 1);
    let command = &decision.commands[0];
    assert_eq!(command.remove.len(), 2);
    let launched: Vec<&str> = command.launch.iter().map(|node| node.instance_type.as_str()).collect();
    // Spot is allowed here, and cheaper still.
    assert_eq!(launched, ["m.4"]);
}

#[test]
fn one_node_becomes_two_where_that_is_cheaper() {
    // Karpenter gives up where a node would need more than one in its place.
    let setting = Setting { nodes: vec![spec_of(3, &[4, 4, 4, 3])], ..Setting::default() };
    let decision = decided(&fleet(&setting));
    let launched: Vec<&str> = decision.commands[0].launch.iter().map(|node| node.instance_type.as_str()).collect();
    assert_eq!(launched, ["m.2", "m.4"]);
}

#[test]
fn a_budget_is_part_of_what_one_decision_can_reach() {
    let nodes = || (0..8).map(|_| spec_of(1, &[0])).collect::<Vec<Spec>>();
    let floor = |share| {
        let decision = decided(&fleet(&Setting { nodes: nodes(), share, ..Setting::default() }));
        assert!(decision.floor <= decision.floor_now && decision.floor_now <= decision.after);
        (decision.floor_now, decision.after)
    };
    // Eight nodes of $0.10 with a pod each: at most one goes, and its pod has room elsewhere.
    let (now, after) = floor(Share::Count(1));
    assert_eq!((now, after), (Price::from_nanos(700_000_000), Price::from_nanos(700_000_000)));
    assert!(floor(Share::Percent(100)).0 < now);
}

#[test]
fn a_node_that_stays_says_why() {
    let held = Spec { pods: vec![(4, Guard::Held)], kind: 1, ..Spec::default() };
    let spared = Spec { flag: Flag::Protected, ..spec_of(0, &[3, 0]) };
    let full = Spec { spot: true, ..spec_of(0, &[3, 1]) };
    let setting = Setting { nodes: vec![held, spared, full], ..Setting::default() };
    let decision = decided(&fleet(&setting));
    assert!(decision.commands.is_empty(), "{:?}", decision.commands);
    let why: Vec<String> = decision.stay.values().map(ToString::to_string).collect();
    assert_eq!(why[0], "pod default/pod-0000 has karpenter.sh/do-not-disrupt");
    assert_eq!(why[1], "its Node has karpenter.sh/do-not-disrupt");
    assert!(why[2].contains("short") || why[2].contains("no cheaper"), "{}", why[2]);
}

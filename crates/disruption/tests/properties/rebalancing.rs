//! Random fleets and policies: what is protected stays, every budget holds, each pod
//! that moves has a place, and a method alone comes to an end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::common::{Flag, NOW, SIZES, Setting, Spec, TYPES, fleet, removed};
use proptest::prelude::*;
use stowage_disruption::{Decision, Rebalanced, Rules, apply, decide, rebalance};
use stowage_model::fleet::{Consolidation, Share};
use stowage_model::life::{Condition, Kin};
use stowage_model::rebalancing::{Evictor, Method, PERCENT, Rebalancing, Scope, Step, Utilization};
use stowage_model::{Fleet, Group, Life, PodTerm, Requirements, Spread, labels};
use stowage_solver::{Effort, Options, Unwatched};

fn methods() -> Vec<Method> {
    let shares = |percent: i64| BTreeMap::from([("cpu".to_owned(), percent * PERCENT)]);
    let low = Utilization { low: shares(40), high: shares(60), deviation: false, more_than: 0, most_per_node: None };
    vec![
        Method::Duplicates { spared_kinds: BTreeSet::new() },
        Method::LowNodeUtilization(Utilization { deviation: true, low: shares(5), high: shares(20), ..low.clone() }),
        Method::LowNodeUtilization(low),
        Method::HighNodeUtilization { thresholds: shares(30), only_thresholding: false },
        Method::AntiAffinity,
        Method::NodeAffinity { required: true, preferred: true },
        Method::NodeTaints { advice: true, included: Vec::new(), excluded: Vec::new() },
        Method::TopologySpread { hard: true, soft: true },
        Method::TooManyRestarts { threshold: 3, init: true, states: BTreeSet::new() },
        Method::PodLifeTime { seconds: 500_000, init: false, states: BTreeSet::new(), kinds: BTreeSet::new() },
    ]
}

/// A fleet with a policy and what its pods have been through.
fn scenario() -> impl Strategy<Value = (Setting, Vec<usize>, u64)> {
    let pods = prop::collection::vec((0..SIZES.len(), crate::guard()), 0..8);
    let spec = (0..TYPES.len(), 0..2_usize, pods, crate::flag()).prop_map(|(kind, zone, pods, flag)| Spec {
        kind,
        zone,
        pods,
        spot: false,
        flag,
    });
    let share = prop_oneof![(0..4_usize).prop_map(Share::Count), Just(Share::Percent(100))];
    let waiting = prop::collection::vec(0..SIZES.len(), 0..3);
    let setting = (prop::collection::vec(spec, 1..10), waiting, share, 0..4_u32).prop_map(
        |(nodes, waiting, share, pod_budget)| Setting {
            nodes,
            waiting,
            share,
            pod_budget,
            policy: Consolidation::WhenEmptyOrUnderutilized,
            limit: None,
        },
    );
    (setting, prop::collection::vec(0..methods().len(), 1..5), any::<u64>())
}

/// Pods of 500m spread over zones, those of 700m keep apart; owners, ages and
/// restarts follow from `seed`.
fn prepare(setting: &Setting, chosen: &[usize], seed: u64) -> Fleet {
    let mut fleet = fleet(setting);
    let group = |key: &str| Group { key: key.to_owned(), namespaces: None, selector: Requirements::new() };
    fleet.problem.groups = vec![group(labels::ZONE), group(labels::HOSTNAME)];
    for shape in &mut fleet.problem.shapes {
        match shape.requests.get("cpu") {
            500 => {
                shape.topology.member = vec![0];
                shape.topology.spread = vec![Spread {
                    group: 0,
                    max_skew: 1,
                    min_domains: 1,
                    honor_affinity: true,
                    honor_taints: false,
                    hard: seed.is_multiple_of(2),
                }];
            }
            700 => {
                shape.topology.member = vec![1];
                shape.topology.anti_affinity = vec![PodTerm { group: 1, weight: None }];
            }
            _ => {}
        }
    }
    let draw = |pod: u64, of: u64| (seed ^ pod.wrapping_mul(0x9E37_79B9_7F4A_7C15)).rotate_left(23) % of;
    let life = |pod: u64| Life {
        started: Some(NOW - draw(pod, 900_000) as i64),
        created: Some(NOW - draw(pod, 900_000) as i64),
        restarts: draw(pod, 5) as u32,
        init_restarts: 0,
        kin: Arc::new(Kin {
            owner_kind: "ReplicaSet".to_owned(),
            owner: format!("owner-{}", draw(pod, 3)),
            ..Kin::default()
        }),
        condition: Arc::new(Condition { phase: "Running".to_owned(), ..Condition::default() }),
        labels: Arc::default(),
    };
    fleet.lives = (0..fleet.problem.pods.len() as u64).map(life).collect();
    let all = methods();
    let step = |index: &usize| Step {
        profile: "p".to_owned(),
        evictor: Evictor::default(),
        scope: Scope::default(),
        method: all[*index].clone(),
    };
    fleet.rebalancing = Some(Rebalancing { steps: chosen.iter().map(step).collect(), ..Rebalancing::default() });
    fleet
}

fn options() -> Options {
    Options { effort: Effort::Quick, ..Options::default() }
}

/// Everything that methods may not do, by a second handwriting.
fn faults(setting: &Setting, fleet: &Fleet, decision: &Decision, done: &Rebalanced) -> Vec<String> {
    let mut faults = Vec::new();
    let gone = removed(decision);
    let in_command: BTreeSet<u32> =
        decision.commands.iter().flat_map(|c| c.moves.iter().map(|(pod, _)| *pod)).collect();
    let spec_of = |name: &str| &setting.nodes[name.strip_prefix("node-").unwrap().parse::<usize>().unwrap()];
    let (mut moved, mut sources) = (BTreeSet::new(), BTreeSet::new());
    let mut load: BTreeMap<String, i64> = BTreeMap::new();
    let cpu = |pod: u32| fleet.problem.shapes[fleet.problem.pods[pod as usize].shape as usize].requests.get("cpu");
    for (pod, home) in (0_u32..).zip(&fleet.homes) {
        if let Some(home) = home.map(|home| &fleet.problem.nodes[home as usize].name) {
            *load.entry(home.clone()).or_default() += cpu(pod);
        }
    }
    let mut draws = in_command.iter().map(|pod| fleet.care[*pod as usize].budgets.len()).sum::<usize>();
    for one in &done.relocations {
        let care = &fleet.care[one.pod as usize];
        if !moved.insert(one.pod) || in_command.contains(&one.pod) {
            faults.push(format!("pod {} moves twice", one.pod));
        }
        if care.hold.is_some() {
            faults.push(format!("pod {} is held and moves", one.pod));
        }
        if !care.budgets.is_empty() {
            draws += 1;
            if draws > setting.pod_budget as usize {
                faults.push(format!("{draws} pods of a budget of {} go", setting.pod_budget));
            }
        }
        let home = fleet.homes[one.pod as usize].map(|home| fleet.problem.nodes[home as usize].name.clone());
        if home.as_ref() != Some(&one.from) {
            faults.push(format!("pod {} is not on {}", one.pod, one.from));
        }
        let stays = [Flag::Protected, Flag::Deleting, Flag::NotInitialized, Flag::Nominated];
        if stays.contains(&spec_of(&one.from).flag) {
            faults.push(format!("{} is {:?} and loses a pod", one.from, spec_of(&one.from).flag));
        }
        if one.from != one.to {
            *load.entry(one.to.clone()).or_default() += cpu(one.pod);
            let shut = [Flag::Deleting, Flag::NotReady, Flag::NotInitialized].contains(&spec_of(&one.to).flag);
            if gone.contains(&one.to) || shut {
                faults.push(format!("a pod moves to {}, which is not there for it", one.to));
            }
        }
        sources.insert(one.from.clone());
    }
    for (node, load) in load.iter().filter(|(node, _)| !gone.contains(*node)) {
        let room = fleet.problem.nodes.iter().find(|n| n.name == *node).map_or(0, |n| n.allocatable.get("cpu"));
        if *load > room {
            faults.push(format!("{node} would hold {load} of {room}"));
        }
    }
    let initialized = setting.nodes.iter().filter(|spec| spec.flag != Flag::NotInitialized);
    let busy = initialized.clone().filter(|s| matches!(s.flag, Flag::Deleting | Flag::NotReady)).count();
    let most = setting.share.of(initialized.count()).saturating_sub(busy);
    if !sources.is_empty() && sources.len() + gone.len() > most {
        faults.push(format!("{} nodes are touched where {most} may be", sources.len() + gone.len()));
    }
    for (problem, plan) in &done.answers {
        faults.extend(stowage_verify::check_plan(problem, plan).iter().map(ToString::to_string));
    }
    faults
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::cases(), ..ProptestConfig::default() })]

    #[test]
    fn nothing_protected_moves((setting, chosen, seed) in scenario()) {
        let fleet = prepare(&setting, &chosen, seed);
        let rules = Rules { options: options(), ..Rules::default() };
        let decision = decide(&fleet, &rules, NOW, &Unwatched);
        let done = rebalance(&fleet, &decision, &options(), NOW, &Unwatched);
        let faults = faults(&setting, &fleet, &decision, &done);
        prop_assert!(faults.is_empty(), "{faults:?}");
    }

    #[test]
    fn a_method_alone_comes_to_an_end((setting, chosen, seed) in scenario()) {
        let mut fleet = prepare(&setting, &chosen[..1], seed);
        // Nothing but the method does anything.
        fleet.policies.values_mut().for_each(|policy| policy.after = None);
        let rules = Rules { options: options(), ..Rules::default() };
        let mut moves = 0;
        loop {
            let decision = decide(&fleet, &rules, NOW, &Unwatched);
            let done = rebalance(&fleet, &decision, &options(), NOW, &Unwatched);
            // Drift may give up nodes all the same.
            fleet = apply::apply(&apply::rebalanced(&fleet, &done), &decision.commands, moves);
            if done.is_empty() && decision.commands.is_empty() {
                break;
            }
            moves += 1;
            prop_assert!(moves < 100, "{:?} does not end", methods()[chosen[0]]);
        }
    }
}

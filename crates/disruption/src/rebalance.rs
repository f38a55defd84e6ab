//! Pods that move though their nodes stay: the descheduler's methods, under the
//! budgets of disruption, and never without a place to go to.
//!
//! Methods are used one after another on the state that the one before leaves. Each
//! says which pods it would move and where they may go; the packing solver finds
//! the places. What finds none, or is over a budget, stays and says so, and the
//! method is asked again without it.

mod anti_affinity;
mod duplicates;
mod evictor;
mod failed;
mod life_time;
mod limits;
mod node_affinity;
mod node_taints;
mod place;
mod restarts;
mod scene;
mod spread;
mod utilization;

use std::fmt;

use stowage_model::fleet::{Fleet, Hold};
use stowage_model::rebalancing::{Method, Step};
use stowage_model::{Plan, Problem};
use stowage_solver::{Monitor, Options};

use crate::candidate::Block;
use crate::decide::Decision;
use limits::Limits;
use scene::{Eye, Pick, Scene};

/// A pod that moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relocation {
    /// The pod, as an index of the fleet's.
    pub pod: u32,
    /// Its node.
    pub from: String,
    /// A node that has room for it, by every rule. It may be its own where it only
    /// has to be made anew.
    pub to: String,
    /// The method.
    pub method: &'static str,
    /// The method's profile.
    pub profile: String,
}

/// A pod that has failed and is taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The method.
    pub method: &'static str,
    /// The method's profile.
    pub profile: String,
}

/// A pod that a method would move and that stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Namespace and name.
    pub pod: String,
    /// The method.
    pub method: &'static str,
    /// Why.
    pub why: Why,
}

/// Why a pod stays that a method would move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its node is not to be touched.
    Node(Block),
    /// Nobody may move it.
    Hold(Hold),
    /// No other node admits it and has room.
    NoPlace,
    /// The budget of its NodePool is used up.
    Budget,
    /// This PodDisruptionBudget is used up.
    PodBudget(String),
    /// The policy moves no more from one node, from one namespace, or at all.
    Most(&'static str),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(block) => write!(f, "its node is left alone: {block}"),
            Self::Hold(hold) => write!(f, "it {}", hold.as_str()),
            Self::NoPlace => f.write_str("no node that it may go to admits it and has room"),
            Self::Budget => f.write_str("the budget of its NodePool is used up"),
            Self::PodBudget(name) => write!(f, "PodDisruptionBudget {name} is used up"),
            Self::Most(of) => write!(f, "the policy moves no more {of}"),
        }
    }
}

/// What all methods came to.
#[derive(Clone, Debug, Default)]
pub struct Rebalanced {
    /// Pods that move, in order.
    pub relocations: Vec<Relocation>,
    /// Failed pods that are taken away.
    pub removals: Vec<Removal>,
    /// Pods that stay.
    pub kept: Vec<Kept>,
    /// The questions that gave the places, with their answers, for the judge.
    pub answers: Vec<(Problem, Plan)>,
}

impl Rebalanced {
    /// Every question behind a decision and its rebalancing, with its answer: what a
    /// judge should see.
    pub fn questions<'a>(&'a self, decision: &'a Decision) -> impl Iterator<Item = (&'a Problem, &'a Plan)> {
        let own = std::iter::once((&decision.what_if.problem, &decision.plan));
        own.chain(self.answers.iter().map(|(problem, plan)| (problem, plan)))
    }

    /// Whether no pod moves or is taken away.
    pub fn is_empty(&self) -> bool {
        self.relocations.is_empty() && self.removals.is_empty()
    }
}

/// Uses every method of the fleet's policy, beside what a decision does already.
pub fn rebalance(fleet: &Fleet, decision: &Decision, options: &Options, now: i64, monitor: &dyn Monitor) -> Rebalanced {
    let mut done = Rebalanced::default();
    let Some(rebalancing) = &fleet.rebalancing else { return done };
    let mut scene = Scene::new(fleet, rebalancing, decision, now);
    let mut limits = Limits::new(fleet, rebalancing, decision, now);
    for step in &rebalancing.steps {
        if let Method::FailedPods { .. } = step.method {
            failed::remove(&scene, step, &mut limits, &mut done);
            continue;
        }
        loop {
            let picks = picks(&Eye { scene: &scene, step });
            if picks.is_empty() {
                break;
            }
            carry_out(&mut scene, &mut limits, step, picks, options, monitor, &mut done);
        }
    }
    done
}

/// What a method would move. Whatever is returned is moved or given up on, so that
/// asking again comes to an end.
fn picks(eye: &Eye<'_>) -> Vec<Pick> {
    match &eye.step.method {
        Method::Duplicates { spared_kinds } => duplicates::picks(eye, spared_kinds),
        Method::LowNodeUtilization(chosen) => utilization::low(eye, chosen),
        Method::HighNodeUtilization { thresholds, only_thresholding } => {
            utilization::high(eye, thresholds, *only_thresholding)
        }
        Method::AntiAffinity => anti_affinity::picks(eye),
        Method::NodeAffinity { required, preferred } => node_affinity::picks(eye, *required, *preferred),
        Method::NodeTaints { advice, included, excluded } => node_taints::picks(eye, *advice, included, excluded),
        Method::TopologySpread { hard, soft } => spread::picks(eye, *hard, *soft),
        Method::TooManyRestarts { threshold, init, states } => restarts::picks(eye, *threshold, *init, states),
        Method::PodLifeTime { seconds, init, states, kinds } => life_time::picks(eye, *seconds, *init, states, kinds),
        // It has nothing to place.
        Method::FailedPods { .. } => Vec::new(),
    }
}

fn carry_out(
    scene: &mut Scene<'_>,
    limits: &mut Limits,
    step: &Step,
    picks: Vec<Pick>,
    options: &Options,
    monitor: &dyn Monitor,
    done: &mut Rebalanced,
) {
    let name = step.method.name();
    // What finds no place draws on nothing.
    let mut tried = limits.clone();
    let mut free = Vec::new();
    for pick in picks {
        scene.settled.insert(pick.pod);
        match tried.take(scene, pick.pod) {
            Ok(()) => free.push(pick),
            Err(why) => done.kept.push(Kept { pod: scene.name(pick.pod), method: name, why }),
        }
    }
    let found = place::place(scene, &free, options, monitor);
    for (pick, place) in free.iter().zip(&found.places) {
        let Some(from) = scene.home[pick.pod as usize] else { continue };
        let Some(to) = place.or(pick.or_stay.then_some(from)) else {
            done.kept.push(Kept { pod: scene.name(pick.pod), method: name, why: Why::NoPlace });
            continue;
        };
        // Fewer than were tried draw on no more.
        if let Err(why) = limits.take(scene, pick.pod) {
            done.kept.push(Kept { pod: scene.name(pick.pod), method: name, why });
            continue;
        }
        let node = |node: u32| scene.nodes[node as usize].name.clone();
        let (from, place) = (node(from), node(to));
        done.relocations.push(Relocation {
            pod: pick.pod,
            from,
            to: place,
            method: name,
            profile: step.profile.clone(),
        });
        scene.relocate(pick.pod, to);
    }
    done.answers.extend(found.answer);
}

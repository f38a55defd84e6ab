//! The fleet while methods move pods about.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use stowage_model::fleet::Fleet;
use stowage_model::life::{Life, Qos};
use stowage_model::rebalancing::{Rebalancing, Step};
use stowage_model::taint::first_untolerated;
use stowage_model::{Node, PodShape, Resources, Topology};

use super::evictor;
use crate::command::Target;
use crate::decide::Decision;

/// Who is where.
pub(super) struct Scene<'a> {
    pub(super) fleet: &'a Fleet,
    pub(super) now: i64,
    /// Nodes with what is on them. Pods that move hold their room on both nodes: the
    /// old one goes only when the new one is wanted. Other pods count them where they go.
    pub(super) nodes: Vec<Node>,
    /// What each node will hold.
    pub(super) load: Vec<Resources>,
    /// Where each pod is, or will be.
    pub(super) home: Vec<Option<u32>>,
    /// Nodes that the policy looks at.
    pub(super) in_view: Vec<bool>,
    /// Pods that have moved, are about to, or were given up on.
    pub(super) settled: BTreeSet<u32>,
    /// Pods by owner.
    replicas: BTreeMap<(String, String, String), usize>,
}

/// The scene as one method sees it.
pub(super) struct Eye<'a> {
    pub(super) scene: &'a Scene<'a>,
    pub(super) step: &'a Step,
}

/// Places that several pods may go to.
pub(super) struct Goal {
    /// The nodes, each with how much of anything it takes of these pods at most.
    pub(super) places: Vec<(u32, Resources)>,
}

/// What a pod counts as in a goal that counts pods.
pub(super) const SEAT: &str = "seat";

/// A pod that a method would move.
pub(super) struct Pick {
    pub(super) pod: u32,
    pub(super) goal: Rc<Goal>,
    /// What it takes of what the goal's nodes take.
    pub(super) takes: Resources,
    /// Whether being made anew in its place will do.
    pub(super) or_stay: bool,
}

/// The most seats: anything goes.
const ANY: i64 = 1 << 32;

impl Goal {
    /// Nodes, each for so many of the pods.
    pub(super) fn seats(places: impl IntoIterator<Item = (u32, i64)>) -> Rc<Self> {
        let seats = |(node, count)| (node, Resources::new().with(SEAT, count));
        Rc::new(Self { places: places.into_iter().map(seats).collect() })
    }

    /// Nodes, for any number of them.
    pub(super) fn any(places: impl IntoIterator<Item = u32>) -> Rc<Self> {
        Self::seats(places.into_iter().map(|node| (node, ANY)))
    }
}

impl Pick {
    pub(super) fn new(pod: u32, goal: &Rc<Goal>) -> Self {
        Self { pod, goal: Rc::clone(goal), takes: Resources::new().with(SEAT, 1), or_stay: false }
    }
}

impl<'a> Scene<'a> {
    pub(super) fn new(fleet: &'a Fleet, rebalancing: &Rebalancing, decision: &Decision, now: i64) -> Self {
        let problem = &fleet.problem;
        let mut nodes = problem.nodes.clone();
        let mut home = fleet.homes.clone();
        let mut settled = BTreeSet::new();
        for command in &decision.commands {
            for (pod, target) in &command.moves {
                settled.insert(*pod);
                home[*pod as usize] = match target {
                    Target::Node(name) => {
                        problem.nodes.binary_search_by(|node| node.name.cmp(name)).ok().map(|at| at as u32)
                    }
                    Target::New(_) => None,
                };
            }
        }
        for (pod, home) in problem.pods.iter().zip(&home) {
            if let Some(home) = home {
                nodes[*home as usize].host(&problem.shapes[pod.shape as usize]);
            }
        }
        // Pods that wait have their places too.
        for binding in &decision.plan.existing {
            let waiting = binding.pods.iter().map(|pod| decision.what_if.origin[*pod as usize]);
            if let Ok(at) = problem.nodes.binary_search_by(|node| node.name.cmp(&binding.node)) {
                for pod in waiting.filter(|pod| fleet.homes[*pod as usize].is_none()) {
                    nodes[at].host(&problem.shapes[problem.pods[pod as usize].shape as usize]);
                }
            }
        }
        let gone: BTreeSet<&String> = decision.commands.iter().flat_map(|command| &command.remove).collect();
        for (node, machine) in nodes.iter_mut().zip(&fleet.machines) {
            let fit = machine.as_ref().is_none_or(|machine| machine.initialized && machine.ready && !machine.deleting);
            node.schedulable &= fit && !gone.contains(&node.name);
        }
        let mut replicas: BTreeMap<(String, String, String), usize> = BTreeMap::new();
        for (pod, life) in problem.pods.iter().zip(&fleet.lives) {
            let key = (pod.namespace.to_string(), life.kin.owner_kind.clone(), life.kin.owner.clone());
            *replicas.entry(key).or_default() += 1;
        }
        Self {
            in_view: nodes.iter().map(|node| rebalancing.nodes.admit(|key| node.label(key))).collect(),
            load: nodes.iter().map(|node| node.used.clone()).collect(),
            fleet,
            now,
            nodes,
            home,
            settled,
            replicas,
        }
    }

    pub(super) fn shape(&self, pod: u32) -> &'a PodShape {
        let problem = &self.fleet.problem;
        &problem.shapes[problem.pods[pod as usize].shape as usize]
    }

    pub(super) fn life(&self, pod: u32) -> &'a Life {
        &self.fleet.lives[pod as usize]
    }

    pub(super) fn namespace(&self, pod: u32) -> &'a str {
        &self.fleet.problem.pods[pod as usize].namespace
    }

    pub(super) fn name(&self, pod: u32) -> String {
        self.fleet.problem.pods[pod as usize].to_string()
    }

    /// How many pods its owner has.
    pub(super) fn replicas(&self, pod: u32) -> usize {
        let kin = &self.life(pod).kin;
        let key = (self.namespace(pod).to_owned(), kin.owner_kind.clone(), kin.owner.clone());
        self.replicas.get(&key).copied().unwrap_or(0)
    }

    /// Whether labels and taints of a node let a pod run there.
    pub(super) fn admits(&self, node: u32, shape: &PodShape) -> bool {
        let node = &self.nodes[node as usize];
        first_untolerated(&node.taints, &shape.tolerations).is_none() && is_affine(node, shape)
    }

    /// Nodes that pods may go to.
    pub(super) fn destinations(&self) -> impl Iterator<Item = u32> + '_ {
        let open = |(node, in_view): (&Node, &bool)| node.schedulable && *in_view;
        (0_u32..).zip(self.nodes.iter().zip(&self.in_view)).filter(move |(_, both)| open(*both)).map(|(index, _)| index)
    }

    /// Takes a pod off what its node's other pods count.
    pub(super) fn lift(node: &mut Node, shape: &PodShape) {
        let lower = |count: Option<&mut u32>| {
            if let Some(count) = count {
                *count = count.saturating_sub(1);
            }
        };
        for group in &shape.topology.member {
            lower(node.members.get_mut(group));
        }
        for group in Topology::required(&shape.topology.anti_affinity) {
            lower(node.repels.get_mut(&group));
        }
    }

    /// Moves a pod. Its room on the old node is not given away yet.
    pub(super) fn relocate(&mut self, pod: u32, to: u32) {
        let shape = self.shape(pod);
        let Some(from) = self.home[pod as usize].replace(to) else { return };
        if from == to {
            return;
        }
        Self::lift(&mut self.nodes[from as usize], shape);
        self.nodes[to as usize].host(shape);
        self.load[from as usize].subtract(&shape.requests);
        self.load[to as usize].add(&shape.requests);
    }
}

/// What a node's labels say to a pod's selector and required affinity.
pub(super) fn is_affine(node: &Node, shape: &PodShape) -> bool {
    shape.selector.admit(|key| node.label(key))
        && shape.affinity.as_ref().is_none_or(|terms| terms.iter().any(|t| t.matches(|key| node.label(key))))
}

impl<'a> Eye<'a> {
    /// Pods on nodes in view that the method looks at, whether they may move or not.
    pub(super) fn pods(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        let scene = self.scene;
        (0_u32..)
            .zip(&scene.home)
            .filter_map(|(pod, home)| Some((pod, (*home)?)))
            .filter(|(_, home)| scene.in_view[*home as usize])
            .filter(|(pod, _)| scene.fleet.homes[*pod as usize].is_some())
            .filter(|(pod, _)| self.step.scope.admits(scene.namespace(*pod), &scene.life(*pod).labels))
    }

    /// Whether a pod may still be moved.
    pub(super) fn is_movable(&self, pod: u32) -> bool {
        !self.scene.settled.contains(&pod) && evictor::lets_go(self, pod)
    }

    /// Those that may move, the ones that matter least first.
    pub(super) fn movable(&self) -> Vec<(u32, u32)> {
        let mut all: Vec<(u32, u32)> = self.pods().filter(|(pod, _)| self.is_movable(*pod)).collect();
        all.sort_by_key(|(pod, _)| self.rank(*pod));
        all
    }

    /// The pod that matters least first.
    pub(super) fn rank(&self, pod: u32) -> (i32, Qos, Reverse<u32>) {
        // Of equals the last goes, as a controller would scale down.
        (self.scene.shape(pod).priority, self.scene.life(pod).kin.qos, Reverse(pod))
    }

    /// Whether a pod that is made anew may come back where it is.
    pub(super) fn may_return(&self, pod: u32, home: u32) -> bool {
        self.scene.nodes[home as usize].schedulable && self.scene.admits(home, self.scene.shape(pod))
    }

    /// Every node but the pod's own.
    pub(super) fn elsewhere(&self, from: u32, known: &mut BTreeMap<u32, Rc<Goal>>) -> Rc<Goal> {
        let others = || Goal::any(self.scene.destinations().filter(|node| *node != from));
        Rc::clone(known.entry(from).or_insert_with(others))
    }
}

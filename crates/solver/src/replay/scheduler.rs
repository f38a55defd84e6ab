//! kube-scheduler's way of choosing a node: filters, a sample of the nodes that
//! pass, the two resource scores, and chance among the best.

use std::collections::{BTreeMap, BTreeSet};

use stowage_model::{Node, Plan, PodShape, Problem, ResourceName, Resources};

use super::Steering;
use super::waves::waves;
use crate::filters::{Place, admitted_by_labels};
use crate::random::Random;
use crate::topology::demand::Related;
use crate::topology::relax;
use crate::topology::state::State;

/// What the scheduler scores a pod without requests by.
const LEAST_CPU: i64 = 100;
const LEAST_MEMORY: i64 = 200 << 20;
/// Nodes that pass the filters are looked for up to so many at least.
const MOST_FEASIBLE: usize = 100;

pub(super) struct Scheduler<'a> {
    problem: &'a Problem,
    state: State<'a>,
    shapes: Vec<PodShape>,
    nodes: &'a [Node],
    dims: Vec<ResourceName>,
    sizes: Vec<Vec<i64>>,
    free: Vec<Vec<i64>>,
    /// Shared volumes that are attached, by node.
    attached: Vec<BTreeSet<u32>>,
    /// Per shape, whether labels and taints of each node let it in, once asked.
    admitted: Vec<Vec<Option<bool>>>,
    /// Ready nodes, in the order in which the scheduler knows them.
    ready: Vec<usize>,
    is_ready: Vec<bool>,
    next: usize,
    /// Whose turn it is, and that of each pod that must wait for its own.
    wave: usize,
    waves: BTreeMap<u32, usize>,
    wanted: &'a BTreeMap<u32, usize>,
    /// Pods that are nominated to a node and not bound yet.
    nominated: Vec<BTreeSet<u32>>,
    steering: Steering,
    waiting: Vec<u32>,
    bound: BTreeMap<u32, usize>,
    random: Random,
}

impl<'a> Scheduler<'a> {
    pub(super) fn new(
        problem: &'a Problem,
        nodes: &'a [Node],
        existing: usize,
        wanted: &'a BTreeMap<u32, usize>,
        waiting: Vec<u32>,
        steering: Steering,
        random: Random,
    ) -> Self {
        let shapes: Vec<PodShape> = problem.shapes.iter().map(relax::firm).collect();
        let related = Related {
            shape_of: (0..shapes.len() as u32).collect(),
            shapes: shapes.clone(),
            levels: (0..shapes.len()).map(|shape| vec![shape]).collect(),
            ..Related::default()
        };
        // Only nodes that exist are domains to a scheduler. They exist before they
        // are ready.
        let mut state = State::new(problem, &related, &[]);
        state.be_lenient();
        let nothing = Resources::new();
        for node in nodes {
            state.add_spot(&Place::Node(node, &nothing), false);
        }
        let dims: BTreeSet<ResourceName> = shapes
            .iter()
            .flat_map(|shape| {
                let shared = shape.topology.shared.iter().map(|volume| ResourceName::from(volume.resource.as_str()));
                shape.requests.iter().map(|(name, _)| name.clone()).chain(shared).collect::<Vec<_>>()
            })
            .collect();
        let dims: Vec<ResourceName> = dims.into_iter().collect();
        let vector = |amounts: &Resources| dims.iter().map(|name| amounts.get(name.as_str())).collect::<Vec<i64>>();
        Self {
            problem,
            state,
            sizes: shapes.iter().map(|shape| vector(&shape.requests)).collect(),
            free: nodes.iter().map(|node| vector(&node.free())).collect(),
            attached: nodes.iter().map(|node| node.attached.clone()).collect(),
            admitted: vec![vec![None; nodes.len()]; shapes.len()],
            shapes,
            nodes,
            dims,
            ready: (0..existing).filter(|node| nodes[*node].schedulable).collect(),
            is_ready: nodes.iter().enumerate().map(|(n, node)| n < existing && node.schedulable).collect(),
            next: 0,
            wave: 0,
            waves: BTreeMap::new(),
            wanted,
            nominated: vec![BTreeSet::new(); nodes.len()],
            steering,
            waiting,
            bound: BTreeMap::new(),
            random,
        }
    }

    /// Lets pods to their nodes wave by wave.
    pub(super) fn take_turns(&mut self, plan: &Plan) {
        self.waves = waves(self.problem, plan, &self.state, self.wanted);
    }

    /// The wave of each pod that does not belong to the first.
    pub(super) fn waves(&self) -> &BTreeMap<u32, usize> {
        &self.waves
    }

    /// Tries everybody on the nodes that are there from the beginning.
    pub(super) fn begin(&mut self) {
        if !self.ready.is_empty() {
            self.nominate();
            self.serve(None);
        }
    }

    /// Lets pods onto more nodes, and tries everybody who waits.
    pub(super) fn release(&mut self, nodes: &[usize]) {
        self.ready.extend(nodes);
        nodes.iter().for_each(|node| self.is_ready[*node] = true);
        self.nominate();
        self.serve(if let [node] = nodes { Some(*node) } else { None });
    }

    /// Who is bound where, and who waits still.
    pub(super) fn finish(mut self) -> (BTreeMap<u32, usize>, Vec<u32>) {
        loop {
            let before = self.waiting.len();
            self.nominate();
            self.serve(None);
            if self.waiting.len() == before {
                let Some(next) = self.waves.values().copied().filter(|wave| *wave > self.wave).min() else {
                    return (self.bound, self.waiting);
                };
                self.wave = next;
            }
        }
    }

    /// Nominates everybody who waits to the planned node, where it is ready.
    fn nominate(&mut self) {
        if self.steering != Steering::Nominated {
            return;
        }
        for pod in &self.waiting {
            if let Some(node) = self.wanted.get(pod).filter(|node| self.is_ready[**node]) {
                self.nominated[*node].insert(*pod);
            }
        }
    }

    /// Tries the queue once. Where only `fresh` is new, pods that no other pod
    /// matters to need look nowhere else.
    fn serve(&mut self, fresh: Option<usize>) {
        let queue = std::mem::take(&mut self.waiting);
        let mut hopeless: BTreeSet<u32> = BTreeSet::new();
        for pod in queue {
            let shape = self.problem.pods[pod as usize].shape;
            let plain = self.shapes[shape as usize].topology.affinity.is_empty();
            let alike = plain && self.steering != Steering::Tolerated;
            if alike && hopeless.contains(&shape) && self.wish(pod).is_none() {
                self.waiting.push(pod);
                continue;
            }
            match self.choose(pod, fresh) {
                Some(node) => self.bind(pod, node),
                None => {
                    // A failed attempt ends a nomination.
                    if let Some(node) = self.wish(pod) {
                        self.nominated[node].remove(&pod);
                    } else {
                        hopeless.insert(shape);
                    }
                    self.waiting.push(pod);
                }
            }
        }
    }

    fn wish(&self, pod: u32) -> Option<usize> {
        let node = *self.wanted.get(&pod)?;
        self.nominated[node].contains(&pod).then_some(node)
    }

    fn choose(&mut self, pod: u32, fresh: Option<usize>) -> Option<usize> {
        if let Some(node) = self.wish(pod).filter(|node| self.feasible(pod, *node)) {
            return Some(node);
        }
        if self.steering == Steering::Tolerated {
            let node = self.wanted.get(&pod).copied().filter(|node| self.is_ready[*node])?;
            return self.feasible(pod, node).then_some(node);
        }
        let shape = self.problem.pods[pod as usize].shape as usize;
        let topology = &self.shapes[shape].topology;
        let alone = topology.spread.is_empty() && topology.affinity.is_empty();
        if let Some(node) = fresh.filter(|_| alone) {
            return self.feasible(pod, node).then_some(node);
        }
        let count = self.ready.len();
        let most = feasible_enough(count);
        let mut found: Vec<usize> = Vec::new();
        let mut looked = 0;
        while looked < count && found.len() < most {
            let node = self.ready[(self.next + looked) % count];
            looked += 1;
            if self.feasible(pod, node) {
                found.push(node);
            }
        }
        self.next = (self.next + looked).checked_rem(count).unwrap_or(0);
        let scores: Vec<i64> = found.iter().map(|node| self.score(shape, *node)).collect();
        let best = *scores.iter().max()?;
        let equals: Vec<usize> =
            found.into_iter().zip(scores).filter(|(_, score)| *score == best).map(|(node, _)| node).collect();
        Some(equals[self.random.below(equals.len())])
    }

    fn feasible(&mut self, pod: u32, node: usize) -> bool {
        let shape = self.problem.pods[pod as usize].shape as usize;
        self.tolerates(pod)
            && self.has_room(pod, shape, node)
            && *self.admitted[shape][node].get_or_insert_with(|| {
                let node = &self.nodes[node];
                admitted_by_labels(&self.shapes[shape], &Place::Node(node, &node.allocatable))
            })
            && self.state.admits(shape, node)
    }

    /// Whether the pod tolerates what keeps others off a planned node, yet.
    fn tolerates(&self, pod: u32) -> bool {
        self.steering != Steering::Tolerated || self.waves.get(&pod).is_none_or(|wave| *wave <= self.wave)
    }

    /// Room beside the pods that are there, and beside those that are nominated
    /// and no less important.
    fn has_room(&self, pod: u32, shape: usize, node: usize) -> bool {
        let free = &self.free[node];
        let fits =
            |asked: &[i64], free: &[i64]| asked.iter().zip(free).all(|(asked, free)| *asked <= 0 || asked <= free);
        let shared = !self.shapes[shape].topology.shared.is_empty();
        if !fits(&self.sizes[shape], free) {
            return false;
        }
        if self.nominated[node].is_empty() && !shared {
            return true;
        }
        let asked = self.asked(shape, node);
        let others = self.nominated[node].iter().filter(|other| {
            let data = &self.shapes[self.problem.pods[**other as usize].shape as usize];
            **other != pod && data.priority >= self.shapes[shape].priority
        });
        let mut rest = free.clone();
        for other in others {
            let size = &self.sizes[self.problem.pods[*other as usize].shape as usize];
            rest.iter_mut().zip(size).for_each(|(rest, size)| *rest -= size);
        }
        fits(&asked, &rest)
    }

    fn asked(&self, shape: usize, node: usize) -> Vec<i64> {
        let mut asked = self.sizes[shape].clone();
        for volume in &self.shapes[shape].topology.shared {
            if !self.attached[node].contains(&volume.claim)
                && let Some(dim) = self.dims.iter().position(|name| *name.as_str() == *volume.resource)
            {
                asked[dim] += 1;
            }
        }
        asked
    }

    /// NodeResourcesFit (LeastAllocated) and NodeResourcesBalancedAllocation, each
    /// from 0 to 100.
    fn score(&self, shape: usize, node: usize) -> i64 {
        let (requests, data) = (&self.shapes[shape].requests, &self.nodes[node]);
        let share = |name: &str, least: i64| {
            let most = data.allocatable.get(name).max(1);
            let free = self.dims.iter().position(|d| *d.as_str() == *name).map_or(most, |dim| self.free[node][dim]);
            let asked = requests.get(name);
            let after = most - free + if asked > 0 { asked } else { least };
            (after.min(most), most)
        };
        let shares = [share(ResourceName::CPU, LEAST_CPU), share(ResourceName::MEMORY, LEAST_MEMORY)];
        let least: i64 = shares.iter().map(|(used, most)| (most - used) * 100 / most).sum::<i64>() / 2;
        let [cpu, memory] = shares.map(|(used, most)| used as f64 / most as f64);
        least + (100.0 * (1.0 - (cpu - memory).abs() / 2.0)) as i64
    }

    fn bind(&mut self, pod: u32, node: usize) {
        let shape = self.problem.pods[pod as usize].shape as usize;
        let asked = self.asked(shape, node);
        self.free[node].iter_mut().zip(&asked).for_each(|(free, asked)| *free -= asked);
        self.attached[node].extend(self.shapes[shape].topology.shared.iter().map(|volume| volume.claim));
        self.state.put(shape, node);
        if let Some(wish) = self.wanted.get(&pod) {
            self.nominated[*wish].remove(&pod);
        }
        self.bound.insert(pod, node);
    }
}

/// How many feasible nodes end the search for more, by the scheduler's own rule:
/// half of them, less one percent per 125 nodes, but five percent at least.
fn feasible_enough(nodes: usize) -> usize {
    if nodes <= MOST_FEASIBLE {
        return nodes;
    }
    let percent = 50_usize.saturating_sub(nodes / 125).max(5);
    (nodes * percent / 100).max(MOST_FEASIBLE)
}

//! What is to be packed: parts of pods that packing cannot tell apart.

use std::collections::{BTreeMap, BTreeSet};

use stowage_model::{PodShape, Problem, Topology};

use super::assign::{self, Assigned};
use super::slots::Slots;
use crate::launches::Launch;

/// Pods that packing treats alike.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// What packing sees: requests with slots, labels with pins.
    pub(crate) shape: PodShape,
    /// Kinds of pods in it, and how many of each.
    pub(crate) kinds: Vec<(usize, u32)>,
}

impl Part {
    fn count(&self) -> u32 {
        self.kinds.iter().map(|(_, count)| count).sum()
    }
}

/// Everything to be packed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Demand {
    pub(crate) parts: Vec<Part>,
    pub(crate) slots: Slots,
    /// Where rules relate pods to others: what must be settled after packing.
    pub(crate) related: Option<Related>,
}

/// What settling needs to know.
#[derive(Clone, Debug, Default)]
pub(crate) struct Related {
    /// Per kind (pods of one shape, as demanding as they still are), the problem's
    /// shape.
    pub(crate) shape_of: Vec<u32>,
    /// What pods of each kind are like.
    pub(crate) shapes: Vec<PodShape>,
    /// Per shape of the problem, its kinds, the most demanding first.
    pub(crate) levels: Vec<Vec<usize>>,
    /// Labels that pods were given a place by.
    pub(crate) pins: Vec<Vec<(String, String)>>,
    /// Pods whose place was chosen by wide domains, in an order that holds: the
    /// part and the kind.
    pub(crate) order: Vec<(usize, usize)>,
    /// Kinds that go to the end, one by one.
    pub(crate) late: Vec<(usize, u32)>,
}

impl Demand {
    /// One part per shape, without any rule that relates pods, but for what one
    /// node takes.
    pub(crate) fn unrelated(problem: &Problem) -> Self {
        let mut slots = Slots::default();
        let parts = problem
            .shapes
            .iter()
            .zip(problem.counts())
            .enumerate()
            .map(|(index, (shape, count))| {
                let mut shape = shape.clone();
                slots.take(problem, &mut shape, &BTreeSet::new());
                Part { shape, kinds: vec![(index, count)] }
            })
            .collect();
        Self { parts, slots, related: None }
    }

    /// The same, with shapes that packing cannot tell apart in one part, where all
    /// pools weigh the same: weights are judged by shape.
    pub(crate) fn merged(problem: &Problem) -> Self {
        if problem.pools.windows(2).any(|pair| pair[0].weight != pair[1].weight) {
            return Self::unrelated(problem);
        }
        let mut merged = Self::default();
        let mut known: BTreeMap<PodShape, usize> = BTreeMap::new();
        let unrelated = Self::unrelated(problem);
        for Part { mut shape, kinds } in unrelated.parts {
            shape.topology = Topology::default();
            shape.ports.clear();
            shape.preferred.clear();
            shape.priority = 0;
            let part = *known.entry(shape).or_insert_with_key(|shape| {
                merged.parts.push(Part { shape: shape.clone(), kinds: Vec::new() });
                merged.parts.len() - 1
            });
            merged.parts[part].kinds.extend(kinds);
        }
        Self { slots: unrelated.slots, ..merged }
    }

    /// What is to be packed for `problem`.
    pub(crate) fn of(problem: &Problem, launches: &[Launch]) -> Self {
        let advised = super::relax::advised(problem);
        let plain = |shape: &PodShape| {
            shape.topology.spread.is_empty()
                && shape.topology.affinity.is_empty()
                && shape.topology.anti_affinity.is_empty()
                && shape.preferred.is_empty()
                && shape.ports.is_empty()
                && shape.topology.shared.is_empty()
        };
        let repelled = problem.nodes.iter().any(|node| !node.repels.is_empty());
        if problem.shapes.iter().all(plain) && !repelled && !advised {
            return Self::unrelated(problem);
        }
        let (mut related, assigned) = assign::assign(problem, launches, advised);
        let mut builder = Builder { small: small(problem), ..Builder::default() };
        let counts = problem.counts();
        let mut parts: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        let mut assigned_of: BTreeMap<usize, u32> = BTreeMap::new();
        for pod in &assigned {
            *assigned_of.entry(pod.kind).or_default() += 1;
        }
        for Assigned { kind, pins } in assigned {
            let part = match parts.get(&(kind, pins)) {
                Some(part) => builder.count(*part, kind, 1),
                None => {
                    let mut shape = related.shapes[kind].clone();
                    for (key, value) in &related.pins[pins] {
                        shape.selector.add(key, stowage_model::Requirement::exactly(value));
                    }
                    let part = builder.add(problem, shape, kind, 1);
                    parts.insert((kind, pins), part);
                    part
                }
            };
            related.order.push((part, kind));
        }
        for (shape, kinds) in related.levels.iter().enumerate() {
            let taken: u32 = kinds.iter().map(|kind| assigned_of.get(kind).copied().unwrap_or(0)).sum();
            let late: u32 = related.late.iter().filter(|(kind, _)| kinds.contains(kind)).map(|(_, n)| n).sum();
            let left = counts[shape].saturating_sub(taken + late);
            if let Some(kind) = kinds.first().filter(|_| left > 0) {
                builder.add(problem, related.shapes[*kind].clone(), *kind, left);
            }
        }
        let mut slots = builder.slots;
        slots.thin_out(builder.parts.iter().map(|part| (&part.shape, part.count())));
        Self { parts: builder.parts, slots, related: Some(related) }
    }

    /// How many pods each part has.
    pub(crate) fn counts(&self) -> Vec<u32> {
        self.parts.iter().map(Part::count).collect()
    }
}

/// Where many groups are spread over nodes, those with few pods.
fn small(problem: &Problem) -> BTreeSet<u32> {
    const MANY: usize = 4;
    const SHARE: u32 = 20;
    let mut owners: BTreeMap<u32, u32> = BTreeMap::new();
    let counts = problem.counts();
    for (shape, count) in problem.shapes.iter().zip(&counts) {
        let own = shape.topology.spread.iter().map(|spread| spread.group);
        let own = own.chain(shape.topology.anti_affinity.iter().map(|term| term.group));
        let groups: BTreeSet<u32> = own.filter(|group| shape.topology.in_group(*group)).collect();
        groups.into_iter().for_each(|group| *owners.entry(group).or_default() += count);
    }
    let few = counts.iter().sum::<u32>() / SHARE;
    let small: BTreeSet<u32> = owners.into_iter().filter(|(_, count)| *count < few).map(|(group, _)| group).collect();
    if small.len() > MANY { small } else { BTreeSet::new() }
}

/// Puts kinds that packing cannot tell apart into one part.
#[derive(Default)]
struct Builder {
    parts: Vec<Part>,
    slots: Slots,
    known: BTreeMap<PodShape, usize>,
    small: BTreeSet<u32>,
}

impl Builder {
    fn add(&mut self, problem: &Problem, mut shape: PodShape, kind: usize, count: u32) -> usize {
        self.slots.mark(problem, &mut shape, &self.small);
        self.slots.take(problem, &mut shape, &self.small);
        shape.topology = Topology::default();
        shape.ports.clear();
        let next = self.parts.len();
        let part = *self.known.entry(shape).or_insert_with_key(|shape| {
            self.parts.push(Part { shape: shape.clone(), kinds: Vec::new() });
            next
        });
        self.count(part, kind, count)
    }

    /// Counts more pods of a kind in a part.
    fn count(&mut self, part: usize, kind: usize, count: u32) -> usize {
        match self.parts[part].kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, known)) => *known += count,
            None => self.parts[part].kinds.push((kind, count)),
        }
        part
    }
}

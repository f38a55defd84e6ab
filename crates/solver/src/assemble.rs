//! From counts back to named pods on named nodes.

use std::collections::BTreeMap;

use stowage_model::{Binding, Certificate, CertificateKind, End, NewNode, Plan, Price, Problem, Unplaced};

use crate::alternatives::Siblings;
use crate::effort::Options;
use crate::launches::Launch;
use crate::packing::{Items, Packing, Solution};
use crate::topology::settle::{Host, Settled};
use crate::topology::state::Refusal;
use crate::{Outcome, explain};

/// Hands out pods, in name order, to the fillings of one or more solutions.
pub(crate) struct Assembly<'a> {
    problem: &'a Problem,
    launches: &'a [Launch],
    /// Also those that pods are not packed for.
    all: &'a [Launch],
    /// Pods of each shape not handed out yet, last first.
    waiting: Vec<Vec<u32>>,
    nodes: Vec<(usize, Vec<(u32, u32)>)>,
    /// Launches of nodes whose pods are named already.
    named: Vec<(usize, Vec<u32>)>,
    existing: BTreeMap<String, Vec<u32>>,
    order: Vec<u32>,
    /// By shape, the relation that keeps its pods out.
    refusals: BTreeMap<u32, Refusal>,
}

impl<'a> Assembly<'a> {
    pub(crate) fn new(problem: &'a Problem, launches: &'a [Launch], all: &'a [Launch]) -> Self {
        let mut waiting = vec![Vec::new(); problem.shapes.len()];
        for (index, pod) in problem.pods.iter().enumerate().rev() {
            waiting[pod.shape as usize].push(index as u32);
        }
        Self {
            problem,
            launches,
            all,
            waiting,
            nodes: Vec::new(),
            named: Vec::new(),
            existing: BTreeMap::new(),
            order: Vec::new(),
            refusals: BTreeMap::new(),
        }
    }

    /// Adds what `solution` places.
    pub(crate) fn add(&mut self, packing: &Packing, solution: &Solution) {
        let shapes = |filling: &[(u32, u32)]| -> Vec<(u32, u32)> {
            filling.iter().map(|(class, count)| (packing.classes[*class as usize].shape, *count)).collect()
        };
        for (bin, filling) in packing.bins.iter().zip(&solution.bins) {
            if !filling.is_empty() {
                let pods = self.hand_out(&shapes(filling));
                let name = self.problem.nodes[bin.node as usize].name.clone();
                self.existing.entry(name).or_default().extend(pods);
            }
        }
        for node in &solution.nodes {
            self.nodes.push((packing.offers[node.offer].launch as usize, shapes(&node.filling)));
        }
    }

    /// Adds what was settled pod by pod.
    pub(crate) fn settle(&mut self, settled: Settled, shape_of: impl Fn(usize) -> u32) {
        self.named = settled.nodes.iter().map(|launch| (*launch, Vec::new())).collect();
        for (shape, host) in settled.order {
            let Some(pod) = self.waiting[shape as usize].pop() else { continue };
            self.order.push(pod);
            match host {
                Host::Planned(node) => self.named[node].1.push(pod),
                Host::Existing(node) => {
                    self.existing.entry(self.problem.nodes[node].name.clone()).or_default().push(pod);
                }
            }
        }
        let refused = settled.left.into_iter().filter_map(|(kind, (_, refusal))| Some((shape_of(kind), refusal?)));
        self.refusals = refused.collect();
    }

    /// How many pods of each shape have a place.
    pub(crate) fn placed(&self) -> Vec<u32> {
        let mut placed = vec![0; self.problem.shapes.len()];
        for (shape, count) in self.nodes.iter().flat_map(|(_, filling)| filling) {
            placed[*shape as usize] += count;
        }
        for pod in self.existing.values().chain(self.named.iter().map(|(_, pods)| pods)).flatten() {
            placed[self.problem.pods[*pod as usize].shape as usize] += 1;
        }
        placed
    }

    fn counted(&self, pods: &[u32]) -> Items {
        let mut counts: BTreeMap<u32, u32> = BTreeMap::new();
        for pod in pods {
            *counts.entry(self.problem.pods[*pod as usize].shape).or_default() += 1;
        }
        counts.into_iter().collect()
    }

    fn hand_out(&mut self, filling: &[(u32, u32)]) -> Vec<u32> {
        let mut pods: Vec<u32> = Vec::new();
        for (shape, count) in filling {
            let waiting = &mut self.waiting[*shape as usize];
            let from = waiting.len().saturating_sub(*count as usize);
            pods.extend(waiting.drain(from..));
        }
        pods.sort_unstable();
        pods
    }

    /// The plan. `proofs` come strongest first; `exact` says that a complete
    /// search found nothing cheaper.
    pub(crate) fn finish(
        mut self,
        (mut proofs, exact): (Vec<(Certificate, Price)>, bool),
        stopped: Option<End>,
        options: &Options,
    ) -> Outcome {
        let mut fillings = std::mem::take(&mut self.nodes);
        fillings.sort();
        let mut known: BTreeMap<(usize, Items), Vec<String>> = BTreeMap::new();
        let mut nodes = Vec::with_capacity(fillings.len());
        let mut seated: Vec<(usize, Items, Vec<u32>)> = Vec::new();
        for (index, filling) in fillings {
            let pods = self.hand_out(&filling);
            seated.push((index, filling, pods));
        }
        for (index, mut pods) in std::mem::take(&mut self.named) {
            pods.sort_unstable();
            seated.push((index, self.counted(&pods), pods));
        }
        let siblings = Siblings::new(self.problem, self.all);
        for (index, filling, pods) in seated {
            let launch = &self.launches[index];
            let labels = launch.labels(self.problem);
            let alternatives = known
                .entry((index, filling))
                .or_insert_with_key(|(_, filling)| {
                    siblings.holders(launch, filling).into_iter().map(|t| t.name.to_string()).collect()
                })
                .clone();
            nodes.push(NewNode {
                pool: labels.pool.name.clone(),
                instance_type: labels.instance_type.name.to_string(),
                zone: labels.offering.zone.to_string(),
                capacity_type: labels.offering.capacity_type,
                reservation: labels.offering.reservation.as_ref().map(|r| r.id.to_string()),
                os: labels.os.to_owned(),
                labels: labels.variant.labels.clone(),
                price: labels.offering.price,
                pods,
                alternatives,
            });
        }
        nodes.sort();
        let existing: Vec<Binding> = std::mem::take(&mut self.existing)
            .into_iter()
            .map(|(node, mut pods)| {
                pods.sort_unstable();
                Binding { node, pods }
            })
            .collect();
        let mut left: Vec<u32> = self.waiting.iter().flatten().copied().collect();
        left.sort_unstable();
        let price: Price = nodes.iter().map(|node| node.price).sum();
        if exact && let Some((certificate, _)) = proofs.first() {
            let certificate = Certificate { kind: CertificateKind::Exact, ..certificate.clone() };
            proofs.insert(0, (certificate, price));
        }
        let (certificate, bound) = proofs.remove(0);
        let order = std::mem::take(&mut self.order);
        let mut plan = Plan { nodes, existing, unplaced: Vec::new(), order, bound, certificate, end: End::EffortSpent };
        let mut reasons: BTreeMap<u32, Vec<stowage_model::Reason>> = BTreeMap::new();
        for pod in left {
            let shape = self.problem.pods[pod as usize].shape;
            let reasons = reasons
                .entry(shape)
                .or_insert_with(|| match self.refusals.get(&shape) {
                    Some(refusal) => vec![explain::related(self.problem, *refusal)],
                    None => explain::refusals(self.problem, self.launches, shape, &plan.nodes),
                })
                .clone();
            plan.unplaced.push(Unplaced { pod, reasons });
        }
        let mut outcome = Outcome { plan, weaker: proofs, stopped, target_gap: options.target_gap };
        outcome.conclude();
        outcome
    }
}

//! What a pod would like, dropped one wish at a time.
//!
//! At first every preference counts as a requirement. Where that leaves a pod no
//! place, wishes go in the order that Karpenter drops them: preferred pod
//! affinity, preferred anti-affinity, preferred node terms (of which only the
//! heaviest counts at a time), `ScheduleAnyway` spreads, and last the advice of
//! `PreferNoSchedule` taints. The last shape carries only requirements.

use stowage_model::{NodeTerm, PodShape, PodTerm, Preferences, Problem, Requirements};

/// The shapes that pods of `shape` are tried as, the most demanding first.
pub(crate) fn levels(problem: &Problem, shape: &PodShape, advised: bool) -> Vec<PodShape> {
    let mut wishes = Wishes::of(shape, advised);
    let mut levels = Vec::new();
    if problem.preferences == Preferences::Respect {
        while !wishes.is_empty() {
            levels.push(wishes.granted(shape));
            wishes.drop_one();
        }
    }
    levels.push(Wishes::default().granted(shape));
    levels
}

/// The shape with its requirements alone.
pub(crate) fn firm(shape: &PodShape) -> PodShape {
    Wishes::default().granted(shape)
}

/// Whether some node or pool advises against itself.
pub(crate) fn advised(problem: &Problem) -> bool {
    let of_nodes = problem.nodes.iter().flat_map(|node| &node.taints);
    let of_pools = problem.pools.iter().flat_map(|pool| &pool.taints);
    of_nodes.chain(of_pools).any(|taint| taint.effect == stowage_model::Effect::PreferNoSchedule)
}

/// Wishes still held, each list with the one to drop first at its end.
#[derive(Default)]
struct Wishes {
    affinity: Vec<PodTerm>,
    anti_affinity: Vec<PodTerm>,
    /// Index into the shape's preferred node terms, which come heaviest first.
    nodes: Vec<usize>,
    /// Index into the shape's spreads.
    spread: Vec<usize>,
    advice: bool,
}

impl Wishes {
    fn of(shape: &PodShape, advised: bool) -> Self {
        let preferred = |terms: &[PodTerm]| {
            let mut terms: Vec<PodTerm> = terms.iter().filter(|term| term.weight.is_some()).copied().collect();
            terms.sort_by_key(|term| (term.weight, std::cmp::Reverse(term.group)));
            terms
        };
        let soft = shape.topology.spread.iter().enumerate().filter(|(_, spread)| !spread.hard);
        Self {
            affinity: preferred(&shape.topology.affinity),
            anti_affinity: preferred(&shape.topology.anti_affinity),
            nodes: (0..shape.preferred.len()).rev().collect(),
            spread: soft.map(|(index, _)| index).rev().collect(),
            advice: advised,
        }
    }

    fn is_empty(&self) -> bool {
        self.affinity.is_empty()
            && self.anti_affinity.is_empty()
            && self.nodes.is_empty()
            && self.spread.is_empty()
            && !self.advice
    }

    fn drop_one(&mut self) {
        let dropped = self.affinity.pop().is_some()
            || self.anti_affinity.pop().is_some()
            || self.nodes.pop().is_some()
            || self.spread.pop().is_some();
        if !dropped {
            self.advice = false;
        }
    }

    /// The shape with these wishes as requirements and no others.
    fn granted(&self, shape: &PodShape) -> PodShape {
        let mut granted = shape.clone();
        let terms = |all: &[PodTerm], kept: &[PodTerm]| {
            let required = all.iter().filter(|term| term.weight.is_none()).copied();
            let mut terms: Vec<PodTerm> =
                required.chain(kept.iter().map(|term| PodTerm { weight: None, ..*term })).collect();
            terms.sort();
            terms.dedup();
            terms
        };
        granted.topology.affinity = terms(&shape.topology.affinity, &self.affinity);
        granted.topology.anti_affinity = terms(&shape.topology.anti_affinity, &self.anti_affinity);
        let spreads = shape.topology.spread.iter().enumerate();
        granted.topology.spread = spreads
            .filter(|(index, spread)| spread.hard || self.spread.contains(index))
            .map(|(_, spread)| stowage_model::Spread { hard: true, ..spread.clone() })
            .collect();
        if let Some(term) = self.nodes.last().and_then(|index| shape.preferred.get(*index)) {
            granted.affinity = Some(narrowed(shape.affinity.as_deref(), &term.term.0));
        }
        granted.preferred.clear();
        granted.heeds_advice = self.advice;
        granted
    }
}

/// Every alternative of `required` with `wish` on top.
fn narrowed(required: Option<&[NodeTerm]>, wish: &Requirements) -> Vec<NodeTerm> {
    let Some(alternatives) = required else { return vec![NodeTerm(wish.clone())] };
    alternatives
        .iter()
        .filter(|term| !term.0.is_empty())
        .map(|term| {
            let mut both = term.0.clone();
            both.add_all(wish);
            NodeTerm(both)
        })
        .collect()
}

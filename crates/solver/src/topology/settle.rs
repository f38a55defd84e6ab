//! From packed counts to kinds of pods on nodes, each of them let in by the
//! state, in an order that holds.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

use stowage_model::{Problem, Resources};

use super::demand::{Demand, Related};
use super::finish::{Finisher, Turn};
use super::seating::{self, Seats};
use super::state::State;
use crate::filters::Place;
use crate::launches::{Launch, lookalikes};
use crate::monitor::Monitor;
use crate::packing::{Packing, Solution};

/// Pods up to which everybody is also tried one by one, whether or not packing
/// left anybody over.
const MOST_ONE_BY_ONE: usize = 300;
/// Orders tried for small inputs while some pod has no place.
const SHUFFLES: u64 = 24;

/// A node of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Host {
    /// Index of an existing node.
    Existing(usize),
    /// Index of a planned node.
    Planned(usize),
}

/// Pods on nodes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settled {
    /// The launch of each planned node.
    pub(crate) nodes: Vec<usize>,
    /// Shape and host of every pod, in an order in which each finds its rules met.
    pub(crate) order: Vec<(u32, Host)>,
    /// Pods without a place, by kind, and which rule keeps them out.
    pub(crate) left: BTreeMap<usize, (u32, Option<super::state::Refusal>)>,
}

/// Settles what was packed, and places the rest one by one.
pub(crate) fn settle(
    problem: &Problem,
    launches: &[Launch],
    demand: &Demand,
    related: &Related,
    rounds: &[(&Packing, &Solution)],
    turn: Turn,
) -> Settled {
    let (representatives, groups) = lookalikes(problem, launches, &related.shapes);
    let places: Vec<Place<'_>> = representatives
        .iter()
        .map(|launch| Place::Launch(launches[*launch].labels(problem), &launches[*launch].free))
        .collect();
    let mut state = State::new(problem, related, &places);
    let nothing = Resources::new();
    for node in &problem.nodes {
        state.add_spot(&Place::Node(node, &nothing), false);
    }
    let stand_ins: Vec<usize> = places.iter().map(|place| state.add_spot(place, true)).collect();
    // Planned nodes come last, so that spots and nodes keep step.
    let first = problem.nodes.len() + stand_ins.len();
    let mut nodes: Vec<(usize, Vec<(usize, u32)>)> = Vec::new();
    let mut on_existing: Vec<(usize, Vec<(usize, u32)>)> = Vec::new();
    for (packing, solution) in rounds {
        let parts = |filling: &[(u32, u32)]| -> Vec<(usize, u32)> {
            filling.iter().map(|(class, count)| (packing.classes[*class as usize].shape as usize, *count)).collect()
        };
        for (bin, filling) in packing.bins.iter().zip(&solution.bins).filter(|(_, filling)| !filling.is_empty()) {
            on_existing.push((bin.node as usize, parts(filling)));
        }
        for node in &solution.nodes {
            nodes.push((packing.offers[node.offer].launch as usize, parts(&node.filling)));
        }
    }
    nodes.sort();
    for (launch, _) in &nodes {
        state.add_spot(&places[groups[*launch]], false);
    }
    let planned = nodes.iter().enumerate().map(|(index, (_, filling))| (first + index, filling));
    let fillings: Vec<(usize, &Vec<(usize, u32)>)> =
        on_existing.iter().map(|(node, filling)| (*node, filling)).chain(planned).collect();
    let (seats, mut left) = seating::seated(state.clone(), demand, &fillings);

    let mut finisher = Finisher::new(problem, launches, related, state, (&stand_ins, &groups), &places);
    for (launch, _) in &nodes {
        finisher.open(*launch);
    }
    replay(&mut finisher, related, seats, &mut left);
    for (kind, count) in &related.late {
        *left.entry(*kind).or_default() += count;
    }
    finisher.finish(left, turn)
}

/// Everybody one by one, the largest first and nothing packed, as Karpenter does
/// it. Where rules let only some pods in, whom they let in depends on who comes
/// first, so this can place more.
fn one_by_one(problem: &Problem, launches: &[Launch], demand: &Demand, related: &Related, turn: Turn) -> Settled {
    let everybody = related.levels.iter().zip(problem.counts());
    let late = everybody.filter(|(_, count)| *count > 0).map(|(kinds, count)| (kinds[0], count)).collect();
    let related = Related { order: Vec::new(), late, ..related.clone() };
    let nobody = Demand { parts: Vec::new(), ..demand.clone() };
    settle(problem, launches, &nobody, &related, &[], turn)
}

/// The best of `settled` and of everybody one by one, in several orders: one for
/// small inputs, all of them while some pod has no place.
pub(crate) fn in_other_orders(
    problem: &Problem,
    launches: &[Launch],
    demand: &Demand,
    related: &Related,
    mut settled: Settled,
    monitor: &dyn Monitor,
) -> Settled {
    let short = problem.pods.len() <= MOST_ONE_BY_ONE;
    let shuffled = (0..if short { SHUFFLES } else { 0 }).map(Turn::Shuffled);
    for turn in [Turn::Largest, Turn::Gregarious, Turn::Choosiest].into_iter().chain(shuffled) {
        let worth_it = !settled.left.is_empty() || short && turn == Turn::Largest;
        if worth_it && monitor.stop().is_none() {
            let other = one_by_one(problem, launches, demand, related, turn);
            settled = settled.or_better(other, problem, launches, related);
        }
    }
    settled
}

impl Settled {
    /// The better of two.
    pub(crate) fn or_better(self, other: Self, problem: &Problem, launches: &[Launch], related: &Related) -> Self {
        let rank = |settled: &Self| settled.rank(problem, launches, related);
        if rank(&other) < rank(&self) { other } else { self }
    }

    /// Lexicographic worth: unplaced pods by priority, then the price.
    fn rank(&self, problem: &Problem, launches: &[Launch], related: &Related) -> (Vec<(Reverse<i32>, u32)>, i64) {
        let mut unplaced: BTreeMap<Reverse<i32>, u32> =
            problem.shapes.iter().map(|shape| (Reverse(shape.priority), 0)).collect();
        for (kind, (count, _)) in &self.left {
            let priority = problem.shapes[related.shape_of[*kind] as usize].priority;
            *unplaced.entry(Reverse(priority)).or_default() += count;
        }
        let price = self.nodes.iter().map(|launch| launches[*launch].offering(problem).price.nanos()).sum();
        (unplaced.into_iter().collect(), price)
    }
}

/// Lets pods in one by one: those with wide rules in the order that was found
/// for them, then everybody else. Who is refused may try again when others have
/// come; who never gets in is left over.
fn replay(finisher: &mut Finisher<'_>, related: &Related, mut seats: Seats, left: &mut BTreeMap<usize, u32>) {
    for ((_, kind), spots) in &seats {
        spots.iter().for_each(|spot| finisher.reserve(*kind, *spot));
    }
    let mut refused: Vec<(usize, usize)> = Vec::new();
    for (part, kind) in &related.order {
        match seats.get_mut(&(*part, *kind)).and_then(VecDeque::pop_front) {
            Some(spot) if finisher.admit(*kind, spot) => {}
            Some(spot) => refused.push((*kind, spot)),
            // Its turn counts for those after it, so it is placed now.
            None => {
                if finisher.place(*kind)
                    && let Some(count) = left.get_mut(kind)
                {
                    *count -= 1;
                }
            }
        }
    }
    for ((_, kind), spots) in seats {
        refused.extend(spots.into_iter().filter(|spot| !finisher.admit(kind, *spot)).map(|spot| (kind, spot)));
    }
    loop {
        let before = refused.len();
        refused.retain(|(kind, spot)| !finisher.admit(*kind, *spot));
        if refused.is_empty() || refused.len() == before {
            break;
        }
    }
    for (kind, spot) in refused {
        finisher.release(kind, spot);
        *left.entry(kind).or_default() += 1;
    }
    left.retain(|_, count| *count > 0);
}

//! From packed counts to kinds of pods on nodes, each of them let in by the
//! state, in an order that holds.

use std::collections::{BTreeMap, VecDeque};

use stowage_model::{Problem, Resources};

use super::demand::{Demand, Related};
use super::finish::Finisher;
use super::state::State;
use crate::filters::Place;
use crate::launches::{Launch, lookalikes};
use crate::packing::{Packing, Solution};

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

/// Where packing put the pods of each part and kind.
type Seats = BTreeMap<(usize, usize), VecDeque<usize>>;

/// Settles what was packed, and places the rest one by one.
pub(crate) fn settle(
    problem: &Problem,
    launches: &[Launch],
    demand: &Demand,
    related: &Related,
    rounds: &[(&Packing, &Solution)],
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
    let (seats, mut left) = seated(state.clone(), demand, &fillings);

    let mut finisher = Finisher::new(problem, launches, related, state, (&stand_ins, &groups), &places);
    for (launch, _) in &nodes {
        finisher.open(*launch);
    }
    replay(&mut finisher, related, seats, &mut left);
    for (kind, count) in &related.late {
        *left.entry(*kind).or_default() += count;
    }
    finisher.finish(left)
}

/// Which kinds of each part sit on which node: those that the node itself lets
/// in. Whoever finds no seat is left over.
fn seated(
    mut state: State<'_>,
    demand: &Demand,
    fillings: &[(usize, &Vec<(usize, u32)>)],
) -> (Seats, BTreeMap<usize, u32>) {
    let mut waiting: Vec<Vec<(usize, u32)>> = demand.parts.iter().map(|part| part.kinds.clone()).collect();
    let mut seats = Seats::new();
    for (spot, filling) in fillings {
        for (part, count) in filling.iter() {
            for _ in 0..*count {
                let fits = |(_, (kind, left)): &(usize, &(usize, u32))| *left > 0 && state.admits_locally(*kind, *spot);
                // The most numerous kind first: it is the hardest to spread thin.
                let found = waiting[*part]
                    .iter()
                    .enumerate()
                    .filter(fits)
                    .max_by_key(|(index, (_, left))| (*left, std::cmp::Reverse(*index)));
                let Some((index, (kind, _))) = found.map(|(index, entry)| (index, *entry)) else { break };
                waiting[*part][index].1 -= 1;
                state.put(kind, *spot);
                seats.entry((*part, kind)).or_default().push_back(*spot);
            }
        }
    }
    let mut left = BTreeMap::new();
    for (kind, count) in waiting.into_iter().flatten().filter(|(_, count)| *count > 0) {
        *left.entry(kind).or_default() += count;
    }
    (seats, left)
}

/// Lets pods in one by one: those with wide rules in the order that was found
/// for them, then everybody else. Who is refused may try again when others have
/// come; who never gets in is left over.
fn replay(finisher: &mut Finisher<'_>, related: &Related, mut seats: Seats, left: &mut BTreeMap<usize, u32>) {
    let mut refused: Vec<(usize, usize)> = Vec::new();
    let try_in = |finisher: &mut Finisher<'_>, kind: usize, spot: usize, refused: &mut Vec<(usize, usize)>| {
        if !finisher.admit(kind, spot) {
            refused.push((kind, spot));
        }
    };
    for (part, kind) in &related.order {
        if let Some(spot) = seats.get_mut(&(*part, *kind)).and_then(VecDeque::pop_front) {
            try_in(finisher, *kind, spot, &mut refused);
        }
    }
    for ((_, kind), spots) in seats {
        for spot in spots {
            try_in(finisher, kind, spot, &mut refused);
        }
    }
    loop {
        let before = refused.len();
        refused.retain(|(kind, spot)| !finisher.admit(*kind, *spot));
        if refused.is_empty() || refused.len() == before {
            break;
        }
    }
    for (kind, _) in refused {
        *left.entry(kind).or_default() += 1;
    }
}

//! Which kinds of pods sit on which node, where packing only said how many of
//! each part do: kinds of one part are alike to packing, not to each other.

use std::collections::{BTreeMap, VecDeque};

use super::demand::Demand;
use super::state::State;

/// Where the pods of each part and kind are.
pub(crate) type Seats = BTreeMap<(usize, usize), VecDeque<usize>>;

/// Node and how many pods of each part it takes.
pub(crate) type Filling<'a> = (usize, &'a Vec<(usize, u32)>);

/// Seats kinds that each node itself lets in. Whoever finds no seat is left over.
pub(crate) fn seated(state: State<'_>, demand: &Demand, fillings: &[Filling<'_>]) -> (Seats, BTreeMap<usize, u32>) {
    let mut plan = Seating {
        state,
        waiting: demand.parts.iter().map(|part| part.kinds.clone()).collect(),
        taken: vec![Vec::new(); demand.parts.len()],
    };
    let mut open: Vec<(usize, usize, u32)> = fillings
        .iter()
        .flat_map(|(spot, filling)| filling.iter().map(move |(part, count)| (*spot, *part, *count)))
        .collect();
    // Whoever has rules about a node chooses before those who only count in them.
    for choosy in [true, false] {
        for (spot, part, count) in &mut open {
            while *count > 0 && plan.seat(*part, *spot, choosy) {
                *count -= 1;
            }
        }
    }
    for (spot, part, count) in &mut open {
        while *count > 0 && plan.exchange(*part, *spot) {
            *count -= 1;
        }
    }
    let mut seats = Seats::new();
    for (part, taken) in plan.taken.into_iter().enumerate() {
        for (spot, kind) in taken {
            seats.entry((part, kind)).or_default().push_back(spot);
        }
    }
    let mut left = BTreeMap::new();
    for (kind, count) in plan.waiting.into_iter().flatten().filter(|(_, count)| *count > 0) {
        *left.entry(kind).or_default() += count;
    }
    (seats, left)
}

struct Seating<'a> {
    state: State<'a>,
    /// Per part, its kinds and how many of each have no seat.
    waiting: Vec<Vec<(usize, u32)>>,
    /// Per part, seats and who has them.
    taken: Vec<Vec<(usize, usize)>>,
}

impl Seating<'_> {
    /// Seats one pod of a part; the most numerous kind first, as it is the
    /// hardest to spread thin.
    fn seat(&mut self, part: usize, spot: usize, choosy: bool) -> bool {
        let fits = |(_, (kind, left)): &(usize, &(usize, u32))| {
            *left > 0 && self.state.choosy(*kind) == choosy && self.state.admits_locally(*kind, spot)
        };
        let waiting = self.waiting[part].iter().enumerate();
        let found = waiting.filter(fits).max_by_key(|(index, (_, left))| (*left, std::cmp::Reverse(*index)));
        let Some((index, (kind, _))) = found.map(|(index, entry)| (index, *entry)) else { return false };
        self.waiting[part][index].1 -= 1;
        self.sit(part, kind, spot);
        true
    }

    fn sit(&mut self, part: usize, kind: usize, spot: usize) {
        self.state.put(kind, spot);
        self.taken[part].push((spot, kind));
    }

    /// Gives a seat that no waiting pod may have to a seated one of the same
    /// part whose seat a waiting one may have.
    fn exchange(&mut self, part: usize, spot: usize) -> bool {
        for at in 0..self.taken[part].len() {
            let (other, mover) = self.taken[part][at];
            if other == spot || !self.state.admits_locally(mover, spot) {
                continue;
            }
            self.state.take(mover, other);
            let waiting = self.waiting[part].iter();
            let next = waiting.clone().position(|(kind, left)| *left > 0 && self.state.admits_locally(*kind, other));
            let Some(index) = next else {
                self.state.put(mover, other);
                continue;
            };
            let kind = self.waiting[part][index].0;
            self.waiting[part][index].1 -= 1;
            self.taken[part][at] = (other, kind);
            self.state.put(kind, other);
            self.sit(part, mover, spot);
            return true;
        }
        false
    }
}

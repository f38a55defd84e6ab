//! Who goes to which zone, or other domain wider than a node.
//!
//! Pods whose rules count pods by zone, capacity type or another label get their
//! domain here, one after the other, each where the scheduler's state lets it be
//! and where fewest of its kind are. What comes out is a pin per pod, which
//! packing understands, and an order in which every pod finds its rules met.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use stowage_model::{PodShape, Problem, ResourceName, Resources, Topology};

use super::demand::Related;
use super::relax;
use super::state::State;
use crate::filters::{Place, admitted_by_labels};
use crate::launches::{Launch, lookalikes};

/// A pod with its domains.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Assigned {
    pub(crate) kind: usize,
    /// Index into the pins of [`Related`].
    pub(crate) pins: usize,
}

/// Somewhere that pods of a kind could be.
struct Candidate {
    spot: usize,
    pins: usize,
    /// Nano-dollars per core there; existing nodes cost nothing.
    price: i64,
}

/// Assigns every pod that wide domains decide about.
pub(crate) fn assign(problem: &Problem, launches: &[Launch], advised: bool) -> (Related, Vec<Assigned>) {
    let ground = Ground::new(problem, launches);
    let mut related = kinds(problem, &ground, advised);
    let guarded = guarded(problem, &related.shapes);
    let mut state = State::new(problem, &related, &ground.universe());
    for node in &problem.nodes {
        state.add_spot(&Place::Node(node, &ground.free[0]), false);
    }
    let stand_ins: Vec<usize> = ground.places.iter().map(|place| state.add_spot(place, true)).collect();

    let mut pins = Pins::default();
    let mut waiting: Vec<Waiting> = Vec::new();
    for (shape, count) in problem.counts().into_iter().enumerate().filter(|(_, count)| *count > 0) {
        let kinds = related.levels[shape].clone();
        let on_node = |kind: &usize| {
            let topology = &related.shapes[*kind].topology;
            Topology::required(&topology.affinity).any(|group| state.by_node(group))
        };
        if kinds.iter().any(on_node) {
            related.late.push((kinds[0], count));
        } else if kinds.iter().any(|kind| !state.wide_keys(&related.shapes[*kind], &guarded).is_empty()) {
            waiting.push(Waiting { kinds, level: 0, left: count });
        }
    }
    waiting.sort_by_cached_key(|w| urgency(&state, &related.shapes[w.kinds[0]], w.kinds[0]));
    let mut assigned = Vec::new();
    let mut candidates: HashMap<usize, Vec<Candidate>> = HashMap::new();
    loop {
        let before = assigned.len();
        for pods in waiting.iter_mut().filter(|pods| pods.left > 0) {
            let kind = pods.kinds[pods.level];
            let places = candidates
                .entry(kind)
                .or_insert_with(|| ground.candidates(&state, &stand_ins, kind, &guarded, &mut pins));
            while pods.left > 0 {
                let open = places.iter().filter(|place| state.admits(kind, place.spot));
                let Some(best) = open.min_by_key(|place| (state.crowd(kind, place.spot), place.price, place.pins))
                else {
                    break;
                };
                state.put(kind, best.spot);
                assigned.push(Assigned { kind, pins: best.pins });
                pods.left -= 1;
            }
        }
        if assigned.len() > before {
            continue;
        }
        // Nobody can move: every pod that still waits drops a wish.
        let mut dropped = false;
        for pods in waiting.iter_mut().filter(|pods| pods.left > 0 && pods.level + 1 < pods.kinds.len()) {
            pods.level += 1;
            dropped = true;
        }
        if !dropped {
            break;
        }
    }
    let stuck = waiting.iter().filter(|pods| pods.left > 0);
    related.late.extend(stuck.map(|pods| (pods.kinds[pods.level], pods.left)));
    related.pins = pins.list;
    (related, assigned)
}

struct Waiting {
    kinds: Vec<usize>,
    level: usize,
    left: u32,
}

type Urgency = (std::cmp::Reverse<i32>, bool, bool, std::cmp::Reverse<i64>, std::cmp::Reverse<i64>, usize);

/// Important pods first; those that keep others out of whole zones before those
/// others; those that look for company last; then the large ones.
fn urgency(state: &State<'_>, shape: &PodShape, kind: usize) -> Urgency {
    let wide = |group: u32| !state.by_node(group);
    let keeps_out = Topology::required(&shape.topology.anti_affinity).any(wide);
    let follows = Topology::required(&shape.topology.affinity).any(|group| !shape.topology.in_group(group));
    let asks = |name| std::cmp::Reverse(shape.requests.get(name));
    let (cpu, memory) = (asks(ResourceName::CPU), asks(ResourceName::MEMORY));
    (std::cmp::Reverse(shape.priority), !keeps_out, follows, cpu, memory, kind)
}

/// Groups whose pods some other pod keeps out of its domain, or follows there:
/// where they are must be known.
fn guarded(problem: &Problem, shapes: &[PodShape]) -> BTreeSet<u32> {
    let of_pods = shapes.iter().flat_map(|shape| {
        let follows = Topology::required(&shape.topology.affinity).filter(|group| !shape.topology.in_group(*group));
        Topology::required(&shape.topology.anti_affinity).chain(follows)
    });
    of_pods.chain(problem.nodes.iter().flat_map(|node| node.repels.keys().copied())).collect()
}

/// The kinds of every shape: levels that no place could meet are left out.
fn kinds(problem: &Problem, ground: &Ground<'_>, advised: bool) -> Related {
    let mut related = Related::default();
    for (index, shape) in problem.shapes.iter().enumerate() {
        let mut levels = relax::levels(problem, shape, advised);
        while levels.len() > 1 && !ground.anywhere(&levels[0]) {
            levels.remove(0);
        }
        let mut own = Vec::new();
        for shape in levels {
            own.push(related.shapes.len());
            related.shape_of.push(index as u32);
            related.shapes.push(shape);
        }
        related.levels.push(own);
    }
    related
}

#[derive(Default)]
struct Pins {
    list: Vec<Vec<(String, String)>>,
    known: BTreeMap<Vec<(String, String)>, usize>,
}

impl Pins {
    fn index(&mut self, pins: Vec<(String, String)>) -> usize {
        *self.known.entry(pins).or_insert_with_key(|pins| {
            self.list.push(pins.clone());
            self.list.len() - 1
        })
    }
}

/// Every place there is or could be: groups of launches that look alike, and
/// existing nodes.
struct Ground<'a> {
    places: Vec<Place<'a>>,
    /// Per place, what pods could have there and its price per core, cheapest
    /// first: one entry per launch.
    rooms: Vec<Vec<(i64, &'a Resources)>>,
    free: Vec<Resources>,
}

impl<'a> Ground<'a> {
    fn new(problem: &'a Problem, launches: &'a [Launch]) -> Self {
        let (representatives, groups) = lookalikes(problem, launches, &problem.shapes);
        let mut rooms: Vec<Vec<(i64, &Resources)>> = vec![Vec::new(); representatives.len()];
        for (launch, group) in launches.iter().zip(groups) {
            let cores = (launch.free.get(ResourceName::CPU) / 1_000).max(1);
            rooms[group].push((launch.offering(problem).price.nanos() / cores, &launch.free));
        }
        rooms.iter_mut().for_each(|rooms| rooms.sort_by_key(|(price, _)| *price));
        let places = representatives.iter().map(|launch| {
            let launch = &launches[*launch];
            Place::Launch(launch.labels(problem), &launch.free)
        });
        let mut ground = Self { places: places.collect(), rooms, free: vec![Resources::new()] };
        for node in problem.nodes.iter().filter(|node| node.schedulable) {
            ground.places.push(Place::Node(node, &node.allocatable));
            ground.rooms.push(Vec::new());
        }
        ground
    }

    /// Places that pools could make.
    fn universe(&self) -> Vec<Place<'a>> {
        self.places.iter().filter(|place| matches!(place, Place::Launch(..))).copied().collect()
    }

    /// The least price per core at which a place holds the pod, if it does.
    fn price(&self, place: usize, shape: &PodShape) -> Option<i64> {
        if let Place::Node(node, _) = &self.places[place] {
            return shape.requests.fits(&node.free()).then_some(0);
        }
        self.rooms[place].iter().find(|(_, free)| shape.requests.fits(free)).map(|(price, _)| *price)
    }

    fn anywhere(&self, shape: &PodShape) -> bool {
        (0..self.places.len())
            .any(|place| admitted_by_labels(shape, &self.places[place]) && self.price(place, shape).is_some())
    }

    /// Where pods of `kind` could be, one place for each set of domains that
    /// matters to them.
    fn candidates(
        &self,
        state: &State<'_>,
        stand_ins: &[usize],
        kind: usize,
        guarded: &BTreeSet<u32>,
        pins: &mut Pins,
    ) -> Vec<Candidate> {
        let shape = state.kind(kind);
        let keys = state.wide_keys(shape, guarded);
        let mut by_domains: BTreeMap<Vec<u32>, Candidate> = BTreeMap::new();
        for (place, spot) in stand_ins.iter().enumerate() {
            if !admitted_by_labels(shape, &self.places[place]) {
                continue;
            }
            let Some(price) = self.price(place, shape) else { continue };
            let domains = state.domains(*spot, &keys);
            let known = by_domains.get(&domains);
            if known.is_none_or(|known| price < known.price) {
                let label = |key: &usize| {
                    let name = state.key_name(*key);
                    self.places[place].label(name).map(|value| (name.to_owned(), value.to_owned()))
                };
                let pins = pins.index(keys.iter().filter_map(label).collect());
                by_domains.insert(domains, Candidate { spot: *spot, pins, price });
            }
        }
        by_domains.into_values().collect()
    }
}

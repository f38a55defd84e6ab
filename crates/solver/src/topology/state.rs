//! Who is where, and what that lets other pods do: the scheduler's own view of
//! spread, affinity, anti-affinity and host ports, one pod at a time.

mod admission;

use std::collections::{BTreeSet, HashMap};

use stowage_model::taint::first_untolerated;
use stowage_model::{HostPort, PodShape, Problem, Spread, Topology, labels};

use super::demand::Related;
use crate::filters::Place;

pub(crate) use self::admission::Refusal;

/// Stands for a label that a node does not have.
const NONE: u32 = u32::MAX;

/// A node, or a stand-in for all nodes that a launch could become.
#[derive(Clone, Debug, Default)]
struct Spot {
    /// Per topology key, the domain.
    domains: Vec<u32>,
    /// Stands for nodes that could be made: nothing is kept of single nodes.
    stand_in: bool,
    /// Per counter, whether its pods count here.
    counted: Vec<bool>,
    ports: Vec<HostPort>,
    /// Pods per group that spreads on this one node let in at most.
    caps: Vec<(u32, u32)>,
}

/// Counts by domain.
type Tally = HashMap<u32, u32>;

/// A group as one pod's spread constraint sees it: on some nodes only.
#[derive(Clone, Debug)]
struct Counter {
    group: u32,
    tally: Tally,
    /// Domains that exist or that pools could make.
    domains: BTreeSet<u32>,
}

/// What makes two spread constraints count the same pods on the same nodes.
type CounterKey = (u32, Option<PodShape>, Option<PodShape>);

/// The state.
#[derive(Clone, Debug)]
pub(crate) struct State<'a> {
    /// Distinct topology keys.
    keys: Vec<&'a str>,
    /// Per group, its key.
    key_of: Vec<usize>,
    hostname: Option<usize>,
    /// Domain by key and value.
    values: HashMap<(usize, String), u32>,
    spots: Vec<Spot>,
    /// Per group, pods that it counts and pods that keep it away, by domain.
    members: Vec<Tally>,
    repels: Vec<Tally>,
    totals: Vec<u32>,
    counters: Vec<Counter>,
    /// Whether pods may still join those that spread over nodes, where their own
    /// rules let them: a scheduler looks at the one that comes, not at who is
    /// there. What holds in every order is better where it can be had.
    lenient: bool,
    filters: Vec<CounterKey>,
    /// What pods can be like, and per spread constraint of each its counter.
    kinds: Vec<PodShape>,
    counters_of: Vec<Vec<usize>>,
    /// Per kind, the one with requirements alone: only those bind other pods.
    firm: Vec<usize>,
    counters_by_group: Vec<Vec<usize>>,
}

impl<'a> State<'a> {
    /// Without nodes. `universe` are the places that could exist.
    pub(crate) fn new(problem: &'a Problem, related: &Related, universe: &[Place<'_>]) -> Self {
        let mut keys: Vec<&str> = problem.groups.iter().map(|group| group.key.as_str()).collect();
        keys.sort_unstable();
        keys.dedup();
        let key_of = problem.groups.iter().map(|g| keys.binary_search(&g.key.as_str()).unwrap_or(0)).collect();
        let groups = problem.groups.len();
        let mut state = Self {
            hostname: keys.iter().position(|key| *key == labels::HOSTNAME),
            keys,
            key_of,
            values: HashMap::new(),
            spots: Vec::new(),
            members: vec![Tally::new(); groups],
            repels: vec![Tally::new(); groups],
            totals: vec![0; groups],
            counters: Vec::new(),
            lenient: false,
            filters: Vec::new(),
            counters_of: Vec::new(),
            firm: Vec::new(),
            kinds: Vec::new(),
            counters_by_group: vec![Vec::new(); groups],
        };
        let last = |shape: &u32| related.levels[*shape as usize].last().copied().unwrap_or(0);
        let firm: Vec<usize> = related.shape_of.iter().map(last).collect();
        let mut known = HashMap::new();
        // Which nodes count is decided by requirements, not by wishes.
        for (shape, firm) in related.shapes.iter().zip(&firm) {
            let firm = &related.shapes[*firm];
            let spreads = shape.topology.spread.iter();
            let counters = spreads.map(|spread| state.counter(&mut known, firm, spread, universe)).collect();
            state.counters_of.push(counters);
        }
        state.kinds.clone_from(&related.shapes);
        state.firm = firm;
        state
    }

    /// From now on rules bind only their owners.
    pub(crate) fn be_lenient(&mut self) {
        self.lenient = true;
    }

    /// What a kind is like.
    pub(crate) fn kind(&self, kind: usize) -> &PodShape {
        &self.kinds[kind]
    }

    fn counter(
        &mut self,
        known: &mut HashMap<CounterKey, usize>,
        shape: &PodShape,
        spread: &Spread,
        universe: &[Place<'_>],
    ) -> usize {
        let key = counter_key(shape, spread);
        if let Some(counter) = known.get(&key) {
            return *counter;
        }
        let at = self.key_of[spread.group as usize];
        let mut domains = BTreeSet::new();
        if Some(at) != self.hostname {
            for place in universe.iter().filter(|place| counts_on(&key, place)) {
                if let Some(value) = place.label(self.keys[at]) {
                    domains.insert(self.domain(at, value));
                }
            }
        }
        self.counters_by_group[spread.group as usize].push(self.counters.len());
        self.counters.push(Counter { group: spread.group, tally: Tally::new(), domains });
        known.insert(key.clone(), self.counters.len() - 1);
        self.filters.push(key);
        self.counters.len() - 1
    }

    fn domain(&mut self, key: usize, value: &str) -> u32 {
        let next = self.values.len() as u32;
        *self.values.entry((key, value.to_owned())).or_insert(next)
    }

    /// Adds a node, or a stand-in, which has no name of its own.
    pub(crate) fn add_spot(&mut self, place: &Place<'_>, stand_in: bool) -> usize {
        let index = self.spots.len();
        let domains = (0..self.keys.len())
            .map(|key| match place.label(self.keys[key]) {
                _ if Some(key) == self.hostname => {
                    if stand_in {
                        NONE
                    } else {
                        index as u32
                    }
                }
                Some(value) => self.domain(key, value),
                None => NONE,
            })
            .collect();
        let counted = self.filters.iter().map(|key| counts_on(key, place)).collect();
        let mut spot = Spot { domains, counted, stand_in, ..Spot::default() };
        if !stand_in {
            for (counter, counted) in self.counters.iter_mut().zip(&spot.counted) {
                let domain = spot.domains[self.key_of[counter.group as usize]];
                if *counted && domain != NONE && Some(self.key_of[counter.group as usize]) != self.hostname {
                    counter.domains.insert(domain);
                }
            }
        }
        if let Place::Node(node, _) = place {
            spot.ports.clone_from(&node.ports);
        }
        self.spots.push(spot);
        if let Place::Node(node, _) = place {
            for (group, count) in &node.members {
                self.count(*group, index, *count);
            }
            for (group, count) in &node.repels {
                self.repel(*group, index, *count);
            }
        }
        index
    }

    fn count(&mut self, group: u32, spot: usize, count: u32) {
        let domain = self.spots[spot].domains[self.key_of[group as usize]];
        // Pods on nodes without the label are nobody's company.
        if domain == NONE {
            return;
        }
        self.totals[group as usize] += count;
        *self.members[group as usize].entry(domain).or_default() += count;
        for counter in &self.counters_by_group[group as usize] {
            if self.spots[spot].counted[*counter] {
                *self.counters[*counter].tally.entry(domain).or_default() += count;
            }
        }
    }

    fn repel(&mut self, group: u32, spot: usize, count: u32) {
        let domain = self.spots[spot].domains[self.key_of[group as usize]];
        if domain != NONE {
            *self.repels[group as usize].entry(domain).or_default() += count;
        }
    }

    /// Takes a pod away again.
    pub(crate) fn take(&mut self, kind: usize, spot: usize) {
        let shape = &self.kinds[self.firm[kind]];
        let here = &mut self.spots[spot];
        let lower = |tally: Option<&mut u32>| {
            if let Some(count) = tally {
                *count = count.saturating_sub(1);
            }
        };
        for group in &shape.topology.member {
            let domain = here.domains[self.key_of[*group as usize]];
            if domain == NONE {
                continue;
            }
            lower(self.totals.get_mut(*group as usize));
            lower(self.members[*group as usize].get_mut(&domain));
            for counter in self.counters_by_group[*group as usize].iter().filter(|c| here.counted[**c]) {
                lower(self.counters[*counter].tally.get_mut(&domain));
            }
        }
        for group in Topology::required(&shape.topology.anti_affinity) {
            lower(self.repels[group as usize].get_mut(&here.domains[self.key_of[group as usize]]));
        }
        for spread in &shape.topology.spread {
            let cap = (spread.group, spread.max_skew);
            if let Some(at) = here.caps.iter().position(|known| *known == cap) {
                here.caps.swap_remove(at);
            }
        }
        here.ports.retain(|port| !shape.ports.contains(port));
    }

    /// Puts a pod at a spot.
    pub(crate) fn put(&mut self, kind: usize, spot: usize) {
        let shape = self.kinds[self.firm[kind]].clone();
        for group in &shape.topology.member {
            self.count(*group, spot, 1);
        }
        for group in Topology::required(&shape.topology.anti_affinity) {
            self.repel(group, spot, 1);
        }
        if self.spots[spot].stand_in {
            return;
        }
        for spread in &shape.topology.spread {
            if Some(self.key_of[spread.group as usize]) == self.hostname {
                self.spots[spot].caps.push((spread.group, spread.max_skew));
            }
        }
        self.spots[spot].ports.extend(shape.ports.iter().cloned());
    }

    fn at(tally: &[Tally], group: u32, domain: u32) -> u32 {
        tally[group as usize].get(&domain).copied().unwrap_or(0)
    }

    /// How crowded a spot is for a pod: pods of the groups that it spreads, then
    /// of those that count it.
    pub(crate) fn crowd(&self, kind: usize, spot: usize) -> (u32, u32) {
        let shape = &self.kinds[kind];
        let sum = |groups: &mut dyn Iterator<Item = u32>| -> u32 {
            let here = |group: u32| self.spots[spot].domains[self.key_of[group as usize]];
            groups.map(|group| Self::at(&self.members, group, here(group))).sum()
        };
        let own = sum(&mut shape.topology.spread.iter().map(|spread| spread.group));
        (own, sum(&mut shape.topology.member.iter().copied()))
    }

    /// The domain of a spot as a group sees it.
    pub(crate) fn domain_of(&self, group: u32, spot: usize) -> u32 {
        self.spots[spot].domains[self.key_of[group as usize]]
    }

    /// The domains of a spot under `keys`, for telling spots apart.
    pub(crate) fn domains(&self, spot: usize, keys: &[usize]) -> Vec<u32> {
        keys.iter().map(|key| self.spots[spot].domains[*key]).collect()
    }

    /// Topology keys other than the hostname that decide where `shape` may be.
    pub(crate) fn wide_keys(&self, shape: &PodShape, guarded: &BTreeSet<u32>) -> Vec<usize> {
        let topology = &shape.topology;
        let own = topology.spread.iter().map(|spread| spread.group);
        let own = own.chain(Topology::required(&topology.affinity)).chain(Topology::required(&topology.anti_affinity));
        let groups = own.chain(topology.member.iter().copied().filter(|group| guarded.contains(group)));
        let keys: BTreeSet<usize> =
            groups.map(|g| self.key_of[g as usize]).filter(|key| Some(*key) != self.hostname).collect();
        keys.into_iter().collect()
    }

    /// The name of a topology key.
    pub(crate) fn key_name(&self, key: usize) -> &'a str {
        self.keys[key]
    }

    /// Whether pods of a kind have rules about who else is on their node.
    pub(crate) fn choosy(&self, kind: usize) -> bool {
        let topology = &self.kinds[kind].topology;
        let spread = topology.spread.iter().map(|spread| spread.group);
        let near = Topology::required(&topology.affinity);
        spread.chain(near).chain(Topology::required(&topology.anti_affinity)).any(|group| self.by_node(group))
    }

    /// Whether a group is counted by node.
    pub(crate) fn by_node(&self, group: u32) -> bool {
        Some(self.key_of[group as usize]) == self.hostname
    }
}

fn counter_key(shape: &PodShape, spread: &Spread) -> CounterKey {
    let affinity = spread.honor_affinity.then(|| PodShape {
        selector: shape.selector.clone(),
        affinity: shape.affinity.clone(),
        ..PodShape::default()
    });
    let taints =
        spread.honor_taints.then(|| PodShape { tolerations: shape.tolerations.clone(), ..PodShape::default() });
    (spread.group, affinity, taints)
}

fn counts_on((_, affinity, taints): &CounterKey, place: &Place<'_>) -> bool {
    let admitted = |shape: &PodShape| {
        shape.selector.admit(|key| place.label(key))
            && shape.affinity.as_ref().is_none_or(|terms| terms.iter().any(|t| t.matches(|key| place.label(key))))
    };
    affinity.as_ref().is_none_or(admitted)
        && taints.as_ref().is_none_or(|shape| first_untolerated(place.taints(), &shape.tolerations).is_none())
}

//! Pods without a place, one by one, under every rule: on a node with room, on a
//! node made larger, or on a new one, whichever adds least to the bill.

mod hosts;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use stowage_model::{Problem, ResourceName, Resources, Topology};

use super::demand::Related;
use super::settle::{Host, Settled};
use super::state::{Refusal, State};
use crate::filters::{Place, admitted_by_labels};
use crate::launches::Launch;
use crate::limits::Limits;
use crate::random::Random;

/// Who comes first, after priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Karpenter's order.
    Largest,
    /// Pods that must be near others.
    Gregarious,
    /// Pods that the fewest places admit.
    Choosiest,
    /// Anybody, by a number.
    Shuffled(u64),
}

/// A planned node.
struct Planned {
    launch: usize,
    load: Resources,
    /// Its spot in the state.
    spot: usize,
    pods: u32,
    closed: bool,
}

pub(crate) struct Finisher<'a> {
    problem: &'a Problem,
    launches: &'a [Launch],
    related: &'a Related,
    state: State<'a>,
    stand_ins: &'a [usize],
    groups: &'a [usize],
    places: &'a [Place<'a>],
    /// Launches of each group, cheapest first.
    members: Vec<Vec<usize>>,
    /// What is left of each existing node.
    free: Vec<Resources>,
    planned: Vec<Planned>,
    /// What is left of each pool's limits.
    limits: Limits<'a>,
    order: Vec<(u32, Host)>,
    /// Shared volumes that are attached to each node.
    attached: HashMap<Host, BTreeSet<u32>>,
    /// Per kind, the weight of the heaviest pool that would hold it.
    heaviest: HashMap<usize, i32>,
    /// Whether labels let a kind be in a group of launches, or on a node.
    admitted: HashMap<(usize, Host), bool>,
}

impl<'a> Finisher<'a> {
    pub(crate) fn new(
        problem: &'a Problem,
        launches: &'a [Launch],
        related: &'a Related,
        state: State<'a>,
        (stand_ins, groups): (&'a [usize], &'a [usize]),
        places: &'a [Place<'a>],
    ) -> Self {
        let mut members: Vec<Vec<usize>> = vec![Vec::new(); places.len()];
        for (launch, group) in groups.iter().enumerate() {
            members[*group].push(launch);
        }
        for list in &mut members {
            list.sort_by_key(|launch| (launches[*launch].offering(problem).price, *launch));
        }
        Self {
            problem,
            launches,
            related,
            state,
            stand_ins,
            groups,
            places,
            members,
            free: problem.nodes.iter().map(stowage_model::Node::free).collect(),
            planned: Vec::new(),
            limits: Limits::new(problem, launches),
            order: Vec::new(),
            attached: problem
                .nodes
                .iter()
                .enumerate()
                .map(|(n, node)| (Host::Existing(n), node.attached.clone()))
                .collect(),
            heaviest: HashMap::new(),
            admitted: HashMap::new(),
        }
    }

    /// Opens a planned node whose spot is in the state already.
    pub(crate) fn open(&mut self, launch: usize) {
        let spot = self.problem.nodes.len() + self.stand_ins.len() + self.planned.len();
        self.planned.push(Planned { launch, load: Resources::new(), spot, pods: 0, closed: false });
        self.limits.pay(launch, 1);
    }

    /// Keeps room for a pod that has its seat at a spot.
    pub(crate) fn reserve(&mut self, kind: usize, spot: usize) {
        self.occupy(kind, self.host(spot), 1);
    }

    /// Gives up the room that was kept.
    pub(crate) fn release(&mut self, kind: usize, spot: usize) {
        self.occupy(kind, self.host(spot), -1);
    }

    /// Lets a pod into its seat where the state does.
    pub(crate) fn admit(&mut self, kind: usize, spot: usize) -> bool {
        let host = self.host(spot);
        let admitted = self.state.admits(kind, spot) && self.attachable(kind, host);
        if admitted {
            self.enter(kind, host);
        }
        admitted
    }

    fn host(&self, spot: usize) -> Host {
        if spot < self.problem.nodes.len() {
            Host::Existing(spot)
        } else {
            Host::Planned(spot - self.problem.nodes.len() - self.stand_ins.len())
        }
    }

    fn spot(&self, host: Host) -> usize {
        match host {
            Host::Existing(node) => node,
            Host::Planned(node) => self.planned[node].spot,
        }
    }

    fn is_attached(&self, host: Host, claim: u32) -> bool {
        self.attached.get(&host).is_some_and(|claims| claims.contains(&claim))
    }

    /// What a pod takes of a node, or of a new one: shared volumes that are there
    /// already cost nothing.
    fn asks(&self, kind: usize, host: Option<Host>) -> Cow<'a, Resources> {
        let shape = &self.related.shapes[kind];
        let there = |claim| host.is_some_and(|host| self.is_attached(host, claim));
        let mut asked = Cow::Borrowed(&shape.requests);
        for volume in shape.topology.shared.iter().filter(|volume| !there(volume.claim)) {
            let asked = asked.to_mut();
            asked.set(&volume.resource, asked.get(&volume.resource) + 1);
        }
        asked
    }

    /// Whether a pod that has its seat can attach the volumes that it shares.
    fn attachable(&self, kind: usize, host: Host) -> bool {
        let shape = &self.related.shapes[kind];
        if shape.topology.shared.is_empty() {
            return true;
        }
        let asked = self.asks(kind, Some(host));
        let fits = |resource: &str| {
            let more = asked.get(resource) - shape.requests.get(resource);
            more <= match host {
                Host::Existing(node) => self.free[node].get(resource),
                Host::Planned(node) => {
                    let node = &self.planned[node];
                    self.launches[node.launch].free.get(resource) - node.load.get(resource)
                }
            }
        };
        shape.topology.shared.iter().all(|volume| fits(&volume.resource))
    }

    fn occupy(&mut self, kind: usize, host: Host, times: i64) {
        let requests = self.related.shapes[kind].requests.times(times);
        match host {
            Host::Existing(node) => self.free[node].subtract(&requests),
            Host::Planned(node) => self.planned[node].load.add(&requests),
        }
    }

    fn enter(&mut self, kind: usize, host: Host) {
        if let Host::Planned(node) = host {
            self.planned[node].pods += 1;
        }
        let volumes = &self.related.shapes[kind].topology.shared;
        if !volumes.is_empty() {
            let fresh: Vec<_> = volumes.iter().filter(|v| !self.is_attached(host, v.claim)).collect();
            let mut load = Resources::new();
            for volume in &fresh {
                load.set(&volume.resource, load.get(&volume.resource) + 1);
            }
            match host {
                Host::Existing(node) => self.free[node].subtract(&load),
                Host::Planned(node) => self.planned[node].load.add(&load),
            }
            let claims: Vec<u32> = fresh.iter().map(|volume| volume.claim).collect();
            self.attached.entry(host).or_default().extend(claims);
        }
        self.state.put(kind, self.spot(host));
        self.order.push((self.related.shape_of[kind], host));
    }

    /// Places `left`, and says how everything ended.
    pub(crate) fn finish(mut self, left: BTreeMap<usize, u32>, turn: Turn) -> Settled {
        // Nodes that lost all their pods are not bought.
        for node in 0..self.planned.len() {
            if self.planned[node].pods == 0 {
                self.planned[node].closed = true;
                self.limits.pay(self.planned[node].launch, -1);
            }
        }
        let mut waiting: Vec<(usize, u32)> = left.into_iter().collect();
        waiting.sort_by_cached_key(|(kind, _)| {
            let shape = &self.related.shapes[*kind];
            let asks = |name| shape.requests.get(name);
            let first = match turn {
                Turn::Largest => 0,
                Turn::Gregarious => {
                    let firm = self.levels(*kind).last().map_or(shape, |last| &self.related.shapes[*last]);
                    usize::from(!Topology::required(&firm.topology.affinity).any(|group| self.state.by_node(group)))
                }
                Turn::Shuffled(seed) => Random::new(seed ^ (*kind as u64) << 8).below(1 << 16),
                Turn::Choosiest => self.places.iter().filter(|place| admitted_by_labels(shape, place)).count(),
            };
            let size = (asks(ResourceName::CPU), asks(ResourceName::MEMORY));
            (std::cmp::Reverse(shape.priority), first, std::cmp::Reverse(size), *kind)
        });
        let mut lenient = false;
        loop {
            let mut placed = false;
            for (kind, count) in &mut waiting {
                while *count > 0 && self.place(*kind) {
                    *count -= 1;
                    placed = true;
                }
            }
            if placed {
                continue;
            }
            // Smaller nodes leave more of the limits.
            let shrunk = self.shrink();
            if waiting.iter().all(|(_, count)| *count == 0) {
                break;
            }
            if !shrunk {
                if lenient {
                    break;
                }
                lenient = true;
                self.state.be_lenient();
            }
        }
        let mut settled = Settled::default();
        for (kind, count) in waiting.into_iter().filter(|(_, count)| *count > 0) {
            let last = self.levels(kind).last().copied().unwrap_or(kind);
            settled.left.insert(kind, (count, self.refusal(last)));
        }
        let mut place = vec![None; self.planned.len()];
        for (index, node) in self.planned.iter().enumerate().filter(|(_, node)| !node.closed) {
            place[index] = Some(settled.nodes.len());
            settled.nodes.push(node.launch);
        }
        settled.order = std::mem::take(&mut self.order)
            .into_iter()
            .filter_map(|(shape, host)| match host {
                Host::Existing(node) => Some((shape, Host::Existing(node))),
                Host::Planned(node) => place[node].map(|node| (shape, Host::Planned(node))),
            })
            .collect();
        settled
    }

    fn levels(&self, kind: usize) -> Vec<usize> {
        let levels = &self.related.levels[self.related.shape_of[kind] as usize];
        levels.iter().copied().filter(|level| *level >= kind).collect()
    }

    /// Places one pod, dropping wishes as it must.
    pub(crate) fn place(&mut self, kind: usize) -> bool {
        self.levels(kind).into_iter().any(|level| self.place_as(level))
    }

    fn place_as(&mut self, kind: usize) -> bool {
        let host = match self.room(kind) {
            Some(host) => host,
            None => {
                let grown = self.growth(kind);
                let fresh = self.fresh(kind);
                match (grown, fresh) {
                    (Some((more, node, launch)), fresh) if fresh.is_none_or(|(price, _)| more < price) => {
                        self.limits.pay(self.planned[node].launch, -1);
                        self.limits.pay(launch, 1);
                        self.planned[node].launch = launch;
                        Host::Planned(node)
                    }
                    (_, Some((_, launch))) => {
                        let spot = self.state.add_spot(&self.places[self.groups[launch]], false);
                        self.planned.push(Planned { launch, load: Resources::new(), spot, pods: 0, closed: false });
                        self.limits.pay(launch, 1);
                        Host::Planned(self.planned.len() - 1)
                    }
                    _ => return false,
                }
            }
        };
        self.occupy(kind, host, 1);
        self.enter(kind, host);
        true
    }

    /// Buys every node as cheap as what came to be on it allows.
    fn shrink(&mut self) -> bool {
        let mut changed = false;
        for node in 0..self.planned.len() {
            let planned = &self.planned[node];
            if planned.closed {
                continue;
            }
            let smaller = self.members[self.groups[planned.launch]].iter().find(|launch| {
                planned.load.fits(&self.launches[**launch].free) && self.limits.allow(**launch, Some(planned.launch))
            });
            if let Some(launch) = smaller.copied().filter(|launch| *launch != planned.launch) {
                self.limits.pay(self.planned[node].launch, -1);
                self.limits.pay(launch, 1);
                self.planned[node].launch = launch;
                changed = true;
            }
        }
        changed
    }

    /// Which rule keeps a pod from every new node that it could be on otherwise.
    fn refusal(&self, kind: usize) -> Option<Refusal> {
        let shape = &self.related.shapes[kind];
        let mut refusals: Vec<Option<Refusal>> = Vec::new();
        for group in (0..self.places.len()).filter(|group| admitted_by_labels(shape, &self.places[*group])) {
            let mut holding = self.members[group]
                .iter()
                .filter(|launch| shape.requests.fits(&self.launches[**launch].free))
                .peekable();
            if holding.peek().is_some() {
                let taken = !holding.any(|launch| self.ports_free(kind, *launch));
                let refusal = self.state.refusal(kind, self.stand_ins[group]);
                refusals.push(refusal.or(taken.then_some(Refusal::HostPort)));
            }
        }
        refusals.iter().copied().min().flatten()
    }
}

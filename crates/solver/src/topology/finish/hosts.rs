//! Where one pod can go: a node with room, one that can grow, or a new one.

use stowage_model::Resources;

use super::Finisher;
use crate::filters::{Place, admitted_by_labels};
use crate::topology::settle::Host;

/// How many of the last nodes are looked at for growing.
const GROWING: usize = 64;

impl Finisher<'_> {
    fn labels_admit(&mut self, kind: usize, host: Host) -> bool {
        let key = match host {
            Host::Existing(node) => Host::Existing(node),
            Host::Planned(node) => Host::Planned(self.groups[self.planned[node].launch]),
        };
        let (related, problem, places) = (self.related, self.problem, self.places);
        *self.admitted.entry((kind, key)).or_insert_with(|| match key {
            Host::Existing(node) => {
                let node = &problem.nodes[node];
                node.schedulable && admitted_by_labels(&related.shapes[kind], &Place::Node(node, &node.allocatable))
            }
            Host::Planned(group) => admitted_by_labels(&related.shapes[kind], &places[group]),
        })
    }

    /// Whether a planned node is from a pool as heavy as the pod may have. Pods
    /// that look for company go where it is.
    fn heavy_enough(&mut self, kind: usize, node: usize) -> bool {
        if self.problem.pools.windows(2).all(|pair| pair[0].weight == pair[1].weight) {
            return true;
        }
        let shape = &self.related.shapes[kind];
        let (launches, problem, places, members) = (self.launches, self.problem, self.places, &self.members);
        let heaviest = *self.heaviest.entry(kind).or_insert_with(|| {
            let holding = members.iter().zip(places).filter(|(members, place)| {
                admitted_by_labels(shape, place) && members.iter().any(|l| shape.requests.fits(&launches[*l].free))
            });
            let weight = |members: &[usize]| members.first().map(|l| launches[*l].pool(problem).weight);
            holding.filter_map(|(members, _)| weight(members)).max().unwrap_or(i32::MIN)
        });
        !shape.topology.affinity.is_empty() || launches[self.planned[node].launch].pool(problem).weight >= heaviest
    }

    /// A node with room, existing ones first.
    pub(super) fn room(&mut self, kind: usize) -> Option<Host> {
        let existing = (0..self.free.len()).map(Host::Existing);
        let hosts: Vec<Host> = existing.chain((0..self.planned.len()).map(Host::Planned)).collect();
        hosts.into_iter().find(|host| {
            let requests = &*self.asks(kind, Some(*host));
            let fits = match host {
                Host::Existing(node) => requests.fits(&self.free[*node]),
                Host::Planned(node) => {
                    let node = &self.planned[*node];
                    !node.closed && fits_beside(requests, &node.load, &self.launches[node.launch].free)
                }
            };
            fits && self.labels_admit(kind, *host)
                && self.state.admits(kind, self.spot(*host))
                && !matches!(host, Host::Planned(node) if !self.heavy_enough(kind, *node))
        })
    }

    /// The planned node that can be made large enough for least, and its launch.
    pub(super) fn growth(&mut self, kind: usize) -> Option<(i64, usize, usize)> {
        let shape = &self.related.shapes[kind];
        // Pods that want company look at every node.
        let most = if shape.topology.affinity.is_empty() { GROWING } else { usize::MAX };
        let mut best: Option<(i64, usize, usize)> = None;
        for node in (0..self.planned.len()).rev().take(most) {
            if self.planned[node].closed
                || !self.labels_admit(kind, Host::Planned(node))
                || !self.state.admits(kind, self.planned[node].spot)
            {
                continue;
            }
            if !self.heavy_enough(kind, node) {
                continue;
            }
            let planned = &self.planned[node];
            let price = |launch: usize| self.launches[launch].offering(self.problem).price.nanos();
            let requests = &*self.asks(kind, Some(Host::Planned(node)));
            let holds = |launch: &&usize| {
                fits_beside(requests, &planned.load, &self.launches[**launch].free)
                    && self.limits.allow(**launch, Some(planned.launch))
            };
            if let Some(launch) = self.members[self.groups[planned.launch]].iter().find(holds) {
                let more = price(*launch) - price(planned.launch);
                if best.is_none_or(|(least, _, _)| more < least) {
                    best = Some((more, node, *launch));
                }
            }
        }
        best
    }

    /// The cheapest new node from the heaviest pools that have one.
    pub(super) fn fresh(&mut self, kind: usize) -> Option<(i64, usize)> {
        let mut best: Option<(std::cmp::Reverse<i32>, i64, usize)> = None;
        for group in 0..self.places.len() {
            let weight = match &self.places[group] {
                Place::Launch(labels, _) => std::cmp::Reverse(labels.pool.weight),
                Place::Node(..) => continue,
            };
            let admitted = admitted_by_labels(&self.related.shapes[kind], &self.places[group]);
            if best.is_some_and(|(known, _, _)| known < weight)
                || !admitted
                || !self.state.admits(kind, self.stand_ins[group])
            {
                continue;
            }
            let requests = &*self.asks(kind, None);
            let holds = |launch: &&usize| {
                requests.fits(&self.launches[**launch].free)
                    && self.limits.allow(**launch, None)
                    && self.ports_free(kind, **launch)
            };
            if let Some(launch) = self.members[group].iter().find(holds) {
                let price = self.launches[*launch].offering(self.problem).price.nanos();
                if best.is_none_or(|known| (weight, price, *launch) < known) {
                    best = Some((weight, price, *launch));
                }
            }
        }
        best.map(|(_, price, launch)| (price, launch))
    }

    /// Whether no DaemonSet holds the pod's ports there.
    pub(super) fn ports_free(&self, kind: usize, launch: usize) -> bool {
        let ports = &self.related.shapes[kind].ports;
        let labels = self.launches[launch].labels(self.problem);
        ports.is_empty()
            || !self.problem.daemons.iter().any(|daemon| {
                daemon.shape.ports.iter().any(|held| ports.iter().any(|port| port.conflicts(held)))
                    && daemon.runs_on(|key| labels.get(key), &labels.pool.taints)
            })
    }
}

fn fits_beside(requests: &Resources, load: &Resources, free: &Resources) -> bool {
    requests.iter().all(|(name, asked)| asked <= 0 || asked + load.get(name.as_str()) <= free.get(name.as_str()))
}

//! Whether a pod may come to a spot, and which rule keeps it out.

use stowage_model::{PodShape, Spread, Topology};

use super::{Counter, NONE, State};

/// The rule that keeps a pod out, and the group concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Refusal {
    HostPort,
    AntiAffinity(u32),
    /// The anti-affinity of a pod that is there.
    KeptOut(u32),
    Affinity(u32),
    Spread(u32),
}

impl State<'_> {
    /// Whether what is on the node itself lets the pod in.
    pub(crate) fn admits_locally(&self, kind: usize, spot: usize) -> bool {
        self.refusal_by(kind, spot, |key| Some(key) == self.hostname).is_none()
    }

    /// Whether everything placed so far lets the pod in.
    pub(crate) fn admits(&self, kind: usize, spot: usize) -> bool {
        self.refusal(kind, spot).is_none()
    }

    /// The first rule that keeps the pod out.
    pub(crate) fn refusal(&self, kind: usize, spot: usize) -> Option<Refusal> {
        self.refusal_by(kind, spot, |_| true)
    }

    fn refusal_by(&self, kind: usize, spot: usize, heeded: impl Fn(usize) -> bool) -> Option<Refusal> {
        let shape = &self.kinds[kind];
        let topology = &shape.topology;
        let here = &self.spots[spot];
        if shape.ports.iter().any(|port| here.ports.iter().any(|held| held.conflicts(port))) {
            return Some(Refusal::HostPort);
        }
        let domain = |group: u32| here.domains[self.key_of[group as usize]];
        let heed = |group: &u32| heeded(self.key_of[*group as usize]);
        let there = |tally, group: u32| if domain(group) == NONE { 0 } else { Self::at(tally, group, domain(group)) };
        let avoided = |group: &u32| there(&self.members, *group) > 0;
        if let Some(group) = Topology::required(&topology.anti_affinity).filter(heed).find(avoided) {
            return Some(Refusal::AntiAffinity(group));
        }
        for group in topology.member.iter().copied().filter(heed) {
            if there(&self.repels, group) > 0 {
                return Some(Refusal::KeptOut(group));
            }
            let most = here.caps.iter().filter(|(capped, _)| *capped == group).map(|(_, most)| *most).min();
            if !self.lenient && most.is_some_and(|most| there(&self.members, group) >= most) {
                return Some(Refusal::Spread(group));
            }
        }
        if let Some(group) = self.alone(topology, spot, &heeded) {
            return Some(Refusal::Affinity(group));
        }
        let spreads = topology.spread.iter().zip(&self.counters_of[kind]);
        let uneven = spreads
            .filter(|(spread, _)| heed(&spread.group))
            .find(|(spread, counter)| !self.even(shape, spread, &self.counters[**counter], spot));
        uneven.map(|(spread, _)| Refusal::Spread(spread.group))
    }

    /// The first group whose company is required and not there. Each must have a
    /// pod in the domain, unless nobody is anywhere and the pod counts itself.
    fn alone(&self, topology: &Topology, spot: usize, heeded: &impl Fn(usize) -> bool) -> Option<u32> {
        let first =
            Topology::required(&topology.affinity).all(|g| self.totals[g as usize] == 0 && topology.in_group(g));
        Topology::required(&topology.affinity).filter(|group| heeded(self.key_of[*group as usize])).find(|group| {
            let key = self.key_of[*group as usize];
            let domain = self.spots[spot].domains[key];
            let nameless = self.spots[spot].stand_in && Some(key) == self.hostname;
            let company = (domain != NONE || nameless) && (first || Self::at(&self.members, *group, domain) > 0);
            !company
        })
    }

    fn even(&self, shape: &PodShape, spread: &Spread, counter: &Counter, spot: usize) -> bool {
        let key = self.key_of[spread.group as usize];
        let domain = self.spots[spot].domains[key];
        let own = u32::from(shape.topology.in_group(spread.group));
        if Some(key) == self.hostname {
            // Another node can always be made, and it would be empty.
            let there = counter.tally.get(&domain).copied().unwrap_or(0);
            return there + own <= spread.max_skew;
        }
        if domain == NONE {
            return false;
        }
        let there = counter.tally.get(&domain).copied().unwrap_or(0);
        let few = (counter.domains.len() as u32) < spread.min_domains;
        let least = counter.domains.iter().map(|d| counter.tally.get(d).copied().unwrap_or(0)).min().unwrap_or(0);
        there + own <= spread.max_skew + if few { 0 } else { least }
    }
}

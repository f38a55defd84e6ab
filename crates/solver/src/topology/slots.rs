//! What one node takes of a group or of a port, as a resource that pods ask for.
//!
//! A pod that spreads over hostnames with skew k, or that avoids its own kind on
//! a node (k = 1), takes one of k slots. So does each pod with a host port. The
//! knapsacks, the bound and its certificate then need nothing new.

use std::collections::{BTreeMap, BTreeSet};

use stowage_model::topology::{port_slot, spread_slot};
use stowage_model::{HostPort, Node, PodShape, Topology, labels};
use stowage_model::{Problem, Resources};

use crate::launches::Launch;

/// What a slot stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Of {
    Group(u32),
    Port(HostPort),
    /// Pods whose rules name others than themselves.
    Choosy,
}

/// The slot of pods whose rules about a node name others than themselves. What
/// they exclude is no resource; few of them to a node make it likely that the
/// rest can be seated.
const CHOOSY: &str = "stowage.slots/choosy";

/// The slots that the pods of one demand ask for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slots {
    /// Per resource name, what it stands for and how many an empty node has.
    known: BTreeMap<String, (Of, i64)>,
}

impl Slots {
    /// The slots that `shape` asks for, remembered and added to its requests.
    pub(crate) fn take(&mut self, problem: &Problem, shape: &mut PodShape, small: &BTreeSet<u32>) {
        let by_node = |group: u32| problem.groups[group as usize].key == labels::HOSTNAME;
        let mut asked: BTreeMap<u32, i64> = BTreeMap::new();
        let mut ask = |group: u32, most: i64| {
            if by_node(group) && shape.topology.in_group(group) && !small.contains(&group) {
                let entry = asked.entry(group).or_insert(most);
                *entry = most.min(*entry);
            }
        };
        Topology::required(&shape.topology.anti_affinity).for_each(|group| ask(group, 1));
        shape.topology.spread.iter().filter(|s| s.hard).for_each(|s| ask(s.group, i64::from(s.max_skew)));
        for (group, most) in asked {
            self.ask(shape, spread_slot(group, most), Of::Group(group), most);
        }
        for port in shape.ports.clone() {
            self.ask(shape, port_slot(&port), Of::Port(port), 1);
        }
    }

    /// Gives `shape` the slot of choosy pods, should it be one.
    /// Pods of small groups that spread over nodes are choosy too: a resource for
    /// each such group would cost packing more than it tells.
    pub(crate) fn mark(&mut self, problem: &Problem, shape: &mut PodShape, small: &BTreeSet<u32>) {
        let others = |group: u32| {
            problem.groups[group as usize].key == labels::HOSTNAME
                && (!shape.topology.in_group(group) || small.contains(&group))
        };
        let spread = shape.topology.spread.iter().filter(|spread| spread.hard).map(|spread| spread.group);
        if spread.chain(Topology::required(&shape.topology.anti_affinity)).any(others) {
            self.ask(shape, CHOOSY.to_owned(), Of::Choosy, i64::MAX);
        }
    }

    /// Spreads choosy pods over the nodes that other slots ask for anyway.
    pub(crate) fn thin_out<'s>(&mut self, parts: impl Iterator<Item = (&'s PodShape, u32)> + Clone) {
        let asking = |name: &str| -> i64 {
            parts.clone().filter(|(shape, _)| shape.requests.get(name) > 0).map(|(_, count)| i64::from(count)).sum()
        };
        let choosy = asking(CHOOSY);
        let others = self.known.iter().filter(|(name, _)| *name != CHOOSY);
        let nodes = others.map(|(name, (_, most))| asking(name) / (*most).max(1)).max().unwrap_or(0);
        if let Some((_, most)) = self.known.get_mut(CHOOSY).filter(|_| nodes > 0) {
            *most = (choosy + nodes - 1) / nodes;
        }
    }

    fn ask(&mut self, shape: &mut PodShape, name: String, of: Of, most: i64) {
        shape.requests.set(&name, 1);
        self.known.insert(name, (of, most));
    }

    /// Adds the slots of a new node to what it has free. DaemonSets take their
    /// ports `with_daemons`; a bound may forget that.
    pub(crate) fn on_launch(&self, problem: &Problem, launch: &Launch, with_daemons: bool, free: &mut Resources) {
        let taken = || {
            let labels = launch.labels(problem);
            let runs = move |daemon: &&stowage_model::Daemon| {
                !daemon.shape.ports.is_empty() && daemon.runs_on(|key| labels.get(key), &labels.pool.taints)
            };
            problem.daemons.iter().filter(runs).flat_map(|daemon| &daemon.shape.ports)
        };
        for (name, (of, most)) in &self.known {
            let held = with_daemons && matches!(of, Of::Port(port) if taken().any(|held| held.conflicts(port)));
            free.set(name, if held { 0 } else { *most });
        }
    }

    /// Adds the slots that are left on an existing node.
    pub(crate) fn on_node(&self, node: &Node, free: &mut Resources) {
        for (name, (of, most)) in &self.known {
            let left = match of {
                Of::Group(group) => most - i64::from(node.members.get(group).copied().unwrap_or(0)),
                Of::Port(port) if node.ports.iter().any(|held| held.conflicts(port)) => 0,
                Of::Port(_) | Of::Choosy => *most,
            };
            free.set(name, left.max(0));
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

//! Places for pods of a group, or for a port, as the bound counts them: a node
//! takes at most so many pods that must spread over nodes, or that avoid their
//! own kind there, and one pod per port.

use std::collections::BTreeMap;

use stowage_model::topology::{port_slot, spread_slot};
use stowage_model::{HostPort, Node, Problem, labels};

pub(crate) struct Slots {
    slots: Vec<Slot>,
}

struct Slot {
    name: String,
    /// The group whose pods on a node count, with the most; or the port.
    group: Option<u32>,
    port: Option<HostPort>,
    most: i64,
    /// By member, whether it takes one.
    takes: Vec<bool>,
}

impl Slots {
    pub(crate) fn new(problem: &Problem, shapes: &[usize]) -> Self {
        let mut found: BTreeMap<String, Slot> = BTreeMap::new();
        for (member, shape) in shapes.iter().enumerate() {
            let data = &problem.shapes[*shape];
            let apart = data.topology.anti_affinity.iter().filter(|t| t.weight.is_none()).map(|t| (t.group, 1));
            let even = data.topology.spread.iter().filter(|s| s.hard).map(|s| (s.group, i64::from(s.max_skew)));
            let mut least: BTreeMap<u32, i64> = BTreeMap::new();
            for (group, most) in apart.chain(even) {
                let by_node = problem.groups[group as usize].key == labels::HOSTNAME;
                if by_node && data.topology.member.contains(&group) {
                    least.entry(group).and_modify(|known| *known = most.min(*known)).or_insert(most);
                }
            }
            let groups = least.into_iter().map(|(group, most)| (spread_slot(group, most), Some(group), None, most));
            let ports = data.ports.iter().map(|port| (port_slot(port), None, Some(port.clone()), 1));
            for (name, group, port, most) in groups.chain(ports) {
                let takes = vec![false; shapes.len()];
                let slot = found.entry(name.clone()).or_insert(Slot { name, group, port, most, takes });
                slot.takes[member] = true;
            }
        }
        Self { slots: found.into_values().collect() }
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = String> + '_ {
        self.slots.iter().map(|slot| slot.name.clone())
    }

    pub(crate) fn of_member(&self, member: usize) -> impl Iterator<Item = i64> + '_ {
        self.slots.iter().map(move |slot| i64::from(slot.takes[member]))
    }

    /// DaemonSets may hold ports there; a bound may forget that.
    pub(crate) fn on_new_node(&self) -> impl Iterator<Item = i64> + '_ {
        self.slots.iter().map(|slot| slot.most)
    }

    pub(crate) fn on_node<'s>(&'s self, node: &'s Node) -> impl Iterator<Item = i64> + 's {
        self.slots.iter().map(|slot| match (slot.group, &slot.port) {
            (Some(group), _) => (slot.most - i64::from(node.members.get(&group).copied().unwrap_or(0))).max(0),
            (_, Some(port)) if node.ports.iter().any(|held| held.conflicts(port)) => 0,
            _ => slot.most,
        })
    }
}

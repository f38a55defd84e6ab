//! Pods that share a domain with pods that their required anti-affinity keeps away.

use std::collections::BTreeMap;

use stowage_model::Topology;

use super::scene::{Eye, Pick};

pub(super) fn picks(eye: &Eye<'_>) -> Vec<Pick> {
    let scene = eye.scene;
    let groups = &scene.fleet.problem.groups;
    let domain = |node: u32, group: u32| scene.nodes[node as usize].label(&groups[group as usize].key);
    let mut members: BTreeMap<(u32, &str), u32> = BTreeMap::new();
    for (index, node) in (0_u32..).zip(&scene.nodes) {
        for (group, count) in &node.members {
            if let Some(domain) = domain(index, *group) {
                *members.entry((*group, domain)).or_default() += count;
            }
        }
    }
    let mut known = BTreeMap::new();
    let mut picks = Vec::new();
    // Whoever goes first is not in the way of the others any more.
    for (pod, home) in eye.movable() {
        let topology = &scene.shape(pod).topology;
        let is_broken = |group: u32| {
            let there = domain(home, group).and_then(|domain| members.get(&(group, domain))).copied().unwrap_or(0);
            there > u32::from(topology.in_group(group))
        };
        if Topology::required(&topology.anti_affinity).any(is_broken) {
            for group in &topology.member {
                if let Some(count) = domain(home, *group).and_then(|domain| members.get_mut(&(*group, domain))) {
                    *count = count.saturating_sub(1);
                }
            }
            picks.push(Pick::new(pod, &eye.elsewhere(home, &mut known)));
        }
    }
    picks
}

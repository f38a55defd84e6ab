//! Domains that have more pods than a topology spread constraint allows: as few
//! pods as will do move from the fullest domain to the emptiest.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use stowage_model::taint::first_untolerated;
use stowage_model::{PodShape, Spread};

use super::scene::{Eye, Goal, Pick, is_affine};

pub(super) fn picks(eye: &Eye<'_>, hard: bool, soft: bool) -> Vec<Pick> {
    // Pods with one constraint count the same nodes where their requirements are the same.
    let mut seen: BTreeSet<(&str, &Spread, u32)> = BTreeSet::new();
    let mut picked: BTreeSet<u32> = BTreeSet::new();
    let mut picks: Vec<Pick> = Vec::new();
    for (pod, _) in eye.pods() {
        let shape = eye.scene.shape(pod);
        let index = eye.scene.fleet.problem.pods[pod as usize].shape;
        let wanted = shape.topology.spread.iter().filter(|spread| if spread.hard { hard } else { soft });
        for spread in wanted.filter(|spread| shape.topology.in_group(spread.group)) {
            if seen.insert((eye.scene.namespace(pod), spread, index)) {
                let new = of_constraint(eye, shape, spread, &picked);
                picked.extend(new.iter().map(|pick| pick.pod));
                picks.extend(new);
            }
        }
        // One constraint at a time: the next sees what this one has moved.
        if !picks.is_empty() {
            break;
        }
    }
    picks
}

/// A domain: how many pods it has, its nodes, and those of its pods that may move.
#[derive(Default)]
struct Domain {
    pods: u32,
    nodes: Vec<u32>,
    movable: Vec<u32>,
}

fn of_constraint(eye: &Eye<'_>, shape: &PodShape, spread: &Spread, picked: &BTreeSet<u32>) -> Vec<Pick> {
    let mut domains = domains(eye, shape, spread);
    for (pod, home) in eye.movable().into_iter().rev() {
        let topology = &eye.scene.shape(pod).topology;
        let bound = topology.in_group(spread.group) && topology.spread.contains(spread) && !picked.contains(&pod);
        let domain = eye.scene.nodes[home as usize].label(&eye.scene.fleet.problem.groups[spread.group as usize].key);
        if let (true, Some(domain)) = (bound, domain.and_then(|name| domains.get_mut(name))) {
            // The last of the list goes first.
            domain.movable.push(pod);
        }
    }
    let mut goals: BTreeMap<String, Rc<Goal>> = BTreeMap::new();
    let mut picks = Vec::new();
    loop {
        let fewest =
            domains.iter().filter(|(_, d)| !d.nodes.is_empty()).min_by_key(|(name, d)| (d.pods, (*name).clone()));
        let most =
            domains.iter().filter(|(_, d)| !d.movable.is_empty()).max_by_key(|(name, d)| (d.pods, (*name).clone()));
        let (Some((to, low)), Some((from, high))) = (fewest, most) else { return picks };
        // What has to stay in a fuller domain cannot be helped.
        if high.pods <= low.pods.saturating_add(spread.max_skew) {
            return picks;
        }
        let (to, from) = (to.clone(), from.clone());
        let goal = Rc::clone(goals.entry(to.clone()).or_insert_with(|| Goal::any(domains[&to].nodes.iter().copied())));
        if let Some(domain) = domains.get_mut(&from) {
            domain.pods -= 1;
            picks.extend(domain.movable.pop().map(|pod| Pick::new(pod, &goal)));
        }
        if let Some(domain) = domains.get_mut(&to) {
            domain.pods += 1;
        }
    }
}

/// The domains that count, with nodes that pods may go to; empty ones too.
fn domains(eye: &Eye<'_>, shape: &PodShape, spread: &Spread) -> BTreeMap<String, Domain> {
    let scene = eye.scene;
    let key = &scene.fleet.problem.groups[spread.group as usize].key;
    let mut domains: BTreeMap<String, Domain> = BTreeMap::new();
    let open: BTreeSet<u32> = scene.destinations().collect();
    for (index, node) in (0_u32..).zip(&scene.nodes) {
        let counts = (!spread.honor_affinity || is_affine(node, shape))
            && (!spread.honor_taints || first_untolerated(&node.taints, &shape.tolerations).is_none());
        let Some(name) = node.label(key).filter(|_| counts) else { continue };
        let domain = domains.entry(name.to_owned()).or_default();
        domain.pods += node.members.get(&spread.group).copied().unwrap_or(0);
        if open.contains(&index) && scene.admits(index, shape) {
            domain.nodes.push(index);
        }
    }
    domains
}

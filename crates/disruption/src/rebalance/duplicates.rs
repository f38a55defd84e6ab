//! Pods of one owner and one set of images that share a node while other nodes
//! have fewer: no node keeps more than an even share.

use std::collections::{BTreeMap, BTreeSet};

use super::scene::{Eye, Goal, Pick};

/// Namespace, owner and images.
type Kind<'a> = (&'a str, &'a str, &'a str, &'a BTreeSet<String>);

pub(super) fn picks(eye: &Eye<'_>, spared_kinds: &BTreeSet<String>) -> Vec<Pick> {
    let scene = eye.scene;
    let mut kinds: BTreeMap<Kind<'_>, BTreeMap<u32, Vec<u32>>> = BTreeMap::new();
    for (pod, home) in eye.pods() {
        let kin = &scene.life(pod).kin;
        if !kin.owner.is_empty() && !spared_kinds.contains(&kin.owner_kind) {
            let kind = (scene.namespace(pod), kin.owner_kind.as_str(), kin.owner.as_str(), &kin.images);
            kinds.entry(kind).or_default().entry(home).or_default().push(pod);
        }
    }
    kinds
        .values()
        .filter(|nodes| nodes.values().any(|pods| pods.len() > 1))
        .flat_map(|nodes| of_kind(eye, nodes))
        .collect()
}

fn of_kind(eye: &Eye<'_>, nodes: &BTreeMap<u32, Vec<u32>>) -> Vec<Pick> {
    let Some(example) = nodes.values().flatten().next() else { return Vec::new() };
    let shape = eye.scene.shape(*example);
    let targets: Vec<u32> = eye.scene.destinations().filter(|node| eye.scene.admits(*node, shape)).collect();
    if targets.len() < 2 {
        return Vec::new();
    }
    let all: usize = nodes.values().map(Vec::len).sum();
    let share = all.div_ceil(targets.len());
    let here = |node: u32| nodes.get(&node).map_or(0, Vec::len);
    let room = |node: &u32| (share > here(*node)).then(|| (*node, (share - here(*node)) as i64));
    let goal = Goal::seats(targets.iter().filter_map(room));
    if goal.places.is_empty() {
        return Vec::new();
    }
    let mut picks = Vec::new();
    for pods in nodes.values().filter(|pods| pods.len() > share) {
        let mut movable: Vec<u32> = pods.iter().copied().filter(|pod| eye.is_movable(*pod)).collect();
        movable.sort_by_key(|pod| eye.rank(*pod));
        picks.extend(movable.into_iter().take(pods.len() - share).map(|pod| Pick::new(pod, &goal)));
    }
    picks
}

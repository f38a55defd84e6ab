//! Pods whose node is not, or is no longer, what their affinity asks for.

use std::collections::BTreeMap;

use stowage_model::PodShape;

use super::scene::{Eye, Goal, Pick, is_affine};

pub(super) fn picks(eye: &Eye<'_>, required: bool, preferred: bool) -> Vec<Pick> {
    let mut known = BTreeMap::new();
    let mut picks = Vec::new();
    for (pod, home) in eye.movable() {
        let shape = eye.scene.shape(pod);
        if required && !is_affine(&eye.scene.nodes[home as usize], shape) {
            picks.push(Pick::new(pod, &eye.elsewhere(home, &mut known)));
        } else if preferred && !shape.preferred.is_empty() {
            let here = score(eye, home, shape);
            let nodes = eye.scene.destinations().filter(|node| eye.scene.admits(*node, shape));
            let goal = Goal::any(nodes.filter(|node| score(eye, *node, shape) > here));
            if !goal.places.is_empty() {
                picks.push(Pick::new(pod, &goal));
            }
        }
    }
    picks
}

/// The weight of the preferred terms that a node meets.
fn score(eye: &Eye<'_>, node: u32, shape: &PodShape) -> i64 {
    let node = &eye.scene.nodes[node as usize];
    let met = shape.preferred.iter().filter(|preferred| preferred.term.matches(|key| node.label(key)));
    met.map(|preferred| i64::from(preferred.weight)).sum()
}

//! Pods that do not tolerate a taint that their node has by now.

use std::collections::BTreeMap;

use stowage_model::rebalancing::TaintName;
use stowage_model::taint::untolerated;
use stowage_model::{Effect, Taint};

use super::scene::{Eye, Pick};

/// Taints of whoever looks after nodes: what they mean for pods is decided there.
const OURS: [&str; 3] = ["karpenter.sh/", "stowage.sh/", "node.kubernetes.io/"];

pub(super) fn picks(eye: &Eye<'_>, advice: bool, included: &[TaintName], excluded: &[TaintName]) -> Vec<Pick> {
    let counts = |taint: &Taint| {
        let effect = taint.effect == Effect::NoSchedule || (advice && taint.effect == Effect::PreferNoSchedule);
        let listed = included.is_empty() || included.iter().any(|name| name.names(taint));
        let ours = OURS.iter().any(|prefix| taint.key.starts_with(prefix));
        effect && listed && !ours && !excluded.iter().any(|name| name.names(taint))
    };
    let mut known = BTreeMap::new();
    let mut picks = Vec::new();
    for (pod, home) in eye.movable() {
        let taints = &eye.scene.nodes[home as usize].taints;
        if untolerated(taints, &eye.scene.shape(pod).tolerations).any(counts) {
            picks.push(Pick::new(pod, &eye.elsewhere(home, &mut known)));
        }
    }
    picks
}

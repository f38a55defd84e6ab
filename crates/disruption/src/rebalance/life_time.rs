//! Pods that are older than they should become, the oldest first. Nothing is wrong with
//! their nodes, so they come back where they are if they can.

use std::collections::{BTreeMap, BTreeSet};

use super::scene::{Eye, Goal, Pick};

pub(super) fn picks(
    eye: &Eye<'_>,
    seconds: u64,
    init: bool,
    states: &BTreeSet<String>,
    kinds: &BTreeSet<String>,
) -> Vec<Pick> {
    let mut old: Vec<(i64, u32, u32)> = Vec::new();
    for (pod, home) in eye.movable() {
        let life = eye.scene.life(pod);
        let Some(created) = life.created else { continue };
        let age = u64::try_from(eye.scene.now.saturating_sub(created)).unwrap_or(0);
        let wanted = states.is_empty() || life.condition.is_any_of(states, init);
        if age > seconds && wanted && (kinds.is_empty() || kinds.contains(&life.kin.owner_kind)) {
            old.push((created, pod, home));
        }
    }
    old.sort_unstable();
    let mut known = BTreeMap::new();
    let nowhere = Goal::any([]);
    let pick = |(_, pod, home)| match eye.may_return(pod, home) {
        true => Pick { or_stay: true, ..Pick::new(pod, &nowhere) },
        false => Pick::new(pod, &eye.elsewhere(home, &mut known)),
    };
    old.into_iter().map(pick).collect()
}

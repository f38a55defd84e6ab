//! Pods that start over and over again: another node is tried, if there is one.

use std::collections::{BTreeMap, BTreeSet};

use super::scene::{Eye, Pick};

pub(super) fn picks(eye: &Eye<'_>, threshold: u32, init: bool, states: &BTreeSet<String>) -> Vec<Pick> {
    let mut known = BTreeMap::new();
    let mut picks = Vec::new();
    for (pod, home) in eye.movable() {
        let life = eye.scene.life(pod);
        let restarts = life.restarts.saturating_add(if init { life.init_restarts } else { 0 });
        if restarts >= threshold && (states.is_empty() || life.condition.is_any_of(states, init)) {
            let or_stay = eye.may_return(pod, home);
            picks.push(Pick { or_stay, ..Pick::new(pod, &eye.elsewhere(home, &mut known)) });
        }
    }
    picks
}

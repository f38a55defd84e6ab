//! Whose turn it is, where pods are let to their nodes by name.
//!
//! Most rules find their order by trying again. Two do not, for what comes too
//! early stays: a pod that must be near its own kind may start anywhere while
//! nobody of the kind runs, but not once another runs elsewhere; and a pod that
//! spreads others finds them in its way that were to come after it. Whoever would
//! be in the way waits a wave longer.

use std::collections::BTreeMap;

use stowage_model::{Plan, Problem, Topology};

use crate::topology::state::State;

/// The wave of each pod that does not belong to the first. `state` has every
/// node, and no pod that the plan places; `wanted` says where these go.
pub(super) fn waves(
    problem: &Problem,
    plan: &Plan,
    state: &State<'_>,
    wanted: &BTreeMap<u32, usize>,
) -> BTreeMap<u32, usize> {
    let kind = |pod: u32| problem.pods[pod as usize].shape as usize;
    let placed: Vec<(u32, usize)> = plan.order.iter().filter_map(|pod| Some((*pod, *wanted.get(pod)?))).collect();
    let mut after = state.clone();
    placed.iter().for_each(|(pod, node)| after.put(kind(*pod), *node));
    // Per group, the wave of the pod that starts it; `None` where nobody has to.
    let mut started: BTreeMap<u32, Option<usize>> = BTreeMap::new();
    for node in &problem.nodes {
        started.extend(node.members.iter().filter(|(_, count)| **count > 0).map(|(group, _)| (*group, None)));
    }
    // Per group and domain, the wave of the last pod that others must not precede.
    let mut early: BTreeMap<(u32, u32), usize> = BTreeMap::new();
    let mut waves = BTreeMap::new();
    for (pod, node) in placed {
        let topology = &problem.shapes[kind(pod)].topology;
        let behind = |group: &u32| {
            let starter = started.get(group).copied().flatten();
            let spreader = early.get(&(*group, state.domain_of(*group, node))).copied();
            starter.max(spreader)
        };
        let wave = topology.member.iter().filter_map(behind).map(|wave| wave + 1).max().unwrap_or(0);
        for group in &topology.member {
            let starts = Topology::required(&topology.affinity).any(|near| near == *group);
            started.entry(*group).or_insert(starts.then_some(wave));
        }
        after.take(kind(pod), node);
        let blocked = after.refusal(kind(pod), node).is_some();
        after.put(kind(pod), node);
        for spread in topology.spread.iter().filter(|spread| blocked && spread.hard) {
            let last = early.entry((spread.group, state.domain_of(spread.group, node))).or_insert(wave);
            *last = wave.max(*last);
        }
        if wave > 0 {
            waves.insert(pod, wave);
        }
    }
    waves
}

//! Nodes that are used much or little, by what pods ask for.

use std::collections::BTreeMap;
use std::rc::Rc;

use stowage_model::Resources;
use stowage_model::rebalancing::{PERCENT, Thresholds, Utilization};

use super::scene::{Eye, Goal, Pick, Scene};

/// All of a node, in the unit of thresholds.
const WHOLE: i128 = 100 * PERCENT as i128;

/// From nodes above the high thresholds to nodes below the low ones.
pub(super) fn low(eye: &Eye<'_>, chosen: &Utilization) -> Vec<Pick> {
    let scene = eye.scene;
    let (low, high) = thresholds(scene, chosen);
    let little: Vec<u32> =
        scene.destinations().filter(|node| !is_above(scene, *node, &scene.load[*node as usize], &low)).collect();
    let mut much: Vec<u32> =
        in_view(scene).filter(|node| is_above(scene, *node, &scene.load[*node as usize], &high)).collect();
    if little.len() <= chosen.more_than || little.len() == in_view(scene).count() || much.is_empty() {
        return Vec::new();
    }
    much.sort_by_key(|node| (std::cmp::Reverse(usage(scene, *node, &high)), *node));
    let room = |node: &u32| {
        let named = high.iter().map(|(name, share)| {
            (name.clone(), most(scene, *node, name, *share) - scene.load[*node as usize].get(name))
        });
        (*node, named.collect::<Resources>())
    };
    let goal = Rc::new(Goal { places: little.iter().map(room).collect() });
    let mut spare: BTreeMap<&str, i64> = BTreeMap::new();
    for (_, room) in &goal.places {
        high.keys().for_each(|name| *spare.entry(name).or_default() += room.get(name));
    }
    let mut picks = Vec::new();
    for node in much {
        let mut load = scene.load[node as usize].clone();
        let mut left = chosen.most_per_node.unwrap_or(usize::MAX);
        for (pod, _) in eye.movable().into_iter().filter(|(_, home)| *home == node) {
            if left == 0 || !is_above(scene, node, &load, &high) || spare.values().any(|spare| *spare <= 0) {
                break;
            }
            let requests = &scene.shape(pod).requests;
            load.subtract(requests);
            left -= 1;
            spare.iter_mut().for_each(|(name, spare)| *spare -= requests.get(name));
            let takes = high.keys().map(|name| (name.clone(), requests.get(name))).collect();
            picks.push(Pick { takes, ..Pick::new(pod, &goal) });
        }
    }
    picks
}

/// From nodes below the thresholds to all others.
pub(super) fn high(eye: &Eye<'_>, thresholds: &Thresholds, only_thresholding: bool) -> Vec<Pick> {
    let scene = eye.scene;
    let is_little = |node: u32| !is_above(scene, node, &scene.load[node as usize], thresholds);
    let mut sources: Vec<u32> = in_view(scene).filter(|node| is_little(*node)).collect();
    let goal = Goal::any(scene.destinations().filter(|node| !is_little(*node)));
    if goal.places.is_empty() {
        return Vec::new();
    }
    sources.sort_by_key(|node| (usage(scene, *node, thresholds), *node));
    let asks = |pod: &u32| thresholds.keys().any(|name| scene.shape(*pod).requests.get(name) > 0);
    let movable = eye.movable();
    let on = |node: u32| movable.iter().filter(move |(_, home)| *home == node).map(|(pod, _)| *pod);
    let pods = sources.into_iter().flat_map(on).filter(|pod| !only_thresholding || asks(pod));
    pods.map(|pod| Pick::new(pod, &goal)).collect()
}

fn in_view<'a>(scene: &'a Scene<'_>) -> impl Iterator<Item = u32> + 'a {
    (0_u32..).zip(&scene.in_view).filter(|(_, in_view)| **in_view).map(|(node, _)| node)
}

/// So much of a resource is `share` of a node.
fn most(scene: &Scene<'_>, node: u32, name: &str, share: i64) -> i64 {
    let all = i128::from(scene.nodes[node as usize].allocatable.get(name));
    i64::try_from(all * i128::from(share) / WHOLE).unwrap_or(i64::MAX)
}

fn is_above(scene: &Scene<'_>, node: u32, load: &Resources, thresholds: &Thresholds) -> bool {
    let all = &scene.nodes[node as usize].allocatable;
    thresholds
        .iter()
        .any(|(name, share)| i128::from(load.get(name)) * WHOLE > i128::from(all.get(name)) * i128::from(*share))
}

/// What is used of all named resources together.
fn usage(scene: &Scene<'_>, node: u32, thresholds: &Thresholds) -> i128 {
    thresholds.keys().map(|name| part(scene, node, name)).sum()
}

/// What is used of one resource.
fn part(scene: &Scene<'_>, node: u32, name: &str) -> i128 {
    let all = i128::from(scene.nodes[node as usize].allocatable.get(name));
    if all == 0 { 0 } else { i128::from(scene.load[node as usize].get(name)) * WHOLE / all }
}

/// As they are, or as far from the mean.
fn thresholds(scene: &Scene<'_>, chosen: &Utilization) -> (Thresholds, Thresholds) {
    if !chosen.deviation {
        return (chosen.low.clone(), chosen.high.clone());
    }
    let count = in_view(scene).count().max(1) as i128;
    let away = |from: &Thresholds, sign: i128| {
        let of = |(name, share): (&String, &i64)| {
            let mean = in_view(scene).map(|node| part(scene, node, name)).sum::<i128>() / count;
            let at = (mean + sign * i128::from(*share)).clamp(0, WHOLE);
            (name.clone(), i64::try_from(at).unwrap_or(i64::MAX))
        };
        from.iter().map(of).collect()
    };
    (away(&chosen.low, -1), away(&chosen.high, 1))
}

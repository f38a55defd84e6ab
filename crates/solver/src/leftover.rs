//! The last look: nothing stays without a place that has one.
//!
//! While nodes are packed, limits are set aside with some caution and existing
//! nodes are filled before new ones. What was left over then may fit after all.

use crate::packing::{Limit, Packed, Packing, Solution};

/// The solution with every leftover pod placed that any node or launch holds.
pub(crate) fn placed(packing: &Packing, mut solution: Solution) -> Solution {
    if solution.unplaced.iter().all(|count| *count == 0) {
        return solution;
    }
    let mut limits: Vec<Limit> = packing.limits.clone();
    for node in &solution.nodes {
        account(packing, &mut limits, node.offer);
    }
    let mut classes: Vec<usize> = (0..packing.classes.len()).filter(|class| solution.unplaced[*class] > 0).collect();
    classes.sort_by_key(|class| (std::cmp::Reverse(packing.classes[*class].priority), *class));
    for class in classes {
        let left = &mut solution.unplaced[class];
        for (bin, filling) in packing.bins.iter().zip(&mut solution.bins) {
            if bin.admits.contains(class) {
                let count = room(packing, &bin.capacity, filling, class).min(*left);
                put(filling, class, count);
                *left -= count;
            }
        }
        for node in &mut solution.nodes {
            let offer = &packing.offers[node.offer];
            if packing.profiles[offer.profile].contains(class) {
                let count = room(packing, &offer.capacity, &node.filling, class).min(*left);
                put(&mut node.filling, class, count);
                *left -= count;
            }
        }
        while *left > 0 {
            let Some((offer, count)) = cheapest(packing, &limits, class, *left) else { break };
            account(packing, &mut limits, offer);
            solution.nodes.push(Packed { offer, filling: vec![(class as u32, count)] });
            *left -= count;
        }
    }
    solution.nodes.sort();
    solution
}

fn account(packing: &Packing, limits: &mut [Limit], offer: usize) {
    let offer = &packing.offers[offer];
    if let Some(limit) = offer.limit {
        for (rest, used) in limits[limit].remaining.iter_mut().zip(&offer.limit_use) {
            *rest -= used;
        }
    }
}

fn room(packing: &Packing, capacity: &[i64], filling: &[(u32, u32)], class: usize) -> u32 {
    let load = packing.load(filling);
    let free: Vec<i64> = capacity.iter().zip(load).map(|(capacity, used)| capacity - used).collect();
    u32::try_from(packing.most(class, &free)).unwrap_or(u32::MAX)
}

fn put(filling: &mut Vec<(u32, u32)>, class: usize, count: u32) {
    if count == 0 {
        return;
    }
    match filling.binary_search_by_key(&(class as u32), |(class, _)| *class) {
        Ok(at) => filling[at].1 += count,
        Err(at) => filling.insert(at, (class as u32, count)),
    }
}

/// The launch that is cheapest per pod of `class`, among those that limits allow.
fn cheapest(packing: &Packing, limits: &[Limit], class: usize, left: u32) -> Option<(usize, u32)> {
    let allowed = |k: &usize| {
        let offer = &packing.offers[*k];
        packing.admits(offer, class)
            && offer.limit.is_none_or(|l| limits[l].remaining.iter().zip(&offer.limit_use).all(|(r, u)| u <= r))
    };
    let count = |k: usize| packing.most(class, &packing.offers[k].capacity).min(i64::from(left));
    (0..packing.offers.len())
        .filter(allowed)
        .min_by(|a, b| {
            let (pa, pb) = (i128::from(packing.offers[*a].price), i128::from(packing.offers[*b].price));
            (pa * i128::from(count(*b))).cmp(&(pb * i128::from(count(*a)))).then(a.cmp(b))
        })
        .map(|k| (k, count(k) as u32))
}

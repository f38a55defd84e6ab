//! First fit decreasing as Karpenter does it, over classes instead of pods.
//!
//! Pods by CPU, then memory, largest first; each goes to the first existing node
//! that holds it, else to the least filled open node that some type still
//! holds, else to a new one from the heaviest pool. An open node is the list of
//! offers that could still be it; the cheapest of them is bought at the end.
//! It is the baseline of every comparison and the plan of last resort.

use std::collections::BTreeSet;

use stowage_model::ResourceName;

use crate::packing::{Limit, Packed, Packing, Solution};

struct Open {
    filling: Vec<(u32, u32)>,
    load: Vec<i64>,
    /// Offers that could still be this node.
    offers: Vec<usize>,
}

/// Packs everything. Always answers; what fits nowhere is in `unplaced`.
pub(crate) fn pack(packing: &Packing) -> Solution {
    let mut limits: Vec<Limit> = packing.limits.clone();
    let mut solution = Solution { bins: vec![Vec::new(); packing.bins.len()], ..Solution::default() };
    solution.unplaced = vec![0; packing.classes.len()];
    let mut free: Vec<Vec<i64>> = packing.bins.iter().map(|bin| bin.capacity.clone()).collect();
    let mut open: Vec<Open> = Vec::new();
    let mut by_count: BTreeSet<(u32, usize)> = BTreeSet::new();

    for class in order(packing) {
        let mut left = packing.classes[class].count;
        for (bin, free) in free.iter_mut().enumerate() {
            left -= fill_bin(packing, class, left, bin, free, &mut solution.bins[bin]);
        }
        // An open node never gets emptier: once it refuses a class, it is out.
        let mut candidates = by_count.clone();
        while left > 0 {
            if let Some((count, index)) = join(packing, class, &mut open, &mut candidates) {
                for set in [&mut by_count, &mut candidates] {
                    set.remove(&(count, index));
                    set.insert((count + 1, index));
                }
            } else if let Some(node) = launch(packing, class, &mut limits) {
                by_count.insert((1, open.len()));
                candidates.insert((1, open.len()));
                open.push(node);
            } else {
                solution.unplaced[class] = left;
                break;
            }
            left -= 1;
        }
    }
    solution.nodes = open
        .into_iter()
        .filter_map(|node| {
            let mut filling = node.filling;
            filling.sort_unstable();
            // Offers are sorted by price.
            node.offers.first().map(|offer| Packed { offer: *offer, filling })
        })
        .collect();
    solution.nodes.sort();
    solution
}

fn order(packing: &Packing) -> Vec<usize> {
    let dim = |name: &str| packing.dims.iter().position(|d| d.as_str() == name);
    let (cpu, memory) = (dim(ResourceName::CPU), dim(ResourceName::MEMORY));
    let mut classes: Vec<usize> = (0..packing.classes.len()).collect();
    let amount = |class: usize, dim: Option<usize>| dim.map_or(0, |d| packing.classes[class].size[d]);
    classes.sort_by_key(|class| {
        (
            std::cmp::Reverse(packing.classes[*class].priority),
            std::cmp::Reverse(amount(*class, cpu)),
            std::cmp::Reverse(amount(*class, memory)),
            *class,
        )
    });
    classes
}

fn fill_bin(
    packing: &Packing,
    class: usize,
    left: u32,
    bin: usize,
    free: &mut [i64],
    filling: &mut Vec<(u32, u32)>,
) -> u32 {
    if left == 0 || !packing.bins[bin].admits.contains(class) {
        return 0;
    }
    let count = packing.most(class, free).min(i64::from(left));
    if count <= 0 {
        return 0;
    }
    for (rest, size) in free.iter_mut().zip(&packing.classes[class].size) {
        *rest -= size * count;
    }
    filling.push((class as u32, count as u32));
    count as u32
}

/// Puts one pod on the least filled open node that can take it, and says which
/// node that is and how many pods it had.
fn join(
    packing: &Packing,
    class: usize,
    open: &mut [Open],
    candidates: &mut BTreeSet<(u32, usize)>,
) -> Option<(u32, usize)> {
    while let Some((count, index)) = candidates.first().copied() {
        let node = &mut open[index];
        let load: Vec<i64> = node.load.iter().zip(&packing.classes[class].size).map(|(l, s)| l + s).collect();
        let holds = |k: &usize| holds(packing, *k, class, &load);
        if node.offers.iter().any(holds) {
            node.offers.retain(holds);
            node.load = load;
            match node.filling.last_mut() {
                Some((last, n)) if *last as usize == class => *n += 1,
                _ => node.filling.push((class as u32, 1)),
            }
            return Some((count, index));
        }
        candidates.remove(&(count, index));
    }
    None
}

fn holds(packing: &Packing, offer: usize, class: usize, load: &[i64]) -> bool {
    let offer = &packing.offers[offer];
    packing.profiles[offer.profile].contains(class) && load.iter().zip(&offer.capacity).all(|(used, free)| used <= free)
}

/// Opens a node for one pod.
fn launch(packing: &Packing, class: usize, limits: &mut [Limit]) -> Option<Open> {
    let within = |k: &usize| {
        let offer = &packing.offers[*k];
        offer.limit.is_none_or(|l| limits[l].remaining.iter().zip(&offer.limit_use).all(|(r, u)| u <= r))
    };
    let load = packing.classes[class].size.clone();
    let mut offers: Vec<usize> =
        (0..packing.offers.len()).filter(|k| holds(packing, *k, class, &load)).filter(within).collect();
    // All offers of one open node share a pool, as far as limits are concerned,
    // and the largest of them is set aside, so that no launch can overshoot.
    let limit = packing.offers[*offers.first()?].limit;
    offers.retain(|k| packing.offers[*k].limit == limit);
    if let Some(limit) = limit {
        for (dim, rest) in limits[limit].remaining.iter_mut().enumerate() {
            *rest -= offers.iter().map(|k| packing.offers[*k].limit_use[dim]).max().unwrap_or(0);
        }
    }
    Some(Open { filling: vec![(class as u32, 1)], load, offers })
}

//! Independent parts of a packing: classes that share no offer, no existing
//! node and no limit, directly or through others.

use crate::packing::{Bin, ClassSet, Offer, Packing, Solution};

/// A part, with the way back to the whole.
pub(crate) struct Island {
    pub(crate) packing: Packing,
    classes: Vec<usize>,
    offers: Vec<usize>,
    bins: Vec<usize>,
}

/// Splits a packing. Classes that nothing admits belong to no island.
pub(crate) fn split(packing: &Packing) -> Vec<Island> {
    let classes = packing.classes.len();
    let mut parent: Vec<usize> = (0..classes + packing.limits.len()).collect();
    for offer in &packing.offers {
        let mut members: Vec<usize> = packing.profiles[offer.profile].iter().collect();
        members.extend(offer.limit.map(|limit| classes + limit));
        join_all(&mut parent, &members);
    }
    for bin in &packing.bins {
        join_all(&mut parent, &bin.admits.iter().collect::<Vec<_>>());
    }
    let roots: Vec<usize> = (0..classes).map(|class| root(&mut parent, class)).collect();
    let mut distinct = roots.clone();
    distinct.sort_unstable();
    distinct.dedup();
    distinct.into_iter().filter_map(|own| island(packing, &roots, own)).collect()
}

fn root(parent: &mut [usize], mut node: usize) -> usize {
    while parent[node] != node {
        parent[node] = parent[parent[node]];
        node = parent[node];
    }
    node
}

fn join_all(parent: &mut [usize], members: &[usize]) {
    for pair in members.windows(2) {
        let (a, b) = (root(parent, pair[0]), root(parent, pair[1]));
        parent[a.max(b)] = a.min(b);
    }
}

fn island(packing: &Packing, roots: &[usize], own: usize) -> Option<Island> {
    let classes: Vec<usize> = (0..roots.len()).filter(|class| roots[*class] == own).collect();
    let mut place = vec![None; roots.len()];
    for (new, old) in classes.iter().enumerate() {
        place[*old] = Some(new);
    }
    let narrowed = |set: &ClassSet| {
        let mut narrowed = ClassSet::empty(classes.len());
        set.iter().filter_map(|class| place[class]).for_each(|class| narrowed.insert(class));
        narrowed
    };
    let here = |set: &ClassSet| set.iter().next().is_some_and(|class| place[class].is_some());
    let offers: Vec<usize> =
        (0..packing.offers.len()).filter(|k| here(&packing.profiles[packing.offers[*k].profile])).collect();
    let bins: Vec<usize> = (0..packing.bins.len()).filter(|b| here(&packing.bins[*b].admits)).collect();
    if offers.is_empty() && bins.is_empty() {
        return None;
    }
    let mut profiles: Vec<usize> = offers.iter().map(|k| packing.offers[*k].profile).collect();
    profiles.sort_unstable();
    profiles.dedup();
    let renamed =
        |offer: &Offer| Offer { profile: profiles.binary_search(&offer.profile).unwrap_or_default(), ..offer.clone() };
    let part = Packing {
        dims: packing.dims.clone(),
        classes: classes.iter().map(|class| packing.classes[*class].clone()).collect(),
        offers: offers.iter().map(|k| renamed(&packing.offers[*k])).collect(),
        profiles: profiles.iter().map(|p| narrowed(&packing.profiles[*p])).collect(),
        bins: bins
            .iter()
            .map(|b| Bin { admits: narrowed(&packing.bins[*b].admits), ..packing.bins[*b].clone() })
            .collect(),
        limits: packing.limits.clone(),
    };
    Some(Island { packing: part, classes, offers, bins })
}

impl Island {
    /// Adds the island's answer to that of the whole.
    pub(crate) fn merge(&self, part: &Solution, whole: &mut Solution) {
        let renamed = |filling: &[(u32, u32)]| -> Vec<(u32, u32)> {
            filling.iter().map(|(class, count)| (self.classes[*class as usize] as u32, *count)).collect()
        };
        whole.nodes.extend(
            part.nodes
                .iter()
                .map(|node| crate::packing::Packed { offer: self.offers[node.offer], filling: renamed(&node.filling) }),
        );
        for (bin, filling) in self.bins.iter().zip(&part.bins) {
            whole.bins[*bin] = renamed(filling);
        }
        for (class, count) in self.classes.iter().zip(&part.unplaced) {
            whole.unplaced[*class] = *count;
        }
    }
}

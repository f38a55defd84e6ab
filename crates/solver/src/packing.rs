//! The problem in the form that the search works on: classes of identical
//! pods, launches reduced to those worth buying, and who fits where.

use stowage_model::{Price, ResourceName};

use crate::limits::Limits;

/// A set of classes.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ClassSet(Vec<u64>);

impl ClassSet {
    pub(crate) fn empty(classes: usize) -> Self {
        Self(vec![0; classes.div_ceil(64)])
    }

    pub(crate) fn insert(&mut self, class: usize) {
        self.0[class / 64] |= 1 << (class % 64);
    }

    pub(crate) fn remove(&mut self, class: usize) {
        self.0[class / 64] &= !(1 << (class % 64));
    }

    pub(crate) fn contains(&self, class: usize) -> bool {
        self.0[class / 64] >> (class % 64) & 1 == 1
    }

    pub(crate) fn includes(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(a, b)| b & !a == 0)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0
            .iter()
            .enumerate()
            .flat_map(|(word, bits)| (0..64).filter(move |bit| bits >> bit & 1 == 1).map(move |bit| word * 64 + bit))
    }
}

/// Pods of one shape.
#[derive(Clone, Debug)]
pub(crate) struct Class {
    /// The part of the demand; the problem's shape where nothing relates pods.
    pub(crate) shape: u32,
    /// What one pod takes, per dimension.
    pub(crate) size: Vec<i64>,
    /// How many there are.
    pub(crate) count: u32,
    /// Priority; higher is placed first when not everything can be.
    pub(crate) priority: i32,
}

/// Something that can be bought any number of times.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    /// Index into the launches of the problem.
    pub(crate) launch: u32,
    /// Price in nano-dollars.
    pub(crate) price: i64,
    /// What pods can have, per dimension.
    pub(crate) capacity: Vec<i64>,
    /// Index into `profiles`.
    pub(crate) profile: usize,
    /// Index into `limits`, where the pool has any.
    pub(crate) limit: Option<usize>,
    /// What one purchase takes of those limits.
    pub(crate) limit_use: Vec<i64>,
}

/// A node that exists: bought already, once.
#[derive(Clone, Debug)]
pub(crate) struct Bin {
    /// Index into the problem's nodes.
    pub(crate) node: u32,
    /// What is left, per dimension.
    pub(crate) capacity: Vec<i64>,
    /// Who may go there.
    pub(crate) admits: ClassSet,
}

/// What is left of one pool's limits.
#[derive(Clone, Debug)]
pub(crate) struct Limit {
    /// Remaining amounts, in the order of the offers' `limit_use`.
    pub(crate) remaining: Vec<i64>,
}

/// The reduced problem.
#[derive(Clone, Debug, Default)]
pub(crate) struct Packing {
    pub(crate) dims: Vec<ResourceName>,
    pub(crate) classes: Vec<Class>,
    pub(crate) offers: Vec<Offer>,
    /// Distinct sets of classes that offers admit by their labels.
    pub(crate) profiles: Vec<ClassSet>,
    pub(crate) bins: Vec<Bin>,
    pub(crate) limits: Vec<Limit>,
}

impl Packing {
    /// Lowers its limits to what is left; they come in the same rows.
    pub(crate) fn leave(&mut self, limits: &Limits<'_>) {
        if !self.limits.is_empty() {
            self.limits = limits.rows().0;
        }
    }

    /// How many pods of `class` an empty `capacity` holds.
    pub(crate) fn most(&self, class: usize, capacity: &[i64]) -> i64 {
        most(&self.classes[class].size, capacity)
    }

    /// Whether `offer` admits pods of `class` by labels and size.
    pub(crate) fn admits(&self, offer: &Offer, class: usize) -> bool {
        self.profiles[offer.profile].contains(class) && self.most(class, &offer.capacity) > 0
    }

    /// Demand of every class.
    pub(crate) fn demand(&self) -> Vec<u32> {
        self.classes.iter().map(|class| class.count).collect()
    }

    /// Which classes a filling holds.
    pub(crate) fn load(&self, filling: &[(u32, u32)]) -> Vec<i64> {
        let mut load = vec![0; self.dims.len()];
        for &(class, count) in filling {
            for (sum, size) in load.iter_mut().zip(&self.classes[class as usize].size) {
                *sum += size * i64::from(count);
            }
        }
        load
    }

    /// The cheapest offer that can hold `filling`, `offer` among them. Pool
    /// limits keep a node in its own pool.
    pub(crate) fn cheapest_holder(&self, offer: usize, filling: &[(u32, u32)]) -> usize {
        let load = self.load(filling);
        let holds = |candidate: &Offer| {
            candidate.capacity.iter().zip(&load).all(|(free, used)| used <= free)
                && filling.iter().all(|(class, _)| self.profiles[candidate.profile].contains(*class as usize))
        };
        let own = &self.offers[offer];
        // Offers are sorted by price, so the first holder is the cheapest.
        self.offers
            .iter()
            .enumerate()
            .take_while(|(_, candidate)| candidate.price < own.price)
            .find(|(_, candidate)| {
                let limits_agree = candidate.limit.is_none()
                    || candidate.limit == own.limit
                        && candidate.limit_use.iter().zip(&own.limit_use).all(|(a, b)| a <= b);
                limits_agree && holds(candidate)
            })
            .map_or(offer, |(index, _)| index)
    }
}

/// How many items of `size` fit `capacity`.
pub(crate) fn most(size: &[i64], capacity: &[i64]) -> i64 {
    size.iter().zip(capacity).filter(|(size, _)| **size > 0).map(|(size, free)| free.max(&0) / size).min().unwrap_or(0)
}

/// Class or shape, and how many of its pods.
pub(crate) type Items = Vec<(u32, u32)>;

/// A bought node with its pods, by class.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Packed {
    pub(crate) offer: usize,
    /// Class and count, ascending by class.
    pub(crate) filling: Vec<(u32, u32)>,
}

/// A complete answer for a packing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Solution {
    pub(crate) nodes: Vec<Packed>,
    /// Per bin, class and count.
    pub(crate) bins: Vec<Vec<(u32, u32)>>,
    /// Pods of each class without a place.
    pub(crate) unplaced: Vec<u32>,
}

impl Solution {
    pub(crate) fn price(&self, packing: &Packing) -> i64 {
        self.nodes.iter().map(|node| packing.offers[node.offer].price).sum()
    }

    /// Lexicographic worth: unplaced pods by priority, then price, then nodes.
    pub(crate) fn rank(&self, packing: &Packing) -> (Vec<(i32, u32)>, i64, usize) {
        let mut unplaced: std::collections::BTreeMap<i32, u32> = std::collections::BTreeMap::new();
        for (class, count) in packing.classes.iter().zip(&self.unplaced) {
            *unplaced.entry(class.priority).or_default() += count;
        }
        (unplaced.into_iter().rev().collect(), self.price(packing), self.nodes.len())
    }

    pub(crate) fn dollars(&self, packing: &Packing) -> Price {
        Price::from_nanos(self.price(packing))
    }
}

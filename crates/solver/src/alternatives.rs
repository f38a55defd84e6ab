//! Other types that could stand in for the one a node was packed for.
//!
//! A provider that meets insufficient capacity retries with another type, so a
//! NodeClaim names every type that holds the same pods at nearly the price.

use std::collections::BTreeMap;

use stowage_model::{CapacityType, InstanceType, Price, Problem, Resources};

use crate::filters::{Place, admit};
use crate::launches::Launch;

/// How much more than the packed type an alternative may cost, in percent.
pub const MARGIN_PERCENT: i64 = 15;

fn ceiling(price: Price) -> Price {
    price.percent(100 + MARGIN_PERCENT)
}

/// Launches that differ in type and size alone.
pub(crate) struct Siblings<'a> {
    problem: &'a Problem,
    launches: &'a [Launch],
    families: BTreeMap<Family<'a>, Vec<usize>>,
}

/// Pool, variant, operating system, zone, capacity type.
type Family<'a> = (usize, usize, &'a str, &'a str, CapacityType);

impl<'a> Siblings<'a> {
    pub(crate) fn new(problem: &'a Problem, launches: &'a [Launch]) -> Self {
        let mut families: BTreeMap<Family<'a>, Vec<usize>> = BTreeMap::new();
        for (index, launch) in launches.iter().enumerate() {
            if let Some(family) = family(problem, launch) {
                families.entry(family).or_default().push(index);
            }
        }
        Self { problem, launches, families }
    }

    /// The launches of other types, by index.
    fn of(&self, launch: &Launch) -> impl Iterator<Item = (usize, &'a Launch)> + use<'a, '_> {
        let members = family(self.problem, launch).and_then(|family| self.families.get(&family));
        let own = launch.instance_type;
        let launches = self.launches;
        let all = members.into_iter().flatten().map(move |index| (*index, &launches[*index]));
        all.filter(move |(_, other)| other.instance_type != own)
    }

    /// How many other types of the same pool, zone, system and capacity type
    /// hold at least as much of everything as `launch` does, within the price
    /// margin. `admits_as_many` says whether a launch, by index, admits every pod
    /// that this one does.
    pub(crate) fn count(&self, launch: &Launch, admits_as_many: impl Fn(usize) -> bool) -> usize {
        let ceiling = ceiling(launch.offering(self.problem).price);
        self.of(launch)
            .filter(|(_, other)| other.offering(self.problem).price <= ceiling)
            .filter(|(index, other)| launch.free.fits(&other.free) && admits_as_many(*index))
            .count()
    }

    /// The other types that hold `shapes` (shape index and how many) in the place
    /// of `launch`, cheapest first.
    pub(crate) fn holders(&self, launch: &Launch, shapes: &[(u32, u32)]) -> Vec<&'a InstanceType> {
        let problem = self.problem;
        let mut load = Resources::new();
        for (shape, count) in shapes {
            load.add(&problem.shapes[*shape as usize].requests.times(i64::from(*count)));
        }
        let ceiling = ceiling(launch.offering(problem).price);
        // A pool that asks for `minValues` gets them, whatever they cost.
        let any_price = launch.pool(problem).requirements.iter().any(|(_, r)| r.min_values.is_some());
        let mut found: Vec<_> = self
            .of(launch)
            .filter(|(_, other)| any_price || other.offering(problem).price <= ceiling)
            .filter(|(_, other)| load.fits(&other.free))
            .filter(|(_, other)| {
                let place = Place::Launch(other.labels(problem), &other.free);
                shapes.iter().all(|(shape, _)| admit(&problem.shapes[*shape as usize], &place).is_ok())
            })
            .map(|(_, other)| (other.offering(problem).price, other.instance_type(problem)))
            .collect();
        found.sort_by(|a, b| (a.0, &a.1.name).cmp(&(b.0, &b.1.name)));
        found.into_iter().map(|(_, instance_type)| instance_type).collect()
    }
}

/// What is reserved is of one type and has none.
fn family<'a>(problem: &'a Problem, launch: &Launch) -> Option<Family<'a>> {
    let labels = launch.labels(problem);
    let offering = labels.offering;
    let free = offering.reservation.is_none();
    free.then_some((launch.pool, launch.variant, labels.os, &*offering.zone, offering.capacity_type))
}

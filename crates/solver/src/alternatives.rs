//! Other types that could stand in for the one a node was packed for.
//!
//! A provider that meets insufficient capacity retries with another type, so a
//! NodeClaim names every type that holds the same pods at nearly the price.

use stowage_model::{InstanceType, Offering, Price, Problem, Resources};

use crate::filters::{Place, admit};
use crate::launches::Launch;

/// How much more than the packed type an alternative may cost, in percent.
pub const MARGIN_PERCENT: i64 = 15;

fn ceiling(price: Price) -> Price {
    price.percent(100 + MARGIN_PERCENT)
}

/// How many other types of the same pool, zone, system and capacity type hold
/// at least as much of everything as `launch` does, within the price margin.
/// `admits_as_many` says whether a launch, by index, admits every pod that this
/// one does.
pub(crate) fn count(
    problem: &Problem,
    launches: &[Launch],
    launch: &Launch,
    admits_as_many: impl Fn(usize) -> bool,
) -> usize {
    let own = launch.offering(problem);
    launches
        .iter()
        .enumerate()
        .filter(|(_, other)| similar(problem, launch, other))
        .filter(|(_, other)| other.offering(problem).price <= ceiling(own.price))
        .filter(|(index, other)| launch.free.fits(&other.free) && admits_as_many(*index))
        .count()
}

/// The other types that hold `shapes` (shape index and how many) in the place of
/// `launch`, cheapest first.
pub fn holders<'a>(
    problem: &'a Problem,
    launches: &'a [Launch],
    launch: &Launch,
    shapes: &[(u32, u32)],
) -> Vec<(&'a InstanceType, &'a Offering)> {
    let mut load = Resources::new();
    for (shape, count) in shapes {
        load.add(&problem.shapes[*shape as usize].requests.times(i64::from(*count)));
    }
    let own = launch.offering(problem);
    // A pool that asks for `minValues` gets them, whatever they cost.
    let any_price = launch.pool(problem).requirements.iter().any(|(_, r)| r.min_values.is_some());
    let mut found: Vec<_> = launches
        .iter()
        .filter(|other| similar(problem, launch, other))
        .filter(|other| any_price || other.offering(problem).price <= ceiling(own.price))
        .filter(|other| load.fits(&other.free))
        .filter(|other| {
            let place = Place::Launch(other.labels(problem), &other.free);
            shapes.iter().all(|(shape, _)| admit(&problem.shapes[*shape as usize], &place).is_ok())
        })
        .map(|other| (other.instance_type(problem), other.offering(problem)))
        .collect();
    found.sort_by(|a, b| (a.1.price, &a.0.name).cmp(&(b.1.price, &b.0.name)));
    found
}

fn similar(problem: &Problem, launch: &Launch, other: &Launch) -> bool {
    let (own, offering) = (launch.offering(problem), other.offering(problem));
    other.pool == launch.pool
        && other.variant == launch.variant
        && other.instance_type != launch.instance_type
        && other.instance_type(problem).operating_systems[other.os]
            == launch.instance_type(problem).operating_systems[launch.os]
        // What is reserved is of one type.
        && own.reservation.is_none()
        && offering.reservation.is_none()
        && offering.zone == own.zone
        && offering.capacity_type == own.capacity_type
}

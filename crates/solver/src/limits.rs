//! What binds several new nodes together: limits of pools, and reservations
//! that have so many instances and no more.

use std::collections::BTreeMap;
use std::sync::Arc;

use stowage_model::{Problem, ResourceName, Resources};

use crate::launches::Launch;
use crate::packing::Limit;

/// Which row of limits a launch draws on, and how much of each number in it.
pub(crate) type Use = (Option<usize>, Vec<i64>);

/// What limits leave while nodes come and go.
#[derive(Clone)]
pub(crate) struct Limits<'a> {
    problem: &'a Problem,
    launches: &'a [Launch],
    pools: Vec<Option<Resources>>,
    reservations: BTreeMap<Arc<str>, i64>,
}

impl<'a> Limits<'a> {
    pub(crate) fn new(problem: &'a Problem, launches: &'a [Launch]) -> Self {
        let pools = problem.pools.iter().map(|pool| problem.remaining_limits(pool)).collect();
        Self { problem, launches, pools, reservations: reservations(problem, launches) }
    }

    /// Whether limits allow a launch, in the place of `instead`.
    pub(crate) fn allow(&self, launch: usize, instead: Option<usize>) -> bool {
        let of = |launch: usize| self.launches[launch].offering(self.problem).reservation.as_ref();
        let same = instead.is_some_and(|other| of(other) == of(launch));
        let reserved = of(launch).is_none_or(|r| same || self.reservations.get(&r.id).is_some_and(|left| *left > 0));
        let pool = self.launches[launch].pool;
        let Some(rest) = &self.pools[pool] else { return reserved };
        let mut rest = rest.clone();
        if let Some(instead) = instead.filter(|instead| self.launches[*instead].pool == pool) {
            rest.add(&self.counted(instead));
        }
        let counted = self.counted(launch);
        let named = self.problem.pools[pool].limits.iter().flat_map(|limits| limits.iter());
        reserved && named.into_iter().all(|(name, _)| counted.get(name.as_str()) <= rest.get(name.as_str()))
    }

    fn counted(&self, launch: usize) -> Resources {
        self.launches[launch].instance_type(self.problem).capacity.clone().with(ResourceName::NODES, 1)
    }

    /// Counts a launch `times` over.
    pub(crate) fn pay(&mut self, launch: usize, times: i64) {
        let counted = self.counted(launch).times(times);
        if let Some(rest) = &mut self.pools[self.launches[launch].pool] {
            rest.subtract(&counted);
        }
        if let Some(reservation) = &self.launches[launch].offering(self.problem).reservation
            && let Some(left) = self.reservations.get_mut(&reservation.id)
        {
            *left -= times;
        }
    }

    /// Whether nothing was paid for that was not there.
    pub(crate) fn are_kept(&self) -> bool {
        let within = |(pool, rest): (&stowage_model::NodePool, &Option<Resources>)| {
            let named = pool.limits.as_ref().zip(rest.as_ref());
            named.is_none_or(|(limits, rest)| limits.iter().all(|(name, _)| rest.get(name.as_str()) >= 0))
        };
        self.problem.pools.iter().zip(&self.pools).all(within) && self.reservations.values().all(|left| *left >= 0)
    }

    /// The same as rows of numbers, and what each launch takes of which row. With
    /// reservations, which pools share, there is one row for everything.
    pub(crate) fn rows(&self) -> (Vec<Limit>, Vec<Use>) {
        let shared = !self.reservations.is_empty();
        // Which row and where in it a pool's limits begin.
        let mut begins: Vec<Option<(usize, usize)>> = Vec::new();
        let mut rows: Vec<Vec<i64>> = Vec::new();
        for (pool, rest) in self.problem.pools.iter().zip(&self.pools) {
            begins.push(rest.as_ref().map(|rest| {
                if !shared || rows.is_empty() {
                    rows.push(Vec::new());
                }
                let row = rows.len() - 1;
                let begin = rows[row].len();
                // What is left knows resources that no limit names.
                let named = pool.limits.iter().flat_map(|limits| limits.iter());
                rows[row].extend(named.map(|(name, _)| rest.get(name.as_str())));
                (row, begin)
            }));
        }
        let mut begin_of: BTreeMap<&str, usize> = BTreeMap::new();
        if shared && rows.is_empty() {
            rows.push(Vec::new());
        }
        for (id, left) in &self.reservations {
            begin_of.insert(id, rows[0].len());
            rows[0].push(*left);
        }
        let uses = (0..self.launches.len()).map(|launch| {
            let data = &self.launches[launch];
            let reservation = data.offering(self.problem).reservation.as_ref();
            let place = begins[data.pool];
            let Some(row) = place.map(|(row, _)| row).or_else(|| reservation.map(|_| 0)) else {
                return (None, Vec::new());
            };
            let mut used = vec![0; rows[row].len()];
            if let (Some((_, begin)), Some(limits)) = (place, &self.problem.pools[data.pool].limits) {
                let counted = self.counted(launch);
                for (at, (name, _)) in (begin..).zip(limits.iter()) {
                    used[at] = counted.get(name.as_str());
                }
            }
            if let Some(at) = reservation.and_then(|r| begin_of.get(&*r.id)) {
                used[*at] = 1;
            }
            (Some(row), used)
        });
        let uses = uses.collect();
        (rows.into_iter().map(|remaining| Limit { remaining }).collect(), uses)
    }
}

/// Reservations that some launch would use, and how many instances each has.
pub(crate) fn reservations(problem: &Problem, launches: &[Launch]) -> BTreeMap<Arc<str>, i64> {
    let all = launches.iter().filter_map(|launch| launch.offering(problem).reservation.as_ref());
    all.map(|reservation| (reservation.id.clone(), i64::from(reservation.count))).collect()
}

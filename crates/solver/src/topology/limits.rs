//! What pools' limits leave while nodes come and go.

use stowage_model::{Problem, ResourceName, Resources};

use crate::launches::Launch;

pub(crate) struct Limits<'a> {
    problem: &'a Problem,
    launches: &'a [Launch],
    rest: Vec<Option<Resources>>,
}

impl<'a> Limits<'a> {
    pub(crate) fn new(problem: &'a Problem, launches: &'a [Launch]) -> Self {
        let rest = problem.pools.iter().map(|pool| problem.remaining_limits(pool)).collect();
        Self { problem, launches, rest }
    }

    /// Whether limits allow a launch, in the place of `instead`.
    pub(crate) fn allow(&self, launch: usize, instead: Option<usize>) -> bool {
        let pool = self.launches[launch].pool;
        let Some(rest) = &self.rest[pool] else { return true };
        let mut rest = rest.clone();
        if let Some(instead) = instead {
            rest.add(&self.counted(instead));
        }
        let named = self.problem.pools[pool].limits.iter().flat_map(|limits| limits.iter());
        let counted = self.counted(launch);
        named.into_iter().all(|(name, _)| counted.get(name.as_str()) <= rest.get(name.as_str()))
    }

    fn counted(&self, launch: usize) -> Resources {
        self.launches[launch].instance_type(self.problem).capacity.clone().with(ResourceName::NODES, 1)
    }

    /// Counts a launch `times` over.
    pub(crate) fn pay(&mut self, launch: usize, times: i64) {
        let counted = self.counted(launch).times(times);
        if let Some(rest) = &mut self.rest[self.launches[launch].pool] {
            rest.subtract(&counted);
        }
    }
}

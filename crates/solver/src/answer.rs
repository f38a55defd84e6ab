//! An answer in rounds: strict weights first, then what limits pushed down; and
//! what each round proves.

use stowage_model::{Certificate, CertificateKind, End, Price, Problem, ResourceName, Resources};

use crate::certificate::{self, Values};
use crate::effort::Options;
use crate::fluid;
use crate::island::{self, Island};
use crate::knapsack::search::Knapsack;
use crate::launches::{self, Launch};
use crate::monitor::Monitor;
use crate::packing::{Packing, Solution};
use crate::parallel;
use crate::reduce::{Purpose, Scope, Weights, reduce};
use crate::search::{self, Found};
use crate::topology::demand::Demand;

/// The rounds of an answer.
pub(crate) struct Answer {
    pub(crate) first: Round,
    /// Pods that limits kept out of their heaviest pool, in lighter ones.
    widened: Option<Round>,
}

impl Answer {
    pub(crate) fn find(
        problem: &Problem,
        launches: &[Launch],
        demand: &Demand,
        options: &Options,
        monitor: &dyn Monitor,
    ) -> Self {
        let counts = demand.counts();
        let scope = |limits| Scope { weights: Weights::Strict, purpose: Purpose::Pack, limits };
        let kept = reduce(problem, launches, demand, &counts, scope(true));
        if !kept.limits.is_empty() {
            // Limits seldom bind: without them there is more that can be proven.
            let free = Round::solve(reduce(problem, launches, demand, &counts, scope(false)), options, monitor);
            if free.respects_limits(problem, launches) {
                let widened = free.widen(problem, launches, demand, options, monitor);
                return Self { first: free, widened };
            }
        }
        let first = Round::solve(kept, options, monitor);
        let widened = first.widen(problem, launches, demand, options, monitor);
        Self { first, widened }
    }

    pub(crate) fn rounds(&self) -> impl Iterator<Item = &Round> {
        std::iter::once(&self.first).chain(&self.widened)
    }

    /// Lexicographic worth of all rounds: what the last one leaves unplaced, then
    /// the price.
    pub(crate) fn rank(&self, demand: &Demand) -> (Vec<(i32, u32)>, i64) {
        let last = self.widened.as_ref().unwrap_or(&self.first);
        let (mut unplaced, _, _) = last.solution.rank(&last.packing);
        // A priority without leftovers counts the same whether it is listed or not.
        let known: std::collections::BTreeSet<i32> = demand.parts.iter().map(|part| part.shape.priority).collect();
        unplaced.extend(
            known
                .into_iter()
                .filter(|p| !unplaced.iter().any(|(known, _)| known == p))
                .map(|p| (p, 0))
                .collect::<Vec<_>>(),
        );
        unplaced.sort_by_key(|(priority, _)| std::cmp::Reverse(*priority));
        let price = self.rounds().map(|round| round.solution.price(&round.packing)).sum();
        (unplaced, price)
    }

    /// Proofs of a bound, the strongest first, and whether the answer is proven.
    pub(crate) fn proofs(
        &self,
        problem: &Problem,
        launches: &[Launch],
        demand: &Demand,
        placed: &[u32],
    ) -> (Vec<(Certificate, Price)>, bool) {
        let mut relaxed = Vec::new();
        if problem.pools.iter().any(|pool| pool.limits.is_some()) {
            relaxed.push("NodePool limits".to_owned());
        }
        if problem.min_alternatives > 0 {
            relaxed.push("minimum of alternative types".to_owned());
        }
        if launches::asks_for_values(problem) {
            relaxed.push("minValues".to_owned());
        }
        if self.widened.is_some() {
            relaxed.push("NodePool weight".to_owned());
        }
        if let Some(related) = &demand.related {
            if related.shapes.iter().any(|shape| !shape.topology.is_empty()) {
                relaxed.push("rules between pods".to_owned());
            }
            if related.levels.iter().any(|levels| levels.len() > 1) {
                relaxed.push("preferences".to_owned());
            }
        }
        // Where a rule narrowed the search that the bound cannot carry, the bound
        // is proven without that rule.
        let narrowed = problem.min_alternatives > 0 || launches::asks_for_values(problem);
        if self.widened.is_none() && !narrowed && demand.related.is_none() {
            return self.first.proofs(demand, placed, &relaxed);
        }
        let weights =
            if self.widened.is_some() || demand.related.is_some() { Weights::Widened } else { Weights::Strict };
        let scope = Scope { weights, purpose: Purpose::Bound, limits: false };
        let unrelated = Demand::merged(problem);
        let whole = reduce(problem, launches, &unrelated, &unrelated.counts(), scope);
        Round::bound_only(whole).proofs(&unrelated, placed, &relaxed)
    }
}

/// One reduction and its answer.
pub(crate) struct Round {
    pub(crate) packing: Packing,
    pub(crate) solution: Solution,
    parts: Vec<(Vec<u32>, Found)>,
    pub(crate) stopped: Option<End>,
}

impl Round {
    fn solve(packing: Packing, options: &Options, monitor: &dyn Monitor) -> Self {
        let islands = island::split(&packing);
        let found =
            parallel::map(&islands, options.threads, |island| search::search(&island.packing, options, monitor));
        let mut solution =
            Solution { nodes: Vec::new(), bins: vec![Vec::new(); packing.bins.len()], unplaced: packing.demand() };
        for (island, found) in islands.iter().zip(&found) {
            island.merge(&found.solution, &mut solution);
        }
        solution.nodes.sort();
        let stopped = found.iter().find_map(|f| f.stopped);
        let shapes = |island: &Island| island.packing.classes.iter().map(|class| class.shape).collect();
        let parts = islands.iter().map(shapes).zip(found).collect();
        Self { packing, solution, parts, stopped }
    }

    /// Whether the nodes of an answer found without limits are within them, and
    /// nothing was left over that limits could explain.
    fn respects_limits(&self, problem: &Problem, launches: &[Launch]) -> bool {
        let mut rest: Vec<Option<Resources>> =
            problem.pools.iter().map(|pool| problem.remaining_limits(pool)).collect();
        for node in &self.solution.nodes {
            let launch = &launches[self.packing.offers[node.offer].launch as usize];
            if let Some(rest) = &mut rest[launch.pool] {
                let mut used = launch.instance_type(problem).capacity.clone();
                used.set(ResourceName::NODES, 1);
                rest.subtract(&used);
            }
        }
        let within = |(pool, rest): (&stowage_model::NodePool, &Option<Resources>)| {
            let named = pool.limits.as_ref().zip(rest.as_ref());
            named.is_none_or(|(limits, rest)| limits.iter().all(|(name, _)| rest.get(name.as_str()) >= 0))
        };
        problem.pools.iter().zip(&rest).all(within)
    }

    /// No answer, only values for a bound.
    fn bound_only(packing: Packing) -> Self {
        let mut kernel = Knapsack::default();
        let fluid = fluid::Relaxation::new(&packing).solve(&mut kernel);
        let shapes = packing.classes.iter().map(|class| class.shape).collect();
        let found = Found { fluid: (fluid.values, fluid.survey.prices), ..Found::default() };
        Self { solution: Solution::default(), parts: vec![(shapes, found)], stopped: None, packing }
    }

    /// Pods that limits kept out of their heaviest pool may use lighter ones.
    fn widen(
        &self,
        problem: &Problem,
        launches: &[Launch],
        demand: &Demand,
        options: &Options,
        monitor: &dyn Monitor,
    ) -> Option<Self> {
        let weights_differ = problem.pools.windows(2).any(|pair| pair[0].weight != pair[1].weight);
        let left_over = self.solution.unplaced.iter().any(|count| *count > 0);
        let limited = problem.pools.iter().any(|pool| pool.limits.is_some());
        if !weights_differ || !left_over || !limited {
            return None;
        }
        let mut left = vec![0; demand.parts.len()];
        for (class, count) in self.packing.classes.iter().zip(&self.solution.unplaced) {
            left[class.shape as usize] = *count;
        }
        let scope = Scope { weights: Weights::Widened, purpose: Purpose::Pack, limits: true };
        let mut packing = reduce(problem, launches, demand, &left, scope);
        packing.bins.clear();
        for node in &self.solution.nodes {
            let offer = &self.packing.offers[node.offer];
            let pool = launches[offer.launch as usize].pool;
            if problem.pools[pool].limits.is_some() {
                // Limits are kept in the order of the pools that have any.
                let limit = problem.pools[..pool].iter().filter(|pool| pool.limits.is_some()).count();
                for (rest, used) in packing.limits[limit].remaining.iter_mut().zip(&offer.limit_use) {
                    *rest -= used;
                }
            }
        }
        let round = Self::solve(packing, options, monitor);
        (!round.solution.nodes.is_empty()).then_some(round)
    }

    /// Proofs of a bound, the strongest first, and whether the answer is proven.
    /// `demand` has one kind per shape of the problem; `placed` is by shape.
    fn proofs(&self, demand: &Demand, placed: &[u32], relaxed: &[String]) -> (Vec<(Certificate, Price)>, bool) {
        let of_part: Vec<u32> =
            demand.parts.iter().map(|part| part.kinds.iter().map(|(shape, _)| placed[*shape]).sum()).collect();
        let mut kernel = Knapsack::default();
        let gather = |columns: bool| {
            let mut values = Values { of_shape: vec![0.0; demand.parts.len()], prices: Vec::new() };
            for (shapes, found) in &self.parts {
                let (of_class, prices) = found.columns.as_ref().filter(|_| columns).unwrap_or(&found.fluid);
                for (shape, value) in shapes.iter().zip(of_class) {
                    values.of_shape[*shape as usize] = *value;
                }
                values.prices.extend(prices.iter().cloned());
            }
            values
        };
        let mut certify = |columns: bool, kind: CertificateKind| {
            let (mut certificate, bound) =
                certificate::certify(&self.packing, &mut kernel, gather(columns), &of_part, kind, relaxed);
            // Pods of one part are worth the same, whatever their shape.
            let mut values = vec![0; placed.len()];
            for (part, value) in demand.parts.iter().zip(&certificate.values) {
                part.kinds.iter().for_each(|(shape, _)| values[*shape] = *value);
            }
            certificate.values = values;
            (certificate, bound)
        };
        let mut proofs = Vec::new();
        if self.parts.iter().any(|(_, found)| found.columns.is_some()) {
            proofs.push(certify(true, CertificateKind::Columns));
        }
        proofs.push(certify(false, CertificateKind::Fluid));
        let exact = !self.parts.is_empty() && self.parts.iter().all(|(_, found)| found.exact);
        (proofs, exact)
    }
}

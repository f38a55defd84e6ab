//! An answer in rounds: strict weights first, then what limits pushed down; and
//! what each round proves.

use stowage_model::{Certificate, CertificateKind, End, Price, Problem};

use crate::certificate::{self, Values};
use crate::effort::Options;
use crate::fluid;
use crate::island::{self, Island};
use crate::knapsack::search::Knapsack;
use crate::launches::{self, Launch};
use crate::limits::{self, Limits};
use crate::monitor::Monitor;
use crate::packing::{Packing, Solution};
use crate::parallel;
use crate::reduce::{Purchases, Purpose, Scope, Weights, reduce};
use crate::search::{self, Found};
use crate::topology::demand::Demand;

/// The rounds of an answer.
pub(crate) struct Answer {
    /// What goes on reserved instances.
    reserved: Option<Round>,
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
        let mut counts = demand.counts();
        let mut limits = Limits::new(problem, launches);
        let scope = |limits, purchases| Scope { weights: Weights::Strict, purpose: Purpose::Pack, limits, purchases };
        let mut reserved = None;
        let mut purchases = Purchases::All;
        if !limits::reservations(problem, launches).is_empty() {
            let packing = reduce(problem, launches, demand, &counts, scope(true, Purchases::Reserved));
            let round = Round::solve(packing, options, monitor);
            round.pay(&mut limits);
            counts = round.left(demand);
            purchases = Purchases::Paid;
            reserved = Some(round);
        }
        let reduced = |limited: bool| {
            let mut packing = reduce(problem, launches, demand, &counts, scope(limited, purchases));
            if purchases == Purchases::Paid {
                packing.bins.clear();
                packing.leave(&limits);
            }
            packing
        };
        let kept = reduced(true);
        if !kept.limits.is_empty() {
            // Limits seldom bind: without them there is more that can be proven.
            let free = Round::solve(reduced(false), options, monitor);
            let mut rest = limits.clone();
            free.pay(&mut rest);
            if rest.are_kept() {
                let widened = free.widen(problem, launches, demand, rest, options, monitor);
                return Self { reserved, first: free, widened };
            }
        }
        let first = Round::solve(kept, options, monitor);
        first.pay(&mut limits);
        let widened = first.widen(problem, launches, demand, limits, options, monitor);
        Self { reserved, first, widened }
    }

    pub(crate) fn rounds(&self) -> impl Iterator<Item = &Round> {
        self.reserved.iter().chain(std::iter::once(&self.first)).chain(&self.widened)
    }

    /// Whether the search was split by something that binds nodes together.
    pub(crate) fn is_split(&self) -> bool {
        self.reserved.is_some() || !self.first.packing.limits.is_empty()
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
        let narrowed = problem.min_alternatives > 0 || launches::asks_for_values(problem) || self.reserved.is_some();
        if self.widened.is_none() && !narrowed && demand.related.is_none() {
            return self.first.proofs(demand, placed, &relaxed);
        }
        let weights =
            if self.widened.is_some() || demand.related.is_some() { Weights::Widened } else { Weights::Strict };
        let scope = Scope { weights, purpose: Purpose::Bound, limits: false, purchases: Purchases::All };
        let unrelated = Demand::merged(problem);
        let whole = reduce(problem, launches, &unrelated, &unrelated.counts(), scope);
        let (mut proofs, exact) = Round::bound_only(whole).proofs(&unrelated, placed, &relaxed);
        let given_back = given_back(problem, launches);
        for (_, bound) in &mut proofs {
            *bound = Price::from_nanos((bound.nanos() - given_back).max(0));
        }
        (proofs, exact)
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
        let found = parallel::map(&islands, options.threads, |island| {
            search::search(&island.packing, islands.len(), options, monitor)
        });
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

    /// Takes what was bought off the limits.
    fn pay(&self, limits: &mut Limits<'_>) {
        for node in &self.solution.nodes {
            limits.pay(self.packing.offers[node.offer].launch as usize, 1);
        }
    }

    /// How many pods of each part have no place yet.
    fn left(&self, demand: &Demand) -> Vec<u32> {
        let mut left = vec![0; demand.parts.len()];
        for (class, count) in self.packing.classes.iter().zip(&self.solution.unplaced) {
            left[class.shape as usize] = *count;
        }
        left
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
        limits: Limits<'_>,
        options: &Options,
        monitor: &dyn Monitor,
    ) -> Option<Self> {
        let weights_differ = problem.pools.windows(2).any(|pair| pair[0].weight != pair[1].weight);
        let left_over = self.solution.unplaced.iter().any(|count| *count > 0);
        let limited = problem.pools.iter().any(|pool| pool.limits.is_some());
        if !weights_differ || !left_over || !limited {
            return None;
        }
        let scope =
            Scope { weights: Weights::Widened, purpose: Purpose::Pack, limits: true, purchases: Purchases::All };
        let mut packing = reduce(problem, launches, demand, &self.left(demand), scope);
        packing.bins.clear();
        packing.leave(&limits);
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

/// What all reserved instances together would cost at the list price, over what
/// they do cost: a bound that takes each to cost as much owes no more than that.
fn given_back(problem: &Problem, launches: &[Launch]) -> i64 {
    let offerings = launches.iter().map(|launch| launch.offering(problem));
    let all = offerings.filter_map(|offering| {
        let reservation = offering.reservation.as_ref()?;
        let more = (reservation.list_price.nanos() - offering.price.nanos()).max(0);
        Some((reservation.id.clone(), more.saturating_mul(i64::from(reservation.count))))
    });
    let by_id: std::collections::BTreeMap<_, i64> = all.collect();
    by_id.values().sum()
}

//! From the problem to its packing: shapes become classes, launches become
//! offers, and offers that another one beats in everything are left out.

use std::collections::BTreeMap;

use stowage_model::{PodShape, Price, Problem, ResourceName};

use crate::alternatives::Siblings;
use crate::filters::{Place, admitted_by_labels};
use crate::launches::{Launch, lookalikes};
use crate::limits::Limits;
use crate::packing::{Bin, Class, ClassSet, Offer, Packing, most};
use crate::topology::demand::Demand;

/// Which pools a class may launch from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weights {
    /// Only the heaviest that would hold the pod, as Karpenter prefers.
    Strict,
    /// Lighter ones too, once limits have kept pods out of the heavier.
    Widened,
}

/// What a reduction is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Packing: launches that leave too few alternatives are left out.
    Pack,
    /// Proving a bound: every launch that some plan could use is kept.
    Bound,
}

/// How launches may be bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purchases {
    All,
    /// From reservations only, which are paid for anyway.
    Reserved,
    /// Without them.
    Paid,
}

/// Which rules of the problem a reduction keeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope {
    pub(crate) weights: Weights,
    pub(crate) purpose: Purpose,
    /// Whether limits bind several nodes together. What exceeds a limit alone is
    /// left out in any case.
    pub(crate) limits: bool,
    /// Which launches may be bought.
    pub(crate) purchases: Purchases,
}

/// Reduces `problem`, leaving `left` pods of each part of `demand` to place.
pub(crate) fn reduce(problem: &Problem, launches: &[Launch], demand: &Demand, left: &[u32], scope: Scope) -> Packing {
    let dims = dimensions(demand, left);
    let classes = classes(demand, &dims, left);
    let constraints = Constraints::of(demand, &classes);
    let (representatives, groups) = lookalikes(problem, launches, demand.parts.iter().map(|part| &part.shape));

    let admitted: Vec<Vec<bool>> = representatives
        .iter()
        .map(|launch| {
            let launch = &launches[*launch];
            let place = Place::Launch(launch.labels(problem), &launch.free);
            constraints.representatives.iter().map(|shape| admitted_by_labels(shape, &place)).collect()
        })
        .collect();
    let capacities: Vec<Vec<i64>> = launches
        .iter()
        .map(|launch| {
            if demand.slots.is_empty() {
                return vector(&launch.free, &dims);
            }
            let mut free = (*launch.free).clone();
            demand.slots.on_launch(problem, launch, scope.purpose == Purpose::Pack, &mut free);
            vector(&free, &dims)
        })
        .collect();

    let lightest = lightest_pools(problem, launches, &classes, &capacities, scope.weights, |launch, class| {
        admitted[groups[launch]][constraints.of_class[class]]
    });

    let mut packing = Packing { dims, classes, ..Packing::default() };
    let (limits, limit_uses) = Limits::new(problem, launches).rows();
    packing.limits = limits;
    let profile_of = profiles(launches, &representatives, &admitted, &constraints, &lightest, &mut packing);

    let asked = scope.purpose == Purpose::Pack && problem.min_alternatives > 0;
    let siblings = asked.then(|| Siblings::new(problem, launches));
    let mut offers: Vec<Offer> = Vec::new();
    for (index, launch) in launches.iter().enumerate() {
        if let Some(siblings) = &siblings {
            let own = &admitted[groups[index]];
            let admits_as_many =
                |other: usize| own.iter().zip(&admitted[groups[other]]).all(|(own, other)| !own || *other);
            if siblings.count(launch, admits_as_many) < problem.min_alternatives {
                continue;
            }
        }
        let offering = launch.offering(problem);
        let reserved = offering.reservation.is_some();
        if scope.purchases != Purchases::All && reserved != (scope.purchases == Purchases::Reserved) {
            continue;
        }
        // What a bound takes reserved instances to cost, it gives back for all of
        // them at once.
        let list = offering.reservation.as_ref().filter(|_| scope.purpose == Purpose::Bound).map(|r| r.list_price);
        let (limit, limit_use) = limit_uses[index].clone();
        offers.push(Offer {
            launch: index as u32,
            price: offering.price.max(list.unwrap_or(Price::ZERO)).nanos(),
            capacity: capacities[index].clone(),
            profile: profile_of[groups[index]],
            limit,
            limit_use,
        });
    }
    offers.retain(|offer| {
        let within = |limit: usize| packing.limits[limit].remaining.iter().zip(&offer.limit_use).all(|(r, u)| u <= r);
        offer.limit.is_none_or(within)
    });
    if !scope.limits {
        offers.iter_mut().for_each(|offer| offer.limit = None);
        packing.limits.clear();
    }
    packing.offers = undominated(&packing, offers);
    packing.bins = bins(problem, demand, &packing, &constraints);
    forget_hopeless(&mut packing);
    packing
}

/// Classes that fit nowhere are nobody's business: they belong to no profile, so
/// that they keep no island from being proven.
fn forget_hopeless(packing: &mut Packing) {
    for class in 0..packing.classes.len() {
        let launchable = packing.offers.iter().any(|offer| packing.admits(offer, class));
        if !launchable && !packing.bins.iter().any(|bin| bin.admits.contains(class)) {
            packing.profiles.iter_mut().for_each(|profile| profile.remove(class));
        }
    }
}

/// Classes with equal constraints, whatever their size, share the answers of
/// the label rules.
struct Constraints<'a> {
    representatives: Vec<&'a PodShape>,
    of_class: Vec<usize>,
}

impl<'a> Constraints<'a> {
    fn of(demand: &'a Demand, classes: &[Class]) -> Self {
        let mut known = BTreeMap::new();
        let mut representatives = Vec::new();
        let of_class = classes
            .iter()
            .map(|class| {
                let shape = &demand.parts[class.shape as usize].shape;
                let key = (
                    &shape.selector,
                    &shape.affinity,
                    &shape.volumes,
                    &shape.tolerations,
                    (shape.heeds_advice, &shape.unsupported, &shape.faults),
                );
                *known.entry(key).or_insert_with(|| {
                    representatives.push(shape);
                    representatives.len() - 1
                })
            })
            .collect();
        Self { representatives, of_class }
    }
}

/// The resources that some pod asks for.
fn dimensions(demand: &Demand, left: &[u32]) -> Vec<ResourceName> {
    let asked = demand.parts.iter().zip(left).filter(|(_, left)| **left > 0);
    let mut dims: Vec<ResourceName> = asked
        .flat_map(|(part, _)| {
            part.shape.requests.iter().filter(|(_, amount)| *amount > 0).map(|(name, _)| name.clone())
        })
        .collect();
    dims.sort();
    dims.dedup();
    dims
}

fn vector(resources: &stowage_model::Resources, dims: &[ResourceName]) -> Vec<i64> {
    dims.iter().map(|name| resources.get(name.as_str())).collect()
}

fn classes(demand: &Demand, dims: &[ResourceName], left: &[u32]) -> Vec<Class> {
    left.iter()
        .enumerate()
        .filter(|(_, count)| **count > 0)
        .map(|(part, count)| {
            let shape = &demand.parts[part].shape;
            let size = vector(&shape.requests, dims).into_iter().map(|amount| amount.max(0)).collect();
            Class { shape: part as u32, size, count: *count, priority: shape.priority }
        })
        .collect()
}

/// Per class, the index of the last pool it may use: pools are sorted by weight.
fn lightest_pools(
    problem: &Problem,
    launches: &[Launch],
    classes: &[Class],
    capacities: &[Vec<i64>],
    weights: Weights,
    admitted: impl Fn(usize, usize) -> bool,
) -> Vec<usize> {
    let everything = problem.pools.len();
    let one_weight = problem.pools.windows(2).all(|pair| pair[0].weight == pair[1].weight);
    if one_weight || weights == Weights::Widened {
        return vec![everything; classes.len()];
    }
    (0..classes.len())
        .map(|class| {
            let holds =
                |launch: &usize| admitted(*launch, class) && most(&classes[class].size, &capacities[*launch]) > 0;
            // Launches come in pool order, so the first holder is in the heaviest pool.
            let first = (0..launches.len()).find(holds);
            first.map_or(everything, |launch| {
                let weight = launches[launch].pool(problem).weight;
                problem.pools.iter().take_while(|pool| pool.weight >= weight).count()
            })
        })
        .collect()
}

/// Fills `packing.profiles`; per group of lookalikes, its profile.
fn profiles(
    launches: &[Launch],
    representatives: &[usize],
    admitted: &[Vec<bool>],
    constraints: &Constraints<'_>,
    lightest: &[usize],
    packing: &mut Packing,
) -> Vec<usize> {
    let mut known: BTreeMap<ClassSet, usize> = BTreeMap::new();
    representatives
        .iter()
        .zip(admitted)
        .map(|(launch, admitted)| {
            let pool = launches[*launch].pool;
            let mut set = ClassSet::empty(packing.classes.len());
            for class in 0..packing.classes.len() {
                if admitted[constraints.of_class[class]] && pool < lightest[class] {
                    set.insert(class);
                }
            }
            *known.entry(set.clone()).or_insert_with(|| {
                packing.profiles.push(set);
                packing.profiles.len() - 1
            })
        })
        .collect()
}

/// Leaves out every offer that another beats: it admits no fewer classes, holds
/// no less, costs no more, and takes no more of the same limits. The rest comes
/// sorted by price.
fn undominated(packing: &Packing, mut offers: Vec<Offer>) -> Vec<Offer> {
    offers.retain(|offer| {
        let profile = &packing.profiles[offer.profile];
        !profile.is_empty() && profile.iter().any(|class| packing.most(class, &offer.capacity) > 0)
    });
    offers.sort_by(|a, b| {
        (a.price, std::cmp::Reverse(&a.capacity), a.launch).cmp(&(b.price, std::cmp::Reverse(&b.capacity), b.launch))
    });
    let count = packing.profiles.len();
    let includes: Vec<Vec<bool>> =
        (0..count).map(|a| (0..count).map(|b| packing.profiles[a].includes(&packing.profiles[b])).collect()).collect();
    let beats = |a: &Offer, b: &Offer| {
        includes[a.profile][b.profile]
            && a.capacity.iter().zip(&b.capacity).all(|(a, b)| a >= b)
            && (a.limit.is_none() || a.limit == b.limit && a.limit_use.iter().zip(&b.limit_use).all(|(a, b)| a <= b))
    };
    let mut kept: Vec<Offer> = Vec::new();
    for offer in offers {
        if !kept.iter().any(|better| beats(better, &offer)) {
            kept.push(offer);
        }
    }
    kept
}

fn bins(problem: &Problem, demand: &Demand, packing: &Packing, constraints: &Constraints<'_>) -> Vec<Bin> {
    let mut bins = Vec::new();
    for (index, node) in problem.nodes.iter().enumerate().filter(|(_, node)| node.schedulable) {
        let mut free = node.free();
        demand.slots.on_node(node, &mut free);
        let capacity = vector(&free, &packing.dims);
        let place = Place::Node(node, &free);
        let admitted: Vec<bool> =
            constraints.representatives.iter().map(|shape| admitted_by_labels(shape, &place)).collect();
        let mut admits = ClassSet::empty(packing.classes.len());
        for class in 0..packing.classes.len() {
            if admitted[constraints.of_class[class]] && packing.most(class, &capacity) > 0 {
                admits.insert(class);
            }
        }
        if !admits.is_empty() {
            bins.push(Bin { node: index as u32, capacity, admits });
        }
    }
    bins
}

//! The bound follows from the certificate, by integer arithmetic.

use std::collections::BTreeMap;

use stowage_model::certificate::UNITS_PER_NANO;
use stowage_model::{CertificateKind, LaunchLabels, Plan, PodShape, Problem, Resources, Unit};

use crate::Rule;
use crate::complete::{self, Choice, Pods};
use crate::facts;
use crate::search::{self, Exhausted, Item};
use crate::slots::Slots;

/// Fillings that the judge looks at per launch before it gives up on a proof.
const SEARCH: u64 = 400_000;
/// Fillings that it looks at to repeat a complete search.
const COMPLETE: u64 = 20_000_000;

pub(crate) struct Bound;

impl Rule for Bound {
    fn name(&self) -> &'static str {
        "bound"
    }

    fn check(&self, problem: &Problem, plan: &Plan, found: &mut Vec<(String, String)>) {
        let mut fault = |message: String| found.push(("certificate".to_owned(), message));
        let certificate = &plan.certificate;
        if certificate.values.len() != problem.shapes.len() {
            return fault(format!("has {} values for {} shapes", certificate.values.len(), problem.shapes.len()));
        }
        let negative =
            certificate.values.iter().chain(certificate.prices.iter().flat_map(BTreeMap::values)).any(|v| *v < 0);
        if negative || plan.bound.nanos() < 0 {
            return fault("has a negative value, price or bound".to_owned());
        }
        let placed = facts::placed(problem, plan);
        let table = Table::new(problem, plan, &placed);
        let searched = certificate.kind != CertificateKind::Fluid;
        for kind in &table.kinds {
            if let Err(message) = table.within_price(kind, searched) {
                return fault(message);
            }
        }
        let Some(total) = table.total() else { return fault("has values beyond 128 bits".to_owned()) };
        let claimed = Unit::from(plan.bound.nanos()) * UNITS_PER_NANO;
        if claimed <= total.max(0) {
            return;
        }
        let proven = total.max(0) / UNITS_PER_NANO;
        if certificate.kind != CertificateKind::Exact || plan.bound > plan.price() {
            let text = format!("proves {proven} nano-dollars an hour, the plan claims {}", plan.bound.nanos());
            return fault(text);
        }
        match table.nothing_cheaper(plan.bound.nanos()) {
            Ok(true) => {}
            Ok(false) => fault("claims the cheapest plan, but a cheaper one exists".to_owned()),
            Err(Exhausted) => fault("claims a complete search that is too long to repeat".to_owned()),
        }
    }
}

/// The cheapest price, and its launch, by pool, admitted rules and capacity.
type Seen = BTreeMap<(usize, Vec<bool>, Vec<i64>), (i64, String)>;

/// Launches that hold and cost the same and admit the same pods are one kind.
struct Kind {
    capacity: Vec<i64>,
    price: i64,
    members: Vec<usize>,
    example: String,
}

struct Table<'a> {
    plan: &'a Plan,
    problem: &'a Problem,
    /// Shapes with pods that are placed.
    shapes: Vec<usize>,
    counts: Vec<i64>,
    sizes: Vec<Vec<i64>>,
    names: Vec<String>,
    /// How many of the names are resources; slots come behind them.
    resources: usize,
    slots: Slots,
    kinds: Vec<Kind>,
    /// Certificate prices by dimension.
    prices: Vec<Vec<Unit>>,
}

impl<'a> Table<'a> {
    fn new(problem: &'a Problem, plan: &'a Plan, placed: &[i64]) -> Self {
        let all: Vec<usize> = (0..placed.len()).filter(|shape| placed[*shape] > 0).collect();
        let (shapes, counts) = representatives(problem, plan, placed, all);
        let mut names: Vec<String> = Vec::new();
        for shape in &shapes {
            names.extend(problem.shapes[*shape].requests.iter().filter(|(_, a)| *a > 0).map(|(n, _)| n.to_string()));
        }
        names.sort();
        names.dedup();
        let slots = Slots::new(problem, &shapes);
        let resources = names.len();
        names.extend(slots.names());
        let vector = |amounts: &Resources| names[..resources].iter().map(|n| amounts.get(n)).collect::<Vec<i64>>();
        let sizes = shapes
            .iter()
            .enumerate()
            .map(|(member, s)| {
                let own = vector(&problem.shapes[*s].requests);
                own.into_iter().chain(slots.of_member(member)).collect()
            })
            .collect();
        let prices = plan
            .certificate
            .prices
            .iter()
            .map(|prices| names.iter().map(|name| prices.get(name.as_str()).copied().unwrap_or(0)).collect())
            .collect();
        let mut kinds = kinds(problem, plan, &shapes, vector);
        kinds.iter_mut().for_each(|kind| kind.capacity.extend(slots.on_new_node()));
        Self { plan, problem, shapes, counts, sizes, names, resources, slots, kinds, prices }
    }

    fn value(&self, member: usize) -> Unit {
        self.plan.certificate.values[self.shapes[member]]
    }

    /// How many pods of a shape a capacity holds, at most as many as there are.
    fn most(&self, member: usize, capacity: &[i64]) -> i64 {
        let mut most = self.counts[member];
        for (size, free) in self.sizes[member].iter().zip(capacity) {
            if *size > 0 {
                most = most.min((*free).max(0) / size);
            }
        }
        most
    }

    /// λ·W + Σ u·max(0, v − λ·a), the least over the certificate's prices.
    fn worth(&self, capacity: &[i64], members: &[usize]) -> (Unit, Option<usize>) {
        let mut best: (Unit, Option<usize>) = (Unit::MAX, None);
        for (index, prices) in self.prices.iter().enumerate() {
            let mut worth: Unit = 0;
            for (price, amount) in prices.iter().zip(capacity) {
                worth = worth.saturating_add(price.saturating_mul(Unit::from((*amount).max(0))));
            }
            for member in members {
                let cost: Unit = prices
                    .iter()
                    .zip(&self.sizes[*member])
                    .map(|(price, size)| price.saturating_mul(Unit::from(*size)))
                    .fold(0, Unit::saturating_add);
                let over = self.value(*member).saturating_sub(cost);
                if over > 0 {
                    worth = worth.saturating_add(over.saturating_mul(Unit::from(self.most(*member, capacity))));
                }
                if worth >= best.0 {
                    break;
                }
            }
            if worth < best.0 {
                best = (worth, Some(index));
            }
        }
        best
    }

    fn within_price(&self, kind: &Kind, searched: bool) -> Result<(), String> {
        let price = Unit::from(kind.price) * UNITS_PER_NANO;
        let (worth, prices) = self.worth(&kind.capacity, &kind.members);
        let valued: Vec<usize> = kind
            .members
            .iter()
            .copied()
            .filter(|member| self.value(*member) > 0 && self.most(*member, &kind.capacity) > 0)
            .collect();
        if worth <= price || valued.is_empty() {
            return Ok(());
        }
        let refuse = |why: &str| Err(format!("values pods on {} above its price: {why}", kind.example));
        if !searched {
            return refuse("no resource prices show the contrary");
        }
        let guide = prices.map_or_else(|| vec![0; self.names.len()], |index| self.prices[index].clone());
        let items: Vec<Item> = valued
            .iter()
            .map(|member| Item {
                size: self.sizes[*member].clone(),
                value: self.value(*member),
                most: self.most(*member, &kind.capacity),
            })
            .collect();
        match search::largest(&items, &kind.capacity, &guide, price, SEARCH) {
            Ok(worth) if worth <= price => Ok(()),
            Ok(_) => refuse("a filling is worth more"),
            Err(Exhausted) => refuse("the search for such a filling is too long"),
        }
    }

    /// Σ value × pods, less what existing nodes can hold for nothing.
    fn total(&self) -> Option<Unit> {
        let mut total: Unit = 0;
        for (member, count) in self.counts.iter().enumerate() {
            total = total.checked_add(self.value(member).checked_mul(Unit::from(*count))?)?;
        }
        for node in self.problem.nodes.iter().filter(|node| node.schedulable) {
            let free = node.free();
            let own = self.names[..self.resources].iter().map(|name| free.get(name));
            let capacity: Vec<i64> = own.chain(self.slots.on_node(node)).collect();
            let admitted = |shape: &PodShape| {
                facts::tolerates(shape, &node.taints) && facts::labels_admit(shape, &|key| node.label(key))
            };
            let members: Vec<usize> = (0..self.shapes.len())
                .filter(|m| {
                    self.value(*m) > 0
                        && self.most(*m, &capacity) > 0
                        && admitted(&self.problem.shapes[self.shapes[*m]])
                })
                .collect();
            if members.is_empty() {
                continue;
            }
            let (worth, _) = self.worth(&capacity, &members);
            // Without prices a node could hold everything it admits.
            let all: Unit = members
                .iter()
                .map(|m| self.value(*m).saturating_mul(Unit::from(self.most(*m, &capacity))))
                .fold(0, Unit::saturating_add);
            total = total.checked_sub(worth.min(all))?;
        }
        total.checked_sub(self.reserved().checked_mul(UNITS_PER_NANO)?)
    }

    /// What every reserved instance was taken to cost over its price.
    fn reserved(&self) -> Unit {
        let mut owed: BTreeMap<String, Unit> = BTreeMap::new();
        facts::each_launch(self.problem, |_, labels| {
            if let Some(reservation) = &labels.offering.reservation {
                let over = (reservation.list_price.nanos() - labels.offering.price.nanos()).max(0);
                let all = Unit::from(over) * Unit::from(reservation.count);
                let most = owed.entry(reservation.id.to_string()).or_default();
                *most = all.max(*most);
            }
        });
        owed.values().sum()
    }

    /// Whether no set of nodes that holds all pods costs less than `price`.
    fn nothing_cheaper(&self, price: i64) -> Result<bool, Exhausted> {
        if self.problem.nodes.iter().any(|node| node.schedulable) || self.reserved() > 0 {
            return Err(Exhausted);
        }
        let choice =
            |kind: &Kind| Choice { capacity: kind.capacity.clone(), price: kind.price, members: kind.members.clone() };
        let values: Vec<Unit> = (0..self.shapes.len()).map(|member| self.value(member)).collect();
        let pods = Pods { sizes: &self.sizes, counts: &self.counts, values: &values, prices: &self.prices };
        complete::nothing_cheaper(self.kinds.iter().map(choice).collect(), &pods, price, COMPLETE)
    }
}

/// Shapes that differ only in what the bound leaves out count as one, where every
/// pool weighs the same; each stands for the pods of all.
fn representatives(problem: &Problem, plan: &Plan, placed: &[i64], all: Vec<usize>) -> (Vec<usize>, Vec<i64>) {
    let one_weight = problem.pools.windows(2).all(|pair| pair[0].weight == pair[1].weight);
    let slots = Slots::new(problem, &all);
    let mut known: BTreeMap<_, usize> = BTreeMap::new();
    let (mut shapes, mut counts): (Vec<usize>, Vec<i64>) = (Vec::new(), Vec::new());
    for (member, shape) in all.iter().copied().enumerate() {
        let data = &problem.shapes[shape];
        let labels = (&data.selector, &data.affinity, &data.volumes, &data.tolerations);
        let taken: Vec<i64> = slots.of_member(member).collect();
        let apart = if one_weight { 0 } else { shape };
        let key = (&data.requests, labels, taken, plan.certificate.values[shape], apart);
        let at = *known.entry(key).or_insert(shapes.len());
        if at == shapes.len() {
            shapes.push(shape);
            counts.push(0);
        }
        counts[at] += placed[shape];
    }
    (shapes, counts)
}

/// The launches that count: those of pools that each pod may use.
fn kinds(problem: &Problem, plan: &Plan, shapes: &[usize], vector: impl Fn(&Resources) -> Vec<i64>) -> Vec<Kind> {
    // Shapes whose constraints agree share the answers of the label rules.
    let mut rules: Vec<&PodShape> = Vec::new();
    let mut rule_of: Vec<usize> = Vec::new();
    let mut known: BTreeMap<(&_, &_, &_, &_), usize> = BTreeMap::new();
    for shape in shapes {
        let data = &problem.shapes[*shape];
        let key = (&data.selector, &data.affinity, &data.volumes, &data.tolerations);
        let index = *known.entry(key).or_insert_with(|| {
            rules.push(data);
            rules.len() - 1
        });
        rule_of.push(index);
    }
    let mut seen: Seen = BTreeMap::new();
    let limits: Vec<Option<Resources>> = problem.pools.iter().map(|pool| problem.remaining_limits(pool)).collect();
    facts::each_launch(problem, |pool, labels: LaunchLabels<'_>| {
        // What exceeds its pool's limits alone is in no plan.
        if limits[pool].as_ref().is_some_and(|rest| !facts::counted(&labels.instance_type.capacity, rest).fits(rest)) {
            return;
        }
        let admitted: Vec<bool> = rules
            .iter()
            .map(|rule| {
                facts::tolerates(rule, &labels.pool.taints) && facts::labels_admit(rule, &|key| labels.get(key))
            })
            .collect();
        if !admitted.contains(&true) {
            return;
        }
        let key = (pool, admitted, vector(&facts::free(problem, &labels)));
        // Reserved instances count at their list price; the total gives it back.
        let list = labels.offering.reservation.as_ref().map_or(0, |reservation| reservation.list_price.nanos());
        let price = labels.offering.price.nanos().max(list);
        let entry = seen.entry(key).or_insert_with(|| (i64::MAX, String::new()));
        if price < entry.0 {
            *entry = (price, format!("{} in {}", labels.instance_type.name, labels.offering.zone));
        }
    });
    let holds = |member: usize, capacity: &[i64]| {
        let size = vector(&problem.shapes[shapes[member]].requests);
        size.iter().zip(capacity).all(|(size, free)| size <= free || *size == 0)
    };
    let lightest = lightest_allowed(problem, plan, shapes, &seen, &rule_of, &holds);
    seen.into_iter()
        .map(|((pool, admitted, capacity), (price, example))| {
            let members = (0..shapes.len())
                .filter(|member| {
                    admitted[rule_of[*member]]
                        && problem.pools[pool].weight >= lightest[*member]
                        && holds(*member, &capacity)
                })
                .collect();
            Kind { capacity, price, members, example }
        })
        .collect()
}

/// Per shape, the least weight of a pool it may use: that of the heaviest pool
/// that would hold it, unless the plan itself had to go lower for some pod.
fn lightest_allowed(
    problem: &Problem,
    plan: &Plan,
    shapes: &[usize],
    seen: &Seen,
    rule_of: &[usize],
    holds: &dyn Fn(usize, &[i64]) -> bool,
) -> Vec<i32> {
    if problem.pools.windows(2).all(|pair| pair[0].weight == pair[1].weight) {
        return vec![i32::MIN; shapes.len()];
    }
    let heaviest: Vec<i32> = (0..shapes.len())
        .map(|member| {
            let holding =
                seen.keys().filter(|(_, admitted, capacity)| admitted[rule_of[member]] && holds(member, capacity));
            holding.map(|(pool, _, _)| problem.pools[*pool].weight).max().unwrap_or(i32::MIN)
        })
        .collect();
    let lowered = plan.nodes.iter().any(|node| {
        let weight = problem.pools.iter().find(|pool| pool.name == node.pool).map_or(0, |pool| pool.weight);
        facts::shapes(problem, &node.pods).keys().any(|shape| {
            shapes.iter().position(|s| *s == *shape as usize).is_some_and(|member| heaviest[member] > weight)
        })
    });
    if lowered { vec![i32::MIN; shapes.len()] } else { heaviest }
}

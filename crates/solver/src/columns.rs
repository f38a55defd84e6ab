//! Column generation: the Gilmore–Gomory relaxation, whose columns are whole
//! fillings of nodes.
//!
//! Each round solves the master over the columns so far, values pods by its
//! duals (smoothed towards the best values so far, Wentges 1997), and asks the
//! knapsack kernel for fillings worth more than their node. Values divided by
//! the largest worth ÷ price are feasible in the dual, so every round gives a
//! valid bound (Farley 1990).

use std::collections::BTreeSet;

use crate::bound::{Survey, survey};
use crate::knapsack::search::{Goal, Knapsack};
use crate::lp::Covering;
use crate::monitor::Monitor;
use crate::packing::{Packed, Packing};

/// What column generation found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Generated {
    /// Pod values that prove `bound`.
    pub(crate) values: Vec<f64>,
    /// Σ value × demand.
    pub(crate) bound: f64,
    /// The survey behind it.
    pub(crate) survey: Survey,
    /// Every column.
    pub(crate) columns: Vec<Packed>,
    /// The master over them.
    program: Covering,
}

impl Generated {
    /// How often the master uses each column for the demand that is left, at a
    /// vertex, so that few columns are used in part.
    pub(crate) fn point_for(&mut self, demand: &[u32]) -> Option<Vec<f64>> {
        self.program.rhs = demand.iter().map(|n| f64::from(*n)).collect();
        self.program.solve_at_vertex()
    }
}

const SMOOTHING: f64 = 0.9;
/// Columns that one round may add.
const MOST_NEW: usize = 80;
/// Columns whose value falls short of their price by more than this share are
/// not used by any good answer.
const NEARLY: f64 = 0.003;
/// Fewer new columns than this are too few to be worth another master.
const FEW_NEW: usize = 16;

/// Generates columns for `packing`, from fillings that some plan uses already
/// and from the fluid relaxation's `values`.
pub(crate) fn generate(
    packing: &Packing,
    kernel: &mut Knapsack,
    seeds: &[Packed],
    values: &[f64],
    rounds: usize,
    monitor: &dyn Monitor,
) -> Option<Generated> {
    let demand = packing.demand();
    let mut master = Master::new(packing);
    for class in 0..packing.classes.len() {
        master.add(packing, singleton(packing, class)?);
    }
    for seed in seeds {
        master.add(packing, seed.clone());
    }
    let worth = |values: &[f64]| values.iter().zip(&demand).map(|(v, n)| v * f64::from(*n)).sum::<f64>();
    let mut best = Generated { values: values.to_vec(), bound: worth(values), ..Generated::default() };
    let mut center = values.to_vec();
    let mut ratio = vec![f64::INFINITY; packing.offers.len()];
    let mut own_ratio = ratio.clone();
    let mut alpha = SMOOTHING;
    let mut duals = values.to_vec();
    for _ in 0..rounds {
        let optimum = master.program.solve()?;
        let objective: f64 = optimum.point.iter().zip(&master.program.cost).map(|(x, c)| x * c).sum();
        duals.clone_from(&optimum.duals);
        let close = best.bound >= objective * (1.0 - 2e-4);
        if close || monitor.stop().is_some() {
            break;
        }
        let mixed: Vec<f64> = center.iter().zip(&optimum.duals).map(|(c, d)| alpha * c + (1.0 - alpha) * d).collect();
        let found = price(packing, kernel, &mixed, &demand, &mut ratio);
        let bound = worth(&mixed) / found.worst.max(1e-12);
        if bound > best.bound {
            best.bound = bound;
            best.values = mixed.iter().map(|v| v / found.worst).collect();
            center.clone_from(&best.values);
        }
        let mut added = master.take(packing, found.columns, &optimum.duals);
        // Smoothed values find the bound sooner, the master's own find more
        // columns; where the former give few, both are asked.
        if added < FEW_NEW && alpha > 0.0 {
            let own = price(packing, kernel, &optimum.duals, &demand, &mut own_ratio);
            added += master.take(packing, own.columns, &optimum.duals);
        }
        if added == 0 {
            if alpha == 0.0 {
                break;
            }
            alpha = if alpha < 0.25 { 0.0 } else { alpha * 0.5 };
        }
    }
    (best.columns, best.program) = master.worthy(&duals);
    // The bound is stated again with as much search as its proof may use.
    let again = survey(packing, kernel, &best.values, &demand, Vec::new(), 200, 1.0 - 1e-9);
    if again.worst > 0.0 {
        best.values.iter_mut().for_each(|v| *v /= again.worst);
        best.bound = worth(&best.values);
        best.survey = again;
        best.survey.prices.iter_mut().flatten().for_each(|p| *p /= best.survey.worst);
    }
    Some(best)
}

/// The restricted master.
struct Master {
    program: Covering,
    columns: Vec<Packed>,
    known: BTreeSet<Packed>,
}

impl Master {
    fn new(packing: &Packing) -> Self {
        let rhs = packing.classes.iter().map(|class| f64::from(class.count)).collect();
        Self { program: Covering { rhs, ..Covering::default() }, columns: Vec::new(), known: BTreeSet::new() }
    }

    /// The columns that the duals nearly pay for, and the master over them.
    fn worthy(self, duals: &[f64]) -> (Vec<Packed>, Covering) {
        let mut program = Covering { rhs: self.program.rhs.clone(), ..Covering::default() };
        let mut kept = Vec::new();
        for (index, column) in self.columns.into_iter().enumerate() {
            let cost = self.program.cost[index];
            let value: f64 = column.filling.iter().map(|(c, n)| duals[*c as usize] * f64::from(*n)).sum();
            // The first columns hold one class each and keep the program feasible.
            if index < program.rhs.len() || value > cost * (1.0 - NEARLY) {
                program.push(cost, self.program.columns[index].clone());
                kept.push(column);
            }
        }
        (kept, program)
    }

    /// Adds those of `found` that are worth more than they cost; returns how many.
    fn take(&mut self, packing: &Packing, found: Vec<Packed>, duals: &[f64]) -> usize {
        let mut added = 0;
        for column in found {
            let value: f64 = column.filling.iter().map(|(c, n)| duals[*c as usize] * f64::from(*n)).sum();
            let pays = value > packing.offers[column.offer].price as f64 * (1.0 + 1e-6);
            if added < MOST_NEW && pays && self.add(packing, column) {
                added += 1;
            }
        }
        added
    }

    fn add(&mut self, packing: &Packing, column: Packed) -> bool {
        if !self.known.insert(column.clone()) {
            return false;
        }
        let entries = column.filling.iter().map(|(class, count)| (*class as usize, f64::from(*count))).collect();
        self.program.push(packing.offers[column.offer].price as f64, entries);
        self.columns.push(column);
        true
    }
}

/// As many pods of one class as its best node takes.
fn singleton(packing: &Packing, class: usize) -> Option<Packed> {
    let count = i64::from(packing.classes[class].count);
    let each = |k: &usize| {
        let offer = &packing.offers[*k];
        offer.price as f64 / packing.most(class, &offer.capacity).min(count) as f64
    };
    let offer = (0..packing.offers.len())
        .filter(|k| packing.admits(&packing.offers[*k], class))
        .min_by(|a, b| each(a).total_cmp(&each(b)).then(a.cmp(b)))?;
    let most = packing.most(class, &packing.offers[offer].capacity).min(count);
    Some(Packed { offer, filling: vec![(class as u32, u32::try_from(most).ok()?)] })
}

struct Priced {
    worst: f64,
    columns: Vec<Packed>,
}

/// Asks every offer for its best filling. Offers whose old worth, or another
/// offer's resource prices, rule them out are not searched.
fn price(packing: &Packing, kernel: &mut Knapsack, values: &[f64], demand: &[u32], ratio: &mut [f64]) -> Priced {
    let members: Vec<Vec<usize>> = packing.profiles.iter().map(|profile| profile.iter().collect()).collect();
    let mut order: Vec<usize> = (0..packing.offers.len()).collect();
    order.sort_by(|a, b| ratio[*b].total_cmp(&ratio[*a]).then(a.cmp(b)));
    let mut priced = Priced { worst: 0.0, columns: Vec::new() };
    let mut hint: Option<Vec<f64>> = None;
    let mut found: Vec<(f64, Packed)> = Vec::new();
    for k in order {
        let offer = &packing.offers[k];
        let price = (offer.price as f64).max(1.0);
        kernel.columns.gather(packing, &offer.capacity, members[offer.profile].iter().copied(), values, demand);
        let goal = Goal { useless: price, enough: price * 1.0005, nodes: 24 };
        let filling = kernel.solve(&offer.capacity, goal, hint.as_deref());
        ratio[k] = filling.bound / price;
        priced.worst = priced.worst.max(ratio[k]);
        if filling.items.is_empty() {
            continue;
        }
        hint = Some(kernel.prices().to_vec());
        let holder = packing.cheapest_holder(k, &filling.items);
        let worth = filling.value / packing.offers[holder].price as f64;
        found.push((worth, Packed { offer: holder, filling: filling.items }));
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    priced.columns = found.into_iter().map(|(_, column)| column).collect();
    priced
}

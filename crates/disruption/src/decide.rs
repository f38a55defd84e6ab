//! One decision over the whole fleet: empty nodes, drifted nodes, and whatever
//! else is worth moving, within every budget at once.

use std::collections::{BTreeMap, BTreeSet};

use stowage_model::fleet::{EVICTION, Fleet};
use stowage_model::{Plan, Price};
use stowage_solver::{Monitor, Options};

use crate::bound;
use crate::budget::Allowance;
use crate::candidate::{Look, Reason, block};
use crate::command::{self, Command};
use crate::search::{self, Try};
use crate::stay::{self, Stay};
use crate::what_if::{Stage, WhatIf};

/// What the caller decides.
#[derive(Clone, Debug)]
pub struct Rules {
    /// How each question is solved.
    pub options: Options,
    /// What one ordinary pod's eviction must be worth per hour.
    pub eviction_price: Price,
    /// What a command must save per hour at least.
    pub least_saving: Price,
    /// Whether spot nodes are replaced by cheaper spot nodes, and how many types
    /// must then be cheap enough: with few, the next interruption is near.
    pub spot_to_spot: Option<usize>,
    /// Whether every pool is held to the policy Balanced.
    pub balanced: bool,
    /// The most nodes that one decision may give up.
    pub most_nodes: Option<usize>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            options: Options::default(),
            // $3.65 a month: below that, moving a pod is not worth it.
            eviction_price: Price::from_nanos(5_000_000),
            least_saving: Price::from_nanos(100_000),
            spot_to_spot: None,
            balanced: false,
            most_nodes: None,
        }
    }
}

/// What to do, and why nothing else.
#[derive(Clone, Debug)]
pub struct Decision {
    /// Moves that do not depend on each other, the best first.
    pub commands: Vec<Command>,
    /// Why each other node of ours stays, by its name.
    pub stay: BTreeMap<String, Stay>,
    /// The question that all commands together answer.
    pub what_if: WhatIf,
    /// The answer.
    pub plan: Plan,
    /// What the fleet costs now, as far as prices are known.
    pub price: Price,
    /// What it costs afterwards.
    pub after: Price,
    /// What it costs at least, whatever is moved, with the nodes that may not go.
    pub floor: Price,
    /// The same after one decision, within its budgets.
    pub floor_now: Price,
}

/// What a decision is made with.
pub(crate) struct Desk<'a> {
    pub(crate) fleet: &'a Fleet,
    pub(crate) rules: &'a Rules,
    pub(crate) stage: Stage<'a>,
    pub(crate) monitor: &'a dyn Monitor,
    pub(crate) now: i64,
    /// What is on its way without us: pending pods and the nodes for them.
    pub(crate) baseline: Plan,
}

impl<'a> Desk<'a> {
    fn new(fleet: &'a Fleet, rules: &'a Rules, now: i64, monitor: &'a dyn Monitor) -> Self {
        let stage = Stage::new(fleet, now);
        let baseline = stowage_solver::solve(&stage.without(&BTreeSet::new()).problem, &rules.options, monitor).plan;
        Self { fleet, rules, stage, monitor, now, baseline }
    }

    /// Nodes on which waiting pods will find a place.
    fn expected(&self) -> BTreeSet<&str> {
        self.baseline.existing.iter().map(|binding| binding.node.as_str()).collect()
    }

    pub(crate) fn look(&self, node: u32) -> Option<Look<'_>> {
        let machine = self.fleet.machines.get(node as usize)?.as_ref()?;
        let pods = &self.stage.pods_of[node as usize];
        Some(Look { fleet: self.fleet, machine, node: node as usize, pods, now: self.now })
    }

    /// The PodDisruptionBudgets that emptying a node draws upon, pod by pod. Where pods
    /// that refuse are forced off in the end, drift draws upon none.
    pub(crate) fn draws(&self, node: u32, reason: Reason) -> Vec<Vec<u32>> {
        let forceful = self.fleet.machines[node as usize].as_ref().is_some_and(|machine| machine.forceful);
        if reason == Reason::Drifted && forceful {
            return Vec::new();
        }
        self.stage.pods_of[node as usize].iter().map(|pod| self.fleet.care[*pod as usize].budgets.clone()).collect()
    }

    /// What emptying a node costs, in millionths of an ordinary pod.
    pub(crate) fn disruption(&self, node: u32) -> i64 {
        self.stage.pods_of[node as usize].iter().map(|pod| self.fleet.care[*pod as usize].cost.max(0)).sum()
    }

    /// The same in nano-dollars per hour.
    pub(crate) fn disruption_price(&self, node: u32) -> i64 {
        let price = i128::from(self.disruption(node)) * i128::from(self.rules.eviction_price.nanos());
        i64::try_from(price / i128::from(EVICTION)).unwrap_or(i64::MAX)
    }

    pub(crate) fn price(&self, node: u32) -> i64 {
        self.fleet.problem.nodes[node as usize].price.map_or(0, Price::nanos)
    }

    pub(crate) fn machines(&self) -> impl Iterator<Item = u32> + '_ {
        (0_u32..).zip(&self.fleet.machines).filter(|(_, machine)| machine.is_some()).map(|(node, _)| node)
    }
}

/// Decides about a fleet at a point in time, in seconds since 1970.
pub fn decide(fleet: &Fleet, rules: &Rules, now: i64, monitor: &dyn Monitor) -> Decision {
    let desk = Desk::new(fleet, rules, now, monitor);
    let mut allowance = Allowance::of(fleet, now);
    let whole = allowance.clone();
    let mut stay: BTreeMap<u32, Stay> = BTreeMap::new();
    let mut reasons: BTreeMap<u32, Reason> = BTreeMap::new();
    empties(&desk, &mut allowance, &mut reasons, &mut stay);
    drifted(&desk, &mut allowance, &mut reasons, &mut stay);
    let first = settle(&desk, &mut reasons, &mut stay);
    let candidates = candidates(&desk, &reasons, &mut stay);
    let found = search::search(&desk, first, &reasons, &candidates, &allowance);
    let wanted = found.chosen.removed.clone();
    let (mut chosen, mut commands) = command::accepted(&desk, found.chosen, &reasons, &mut stay);
    if let Some(peer) = found.peer.filter(|_| chosen.removed != wanted) {
        let mut others = stay.clone();
        let (instead, by_them) = command::accepted(&desk, peer, &reasons, &mut others);
        if instead.total(&desk) < chosen.total(&desk) {
            (chosen, commands, stay) = (instead, by_them, others);
        }
    }
    for node in candidates.iter().filter(|node| !chosen.removed.contains(node)) {
        stay.entry(*node).or_insert_with(|| {
            match (stay::price(&desk, *node, &found.values), found.skipped.get(node)) {
                // It would go, were it not for a budget.
                (Stay::NotFound(_), Some(why)) => why.clone(),
                (price, _) => price,
            }
        });
    }
    let floor = bound::floor(&desk, &stay, &candidates, &found.everything);
    // Whatever no rule keeps could have gone, for whichever reason.
    let able: Vec<u32> = desk.machines().filter(|node| !matches!(stay.get(node), Some(Stay::Blocked(_)))).collect();
    let now = bound::floor_now(&desk, &able, &whole, &found.everything);
    summary(&desk, chosen, commands, stay, [floor, now.max(floor)])
}

fn summary(
    desk: &Desk<'_>,
    chosen: Try,
    commands: Vec<Command>,
    stay: BTreeMap<u32, Stay>,
    [floor, floor_now]: [Price; 2],
) -> Decision {
    let nodes = &desk.fleet.problem.nodes;
    let price: Price = nodes.iter().filter_map(|node| node.price).sum();
    let gone: Price = chosen.removed.iter().map(|node| Price::from_nanos(desk.price(*node))).sum();
    let bought: Price = commands.iter().flat_map(|command| &command.launch).map(|node| node.price).sum();
    let after = price - gone + bought;
    let name = |node: u32| nodes[node as usize].name.clone();
    Decision {
        commands,
        stay: stay.into_iter().filter(|(n, _)| !chosen.removed.contains(n)).map(|(n, why)| (name(n), why)).collect(),
        what_if: chosen.what_if,
        plan: chosen.plan,
        price,
        after,
        floor: floor.min(after),
        floor_now,
    }
}

/// Decides again about sets of nodes that were chosen a while ago, and about nothing
/// else: what still holds comes back as commands.
pub fn confirm(
    fleet: &Fleet,
    rules: &Rules,
    now: i64,
    monitor: &dyn Monitor,
    sets: &[Vec<(Reason, String)>],
) -> Decision {
    let desk = Desk::new(fleet, rules, now, monitor);
    let mut allowance = Allowance::of(fleet, now);
    let expected = desk.expected();
    let mut reasons: BTreeMap<u32, Reason> = BTreeMap::new();
    for set in sets {
        let mut left = allowance.clone();
        let nodes: Option<Vec<(u32, Reason)>> = set
            .iter()
            .map(|(reason, name)| {
                let node = fleet.problem.nodes.binary_search_by(|node| node.name.as_str().cmp(name)).ok()? as u32;
                let look = desk.look(node)?;
                let wanted = *reason == Reason::Empty && (!look.pods.is_empty() || expected.contains(name.as_str()));
                let gone = *reason == Reason::Drifted && look.machine.drifted.is_none();
                let free = !wanted && !gone && block(&look, *reason).is_none();
                (free && left.take(&look.machine.pool, *reason, &desk.draws(node, *reason)).is_ok())
                    .then_some((node, *reason))
            })
            .collect();
        if let Some(nodes) = nodes {
            allowance = left;
            reasons.extend(nodes);
        }
    }
    let mut stay = BTreeMap::new();
    let chosen = settle(&desk, &mut reasons, &mut stay);
    let (chosen, commands) = command::accepted(&desk, chosen, &reasons, &mut stay);
    summary(&desk, chosen, commands, stay, [Price::ZERO; 2])
}

/// Nodes with nothing to move, unless waiting pods will have them.
fn empties(
    desk: &Desk<'_>,
    allowance: &mut Allowance,
    reasons: &mut BTreeMap<u32, Reason>,
    stay: &mut BTreeMap<u32, Stay>,
) {
    let expected = desk.expected();
    for node in desk.machines().filter(|node| desk.stage.pods_of[*node as usize].is_empty()) {
        let Some(look) = desk.look(node) else { continue };
        let pool = &look.machine.pool;
        if let Some(block) = block(&look, Reason::Empty) {
            stay.insert(node, Stay::Blocked(block));
        } else if expected.contains(desk.fleet.problem.nodes[node as usize].name.as_str()) {
            stay.insert(node, Stay::Expected);
        } else if allowance.take(pool, Reason::Empty, &[]).is_err() {
            stay.insert(node, Stay::Budget(Reason::Empty));
        } else {
            reasons.insert(node, Reason::Empty);
        }
    }
}

/// Nodes that are not what their pool says, the longest so first.
fn drifted(
    desk: &Desk<'_>,
    allowance: &mut Allowance,
    reasons: &mut BTreeMap<u32, Reason>,
    stay: &mut BTreeMap<u32, Stay>,
) {
    let mut all: Vec<(bool, i64, u32)> = desk
        .machines()
        .filter(|node| !reasons.contains_key(node))
        .filter_map(|node| {
            let since = desk.fleet.machines[node as usize].as_ref()?.drifted.as_ref()?.0;
            Some((!desk.stage.pods_of[node as usize].is_empty(), since, node))
        })
        .collect();
    all.sort_unstable();
    for (_, _, node) in all {
        let Some(look) = desk.look(node) else { continue };
        if let Some(block) = block(&look, Reason::Drifted) {
            stay.insert(node, Stay::Blocked(block));
            continue;
        }
        match allowance.take(&look.machine.pool, Reason::Drifted, &desk.draws(node, Reason::Drifted)) {
            Ok(()) => {
                reasons.insert(node, Reason::Drifted);
                stay.remove(&node);
            }
            Err(short) => {
                stay.insert(node, stay::shortage(desk, short, Reason::Drifted));
            }
        }
    }
}

/// Makes sure that the pods of nodes that go for other reasons than price have a
/// place; nodes whose pods have none stay.
fn settle(desk: &Desk<'_>, reasons: &mut BTreeMap<u32, Reason>, stay: &mut BTreeMap<u32, Stay>) -> Try {
    loop {
        let removed: BTreeSet<u32> = reasons.keys().copied().collect();
        let attempt = search::attempt(desk, removed);
        let Err(stuck) = attempt.feasible(desk) else { return attempt };
        if reasons.is_empty() {
            return attempt;
        }
        let mut stuck: BTreeSet<u32> = stuck.into_iter().filter(|node| reasons.contains_key(node)).collect();
        if stuck.is_empty() {
            // It is waiting pods that lose their place: nothing goes this time.
            stuck = reasons.keys().copied().collect();
        }
        for node in stuck {
            reasons.remove(&node);
            stay.insert(node, Stay::NoPlace);
        }
    }
}

/// Nodes that may go if it pays.
fn candidates(desk: &Desk<'_>, reasons: &BTreeMap<u32, Reason>, stay: &mut BTreeMap<u32, Stay>) -> Vec<u32> {
    let mut all = Vec::new();
    for node in desk.machines().filter(|node| !reasons.contains_key(node)) {
        let Some(look) = desk.look(node) else { continue };
        if look.pods.is_empty() {
            continue;
        }
        match block(&look, Reason::Underutilized) {
            Some(block) => {
                stay.entry(node).or_insert(Stay::Blocked(block));
            }
            None => all.push(node),
        }
    }
    all
}

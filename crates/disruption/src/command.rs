//! Moves that do not depend on each other: nodes that go, with the nodes that come
//! in their place.

use std::collections::{BTreeMap, BTreeSet};

use stowage_model::fleet::{Consolidation, EVICTION};
use stowage_model::plan::NewNode;
use stowage_model::{CapacityType, Price, labels};
use stowage_solver::Algorithm;

use crate::candidate::Reason;
use crate::decide::Desk;
use crate::search::{self, Try};
use crate::stay::Stay;

/// One move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Names of the nodes that go.
    pub remove: Vec<String>,
    /// Why each of them goes: a drifted node may share its replacement with others.
    pub reasons: Vec<Reason>,
    /// The claims of those nodes.
    pub claims: Vec<String>,
    /// Nodes that come first; pods are those of the decision's problem.
    pub launch: Vec<NewNode>,
    /// Pods that move, with where to: a node, or the index of a new one.
    pub moves: Vec<(u32, Target)>,
    /// What the removed nodes cost.
    pub before: Price,
    /// What the new nodes cost.
    pub after: Price,
    /// What is disrupted, in millionths of an ordinary pod.
    pub disruption: i64,
}

/// Where a pod goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// A node that stays.
    Node(String),
    /// A new one of this command.
    New(usize),
}

impl Command {
    /// Why, in a word: drift before price, and empty only if all of it is.
    pub fn reason(&self) -> Reason {
        let order = [Reason::Drifted, Reason::Underutilized];
        order.into_iter().find(|reason| self.reasons.contains(reason)).unwrap_or(Reason::Empty)
    }

    /// What it saves per hour; negative where drift costs.
    pub fn saving(&self) -> Price {
        self.before - self.after
    }
}

/// The commands of a set that pass every rule on commands; what does not pass stays.
pub(crate) fn accepted(
    desk: &Desk<'_>,
    mut chosen: Try,
    reasons: &BTreeMap<u32, Reason>,
    stay: &mut BTreeMap<u32, Stay>,
) -> (Try, Vec<Command>) {
    loop {
        let groups = groups(desk, &chosen);
        let kept = kept(&chosen);
        let mut refused: BTreeSet<u32> = BTreeSet::new();
        let mut commands = Vec::new();
        for group in &groups {
            let mut command = command(desk, &chosen, &kept, group, reasons);
            match objection(desk, group, &mut command) {
                Some((nodes, why)) => {
                    for node in nodes {
                        stay.insert(node, why.clone());
                        refused.insert(node);
                    }
                }
                None => commands.push(command),
            }
        }
        if refused.is_empty() {
            commands.sort_by(|a, b| rank(a).cmp(&rank(b)));
            return (chosen, commands);
        }
        let fewer: BTreeSet<u32> = chosen.removed.difference(&refused).copied().collect();
        let again = search::attempt(desk, fewer);
        // Fewer nodes leave more room, but the search is not bound to find it.
        if again.feasible(desk).is_err() {
            let only: BTreeSet<u32> = reasons.keys().copied().collect();
            chosen = search::attempt(desk, only);
        } else {
            chosen = again;
        }
    }
}

/// Empty nodes, then drift, then by what is saved per disruption.
fn rank(command: &Command) -> (Reason, i64, &[String]) {
    let per = i128::from(command.saving().nanos()) * 1_000 / i128::from(1 + command.disruption / 1_000);
    (command.reason(), i64::try_from(-per).unwrap_or(i64::MAX), &command.remove)
}

/// Removed nodes with the new nodes that take their pods.
struct Group {
    removed: Vec<u32>,
    /// Indices of the plan's new nodes.
    launched: Vec<usize>,
}

/// Connected components over pods that move from old to new nodes.
fn groups(desk: &Desk<'_>, chosen: &Try) -> Vec<Group> {
    let mut leader: BTreeMap<u32, u32> = chosen.removed.iter().map(|node| (*node, *node)).collect();
    fn find(leader: &BTreeMap<u32, u32>, mut node: u32) -> u32 {
        while let Some(next) = leader.get(&node).filter(|next| **next != node) {
            node = *next;
        }
        node
    }
    let mut homes_of: Vec<BTreeSet<u32>> = Vec::new();
    for new in &chosen.plan.nodes {
        let pods = new.pods.iter().map(|pod| chosen.what_if.origin[*pod as usize]);
        let homes: BTreeSet<u32> = pods.filter_map(|pod| desk.fleet.homes[pod as usize]).collect();
        if let Some(first) = homes.first() {
            for other in &homes {
                let (a, b) = (find(&leader, *first), find(&leader, *other));
                leader.insert(a.max(b), a.min(b));
            }
        }
        homes_of.push(homes);
    }
    let mut groups: BTreeMap<u32, Group> = BTreeMap::new();
    for node in &chosen.removed {
        let root = find(&leader, *node);
        groups.entry(root).or_insert_with(|| Group { removed: Vec::new(), launched: Vec::new() }).removed.push(*node);
    }
    for (index, homes) in homes_of.iter().enumerate() {
        if let Some(group) = homes.first().and_then(|home| groups.get_mut(&find(&leader, *home))) {
            group.launched.push(index);
        }
    }
    groups.into_values().collect()
}

/// Pods that go to nodes that stay, and to which.
fn kept(chosen: &Try) -> BTreeMap<u32, &str> {
    let mut kept = BTreeMap::new();
    for binding in &chosen.plan.existing {
        kept.extend(binding.pods.iter().map(|pod| (chosen.what_if.origin[*pod as usize], binding.node.as_str())));
    }
    kept
}

fn command(
    desk: &Desk<'_>,
    chosen: &Try,
    kept: &BTreeMap<u32, &str>,
    group: &Group,
    reasons: &BTreeMap<u32, Reason>,
) -> Command {
    let problem = &desk.fleet.problem;
    let mut target: BTreeMap<u32, Target> = BTreeMap::new();
    for (place, index) in group.launched.iter().enumerate() {
        let pods = chosen.plan.nodes[*index].pods.iter();
        target.extend(pods.map(|pod| (chosen.what_if.origin[*pod as usize], Target::New(place))));
    }
    let pods = group.removed.iter().flat_map(|node| desk.stage.pods_of[*node as usize].iter());
    let launch: Vec<NewNode> = group.launched.iter().map(|index| chosen.plan.nodes[*index].clone()).collect();
    let to_kept = |pod: &u32| kept.get(pod).map(|node| Target::Node((*node).to_owned()));
    let reason = |node: &u32| reasons.get(node).copied().unwrap_or(Reason::Underutilized);
    Command {
        remove: group.removed.iter().map(|node| problem.nodes[*node as usize].name.clone()).collect(),
        reasons: group.removed.iter().map(reason).collect(),
        claims: group
            .removed
            .iter()
            .filter_map(|node| Some(desk.fleet.machines[*node as usize].as_ref()?.claim.clone()))
            .collect(),
        moves: pods.filter_map(|pod| Some((*pod, target.get(pod).cloned().or_else(|| to_kept(pod))?))).collect(),
        before: group.removed.iter().map(|node| Price::from_nanos(desk.price(*node))).sum(),
        after: launch.iter().map(|node| node.price).sum(),
        disruption: group.removed.iter().map(|node| desk.disruption(*node)).sum(),
        launch,
    }
}

/// Why a command is not to be, and the nodes that stay for it.
fn objection(desk: &Desk<'_>, group: &Group, command: &mut Command) -> Option<(Vec<u32>, Stay)> {
    if command.reason() != Reason::Underutilized {
        return None;
    }
    let again = same_machine(desk, group, command);
    if !again.is_empty() {
        return Some((again, Stay::NotFound(Price::ZERO)));
    }
    let worth: i64 = group.removed.iter().map(|node| desk.disruption_price(*node)).sum();
    let saving = command.saving();
    // The peer asks for any saving at all.
    let peer = desk.rules.options.algorithm == Algorithm::FirstFit;
    let enough = if peer { saving > Price::ZERO } else { saving >= desk.rules.least_saving && saving.nanos() > worth };
    if !enough {
        return Some((group.removed.clone(), Stay::TooLittle(saving)));
    }
    let all = |why: Stay| Some((group.removed.clone(), why));
    if let Some(why) = fragile(desk, group, command) {
        return all(why);
    }
    if !balanced(desk, group, command) {
        return all(Stay::Unbalanced);
    }
    None
}

/// Removed nodes that the very same machine would replace.
fn same_machine(desk: &Desk<'_>, group: &Group, command: &Command) -> Vec<u32> {
    let mut found = BTreeSet::new();
    for new in &command.launch {
        let same = |node: &&u32| {
            let old = &desk.fleet.problem.nodes[**node as usize];
            !found.contains(*node)
                && old.pool() == Some(&new.pool)
                && old.label(labels::INSTANCE_TYPE) == Some(&new.instance_type)
                && old.label(labels::ZONE) == Some(&new.zone)
                && old.label(labels::CAPACITY_TYPE) == Some(new.capacity_type.as_str())
        };
        let old = group.removed.iter().find(same).copied();
        found.extend(old);
    }
    found.into_iter().collect()
}

/// Whether spot replaces spot without enough types to choose from. Leaves in each
/// launch only the alternatives that still save something.
fn fragile(desk: &Desk<'_>, group: &Group, command: &mut Command) -> Option<Stay> {
    let problem = &desk.fleet.problem;
    let is_spot =
        |node: &u32| problem.nodes[*node as usize].label(labels::CAPACITY_TYPE) == Some(CapacityType::Spot.as_str());
    let slack = command.saving();
    for new in &mut command.launch {
        let Some(pool) = problem.pools.iter().find(|pool| pool.name == new.pool) else { continue };
        let types = &problem.type_sets[pool.type_set];
        let most = new.price + slack;
        new.alternatives.retain(|name| {
            let kind = types.iter().find(|kind| *kind.name == **name);
            let offers = kind.into_iter().flat_map(|kind| &kind.offerings);
            offers.filter(|o| o.capacity_type == new.capacity_type).any(|offer| offer.price < most)
        });
    }
    let spot: Vec<&NewNode> = command.launch.iter().filter(|new| new.capacity_type == CapacityType::Spot).collect();
    if spot.is_empty() || !group.removed.iter().all(is_spot) {
        return None;
    }
    match desk.rules.spot_to_spot {
        None => Some(Stay::SpotToSpot),
        Some(least) => {
            let fewest = spot.iter().map(|new| new.alternatives.len() + 1).min().unwrap_or(0);
            (fewest < least).then_some(Stay::FewAlternatives(fewest))
        }
    }
}

/// Karpenter's policy Balanced: of what its pool costs, a command must save at least
/// half the share that it disrupts of the pool's pods.
fn balanced(desk: &Desk<'_>, group: &Group, command: &Command) -> bool {
    let pool_of = |node: u32| desk.fleet.machines[node as usize].as_ref().map(|machine| machine.pool.as_str());
    let pools: BTreeSet<&str> = group.removed.iter().filter_map(|node| pool_of(*node)).collect();
    pools.iter().all(|pool| {
        let policy = desk.fleet.policies.get(*pool).map(|policy| policy.consolidation);
        if !desk.rules.balanced && policy != Some(Consolidation::Balanced) {
            return true;
        }
        let own = || desk.machines().filter(|node| pool_of(*node) == Some(*pool));
        let sources = || group.removed.iter().copied().filter(|node| pool_of(*node) == Some(*pool));
        let part = |of: &dyn Fn(u32) -> i64, all: &mut dyn Iterator<Item = u32>| -> i128 {
            all.map(|node| i128::from(of(node))).sum()
        };
        let price = |node: u32| desk.price(node);
        // A node counts as one even without pods.
        let moves = |node: u32| EVICTION + desk.disruption(node);
        let cost = part(&price, &mut own());
        let source = part(&price, &mut sources());
        // What is saved is shared by what each pool gives up.
        let saved = i128::from(command.saving().nanos()) * source / i128::from(command.before.nanos().max(1));
        2 * saved * part(&moves, &mut own()) >= part(&moves, &mut sources()) * cost
    })
}

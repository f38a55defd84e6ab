//! A consolidation as data, from which the text and the page are made.

mod page;
mod rebalancing;
mod text;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use stowage_disruption::command::Target;
use stowage_disruption::{Command, Decision, Rebalanced};
use stowage_model::fleet::EVICTION;
use stowage_model::{Fleet, Price, labels};

use crate::question::Question;

pub(crate) use page::page;
use rebalancing::{KeptView, RelocationView};
pub(crate) use text::text;

/// Everything that is told.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct View {
    version: &'static str,
    input: String,
    at: String,
    summary: Summary,
    /// Decisions, each on what the one before left.
    waves: Vec<Wave>,
    /// Nodes that stay in the end, and why.
    stay: Vec<StayView>,
    before: Vec<NodeView>,
    after: Vec<NodeView>,
    assumptions: Vec<String>,
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timings: Option<Timings>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    nodes: usize,
    nodes_after: usize,
    pods: usize,
    #[serde(serialize_with = "dollars")]
    hourly_price: Price,
    #[serde(serialize_with = "dollars")]
    hourly_price_after: Price,
    #[serde(serialize_with = "dollars")]
    hourly_savings: Price,
    #[serde(serialize_with = "dollars")]
    monthly_savings: Price,
    /// What the first decision's nodes cost at least, whatever is moved.
    #[serde(serialize_with = "dollars")]
    lowest_hourly_price: Price,
    /// The same after one decision, within its budgets.
    #[serde(serialize_with = "dollars")]
    lowest_hourly_price_now: Price,
    /// What is left on the table at most: price after ÷ lowest − 1, in millionths.
    #[serde(skip_serializing_if = "Option::is_none")]
    gap_millionths: Option<i64>,
    commands: usize,
    /// Nodes of static pools that are replaced one for one.
    renewals: usize,
    /// Pods that move by rebalancing alone.
    relocations: usize,
    /// Failed pods that are taken away.
    removals: usize,
    evictions: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Wave {
    #[serde(serialize_with = "dollars")]
    hourly_price: Price,
    #[serde(serialize_with = "dollars")]
    hourly_price_after: Price,
    commands: Vec<CommandView>,
    /// Nodes of static pools that are replaced one for one, and what is wrong with them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    renewals: Vec<StayView>,
    /// Pods that move though their nodes stay, or are taken away.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    relocations: Vec<RelocationView>,
    /// Pods that a method would move and that stay.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    kept: Vec<KeptView>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CommandView {
    action: &'static str,
    reason: &'static str,
    remove: Vec<Removed>,
    launch: Vec<Launched>,
    moves: Vec<Move>,
    #[serde(serialize_with = "dollars")]
    hourly_savings: Price,
    #[serde(serialize_with = "dollars")]
    monthly_savings: Price,
    /// Evictions, weighted by what each costs.
    disruption_cost: f64,
    /// Minutes until the savings have paid for old and new nodes running together,
    /// which is taken to last five minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    payback_minutes: Option<f64>,
    sentence: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Removed {
    node: String,
    instance_type: String,
    zone: String,
    capacity_type: String,
    #[serde(serialize_with = "dollars")]
    hourly_price: Price,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Launched {
    node_pool: String,
    instance_type: String,
    zone: String,
    capacity_type: String,
    #[serde(serialize_with = "dollars")]
    hourly_price: Price,
    alternatives: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Move {
    pod: String,
    from: String,
    to: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct StayView {
    node: String,
    why: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct NodeView {
    name: String,
    instance_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hourly_price: Option<f64>,
    pods: usize,
    /// Of what pods can have, what is asked for.
    cpu: f64,
    memory: f64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Timings {
    read_seconds: f64,
    decide_seconds: f64,
}

fn dollars<S: Serializer>(price: &Price, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_f64(price.dollars())
}

impl View {
    pub(crate) fn new(fleet: &Fleet, question: &Question, now: Timestamp) -> Self {
        let before = nodes(fleet);
        let unreadable = stowage_disruption::budget::unreadable(fleet).into_iter().map(|pool| {
            format!("NodePool {pool} has a budget that cannot be read, so none of its nodes goes; check nodes, schedule and duration")
        });
        Self {
            version: "stowage/v1",
            input: question.digest.to_string(),
            at: now.to_string(),
            summary: Summary { nodes: before.len(), pods: fleet.problem.pods.len(), ..Summary::default() },
            waves: Vec::new(),
            stay: Vec::new(),
            before,
            after: Vec::new(),
            assumptions: question.assumptions.clone(),
            warnings: question.warnings.iter().cloned().chain(unreadable).collect(),
            timings: None,
        }
    }

    /// Adds a decision and what it leaves.
    pub(crate) fn add(
        &mut self,
        fleet: &Fleet,
        decision: &Decision,
        rebalanced: &Rebalanced,
        renewed: &[String],
        next: &Fleet,
    ) {
        let summary = &mut self.summary;
        if self.waves.is_empty() {
            summary.hourly_price = decision.price;
            summary.lowest_hourly_price = decision.floor;
            summary.lowest_hourly_price_now = decision.floor_now;
        }
        summary.hourly_price_after = decision.after;
        summary.hourly_savings = summary.hourly_price - decision.after;
        summary.monthly_savings = summary.hourly_savings.monthly();
        let floor = i128::from(summary.lowest_hourly_price.nanos());
        let over = i128::from(decision.after.nanos()) - floor;
        summary.gap_millionths = (floor > 0).then(|| i64::try_from(over * 1_000_000 / floor).unwrap_or(i64::MAX));
        summary.commands += decision.commands.len();
        summary.relocations += rebalanced.relocations.len();
        summary.removals += rebalanced.removals.len();
        let moved = decision.commands.iter().map(|command| command.moves.len()).sum::<usize>();
        summary.evictions += moved + rebalanced.relocations.len();
        summary.renewals += renewed.len();
        let some = !decision.commands.is_empty() || !rebalanced.is_empty() || !renewed.is_empty();
        if some || self.waves.is_empty() {
            self.waves.push(Wave {
                hourly_price: decision.price,
                hourly_price_after: decision.after,
                commands: decision.commands.iter().map(|command| view(fleet, command)).collect(),
                renewals: renewals(fleet, renewed),
                relocations: rebalancing::relocations(fleet, rebalanced),
                kept: rebalancing::kept(rebalanced),
            });
        }
        let why =
            |(node, stay): (&String, &stowage_disruption::Stay)| StayView { node: node.clone(), why: stay.to_string() };
        self.stay = decision.stay.iter().map(why).collect();
        self.after = nodes(next);
        self.summary.nodes_after = self.after.len();
    }

    pub(crate) fn timings(&mut self, read_seconds: f64, decide_seconds: f64) {
        self.timings = Some(Timings { read_seconds, decide_seconds });
    }

    /// Adds something that whoever asked should know.
    pub(crate) fn warn(&mut self, text: &str) {
        self.warnings.push(text.to_owned());
    }

    pub(crate) fn has_changes(&self) -> bool {
        self.summary.commands + self.summary.renewals + self.summary.relocations + self.summary.removals > 0
    }
}

/// Drifted nodes of static pools, by the names of their claims.
fn renewals(fleet: &Fleet, claims: &[String]) -> Vec<StayView> {
    let named = fleet.problem.nodes.iter().zip(&fleet.machines);
    let due = named.filter_map(|(node, machine)| {
        let machine = machine.as_ref().filter(|machine| claims.contains(&machine.claim))?;
        let why = machine.drifted.as_ref().map(|(_, why)| why.clone()).unwrap_or_default();
        Some(StayView { node: node.name.clone(), why })
    });
    due.collect()
}

fn nodes(fleet: &Fleet) -> Vec<NodeView> {
    let mut full = fleet.problem.nodes.clone();
    let mut counts = vec![0; full.len()];
    for (pod, home) in fleet.problem.pods.iter().zip(&fleet.homes) {
        if let Some(home) = home {
            full[*home as usize].host(&fleet.problem.shapes[pod.shape as usize]);
            counts[*home as usize] += 1;
        }
    }
    let share = |node: &stowage_model::Node, name: &str| {
        let all = node.allocatable.get(name);
        if all > 0 { (all - node.free().get(name)) as f64 / all as f64 } else { 0.0 }
    };
    full.iter()
        .zip(counts)
        .map(|(node, pods)| NodeView {
            name: node.name.clone(),
            instance_type: node.label(labels::INSTANCE_TYPE).unwrap_or("?").to_owned(),
            hourly_price: node.price.map(Price::dollars),
            pods,
            cpu: share(node, "cpu"),
            memory: share(node, "memory"),
        })
        .collect()
}

/// Minutes for which old and new nodes are taken to run together.
const OVERLAP: f64 = 5.0;

fn view(fleet: &Fleet, command: &Command) -> CommandView {
    let problem = &fleet.problem;
    let removed = command.remove.iter().filter_map(|name| problem.nodes.iter().find(|node| node.name == *name));
    let label = |node: &stowage_model::Node, key: &str| node.label(key).unwrap_or("?").to_owned();
    let pod = |index: u32| problem.pods[index as usize].to_string();
    let home = |index: u32| {
        let home = fleet.homes[index as usize];
        home.map_or_else(String::new, |home| problem.nodes[home as usize].name.clone())
    };
    let to = |target: &Target| match target {
        Target::Node(name) => name.clone(),
        Target::New(index) => format!("new {} {}", index + 1, command.launch[*index].instance_type),
    };
    let dollars = command.saving().dollars();
    CommandView {
        action: if command.launch.is_empty() { "delete" } else { "replace" },
        reason: command.reason().as_str(),
        remove: removed
            .map(|node| Removed {
                node: node.name.clone(),
                instance_type: label(node, labels::INSTANCE_TYPE),
                zone: label(node, labels::ZONE),
                capacity_type: label(node, labels::CAPACITY_TYPE),
                hourly_price: node.price.unwrap_or_default(),
            })
            .collect(),
        launch: command
            .launch
            .iter()
            .map(|node| Launched {
                node_pool: node.pool.clone(),
                instance_type: node.instance_type.clone(),
                zone: node.zone.clone(),
                capacity_type: node.capacity_type.as_str().to_owned(),
                hourly_price: node.price,
                alternatives: node.alternatives.clone(),
            })
            .collect(),
        moves: command
            .moves
            .iter()
            .map(|(index, target)| Move { pod: pod(*index), from: home(*index), to: to(target) })
            .collect(),
        hourly_savings: command.saving(),
        monthly_savings: command.saving().monthly(),
        disruption_cost: command.disruption as f64 / EVICTION as f64,
        payback_minutes: (dollars > 0.0).then(|| (OVERLAP * command.after.dollars() / dollars * 10.0).round() / 10.0),
        sentence: sentence(command),
    }
}

/// A command in words.
pub(crate) fn sentence(command: &Command) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for node in &command.launch {
        *counts.entry(format!("{} {} {}", node.instance_type, node.zone, node.capacity_type)).or_default() += 1;
    }
    let new: Vec<String> =
        counts.into_iter().map(|(kind, count)| if count == 1 { kind } else { format!("{count} × {kind}") }).collect();
    let old = match command.remove.as_slice() {
        [one] => one.clone(),
        all => format!("{} nodes", all.len()),
    };
    let moves = match command.moves.len() {
        0 => String::new(),
        1 => ", 1 pod moves".to_owned(),
        count => format!(", {count} pods move"),
    };
    if new.is_empty() { format!("delete {old}{moves}") } else { format!("replace {old} by {}{moves}", new.join(" + ")) }
}

/// One thing, or several.
pub(crate) fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// Cents are enough for a month.
fn month(price: Price) -> String {
    format!("${:.2}", price.dollars())
}

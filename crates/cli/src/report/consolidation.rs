//! A consolidation, as text, data and a page.

use std::collections::BTreeMap;
use std::fmt::Write;

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use stowage_disruption::command::Target;
use stowage_disruption::{Command, Decision};
use stowage_model::fleet::EVICTION;
use stowage_model::{Fleet, Price, labels};

use super::html;
use crate::question::Question;

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
    /// What is left on the table at most: price after ÷ lowest − 1, in millionths.
    #[serde(skip_serializing_if = "Option::is_none")]
    gap_millionths: Option<i64>,
    commands: usize,
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
    /// Pods moved for each dollar per hour that is saved.
    #[serde(skip_serializing_if = "Option::is_none")]
    evictions_per_dollar: Option<f64>,
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
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "known_dollars")]
    hourly_price: Option<Price>,
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

fn known_dollars<S: Serializer>(price: &Option<Price>, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_f64(price.unwrap_or_default().dollars())
}

impl View {
    pub(crate) fn new(fleet: &Fleet, question: &Question, now: Timestamp) -> Self {
        let before = nodes(fleet);
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
            warnings: question.warnings.clone(),
            timings: None,
        }
    }

    /// Adds a decision and what it leaves.
    pub(crate) fn add(&mut self, fleet: &Fleet, decision: &Decision, next: &Fleet) {
        let summary = &mut self.summary;
        if self.waves.is_empty() {
            summary.hourly_price = decision.price;
            summary.lowest_hourly_price = decision.floor;
        }
        summary.hourly_price_after = decision.after;
        summary.hourly_savings = summary.hourly_price - decision.after;
        summary.monthly_savings = summary.hourly_savings.monthly();
        let floor = i128::from(summary.lowest_hourly_price.nanos());
        let over = i128::from(decision.after.nanos()) - floor;
        summary.gap_millionths = (floor > 0).then(|| i64::try_from(over * 1_000_000 / floor).unwrap_or(i64::MAX));
        summary.commands += decision.commands.len();
        summary.evictions += decision.commands.iter().map(|command| command.moves.len()).sum::<usize>();
        if !decision.commands.is_empty() || self.waves.is_empty() {
            let commands = decision.commands.iter().map(|command| view(fleet, command)).collect();
            self.waves.push(Wave { hourly_price: decision.price, hourly_price_after: decision.after, commands });
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

    pub(crate) fn has_commands(&self) -> bool {
        self.summary.commands > 0
    }
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
            hourly_price: node.price,
            pods,
            cpu: share(node, "cpu"),
            memory: share(node, "memory"),
        })
        .collect()
}

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
        reason: command.reason.as_str(),
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
        evictions_per_dollar: (dollars > 0.0).then(|| command.moves.len() as f64 / dollars),
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

/// Cents are enough for a month.
fn month(price: Price) -> String {
    format!("${:.2}", price.dollars())
}

/// Rows that the short form shows of a list.
const SHORT: usize = 12;

pub(crate) fn text(view: &View, wide: bool) -> String {
    let mut text = String::new();
    let most = if wide { usize::MAX } else { SHORT };
    for (index, wave) in view.waves.iter().enumerate() {
        if view.waves.len() > 1 {
            let _ = writeln!(text, "wave {}: {}/h → {}/h", index + 1, wave.hourly_price, wave.hourly_price_after);
        }
        for command in wave.commands.iter().take(most) {
            let saving = command.hourly_savings;
            let _ = writeln!(text, "  {:<14} {}  ({saving}/h)", command.reason, command.sentence);
            if wide || command.remove.len() > 1 {
                for node in command.remove.iter().take(most) {
                    let _ = writeln!(
                        text,
                        "    - {} {} {} {}/h",
                        node.node, node.instance_type, node.zone, node.hourly_price
                    );
                }
                for node in command.launch.iter().take(most) {
                    let _ = writeln!(
                        text,
                        "    + {} {} {} {}/h",
                        node.node_pool, node.instance_type, node.zone, node.hourly_price
                    );
                }
            }
        }
        rest(&mut text, wave.commands.len(), most);
    }
    let summary = &view.summary;
    if summary.commands == 0 {
        text.push_str("nothing to do\n");
    }
    let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for stay in &view.stay {
        reasons.entry(&stay.why).or_default().push(&stay.node);
    }
    if !view.stay.is_empty() {
        text.push_str("\nNodes that stay\n");
        let mut sorted: Vec<_> = reasons.into_iter().collect();
        sorted.sort_by(|a, b| b.1.len().cmp(&a.1.len()).then(a.0.cmp(b.0)));
        for (why, nodes) in sorted.iter().take(most) {
            let named = if nodes.len() == 1 {
                nodes[0].to_owned()
            } else {
                format!("{} and {} more", nodes[0], nodes.len() - 1)
            };
            let _ = writeln!(text, "  {named}: {why}");
        }
        rest(&mut text, sorted.len(), most);
    }
    let _ = writeln!(
        text,
        "\n{} nodes, {}/h → {} nodes, {}/h: saves {}/h, {} a month, with {} commands and {} evictions",
        summary.nodes,
        summary.hourly_price,
        summary.nodes_after,
        summary.hourly_price_after,
        summary.hourly_savings,
        month(summary.monthly_savings),
        summary.commands,
        summary.evictions
    );
    if let Some(gap) = summary.gap_millionths {
        let percent = gap as f64 / 10_000.0;
        let _ = writeln!(
            text,
            "no arrangement costs less than {}/h: at most {percent:.2} % above it is left",
            summary.lowest_hourly_price
        );
    }
    for (title, lines) in [("Assumed", &view.assumptions), ("Warnings", &view.warnings)] {
        if !lines.is_empty() {
            let _ = writeln!(text, "\n{title}");
            lines.iter().for_each(|line| {
                let _ = writeln!(text, "  {line}");
            });
        }
    }
    if let Some(timings) = &view.timings {
        let _ = writeln!(text, "\nread in {:.2} s, decided in {:.2} s", timings.read_seconds, timings.decide_seconds);
    }
    text
}

fn rest(text: &mut String, all: usize, most: usize) {
    if all > most {
        let _ = writeln!(text, "  … and {} more (-o wide shows all)", all - most);
    }
}

pub(crate) fn html(view: &View) -> String {
    let summary = &view.summary;
    let tiles = [
        ("saved per hour", summary.hourly_savings.to_string()),
        ("saved per month", month(summary.monthly_savings)),
        ("price per hour", format!("{} → {}", summary.hourly_price, summary.hourly_price_after)),
        ("at least", format!("{}/h", summary.lowest_hourly_price)),
        ("nodes", format!("{} → {}", summary.nodes, summary.nodes_after)),
        ("commands, evictions", format!("{}, {}", summary.commands, summary.evictions)),
    ];
    let mut body = String::from("<div class=\"tiles\">");
    for (name, value) in tiles {
        let _ = write!(body, "<div class=\"tile\"><b>{}</b>{name}</div>", html::escape(&value));
    }
    body.push_str("</div>");
    for (title, nodes) in [("Before", &view.before), ("After", &view.after)] {
        let _ = write!(body, "<h2>{title}</h2>");
        body.push_str(&cells(nodes));
    }
    for (index, wave) in view.waves.iter().enumerate() {
        let _ = write!(
            body,
            "<h2>Decision {}</h2><div class=\"scroll\"><table><tr><th>Why</th><th>What</th><th class=\"n\">Saves/h</th><th class=\"n\">a month</th><th class=\"n\">Disruption</th></tr>",
            index + 1
        );
        for command in &wave.commands {
            let moves: String = command
                .moves
                .iter()
                .map(|m| format!("<li>{} → {}</li>", html::escape(&m.pod), html::escape(&m.to)))
                .collect();
            let moves = match moves.is_empty() {
                true => String::new(),
                false => format!("<details><summary>moves</summary><ul>{moves}</ul></details>"),
            };
            let _ = write!(
                body,
                "<tr><td>{}</td><td class=\"wrap\">{}{moves}</td>\
                 <td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{:.1}</td></tr>",
                command.reason,
                html::escape(&command.sentence),
                command.hourly_savings,
                month(command.monthly_savings),
                command.disruption_cost
            );
        }
        body.push_str("</table></div>");
    }
    if !view.stay.is_empty() {
        body.push_str("<h2>Nodes that stay</h2><div class=\"scroll\"><table><tr><th>Node</th><th>Why</th></tr>");
        for stay in &view.stay {
            let (node, why) = (html::escape(&stay.node), html::escape(&stay.why));
            let _ = write!(body, "<tr><td>{node}</td><td class=\"wrap\">{why}</td></tr>");
        }
        body.push_str("</table></div>");
    }
    for line in view.assumptions.iter().chain(&view.warnings) {
        let _ = write!(body, "<p class=\"soft\">{}</p>", html::escape(line));
    }
    html::page("Stowage consolidation", &body)
}

/// One small column per node: how full it is in processor and memory.
fn cells(nodes: &[NodeView]) -> String {
    const WIDE: usize = 11;
    const HIGH: f64 = 46.0;
    const ROW: usize = 90;
    let rows = nodes.len().div_ceil(ROW).max(1);
    let (width, height) = (nodes.len().clamp(1, ROW) * WIDE, rows as f64 * (HIGH + 8.0));
    let mut svg = format!(
        "<svg role=\"img\" aria-label=\"how full each node is\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">"
    );
    for (index, node) in nodes.iter().enumerate() {
        let (left, top) = ((index % ROW * WIDE) as f64, (index / ROW) as f64 * (HIGH + 8.0));
        let price = node.hourly_price.map_or_else(String::new, |price| format!(", {price}/h"));
        let _ = write!(
            svg,
            "<g><title>{} ({}{price}): {} pods, cpu {:.0} %, memory {:.0} %</title>\
             <rect class=\"room\" x=\"{left}\" y=\"{top}\" width=\"9\" height=\"{HIGH}\" rx=\"1\"/>",
            html::escape(&node.name),
            html::escape(&node.instance_type),
            node.pods,
            node.cpu * 100.0,
            node.memory * 100.0
        );
        for (share, class, offset) in [(node.cpu, "pods", 0.0), (node.memory, "daemons", 4.5)] {
            let tall = share.clamp(0.0, 1.0) * HIGH;
            let _ = write!(
                svg,
                "<rect class=\"{class}\" x=\"{}\" y=\"{:.1}\" width=\"4.5\" height=\"{tall:.1}\"/>",
                left + offset,
                top + HIGH - tall
            );
        }
        svg.push_str("</g>");
    }
    svg.push_str("</svg><p class=\"soft key\"><i style=\"background:var(--pods)\"></i>cpu <i style=\"background:var(--daemons)\"></i>memory</p>");
    format!("<div class=\"scroll\">{svg}</div>")
}

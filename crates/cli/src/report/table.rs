//! The answer for a terminal.

use std::collections::BTreeMap;
use std::fmt::Write;

use anstyle::{AnsiColor, Style};

use super::view::{CostView, NodeView, View};
use super::why::{NearestView, ReasonView};

/// Rows of costs and unplaced pods that the short form shows.
const SHORT: usize = 10;

pub(crate) fn render(view: &View, wide: bool) -> String {
    let mut text = String::new();
    let bold = Style::new().bold();
    let summary = &view.summary;
    if summary.pods == 0 {
        text.push_str("nothing to plan: the input has no pod that waits for a node\n");
    }
    if !view.nodes.is_empty() {
        let _ = writeln!(text, "{bold}New nodes{bold:#}");
        text.push_str(&nodes(&view.nodes, wide));
        if wide {
            choices(&mut text, &view.nodes);
        }
    }
    if !view.existing.is_empty() {
        let _ = writeln!(text, "\n{bold}On existing nodes{bold:#}");
        let mut rows = vec![vec!["NODE".to_owned(), "NEW PODS".to_owned()]];
        let most = if wide { usize::MAX } else { SHORT };
        rows.extend(view.existing.iter().take(most).map(|e| vec![e.name.clone(), e.pods.len().to_string()]));
        text.push_str(&columns(&rows));
        rest(&mut text, view.existing.len(), most);
    }
    unplaced(&mut text, view, wide);
    totals(&mut text, view);
    replays(&mut text, view);
    costs(&mut text, "Cost per namespace", &view.costs.namespaces, wide);
    costs(&mut text, "Cost per workload", &view.costs.workloads, wide);
    notes(&mut text, view);
    text
}

fn rest(text: &mut String, all: usize, shown: usize) {
    if all > shown {
        let _ = writeln!(text, "… and {} more (-o wide shows all)", all - shown);
    }
}

fn nodes(nodes: &[NodeView], wide: bool) -> String {
    let mut groups: BTreeMap<(&str, &str, &str, &str), Vec<&NodeView>> = BTreeMap::new();
    for node in nodes {
        groups.entry((&node.node_pool, &node.instance_type, &node.zone, &node.capacity_type)).or_default().push(node);
    }
    let mut resources: Vec<&str> = nodes.iter().flat_map(|n| n.utilization.keys()).map(String::as_str).collect();
    resources.sort_unstable();
    resources.dedup();
    resources.retain(|name| *name != "pods" || wide);
    let mut header: Vec<String> =
        ["COUNT", "TYPE", "ZONE", "CAPACITY", "POOL", "EACH/H", "TOTAL/H", "PODS"].map(str::to_owned).to_vec();
    header.extend(resources.iter().map(|name| name.rsplit('/').next().unwrap_or(name).to_uppercase()));
    if wide {
        header.extend(["ALTERNATIVES".to_owned()]);
    }
    let mut rows = vec![header];
    let mut sorted: Vec<_> = groups.into_iter().collect();
    let total = |nodes: &[&NodeView]| nodes.iter().map(|n| n.price).sum::<stowage_model::Price>();
    sorted.sort_by(|a, b| total(&b.1).cmp(&total(&a.1)).then_with(|| a.0.cmp(&b.0)));
    for ((pool, kind, zone, capacity), members) in sorted {
        let price = members.first().map(|n| n.price).unwrap_or_default();
        let mut row = vec![
            members.len().to_string(),
            kind.to_owned(),
            zone.to_owned(),
            capacity.to_owned(),
            pool.to_owned(),
            price.to_string(),
            total(&members).to_string(),
            members.iter().map(|n| n.pods.len()).sum::<usize>().to_string(),
        ];
        row.extend(resources.iter().map(|name| {
            let shares: Vec<f64> = members.iter().filter_map(|n| n.utilization.get(*name)).copied().collect();
            if shares.is_empty() { "–".to_owned() } else { percent(shares.iter().sum::<f64>() / shares.len() as f64) }
        }));
        if wide {
            let fewest = members.iter().min_by_key(|n| n.alternatives.len());
            row.push(fewest.map_or_else(String::new, |n| {
                let shown: Vec<&str> = n.alternatives.iter().take(3).map(String::as_str).collect();
                format!("{} ({})", n.alternatives.len(), shown.join(" "))
            }));
        }
        rows.push(row);
    }
    columns(&rows)
}

/// Why each type was chosen, told once for nodes with the same answer.
fn choices(text: &mut String, nodes: &[NodeView]) {
    let bold = Style::new().bold();
    let mut lines: BTreeMap<(&str, String), usize> = BTreeMap::new();
    for node in nodes {
        *lines.entry((&node.instance_type, node.why.line())).or_default() += 1;
    }
    let _ = writeln!(text, "\n{bold}Why these types{bold:#}");
    for ((kind, line), count) in lines {
        let _ = writeln!(text, "  {count} × {kind}: {line}");
    }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

fn unplaced(text: &mut String, view: &View, wide: bool) {
    if view.unplaced.is_empty() {
        return;
    }
    let red = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
    let count = view.unplaced.len();
    let what = if count == 1 { "pod fits" } else { "pods fit" };
    let _ = writeln!(text, "\n{red}{count} {what} nowhere{red:#}");
    // Pods with the same reasons are told together.
    type Why<'a> = (&'a [ReasonView], &'a [String], Option<&'a NearestView>);
    let mut groups: BTreeMap<Why<'_>, Vec<&str>> = BTreeMap::new();
    for unplaced in &view.unplaced {
        let why = (&unplaced.reasons[..], &unplaced.blocked_by[..], unplaced.nearest.as_ref());
        groups.entry(why).or_default().push(&unplaced.pod);
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by(|a, b| b.1.len().cmp(&a.1.len()).then_with(|| a.1.cmp(&b.1)));
    let most = if wide { usize::MAX } else { SHORT };
    for ((reasons, blocked_by, nearest), pods) in groups.iter().take(most) {
        let more = if pods.len() > 1 { format!(" and {} more", pods.len() - 1) } else { String::new() };
        let _ = writeln!(text, "  {}{more}", pods.first().copied().unwrap_or_default());
        for reason in *reasons {
            let _ = writeln!(text, "    {}: {}", reason.code, reason.message);
        }
        if !blocked_by.is_empty() {
            let _ = writeln!(text, "    blocked by {}", blocked_by.join(" + "));
        }
        if let Some(nearest) = nearest {
            let _ = writeln!(text, "    nearest: {}", nearest.line);
        }
    }
    rest(text, groups.len(), most);
}

fn replays(text: &mut String, view: &View) {
    if view.replay.is_empty() {
        return;
    }
    let bold = Style::new().bold();
    let _ = writeln!(text, "\n{bold}With a scheduler{bold:#}");
    let header = ["SCENARIO", "BOUND", "AS PLANNED", "MORE NODES", "EXTRA/H", "REGRET"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    rows.extend(view.replay.iter().map(|replay| {
        vec![
            replay.scenario.to_owned(),
            format!("{} of {}", replay.bound, replay.pods),
            replay.as_planned.to_string(),
            replay.more_nodes.to_string(),
            format!("${:.4}", replay.extra_hourly_price),
            replay.regret.map_or_else(|| "–".to_owned(), |share| format!("{:.2} %", share * 100.0)),
        ]
    }));
    text.push_str(&columns(&rows));
}

fn totals(text: &mut String, view: &View) {
    let s = &view.summary;
    let bold = Style::new().bold();
    let money = |dollars: f64| format!("${dollars:.4}/h  ${:.2}/month", dollars * 730.0);
    let _ = writeln!(text, "\n{bold}Summary{bold:#}");
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut row = |name: &str, value: String| rows.push(vec![name.to_owned(), value]);
    row("pods", format!("{} placed of {}", s.placed, s.pods));
    row("new nodes", format!("{} for {}", s.new_nodes, money(s.hourly_price)));
    if s.cluster_nodes > 0 {
        let unknown = if s.unpriced_nodes > 0 {
            format!("  ({} nodes of unknown price)", s.unpriced_nodes)
        } else {
            String::new()
        };
        row("today", format!("{} nodes for {}{unknown}", s.cluster_nodes, money(s.current_hourly_price)));
        row("after", money(s.total_hourly_price));
    }
    row("lower bound", money(s.lower_bound));
    let gap = match (s.gap, s.end) {
        (_, "optimal") => "none: proven optimal".to_owned(),
        (Some(gap), end) => format!("at most {:.2} %, search ended: {}", (gap * 1e4).ceil() / 1e2, spoken(end)),
        (None, end) => format!("unknown, search ended: {}", spoken(end)),
    };
    row("gap", gap);
    let relaxed = &view.certificate.relaxed;
    let left_out = if relaxed.is_empty() { String::new() } else { format!(", leaving out {}", relaxed.join(", ")) };
    row("proof", format!("{} certificate, checked{left_out}", view.certificate.kind));
    row("solver", format!("{}, linear programs by {}", s.solver, view.tool.lp_backend));
    let catalog = &view.catalog;
    let region = catalog.region.as_ref().map_or_else(String::new, |r| format!(" {r}"));
    let facts = catalog.facts.as_ref().map_or_else(String::new, |d| format!(" of {d}"));
    row("catalogue", format!("{}{region}{facts}", catalog.source));
    row("prices", catalog.prices.clone());
    let other: Vec<String> = view
        .price_bases
        .iter()
        .filter(|(basis, _)| *basis != "list")
        .map(|(basis, n)| format!("{n} {basis}"))
        .collect();
    if !other.is_empty() {
        row("", format!("of the new nodes, {} are not list prices", other.join(", ")));
    }
    row("", "disks and traffic are not priced; a month is 730 hours".to_owned());
    if let Some(timings) = &view.timings {
        row("time", format!("{:.2} s reading, {:.2} s planning", timings.read_seconds, timings.plan_seconds));
    }
    text.push_str(&columns(&rows));
}

fn spoken(end: &str) -> &'static str {
    match end {
        "withinGap" => "the gap asked for is reached",
        "timeLimit" => "the time limit",
        "interrupted" => "interrupted",
        "optimal" => "proven optimal",
        _ => "the effort is spent",
    }
}

fn costs(text: &mut String, title: &str, costs: &[CostView], wide: bool) {
    if costs.is_empty() {
        return;
    }
    let bold = Style::new().bold();
    let _ = writeln!(text, "\n{bold}{title}{bold:#}");
    let mut rows = vec![["NAME", "PODS", "PER HOUR", "PER MONTH"].map(str::to_owned).to_vec()];
    let most = if wide { usize::MAX } else { SHORT };
    rows.extend(costs.iter().take(most).map(|cost| {
        vec![
            cost.name.clone(),
            cost.pods.to_string(),
            format!("${:.4}", cost.hourly_price),
            format!("${:.2}", cost.monthly_price),
        ]
    }));
    text.push_str(&columns(&rows));
    rest(text, costs.len(), most);
}

fn notes(text: &mut String, view: &View) {
    let bold = Style::new().bold();
    let yellow = Style::new().bold().fg_color(Some(AnsiColor::Yellow.into()));
    if !view.assumptions.is_empty() {
        let _ = writeln!(text, "\n{bold}Assumed{bold:#}");
        view.assumptions.iter().for_each(|line| {
            let _ = writeln!(text, "  {line}");
        });
    }
    if !view.warnings.is_empty() {
        let _ = writeln!(text, "\n{yellow}Warnings{yellow:#}");
        view.warnings.iter().for_each(|line| {
            let _ = writeln!(text, "  {line}");
        });
    }
}

/// Rows as aligned columns; columns of numbers are aligned to the right.
pub(crate) fn columns<R: AsRef<[String]>>(rows: &[R]) -> String {
    let width = |text: &str| text.chars().count();
    let count = rows.iter().map(|row| row.as_ref().len()).max().unwrap_or(0);
    let cell = |row: &R, column: usize| row.as_ref().get(column).cloned().unwrap_or_default();
    let numeric = |column: usize| {
        rows.len() > 1
            && rows.iter().skip(1).all(|row| {
                let text = cell(row, column);
                text == "–"
                    || text.starts_with(|c: char| c.is_ascii_digit() || c == '$')
                        && !text.contains('(')
                        && width(&text) < 16
            })
    };
    let widths: Vec<usize> =
        (0..count).map(|column| rows.iter().map(|row| width(&cell(row, column))).max().unwrap_or(0)).collect();
    let right: Vec<bool> = (0..count).map(numeric).collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = (0..count)
            .map(|column| {
                let cell = cell(row, column);
                let pad = " ".repeat(widths[column] - width(&cell));
                if right[column] { format!("{pad}{cell}") } else { format!("{cell}{pad}") }
            })
            .collect();
        text.push_str(format!("  {}", cells.join("  ")).trim_end());
        text.push('\n');
    }
    text
}

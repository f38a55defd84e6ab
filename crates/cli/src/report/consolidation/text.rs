//! A consolidation for a terminal.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{View, count, month, rebalancing};

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
            let payback = match command.payback_minutes {
                Some(minutes) if minutes > 0.0 => format!(", paid back in {minutes:.0} min"),
                _ => String::new(),
            };
            let _ = writeln!(text, "  {:<14} {}  ({saving}/h{payback})", command.reason, command.sentence);
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
        for node in wave.renewals.iter().take(most) {
            let _ = writeln!(text, "  {:<14} renew {} of a static pool ({})", "Drifted", node.node, node.why);
        }
        rest(&mut text, wave.renewals.len(), most);
        rebalancing::text(&mut text, &wave.relocations, &wave.kept, most);
    }
    let summary = &view.summary;
    if !view.has_changes() {
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
        "\n{} nodes, {}/h → {} nodes, {}/h: saves {}/h, {} a month, with {} and {}",
        summary.nodes,
        summary.hourly_price,
        summary.nodes_after,
        summary.hourly_price_after,
        summary.hourly_savings,
        month(summary.monthly_savings),
        count(summary.commands, "command"),
        count(summary.evictions, "eviction")
    );
    if let Some(gap) = summary.gap_millionths {
        let percent = gap as f64 / 10_000.0;
        let _ = writeln!(
            text,
            "no arrangement costs less than {}/h: at most {percent:.2} % above it is left",
            summary.lowest_hourly_price
        );
        if view.waves.len() == 1 && summary.lowest_hourly_price_now > summary.lowest_hourly_price {
            let _ = writeln!(
                text,
                "within its budgets one decision ends at {}/h at least",
                summary.lowest_hourly_price_now
            );
        }
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

pub(super) fn rest(text: &mut String, all: usize, most: usize) {
    if all > most {
        let _ = writeln!(text, "  … and {} more (-o wide shows all)", all - most);
    }
}

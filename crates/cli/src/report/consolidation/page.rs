//! A consolidation as one self-contained page: before, after, and every move.

use std::fmt::Write;

use super::{NodeView, View, month};
use crate::report::html;

pub(crate) fn page(view: &View) -> String {
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
        for node in &wave.renewals {
            let _ = write!(
                body,
                "<tr><td>Drifted</td><td class=\"wrap\">renew {} of a static pool ({})</td><td></td><td></td><td class=\"n\"></td></tr>",
                html::escape(&node.node),
                html::escape(&node.why)
            );
        }
        let moved = wave.relocations.iter().map(|moved| (moved.method, moved.what()));
        for (method, what) in moved.chain(wave.kept.iter().map(|kept| (kept.method, kept.what()))) {
            let _ = write!(
                body,
                "<tr><td>{method}</td><td class=\"wrap\">{}</td><td></td><td></td><td class=\"n\"></td></tr>",
                html::escape(&what)
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
        let price = node.hourly_price.map_or_else(String::new, |price| format!(", ${price:.4}/h"));
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

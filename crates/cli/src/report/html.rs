//! The answer as one self-contained page: no script, no font, no request.

use std::fmt::Write;

use super::picture;
use super::view::{CostView, NodeView, View};

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1c2430;--soft:#5b6675;--line:#d9dee5;--page:#fbfcfd;--card:#fff;--room:#e8ecf1;--pods:#2f6fb7;--daemons:#8a97a8;--bad:#b3261e}\
@media(prefers-color-scheme:dark){:root{--ink:#e6eaf0;--soft:#9aa5b4;--line:#333c48;--page:#14181e;--card:#1b2129;--room:#2a323d;--pods:#5b9be0;--daemons:#77849a;--bad:#ff8a80}}\
*{box-sizing:border-box}body{margin:0;font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--page)}\
main{max-width:1100px;margin:0 auto;padding:24px 16px 64px}h1{font-size:24px;margin:0 0 4px}h2{font-size:18px;margin:36px 0 8px}\
p.soft,.soft{color:var(--soft)}.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(170px,1fr));gap:12px;margin:20px 0}\
.tile{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:12px 14px}.tile b{display:block;font-size:21px}\
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:5px 10px 5px 0;border-bottom:1px solid var(--line);white-space:nowrap}\
td.wrap{white-space:normal;min-width:280px}th{color:var(--soft);font-weight:600}td.n,th.n{text-align:right}\
.nodes{display:grid;grid-template-columns:repeat(auto-fill,minmax(206px,1fr));gap:12px}.node{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:10px 12px}\
.node h3{font-size:14px;margin:0}.node p{margin:0 0 6px;font-size:12px;color:var(--soft)}svg{display:block;max-width:100%}\
svg text{font:10px system-ui,sans-serif;fill:var(--soft)}svg .end{text-anchor:end}.room{fill:var(--room)}.pods{fill:var(--pods)}.daemons{fill:var(--daemons)}\
details summary{cursor:pointer;font-size:12px;color:var(--soft)}details ul{margin:4px 0 0;padding-left:16px;font-size:12px;max-height:220px;overflow:auto;overflow-wrap:anywhere}\
.key i{display:inline-block;width:10px;height:10px;border-radius:2px;margin:0 4px 0 12px}.bad{color:var(--bad)}";

/// Text as HTML shows it literally.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

pub(crate) fn render(view: &View) -> String {
    let mut page = String::new();
    let region = view.catalog.region.as_ref().map_or_else(String::new, |r| format!(", {r}"));
    let _ = write!(
        page,
        "<p class=\"soft\">Catalogue {}{}. Prices: {}. Disks and traffic are not priced; a month is 730 hours.</p>",
        escape(&view.catalog.source),
        escape(&region),
        escape(&view.catalog.prices)
    );
    tiles(&mut page, view);
    nodes(&mut page, view);
    existing(&mut page, view);
    unplaced(&mut page, view);
    costs(&mut page, "Cost per namespace", &view.costs.namespaces);
    costs(&mut page, "Cost per workload", &view.costs.workloads);
    list(&mut page, "Assumed", &view.assumptions);
    list(&mut page, "Warnings", &view.warnings);
    self::page("Stowage plan", &page)
}

/// A whole page.
pub(crate) fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>{title}</title>\
         <style>{STYLE}</style></head><body><main><h1>{title}</h1>{body}</main></body></html>\n"
    )
}

fn tiles(page: &mut String, view: &View) {
    let s = &view.summary;
    let gap = match (s.end, s.gap) {
        ("optimal", _) => "proven optimal".to_owned(),
        (_, Some(gap)) => format!("≤ {:.2} %", (gap * 1e4).ceil() / 1e2),
        _ => "unknown".to_owned(),
    };
    let mut all = vec![
        ("New nodes", s.new_nodes.to_string()),
        ("Per hour", format!("${:.4}", s.hourly_price)),
        ("Per month", format!("${:.2}", s.monthly_price)),
        ("Above the cheapest", gap),
        ("Pods placed", format!("{} of {}", s.placed, s.pods)),
    ];
    if s.cluster_nodes > 0 {
        all.push(("Today per hour", format!("${:.4}", s.current_hourly_price)));
        all.push(("After per hour", format!("${:.4}", s.total_hourly_price)));
    }
    page.push_str("<div class=\"tiles\">");
    for (name, value) in all {
        let _ = write!(page, "<div class=\"tile\"><span class=\"soft\">{name}</span><b>{}</b></div>", escape(&value));
    }
    page.push_str("</div>");
}

fn nodes(page: &mut String, view: &View) {
    if view.nodes.is_empty() {
        return;
    }
    page.push_str(
        "<h2>New nodes</h2><p class=\"soft key\">Requests as a share of what each node has:\
         <i style=\"background:var(--pods)\"></i>pods<i style=\"background:var(--daemons)\"></i>DaemonSets\
         <i style=\"background:var(--room)\"></i>free</p><div class=\"nodes\">",
    );
    for node in &view.nodes {
        card(page, node);
    }
    page.push_str("</div>");
}

fn card(page: &mut String, node: &NodeView) {
    let _ = write!(
        page,
        "<div class=\"node\"><h3>{}</h3><p>{} · {} · {}<br>{}/h · {}</p>{}<details><summary>{}</summary><ul>",
        escape(&node.instance_type),
        escape(&node.zone),
        escape(&node.capacity_type),
        escape(&node.node_pool),
        node.price,
        counted(node.alternatives.len(), "alternative"),
        picture::node(node),
        counted(node.pods.len(), "pod")
    );
    for pod in &node.pods {
        let _ = write!(page, "<li>{}</li>", escape(pod));
    }
    page.push_str("</ul></details></div>");
}

/// "1 pod", "2 pods".
fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn existing(page: &mut String, view: &View) {
    if view.existing.is_empty() {
        return;
    }
    page.push_str(
        "<h2>On existing nodes</h2><div class=\"scroll\"><table><tr><th>Node</th><th class=\"n\">New pods</th></tr>",
    );
    for node in &view.existing {
        let _ = write!(page, "<tr><td>{}</td><td class=\"n\">{}</td></tr>", escape(&node.name), node.pods.len());
    }
    page.push_str("</table></div>");
}

fn unplaced(page: &mut String, view: &View) {
    if view.unplaced.is_empty() {
        return;
    }
    let _ = write!(
        page,
        "<h2 class=\"bad\">{} without a place</h2><div class=\"scroll\"><table><tr><th>Pod</th><th>Why</th></tr>",
        counted(view.unplaced.len(), "pod")
    );
    for unplaced in &view.unplaced {
        let mut reasons: Vec<String> =
            unplaced.reasons.iter().map(|r| format!("<b>{}</b> {}", r.code, escape(&r.message))).collect();
        if !unplaced.blocked_by.is_empty() {
            reasons.push(format!("blocked by {}", escape(&unplaced.blocked_by.join(" + "))));
        }
        reasons.extend(unplaced.nearest.as_ref().map(|nearest| format!("nearest: {}", escape(&nearest.line))));
        let _ =
            write!(page, "<tr><td>{}</td><td class=\"wrap\">{}</td></tr>", escape(&unplaced.pod), reasons.join("<br>"));
    }
    page.push_str("</table></div>");
}

fn costs(page: &mut String, title: &str, costs: &[CostView]) {
    if costs.is_empty() {
        return;
    }
    let _ = write!(
        page,
        "<h2>{title}</h2><div class=\"scroll\"><table><tr><th>Name</th><th class=\"n\">Pods</th><th class=\"n\">Per hour</th><th class=\"n\">Per month</th></tr>"
    );
    for cost in costs {
        let _ = write!(
            page,
            "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">${:.4}</td><td class=\"n\">${:.2}</td></tr>",
            escape(&cost.name),
            cost.pods,
            cost.hourly_price,
            cost.monthly_price
        );
    }
    page.push_str("</table></div>");
}

fn list(page: &mut String, title: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    let _ = write!(page, "<h2>{title}</h2><ul>");
    for line in lines {
        let _ = write!(page, "<li>{}</li>", escape(line));
    }
    page.push_str("</ul>");
}

//! A node's fill as inline SVG: one bar per resource.

use std::fmt::Write;

use super::html::escape;
use super::view::NodeView;

const WIDTH: f64 = 180.0;
const BAR: f64 = 12.0;
const LINE: f64 = 26.0;

/// The picture of one node. Colours come from the page's style, so that it reads
/// in light and in dark.
pub(super) fn node(node: &NodeView) -> String {
    let mut svg = String::new();
    let height = node.fill.len() as f64 * LINE;
    let label = format!("fill of {}", node.instance_type);
    let _ = write!(
        svg,
        "<svg role=\"img\" aria-label=\"{}\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\">",
        escape(&label)
    );
    for (index, fill) in node.fill.iter().enumerate() {
        let top = index as f64 * LINE;
        let daemons = (fill.daemons * WIDTH).clamp(0.0, WIDTH);
        let pods = (fill.pods * WIDTH).clamp(0.0, WIDTH - daemons);
        let name = fill.resource.rsplit('/').next().unwrap_or(&fill.resource);
        let _ = write!(
            svg,
            "<g><title>{}: {}</title>\
             <text x=\"0\" y=\"{:.0}\">{}</text><text x=\"{WIDTH}\" y=\"{:.0}\" class=\"end\">{:.0} %</text>\
             <rect class=\"room\" x=\"0\" y=\"{:.0}\" width=\"{WIDTH}\" height=\"{BAR}\" rx=\"2\"/>\
             <rect class=\"daemons\" x=\"0\" y=\"{:.0}\" width=\"{daemons:.1}\" height=\"{BAR}\"/>\
             <rect class=\"pods\" x=\"{daemons:.1}\" y=\"{:.0}\" width=\"{pods:.1}\" height=\"{BAR}\"/></g>",
            escape(&fill.resource),
            escape(&fill.text),
            top + 10.0,
            escape(name),
            top + 10.0,
            (fill.daemons + fill.pods) * 100.0,
            top + 13.0,
            top + 13.0,
            top + 13.0,
        );
    }
    svg.push_str("</svg>");
    svg
}

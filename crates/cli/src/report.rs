//! What is printed. Every format is rendered from one plain [`view::View`].

pub(crate) mod consolidation;
pub(crate) mod html;
mod picture;
pub(crate) mod table;
pub(crate) mod view;
pub(crate) mod why;

use stowage_model::Plan;

use crate::args::Output;
use crate::error::Failure;
use crate::question::Question;
use view::View;

pub(crate) fn render(output: Output, question: &Question, plan: &Plan, view: &View) -> Result<String, Failure> {
    Ok(match output {
        Output::Table => table::render(view, false),
        Output::Wide => table::render(view, true),
        Output::Json => {
            let mut text = serde_json::to_string_pretty(view).map_err(|e| Failure::fault(&e.to_string()))?;
            text.push('\n');
            text
        }
        Output::Yaml => serde_saphyr::to_string(view).map_err(|e| Failure::fault(&e.to_string()))?,
        Output::Html => html::render(view),
        Output::Nodeclaims => {
            let mut text = String::new();
            for node in &plan.nodes {
                let Some(claim) = stowage_k8s::raise::node_claim(&question.problem, node) else { continue };
                let yaml = serde_saphyr::to_string(&claim).map_err(|e| Failure::fault(&e.to_string()))?;
                text.push_str("---\n");
                text.push_str(&yaml);
            }
            text
        }
    })
}

//! Taints, selectors, affinity and volumes let each pod be where it is.

use stowage_model::{Plan, Problem};

use crate::Rule;
use crate::facts;

pub(crate) struct Placement;

impl Rule for Placement {
    fn name(&self) -> &'static str {
        "placement"
    }

    fn check(&self, problem: &Problem, plan: &Plan, found: &mut Vec<(String, String)>) {
        facts::each_new_node(problem, plan, |index, node, labels| {
            let at = format!("new node {index} ({})", node.instance_type);
            judge(problem, &node.pods, &labels.pool.taints, &|key| labels.get(key), &at, found);
        });
        for binding in &plan.existing {
            let Some(node) = problem.nodes.iter().find(|node| node.name == binding.node) else { continue };
            let at = format!("node {}", node.name);
            judge(problem, &binding.pods, &node.taints, &|key| node.label(key), &at, found);
        }
    }
}

fn judge<'a>(
    problem: &Problem,
    pods: &[u32],
    taints: &[stowage_model::Taint],
    label: &dyn Fn(&str) -> Option<&'a str>,
    at: &str,
    found: &mut Vec<(String, String)>,
) {
    for shape in facts::shapes(problem, pods).into_keys() {
        let data = &problem.shapes[shape as usize];
        let tolerated = facts::tolerates(data, taints);
        if tolerated && facts::labels_admit(data, label) {
            continue;
        }
        let why =
            if tolerated { "its selector, affinity or a volume forbids" } else { "it does not tolerate a taint of" };
        let pod = pods.iter().find(|pod| problem.pods[**pod as usize].shape == shape);
        let name = pod.map_or_else(String::new, |pod| problem.pods[*pod as usize].to_string());
        found.push((format!("pod {name}"), format!("{why} {at}")));
    }
}

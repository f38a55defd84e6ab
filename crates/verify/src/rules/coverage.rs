//! Every pod is in exactly one place, or said to be in none.

use stowage_model::{Plan, Problem};

use crate::Rule;

pub(crate) struct Coverage;

impl Rule for Coverage {
    fn name(&self) -> &'static str {
        "coverage"
    }

    fn check(&self, problem: &Problem, plan: &Plan, found: &mut Vec<(String, String)>) {
        let mut times = vec![0_usize; problem.pods.len()];
        let on_nodes = plan.nodes.iter().flat_map(|node| &node.pods);
        let on_existing = plan.existing.iter().flat_map(|binding| &binding.pods);
        let nowhere = plan.unplaced.iter().map(|unplaced| &unplaced.pod);
        for pod in on_nodes.chain(on_existing).chain(nowhere) {
            match times.get_mut(*pod as usize) {
                Some(times) => *times += 1,
                None => found.push((format!("pod #{pod}"), "is not in the input".to_owned())),
            }
        }
        for (pod, times) in problem.pods.iter().zip(times).filter(|(_, times)| *times != 1) {
            found.push((format!("pod {pod}"), format!("is in {times} places of the plan, not in one")));
        }
        if let Some(node) = plan.nodes.iter().find(|node| node.pods.is_empty()) {
            found.push((node.instance_type.clone(), "a new node has no pod".to_owned()));
        }
    }
}

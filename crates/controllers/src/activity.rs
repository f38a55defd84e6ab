//! On which nodes pods came or went.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use stowage_k8s::duration;
use stowage_k8s::pod::needs_a_place;

use crate::view::{View, is};

/// Pod comings and goings of one node are written down this often at most.
const QUIET: Duration = Duration::from_secs(10);

/// Which pods were last seen on each claim's node.
#[derive(Debug, Default)]
pub struct Activity(BTreeMap<String, (BTreeSet<String>, Option<Timestamp>)>);

impl Activity {
    /// Claims on whose nodes pods came or went since the last look.
    pub fn look(&mut self, view: &View, now: Timestamp) -> Vec<String> {
        let mut moved = Vec::new();
        let mut seen = BTreeMap::new();
        for (name, claim) in view.claims.iter().filter(|(_, claim)| is(claim, "Initialized")) {
            let Some(node) = view.node_of(claim) else { continue };
            let node = node.name_any();
            let pods = view.pods_on(&node).filter(|pod| needs_a_place(pod));
            let pods: BTreeSet<String> = pods.filter_map(|pod| pod.metadata.uid.clone()).collect();
            let (old, written) = self.0.remove(name).unwrap_or_else(|| (pods.clone(), None));
            let due = written.is_none_or(|at| duration::since(at, now) >= QUIET) || pods.is_empty();
            let changed = old != pods;
            if changed && due {
                moved.push(name.clone());
            }
            // What was not written yet stays to be told.
            let (kept, at) =
                if changed && !due { (old, written) } else { (pods, if changed { Some(now) } else { written }) };
            seen.insert(name.clone(), (kept, at));
        }
        self.0 = seen;
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{at, read};
    use k8s_openapi::api::core::v1::{Node, Pod};
    use serde_json::json;
    use stowage_k8s::v1::NodeClaim;

    #[test]
    fn pods_that_come_and_go_are_noticed_once() {
        let claim = read::<NodeClaim>(json!({
            "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "metadata": { "name": "c" },
            "spec": { "requirements": [], "nodeClassRef": { "group": "g", "kind": "k", "name": "n" } },
            "status": { "providerID": "id", "conditions": [{ "type": "Initialized", "status": "True", "reason": "r",
                "message": "", "lastTransitionTime": at(0) }] },
        }));
        let node = read::<Node>(json!({ "metadata": { "name": "n" }, "spec": { "providerID": "id" } }));
        let view = |pods: &[&str]| {
            let pod = |name: &&str| {
                read::<Pod>(json!({
                    "metadata": { "name": name, "namespace": "default", "uid": name },
                    "spec": { "containers": [], "nodeName": "n" }, "status": { "phase": "Running" },
                }))
            };
            let (claims, nodes) = ([("c".to_owned(), claim.clone())].into(), [("n".to_owned(), node.clone())].into());
            View::new(claims, BTreeMap::new(), nodes, pods.iter().map(pod).collect())
        };
        let mut activity = Activity::default();
        assert!(activity.look(&view(&["a"]), at(0)).is_empty());
        assert_eq!(activity.look(&view(&[]), at(1)), ["c"]);
        assert!(activity.look(&view(&[]), at(2)).is_empty());
    }
}

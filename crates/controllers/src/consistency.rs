//! Whether a node has what its claim was launched with.

use k8s_openapi::api::core::v1::Node;
use stowage_k8s::lower::amounts;
use stowage_k8s::v1::NodeClaim;

/// A node may have less than was promised by this much, in percent: kernels and
/// firmware keep some memory back.
const SLACK: i64 = 10;

/// What a node lacks of what its claim promises and its pods were planned with.
pub(crate) fn shortfall(claim: &NodeClaim, node: &Node) -> Option<String> {
    let promised = amounts(claim.status.as_ref()?.capacity.as_ref()?)?;
    let there = amounts(node.status.as_ref()?.capacity.as_ref()?)?;
    let asked = amounts(&claim.spec.resources.requests)?;
    let short = promised.iter().find(|(name, amount)| {
        let least = i128::from(*amount) * i128::from(100 - SLACK);
        asked.contains(name.as_str()) && i128::from(there.get(name.as_str())) * 100 < least
    });
    short.map(|(name, amount)| {
        let percent = i128::from(there.get(name.as_str())) * 100 / i128::from(amount.max(1));
        format!("expected {name} is not there: the node has {percent} % of it")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::read;
    use serde_json::json;

    #[test]
    fn a_node_may_lack_a_tenth_and_no_more() {
        let claim = read::<NodeClaim>(json!({
            "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "metadata": { "name": "c" },
            "spec": { "requirements": [], "resources": { "requests": { "memory": "1Gi" } },
                "nodeClassRef": { "group": "g", "kind": "k", "name": "n" } },
            "status": { "capacity": { "cpu": "4", "memory": "10Gi" } },
        }));
        let short = |cpu: &str, memory: &str| {
            let node = read::<Node>(json!({ "status": { "capacity": { "cpu": cpu, "memory": memory } } }));
            shortfall(&claim, &node)
        };
        assert_eq!(short("4", "9Gi"), None);
        // Nothing was planned with its cores.
        assert_eq!(short("1", "9Gi"), None);
        let said = short("4", "8Gi").unwrap_or_default();
        assert!(said.contains("memory") && said.contains("80 %"), "{said}");
    }
}

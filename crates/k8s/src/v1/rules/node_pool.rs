//! What the API server checks of a NodePool.

use serde_json::json;

use super::shared::{DURATION, DURATION_OR_NEVER, VALUE, class, requirements, taints};
use super::{Row, cel, set};

const LABELS: &str = "spec.template.metadata.labels";
const SPEC: &str = "spec.template.spec";

pub(super) fn rows() -> Vec<Row> {
    let spec = |field: &str| format!("{SPEC}.{field}");
    let mut all = requirements(&spec("requirements"));
    all.push(cel(
        &spec("requirements[].key"),
        "self != 'karpenter.sh/nodepool'",
        "label \"karpenter.sh/nodepool\" is restricted",
    ));
    all.extend(taints(&spec("taints")));
    all.extend(taints(&spec("startupTaints")));
    all.extend(class(&spec("nodeClassRef")));
    all.extend([
        cel(&spec("nodeClassRef"), "self.group == oldSelf.group", "nodeClassRef.group is immutable"),
        cel(&spec("nodeClassRef"), "self.kind == oldSelf.kind", "nodeClassRef.kind is immutable"),
        set(&spec("expireAfter"), "pattern", json!(DURATION_OR_NEVER)),
        set(&spec("expireAfter"), "default", json!("720h")),
        set(&spec("terminationGracePeriod"), "pattern", json!(DURATION)),
    ]);
    all.extend(labels());
    all.extend(disruption());
    all.extend([
        cel("spec", "has(self.replicas) == has(oldSelf.replicas)", "cannot transition between static and dynamic provisioning modes"),
        cel(
            "spec",
            "!has(self.replicas) || (!has(self.limits) || size(self.limits) == 0 || (size(self.limits) == 1 && 'nodes' in self.limits))",
            "only 'limits.nodes' is supported on static NodePools",
        ),
        cel("spec", "!has(self.replicas) || !has(self.weight)", "'weight' is not supported on static NodePools"),
        set("status.nodes", "default", json!(0)),
    ]);
    all
}

fn labels() -> Vec<Row> {
    vec![
        set(LABELS, "maxProperties", json!(100)),
        set(&format!("{LABELS}{{}}"), "maxLength", json!(63)),
        set(&format!("{LABELS}{{}}"), "pattern", json!(VALUE)),
        cel(
            LABELS,
            "self.all(x, x in ['beta.kubernetes.io/instance-type', 'failure-domain.beta.kubernetes.io/region', \
             'beta.kubernetes.io/os', 'beta.kubernetes.io/arch', 'failure-domain.beta.kubernetes.io/zone', \
             'topology.kubernetes.io/zone', 'topology.kubernetes.io/region', 'kubernetes.io/arch', 'kubernetes.io/os', \
             'node.kubernetes.io/windows-build'] || x.find('^([^/]+)').endsWith('node.kubernetes.io') || \
             x.find('^([^/]+)').endsWith('node-restriction.kubernetes.io') || !x.find('^([^/]+)').endsWith('kubernetes.io'))",
            "label domain \"kubernetes.io\" is restricted",
        ),
        cel(
            LABELS,
            "self.all(x, x.find('^([^/]+)').endsWith('kops.k8s.io') || !x.find('^([^/]+)').endsWith('k8s.io'))",
            "label domain \"k8s.io\" is restricted",
        ),
        cel(
            LABELS,
            "self.all(x, x in ['karpenter.sh/capacity-type', 'karpenter.sh/nodepool'] || !x.find('^([^/]+)').endsWith('karpenter.sh'))",
            "label domain \"karpenter.sh\" is restricted",
        ),
        cel(LABELS, "self.all(x, x != 'karpenter.sh/nodepool')", "label \"karpenter.sh/nodepool\" is restricted"),
        cel(LABELS, "self.all(x, x != 'kubernetes.io/hostname')", "label \"kubernetes.io/hostname\" is restricted"),
    ]
}

fn disruption() -> Vec<Row> {
    let of = |field: &str| format!("spec.disruption.{field}");
    let budget = |field: &str| of(&format!("budgets[].{field}"));
    vec![
        set("spec.disruption", "default", json!({ "consolidateAfter": "0s" })),
        set(&of("consolidateAfter"), "default", json!("0s")),
        set(&of("consolidateAfter"), "pattern", json!(DURATION_OR_NEVER)),
        set(&of("consolidationPolicy"), "default", json!("WhenEmptyOrUnderutilized")),
        set(&of("consolidationPolicy"), "enum", json!(["WhenEmpty", "WhenEmptyOrUnderutilized", "Balanced"])),
        set(&of("budgets"), "default", json!([{ "nodes": "10%" }])),
        set(&of("budgets"), "maxItems", json!(50)),
        cel(
            &of("budgets"),
            "self.all(x, has(x.schedule) == has(x.duration))",
            "'schedule' must be set with 'duration'",
        ),
        set(&budget("nodes"), "default", json!("10%")),
        set(&budget("nodes"), "pattern", json!(r"^((100|[0-9]{1,2})%|[0-9]+)$")),
        set(
            &budget("schedule"),
            "pattern",
            json!(r"^(@(annually|yearly|monthly|weekly|daily|midnight|hourly))|((.+)\s(.+)\s(.+)\s(.+)\s(.+))$"),
        ),
        set(&budget("duration"), "pattern", json!(r"^((([0-9]+(h|m))|([0-9]+h[0-9]+m))(0s)?)$")),
        set(&budget("reasons"), "maxItems", json!(50)),
        set(&budget("reasons[]"), "enum", json!(["Underutilized", "Empty", "Drifted"])),
    ]
}

//! Rules that NodePools and NodeClaims share.

use serde_json::json;

use super::{Row, cel, set};

/// The name of a label, with or without a domain.
const QUALIFIED: &str =
    r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*(\/))?([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$";
/// The value of a label.
pub(super) const VALUE: &str = r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$";
/// A duration in hours, minutes and seconds.
pub(super) const DURATION: &str = r"^([0-9]+(s|m|h))+$";
/// The same, or `Never`.
pub(super) const DURATION_OR_NEVER: &str = r"^(([0-9]+(s|m|h))+|Never)$";

/// Rules of a list of requirements.
pub(super) fn requirements(list: &str) -> Vec<Row> {
    let item = |field: &str| format!("{list}[].{field}");
    let key = item("key");
    vec![
        set(list, "maxItems", json!(100)),
        cel(
            list,
            "self.all(x, x.operator == 'In' ? has(x.values) && x.values.size() != 0 : true)",
            "requirements with operator 'In' must have a value defined",
        ),
        cel(
            list,
            "self.all(x, x.operator in ['Gt', 'Lt', 'Gte', 'Lte'] ? has(x.values) && x.values.size() == 1 && int(x.values[0]) >= 0 : true)",
            "requirements operator 'Gt', 'Lt', 'Gte' or 'Lte' must have a single positive integer value",
        ),
        cel(
            list,
            "self.all(x, x.operator == 'In' && has(x.minValues) && has(x.values) ? x.values.size() >= x.minValues : true)",
            "requirements with 'minValues' must have at least that many values specified in the 'values' field",
        ),
        set(&key, "maxLength", json!(316)),
        set(&key, "pattern", json!(QUALIFIED)),
        cel(
            &key,
            "self in ['beta.kubernetes.io/instance-type', 'failure-domain.beta.kubernetes.io/region', 'beta.kubernetes.io/os', \
             'beta.kubernetes.io/arch', 'failure-domain.beta.kubernetes.io/zone', 'topology.kubernetes.io/zone', \
             'topology.kubernetes.io/region', 'node.kubernetes.io/instance-type', 'kubernetes.io/arch', 'kubernetes.io/os', \
             'node.kubernetes.io/windows-build'] || self.find('^([^/]+)').endsWith('node.kubernetes.io') || \
             self.find('^([^/]+)').endsWith('node-restriction.kubernetes.io') || !self.find('^([^/]+)').endsWith('kubernetes.io')",
            "label domain \"kubernetes.io\" is restricted",
        ),
        cel(
            &key,
            "self.find('^([^/]+)').endsWith('kops.k8s.io') || !self.find('^([^/]+)').endsWith('k8s.io')",
            "label domain \"k8s.io\" is restricted",
        ),
        cel(
            &key,
            "self in ['karpenter.sh/capacity-type', 'karpenter.sh/nodepool'] || !self.find('^([^/]+)').endsWith('karpenter.sh')",
            "label domain \"karpenter.sh\" is restricted",
        ),
        cel(&key, "self != 'kubernetes.io/hostname'", "label \"kubernetes.io/hostname\" is restricted"),
        set(&item("operator"), "enum", json!(["Gte", "Lte", "Gt", "Lt", "In", "NotIn", "Exists", "DoesNotExist"])),
        set(&item("minValues"), "minimum", json!(1)),
        set(&item("minValues"), "maximum", json!(50)),
    ]
}

/// Rules of a list of taints.
pub(super) fn taints(list: &str) -> Vec<Row> {
    vec![
        set(&format!("{list}[].effect"), "enum", json!(["NoSchedule", "PreferNoSchedule", "NoExecute"])),
        set(&format!("{list}[].key"), "minLength", json!(1)),
        set(&format!("{list}[].key"), "pattern", json!(QUALIFIED)),
        set(&format!("{list}[].value"), "pattern", json!(QUALIFIED)),
    ]
}

/// Rules of a reference to a NodeClass.
pub(super) fn class(reference: &str) -> Vec<Row> {
    let field = |name: &str| format!("{reference}.{name}");
    vec![
        cel(&field("group"), "self != ''", "group may not be empty"),
        set(&field("group"), "pattern", json!(r"^[^/]*$")),
        cel(&field("kind"), "self != ''", "kind may not be empty"),
        cel(&field("name"), "self != ''", "name may not be empty"),
    ]
}

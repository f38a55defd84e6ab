//! PodDisruptionBudgets, as far as a decision depends on them; whether an eviction
//! is allowed now, the API server says.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::lower;

/// Whether a budget covers pods of a namespace with these labels.
pub fn covers(budget: &PodDisruptionBudget, namespace: &str, labels: &BTreeMap<String, String>) -> bool {
    let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    let own = budget.metadata.namespace.as_deref().unwrap_or("default");
    own == namespace && selector.is_some_and(|selector| lower::selects(selector, labels))
}

/// Whether a pod cannot be evicted however long one waits: its budget allows none
/// to be missing, or several budgets claim it, which the eviction API refuses.
pub fn hold_for_good<'a>(pod: &Pod, budgets: impl Iterator<Item = &'a PodDisruptionBudget>) -> bool {
    let none = BTreeMap::new();
    let labels = pod.metadata.labels.as_ref().unwrap_or(&none);
    let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
    let own: Vec<&PodDisruptionBudget> = budgets.filter(|budget| covers(budget, namespace, labels)).collect();
    own.len() > 1 || own.first().is_some_and(|budget| allows_none(budget))
}

fn allows_none(budget: &PodDisruptionBudget) -> bool {
    let Some(spec) = &budget.spec else { return false };
    let none = match &spec.max_unavailable {
        Some(IntOrString::Int(count)) => *count == 0,
        Some(IntOrString::String(text)) => text == "0%",
        None => false,
    };
    let all = matches!(&spec.min_available, Some(IntOrString::String(text)) if text == "100%");
    none || all
}

/// Whether pods that are not ready may always be evicted.
pub fn always_allows_unhealthy(budget: &PodDisruptionBudget) -> bool {
    let policy = budget.spec.as_ref().and_then(|spec| spec.unhealthy_pod_eviction_policy.as_deref());
    policy == Some("AlwaysAllow")
}

/// How many of `running` pods may go: what the cluster says, or where it says
/// nothing, what follows from the specification.
pub fn allowed(budget: &PodDisruptionBudget, running: impl FnOnce() -> usize) -> u32 {
    if let Some(status) = &budget.status {
        return u32::try_from(status.disruptions_allowed).unwrap_or(0);
    }
    let Some(spec) = &budget.spec else { return 0 };
    let all = i64::try_from(running()).unwrap_or(i64::MAX);
    let share = |value: &IntOrString| match value {
        IntOrString::Int(count) => i64::from(*count),
        IntOrString::String(text) => {
            let percent: i64 = text.trim_end_matches('%').parse().unwrap_or(100);
            (all * percent + 99) / 100
        }
    };
    let may_go = match (&spec.max_unavailable, &spec.min_available) {
        (Some(most), _) => share(most),
        (None, Some(least)) => all - share(least),
        (None, None) => all - 1,
    };
    u32::try_from(may_go.clamp(0, all)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn held(budgets: &[Value]) -> bool {
        let budgets: Vec<PodDisruptionBudget> = budgets
            .iter()
            .map(|spec| {
                let object = json!({ "metadata": { "name": "b", "namespace": "default" }, "spec": spec });
                serde_json::from_value(object).unwrap_or_default()
            })
            .collect();
        let pod = json!({ "metadata": { "name": "p", "namespace": "default", "labels": { "app": "web" } } });
        hold_for_good(&serde_json::from_value(pod).unwrap_or_default(), budgets.iter())
    }

    #[test]
    fn only_budgets_that_never_give_hold_for_good() {
        let web = json!({ "matchLabels": { "app": "web" } });
        assert!(held(&[json!({ "selector": web, "maxUnavailable": 0 })]));
        assert!(held(&[json!({ "selector": web, "maxUnavailable": "0%" })]));
        assert!(held(&[json!({ "selector": web, "minAvailable": "100%" })]));
        assert!(!held(&[json!({ "selector": web, "maxUnavailable": 1 })]));
        assert!(!held(&[json!({ "selector": { "matchLabels": { "app": "db" } }, "maxUnavailable": 0 })]));
        let one = json!({ "selector": web, "maxUnavailable": 1 });
        assert!(held(&[one.clone(), one]));
    }
}

//! PodDisruptionBudgets, as far as a decision depends on them; whether an eviction
//! is allowed now, the API server says.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use stowage_k8s::lower;

/// Whether a pod cannot be evicted however long one waits: its budget allows none
/// to be missing, or several budgets claim it, which the eviction API refuses.
pub fn hold_for_good(pod: &Pod, budgets: &[Arc<PodDisruptionBudget>]) -> bool {
    let own: Vec<&Arc<PodDisruptionBudget>> = budgets.iter().filter(|budget| covers(budget, pod)).collect();
    own.len() > 1 || own.first().is_some_and(|budget| allows_none(budget))
}

fn covers(budget: &PodDisruptionBudget, pod: &Pod) -> bool {
    let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    let labels = pod.metadata.labels.clone().unwrap_or_default();
    budget.metadata.namespace == pod.metadata.namespace && selector.is_some_and(|s| lower::selects(s, &labels))
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn held(budgets: &[Value]) -> bool {
        let budgets: Vec<Arc<PodDisruptionBudget>> = budgets
            .iter()
            .map(|spec| {
                let object = json!({ "metadata": { "name": "b", "namespace": "default" }, "spec": spec });
                Arc::new(serde_json::from_value(object).unwrap_or_default())
            })
            .collect();
        let pod = json!({ "metadata": { "name": "p", "namespace": "default", "labels": { "app": "web" } } });
        hold_for_good(&serde_json::from_value(pod).unwrap_or_default(), &budgets)
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

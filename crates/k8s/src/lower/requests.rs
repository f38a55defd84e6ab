//! What a pod asks for in effect, as kube-scheduler computes it.
//!
//! Containers and sidecars run together; each init container runs beside the
//! sidecars started before it; the larger of the two counts. Pod-level requests
//! replace sums, overhead comes on top, limits stand in for missing requests
//! (the API server's defaulting; KEP-753 for sidecars, KEP-2837 for pod level).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use stowage_model::quantity;
use stowage_model::{Code, ResourceName, Resources};

use crate::error::FieldError;

type Quantities = BTreeMap<String, Quantity>;

/// Lowers a list of quantities.
pub(crate) fn quantities(list: &Quantities, field: &str) -> Result<Resources, FieldError> {
    let mut resources = Resources::new();
    for (name, text) in list {
        let amount = quantity::amount(name, &text.0)
            .map_err(|e| FieldError::new(Code::InQuantity, format!("{field}.{name}"), format!("{:?} {e}", text.0)))?;
        resources.set(name, amount);
    }
    Ok(resources)
}

/// Requests with limits for those that are missing.
fn effective(requirements: Option<&ResourceRequirements>, field: &str) -> Result<Resources, FieldError> {
    let Some(requirements) = requirements else { return Ok(Resources::new()) };
    let empty = Quantities::new();
    let mut all = quantities(requirements.limits.as_ref().unwrap_or(&empty), &format!("{field}.limits"))?;
    let asked = quantities(requirements.requests.as_ref().unwrap_or(&empty), &format!("{field}.requests"))?;
    for (name, amount) in asked.iter() {
        all.set(name.as_str(), amount);
    }
    Ok(all)
}

fn container(container: &Container, defaults: &Resources, field: &str) -> Result<Resources, FieldError> {
    let field = format!("{field}[{}].resources", container.name);
    let mut asked = effective(container.resources.as_ref(), &field)?;
    for (name, amount) in defaults.iter() {
        if !asked.contains(name.as_str()) {
            asked.set(name.as_str(), amount);
        }
    }
    Ok(asked)
}

fn is_pod_level(name: &str) -> bool {
    name == ResourceName::CPU || name == ResourceName::MEMORY || name.starts_with("hugepages-")
}

/// What a pod asks for, one `pods` included. `defaults` are a LimitRange's
/// default requests, for pods that admission has not seen yet.
pub(crate) fn effective_requests(spec: &PodSpec, defaults: &Resources) -> Result<Resources, FieldError> {
    let mut running = Resources::new();
    for c in &spec.containers {
        running.add(&container(c, defaults, "spec.containers")?);
    }
    let mut sidecars = Resources::new();
    let mut starting = Resources::new();
    for c in spec.init_containers.iter().flatten() {
        let mut step = container(c, defaults, "spec.initContainers")?;
        if c.restart_policy.as_deref() == Some("Always") {
            sidecars.add(&step);
            step = sidecars.clone();
        } else {
            step.add(&sidecars);
        }
        starting.raise_to(&step);
    }
    running.add(&sidecars);
    running.raise_to(&starting);

    let pod_level = effective(spec.resources.as_ref(), "spec.resources")?;
    for (name, amount) in pod_level.iter().filter(|(name, _)| is_pod_level(name.as_str())) {
        running.set(name.as_str(), amount);
    }
    if let Some(overhead) = &spec.overhead {
        running.add(&quantities(overhead, "spec.overhead")?);
    }
    running.set(ResourceName::PODS, 1);
    Ok(running)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(spec: serde_json::Value) -> Vec<(String, i64)> {
        let spec: PodSpec = serde_json::from_value(spec).unwrap();
        let lowered = effective_requests(&spec, &Resources::new()).unwrap();
        lowered.iter().filter(|(n, _)| n.as_str() != "pods").map(|(n, a)| (n.to_string(), a)).collect()
    }

    fn cpu(amount: &str) -> serde_json::Value {
        serde_json::json!({ "requests": { "cpu": amount } })
    }

    #[test]
    fn containers_add_up_and_init_containers_run_alone() {
        let c = |name: &str, amount: &str| serde_json::json!({ "name": name, "resources": cpu(amount) });
        let sidecar = serde_json::json!({ "name": "s", "restartPolicy": "Always", "resources": cpu("200m") });
        for (containers, init, expected) in [
            (vec![c("a", "1"), c("b", "500m")], vec![], 1500),
            (vec![c("a", "1")], vec![c("i", "3")], 3000),
            (vec![c("a", "1")], vec![c("i", "500m")], 1000),
            // A sidecar runs beside the containers, and beside later init steps only.
            (vec![c("a", "1")], vec![sidecar.clone()], 1200),
            (vec![c("a", "1")], vec![c("i", "2"), sidecar.clone()], 2000),
            (vec![c("a", "1")], vec![sidecar.clone(), c("i", "2")], 2200),
        ] {
            let spec = serde_json::json!({ "containers": containers, "initContainers": init });
            assert_eq!(requests(spec), [("cpu".to_owned(), expected)]);
        }
    }

    #[test]
    fn limits_pod_level_and_overhead_count() {
        let spec = serde_json::json!({
            "containers": [{ "name": "a", "resources": { "limits": { "nvidia.com/gpu": 1, "cpu": "2" }, "requests": { "cpu": "1" } } }],
            "resources": { "requests": { "cpu": "3" } },
            "overhead": { "cpu": "250m", "memory": "1Ki" },
        });
        let expected = [("cpu", 3250), ("memory", 1024), ("nvidia.com/gpu", 1)];
        assert_eq!(requests(spec), expected.map(|(n, a)| (n.to_owned(), a)));
    }

    #[test]
    fn bad_quantities_name_their_field() {
        for (text, part) in [("-1", "negative"), ("lots", "not a quantity"), ("1e30", "larger")] {
            let spec: PodSpec =
                serde_json::from_value(serde_json::json!({ "containers": [{ "name": "a", "resources": cpu(text) }] }))
                    .unwrap();
            let error = effective_requests(&spec, &Resources::new()).unwrap_err();
            assert_eq!(error.field, "spec.containers[a].resources.requests.cpu");
            assert!(error.message.contains(part), "{}", error.message);
        }
    }
}

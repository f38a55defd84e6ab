//! `stowage snapshot`: everything that `plan` needs to replay a cluster, in one
//! list. Secrets are never read; what containers run with is left out.

mod mask;

use std::io::Write;

use kube::api::ListParams;
use kube::core::DynamicObject;
use kube::discovery::Discovery;
use kube::{Api, Client};
use serde_json::{Value, json};
use stowage_k8s::Object;

use super::args::SnapshotArgs;
use crate::error::{Exit, Failure};

/// Objects of one answer; a large cluster is read page by page.
const PAGE: u32 = 500;

pub(super) async fn run(args: &SnapshotArgs) -> Result<Exit, Failure> {
    let client = super::connect(true).await?;
    let told = |error: kube::Error| Failure::unreachable(&error.to_string());
    let discovery = Discovery::new(client.clone()).run().await.map_err(told)?;
    let mut items = Vec::new();
    for (group, kind) in Object::KINDS {
        let Some(group) = discovery.get(group) else { continue };
        let found = group.resources_by_stability().into_iter().find(|(resource, _)| resource.kind == *kind);
        let Some((resource, _)) = found else { continue };
        items.extend(list(&client, &resource).await.map_err(told)?);
    }
    items.iter_mut().for_each(strip);
    if args.mask_names {
        mask::names(&mut items);
    }
    let text = json!({ "apiVersion": "v1", "kind": "List", "items": items });
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").map_err(|error| Failure::output(&error))?;
    Ok(Exit::Done)
}

async fn list(client: &Client, resource: &kube::core::ApiResource) -> Result<Vec<Value>, kube::Error> {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), resource);
    let mut items = Vec::new();
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = api.list(&params).await?;
        for object in page.items {
            let mut value = serde_json::to_value(&object).map_err(kube::Error::SerdeError)?;
            value["apiVersion"] = json!(resource.api_version);
            value["kind"] = json!(resource.kind);
            items.push(value);
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(items),
        }
    }
}

/// Leaves out what planning never reads and users may not want to show: who wrote
/// what, free-form annotations, and what containers are started with.
fn strip(object: &mut Value) {
    if let Some(meta) = object["metadata"].as_object_mut() {
        meta.remove("managedFields");
        if let Some(annotations) = meta.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.retain(|key, _| {
                ["karpenter", "stowage.sh/", "kubernetes.io/config.mirror", "cluster-autoscaler", "pod-deletion-cost"]
                    .iter()
                    .any(|known| key.contains(known))
            });
        }
    }
    start_of_containers(object);
}

fn start_of_containers(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map.iter_mut() {
                if let ("containers" | "initContainers" | "ephemeralContainers", Some(list)) =
                    (key.as_str(), inner.as_array_mut())
                {
                    for container in list.iter_mut().filter_map(Value::as_object_mut) {
                        container.retain(|key, _| {
                            matches!(
                                key.as_str(),
                                "name" | "image" | "resources" | "ports" | "restartPolicy" | "volumeMounts"
                            )
                        });
                    }
                } else {
                    start_of_containers(inner);
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(start_of_containers),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_containers_are_started_with_stays_at_home() {
        let container = json!({ "name": "c", "image": "i", "env": [{ "name": "PASSWORD", "value": "secret" }],
            "args": ["--token=secret"], "resources": { "requests": { "cpu": "1" } } });
        let mut deployment = json!({
            "kind": "Deployment",
            "metadata": { "name": "d", "managedFields": [{}], "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": "secret", "karpenter.sh/do-not-disrupt": "true" } },
            "spec": { "template": { "spec": { "containers": [container.clone()], "initContainers": [container] } } },
        });
        strip(&mut deployment);
        let text = deployment.to_string();
        assert!(!text.contains("secret") && !text.contains("managedFields"), "{text}");
        assert!(text.contains("do-not-disrupt") && text.contains("\"cpu\":\"1\""), "{text}");
    }
}

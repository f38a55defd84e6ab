//! What the API server itself checks of our resources, beyond types: patterns,
//! defaults and CEL rules, as Karpenter's own definitions have them. One table per
//! kind; each row names a place in the schema.

mod node_claim;
mod node_pool;
mod shared;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Value, json};

/// A row: where, and what holds there. `[]` in a path is an item of a list, `{}` a
/// value of a map.
struct Row {
    path: String,
    what: What,
}

enum What {
    /// A CEL expression, and what is said where it is false.
    Cel(&'static str, &'static str),
    /// A keyword of the schema.
    Set(&'static str, Value),
}

fn cel(path: &str, rule: &'static str, message: &'static str) -> Row {
    Row { path: path.to_owned(), what: What::Cel(rule, message) }
}

fn set(path: &str, keyword: &'static str, value: Value) -> Row {
    Row { path: path.to_owned(), what: What::Set(keyword, value) }
}

/// The definition with the rules of its kind.
pub(super) fn ruled(definition: CustomResourceDefinition) -> CustomResourceDefinition {
    let rows = match definition.spec.names.kind.as_str() {
        "NodePool" => node_pool::rows(),
        "NodeClaim" => node_claim::rows(),
        "KWOKNodeClass" => vec![set("status", "default", ready_from_the_start())],
        _ => Vec::new(),
    };
    let kind = definition.spec.names.kind.clone();
    let mut value = serde_json::to_value(&definition).unwrap_or_default();
    if let Some(version) = value["spec"]["versions"].get_mut(0) {
        let schema = &mut version["schema"]["openAPIV3Schema"];
        schema["description"] = json!(summary(&kind));
        for row in rows {
            apply(schema, &row);
        }
        if kind == "NodePool" {
            let scale = json!({ "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.nodes" });
            version["subresources"]["scale"] = scale;
        }
    }
    serde_json::from_value(value).unwrap_or(definition)
}

/// Nothing has to be found out about simulated nodes.
fn ready_from_the_start() -> Value {
    json!({ "conditions": [{ "type": "Ready", "status": "True", "reason": "Ready", "message": "",
        "lastTransitionTime": "2024-01-01T01:01:01Z" }] })
}

fn summary(kind: &str) -> &'static str {
    match kind {
        "NodePool" => "NodePool says which nodes may be launched for pods, and how they may be disrupted.",
        "NodeClaim" => "NodeClaim is one node: asked for, launched, or on its way out.",
        "NodeOverlay" => "NodeOverlay corrects price or capacity of instance types.",
        "CapacityBuffer" => "CapacityBuffer keeps room for pods that are not there yet.",
        "EC2NodeClass" => "EC2NodeClass says how EC2 instances are configured.",
        _ => "KWOKNodeClass says how simulated nodes are configured.",
    }
}

/// Does what a row says; a path that leads nowhere is caught by the tests.
fn apply(schema: &mut Value, row: &Row) -> bool {
    let Some(place) = find(schema, &row.path) else { return false };
    match &row.what {
        What::Set(keyword, value) => place[*keyword] = value.clone(),
        What::Cel(rule, message) => {
            let entry = json!({ "rule": rule, "message": message });
            match &mut place["x-kubernetes-validations"] {
                Value::Array(list) => list.push(entry),
                none => *none = json!([entry]),
            }
        }
    }
    true
}

fn find<'a>(schema: &'a mut Value, path: &str) -> Option<&'a mut Value> {
    path.split('.').filter(|part| !part.is_empty()).try_fold(schema, |place, part| {
        let name = part.trim_end_matches("[]").trim_end_matches("{}");
        let inner = place.get_mut("properties")?.get_mut(name)?;
        match (part.ends_with("[]"), part.ends_with("{}")) {
            (true, _) => inner.get_mut("items"),
            (_, true) => inner.get_mut("additionalProperties"),
            _ => Some(inner),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1;

    #[test]
    fn every_row_names_a_place_that_is_there() {
        for (definition, rows) in
            [("nodepools.karpenter.sh", node_pool::rows()), ("nodeclaims.karpenter.sh", node_claim::rows())]
        {
            let all = v1::definitions();
            let own = all.iter().find(|d| d.metadata.name.as_deref() == Some(definition));
            let mut value = serde_json::to_value(own).unwrap_or_default();
            let schema = &mut value["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
            for row in rows {
                assert!(apply(schema, &row), "{definition}: {}", row.path);
            }
        }
    }

    /// Fields without a description, by path.
    fn silent(schema: &Value, path: &str, found: &mut Vec<String>) {
        for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            if inner["description"].as_str().is_none_or(str::is_empty)
                && name != "metadata"
                && path.matches('.').count() > 1
            {
                found.push(path.clone());
            }
            silent(inner, &path, found);
            silent(&inner["items"], &format!("{path}[]"), found);
            silent(&inner["additionalProperties"], &format!("{path}{{}}"), found);
        }
    }

    #[test]
    fn every_field_is_explained() {
        for definition in v1::definitions() {
            let value = serde_json::to_value(&definition).unwrap_or_default();
            let mut found = Vec::new();
            silent(&value["spec"]["versions"][0]["schema"]["openAPIV3Schema"], "", &mut found);
            assert_eq!(found, Vec::<String>::new(), "{:?}", definition.metadata.name);
        }
    }
}

//! Names replaced by others, the same name by the same one wherever it stands, so
//! that owners, selectors and claims still find each other.

use std::collections::BTreeMap;

use serde_json::Value;

/// Names that mean something to everybody.
const KEPT: [&str; 6] = ["default", "kube-system", "kube-public", "kube-node-lease", "default-scheduler", "kubernetes"];
/// Labels whose values are facts about machines.
const FACTS: [&str; 6] = [
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "node.kubernetes.io/instance-type",
    "karpenter.sh/capacity-type",
];

/// Masks the names of all objects, everywhere.
pub(super) fn names(items: &mut [Value]) {
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for item in items.iter() {
        let kind = item["kind"].as_str().unwrap_or_default().to_lowercase();
        let name = item["metadata"]["name"].as_str().unwrap_or_default();
        // Classes and priorities carry no names of workloads.
        let own = !matches!(kind.as_str(), "storageclass" | "priorityclass" | "runtimeclass");
        if own && !name.is_empty() && !KEPT.contains(&name) && !known.contains_key(name) {
            let count = counts.entry(kind.clone()).or_default();
            *count += 1;
            known.insert(name.to_owned(), format!("{kind}-{count}"));
        }
    }
    items.iter_mut().for_each(|item| replace(item, &known));
}

fn replace(value: &mut Value, known: &BTreeMap<String, String>) {
    match value {
        Value::String(text) => {
            if let Some(mask) = known.get(text) {
                mask.clone_into(text);
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|inner| replace(inner, known)),
        Value::Object(map) => {
            // Sentences and beginnings of names have names in them.
            map.remove("message");
            map.remove("generateName");
            for (key, inner) in map.iter_mut() {
                if !FACTS.contains(&key.as_str()) && key != "kind" && key != "apiVersion" {
                    replace(inner, known);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_same_name_is_masked_alike_wherever_it_stands() {
        let mut items = vec![
            json!({ "kind": "Deployment", "metadata": { "name": "shop", "namespace": "acme" } }),
            json!({ "kind": "Namespace", "metadata": { "name": "acme" } }),
            json!({ "kind": "Pod", "metadata": { "name": "shop-1", "namespace": "acme", "labels": { "app": "shop" },
                "ownerReferences": [{ "kind": "Deployment", "name": "shop" }] }, "spec": { "nodeName": "ip-10" } }),
            json!({ "kind": "Node", "metadata": { "name": "ip-10", "labels": {
                "kubernetes.io/hostname": "ip-10", "topology.kubernetes.io/zone": "us-east-1a" } } }),
        ];
        names(&mut items);
        let text = Value::from(items.clone()).to_string();
        assert!(!["shop", "acme", "ip-10"].iter().any(|name| text.contains(name)), "{text}");
        assert_eq!(items[2]["metadata"]["labels"]["app"], items[0]["metadata"]["name"]);
        assert_eq!(items[2]["metadata"]["ownerReferences"][0]["name"], items[0]["metadata"]["name"]);
        assert_eq!(items[2]["spec"]["nodeName"], items[3]["metadata"]["labels"]["kubernetes.io/hostname"]);
        assert!(text.contains("us-east-1a"));
    }
}

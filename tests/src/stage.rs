//! A case with somebody's placement of its pods, on a real API server.
//!
//! A pin is a resource that only one node has. A pin by node affinity would hide
//! all other nodes from spread constraints, which count only nodes that a pod's
//! affinity admits, and so test nothing there.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::Failure;
use crate::cases::Case;
use crate::control_plane::ControlPlane;
use crate::nodes::planned;

/// The pods of the default namespace.
pub const PODS: &str = "/api/v1/namespaces/default/pods";

/// What was set up, and what is to be tried.
pub struct Stage {
    /// Placed pods, in the order in which they should be tried.
    pub order: Vec<String>,
    /// The node of each.
    pub host: BTreeMap<String, String>,
    /// Pods as the case has them.
    pub pending: BTreeMap<String, Value>,
}

impl Stage {
    /// Creates everything of `case` but its pending pods, and the nodes of `plan`.
    pub fn set(plane: &ControlPlane, case: &Case, plan: &Value) -> Result<Self, Failure> {
        let mut host: BTreeMap<String, String> = BTreeMap::new();
        for (index, node) in plan["nodes"].as_array().into_iter().flatten().enumerate() {
            host.extend(names(&node["pods"]).map(|pod| (pod, format!("planned-{index}"))));
        }
        for node in plan["existing"].as_array().into_iter().flatten() {
            let name = node["name"].as_str().unwrap_or_default().to_owned();
            host.extend(names(&node["pods"]).map(|pod| (pod, name.clone())));
        }
        let mut order: Vec<String> = names(&plan["order"]).collect();
        order.extend(host.keys().filter(|pod| !order.contains(pod)).cloned().collect::<Vec<_>>());
        let with_pins = |mut node: Value| {
            for (pin, pod) in order.iter().enumerate() {
                if node["metadata"]["name"] == host[pod].as_str() {
                    for list in ["capacity", "allocatable"] {
                        node["status"][list][resource(pin)] = json!("1");
                    }
                }
            }
            node
        };
        let mut pending: BTreeMap<String, Value> = BTreeMap::new();
        let mut pools: BTreeMap<&str, &Value> = BTreeMap::new();
        for object in &case.objects {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            match object["kind"].as_str().unwrap_or_default() {
                "NodePool" => {
                    pools.insert(name, object);
                }
                "Node" => drop(plane.create("/api/v1/nodes", &with_pins(object.clone()))?),
                "PersistentVolume" => drop(plane.create("/api/v1/persistentvolumes", &volume(object))?),
                "PersistentVolumeClaim" => {
                    let mut claim = object.clone();
                    claim["spec"]["accessModes"] = json!(["ReadWriteOnce"]);
                    claim["spec"]["resources"] = json!({ "requests": { "storage": "1Gi" } });
                    drop(plane.create("/api/v1/namespaces/default/persistentvolumeclaims", &claim)?);
                }
                "Pod" if object["spec"]["nodeName"].is_null() => {
                    pending.insert(format!("default/{name}"), object.clone());
                }
                _ => drop(plane.create(PODS, object)?),
            }
        }
        for (index, node) in plan["nodes"].as_array().into_iter().flatten().enumerate() {
            plane.create("/api/v1/nodes", &with_pins(planned(&format!("planned-{index}"), node, &pools)))?;
        }
        Ok(Self { order, host, pending })
    }

    /// The pod at a place of the order, asking for what only its node has.
    pub fn pinned(&self, pin: usize) -> Value {
        let mut pod = self.pending[&self.order[pin]].clone();
        let resources = &mut pod["spec"]["containers"][0]["resources"];
        resources["requests"][resource(pin)] = json!("1");
        resources["limits"] = json!({ resource(pin): "1" });
        pod
    }
}

/// Removes everything again.
pub fn clean(plane: &ControlPlane) -> Result<(), Failure> {
    for path in
        [PODS, "/api/v1/namespaces/default/persistentvolumeclaims", "/api/v1/persistentvolumes", "/api/v1/nodes"]
    {
        plane.delete(path)?;
        plane.wait(path, |plane| Ok(plane.get(path)?["items"].as_array().is_none_or(Vec::is_empty)))?;
    }
    Ok(())
}

/// The names in a list.
pub fn names(list: &Value) -> impl Iterator<Item = String> {
    list.as_array().into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned))
}

fn volume(object: &Value) -> Value {
    let mut volume = object.clone();
    let name = &object["metadata"]["name"];
    volume["spec"]["accessModes"] = json!(["ReadWriteOnce"]);
    volume["spec"]["storageClassName"] = json!("disk");
    volume["spec"]["claimRef"] = json!({ "kind": "PersistentVolumeClaim", "namespace": "default", "name": name });
    volume
}

/// The resource that pins one pod.
fn resource(pin: usize) -> String {
    format!("example.com/pin-{pin}")
}

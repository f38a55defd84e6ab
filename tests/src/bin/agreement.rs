//! Does the real kube-scheduler let every planned pod onto its planned node?
//!
//! ```text
//! agreement CASES
//! ```
//!
//! Random clusters are planned; the nodes, existing and planned, are created on a
//! real API server; then each pod, pinned to its node, in the order of the plan.
//! Each must be bound. Pods that the plan leaves over are created last and
//! unpinned: the scheduler should find no place for them either.
//!
//! A pin is a resource that only one node has. A pin by node affinity would hide
//! all other nodes from spread constraints, which count only nodes that a pod's
//! affinity admits, and so test nothing there.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};
use stowage_tests::control_plane::{self, ControlPlane};
use stowage_tests::nodes::planned;
use stowage_tests::{Failure, cases, planner};

const PODS: &str = "/api/v1/namespaces/default/pods";

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("agreement: {error}");
            ExitCode::from(70)
        }
    }
}

#[derive(Default)]
struct Tally {
    bound: usize,
    refused: usize,
    left: usize,
    placeable: usize,
}

fn run() -> Result<bool, Failure> {
    let count: u64 = std::env::args().nth(1).ok_or("say how many cases")?.parse()?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no root")?;
    let tools = control_plane::tools(root)?;
    let stowage = planner::build(root)?;
    let plane = ControlPlane::start(&tools)?;
    let types = std::env::temp_dir().join(format!("stowage-agreement-{}.json", std::process::id()));
    std::fs::write(&types, cases::catalog().to_string())?;
    let mut tally = Tally::default();
    for seed in 0..count {
        one(&plane, &stowage, &types, seed, &mut tally)?;
    }
    std::fs::remove_file(&types)?;
    println!("{count} cases: {} planned pods bound, {} refused", tally.bound, tally.refused);
    println!("{} pods left over, of which the scheduler finds {} a place on these nodes", tally.left, tally.placeable);
    Ok(tally.refused == 0)
}

fn one(plane: &ControlPlane, stowage: &Path, types: &Path, seed: u64, tally: &mut Tally) -> Result<(), Failure> {
    let case = cases::case(seed);
    let plan = planner::plan(stowage, types, &case.list())?;
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
    let nodes = plane.get("/api/v1/nodes")?["items"].as_array().map_or(0, Vec::len);
    for (pin, pod) in order.iter().enumerate() {
        let pinned = pinned(&pending[pod], pin);
        match settled(plane, &pinned, nodes)? {
            None => tally.bound += 1,
            Some(message) => {
                tally.refused += 1;
                println!("case {seed}: {pod} is not let onto {}: {message}", host[pod]);
            }
        }
    }
    for unplaced in plan["unplaced"].as_array().into_iter().flatten().filter(|_| nodes > 0) {
        tally.left += 1;
        let pod = &pending[unplaced["pod"].as_str().unwrap_or_default()];
        tally.placeable += usize::from(settled(plane, pod, nodes)?.is_none());
    }
    clean(plane)
}

/// Creates a pod and waits for the scheduler's word: `None` once it is bound.
fn settled(plane: &ControlPlane, pod: &Value, nodes: usize) -> Result<Option<String>, Failure> {
    let mut pod = pod.clone();
    pod.as_object_mut().ok_or("no pod")?.remove("status");
    plane.create(PODS, &pod)?;
    let path = format!("{PODS}/{}", pod["metadata"]["name"].as_str().unwrap_or_default());
    let verdict = std::cell::RefCell::new(None);
    plane.wait(&path, |plane| {
        let seen = plane.get(&path)?;
        let mut conditions = seen["status"]["conditions"].as_array().into_iter().flatten();
        let refused = conditions.find(|c| c["type"] == "PodScheduled" && c["status"] == "False");
        if !seen["spec"]["nodeName"].is_null() {
            return Ok(true);
        }
        // A word about fewer nodes came before the scheduler knew them all; it
        // looks again at each.
        let message = refused.and_then(|condition| condition["message"].as_str()).unwrap_or_default();
        let last = message.starts_with(&format!("0/{nodes} nodes"));
        if last {
            *verdict.borrow_mut() = Some(message.to_owned());
        }
        Ok(last)
    })?;
    let verdict = verdict.into_inner();
    if verdict.is_some() {
        // It must not come later and disturb the others.
        plane.delete(&path)?;
    }
    Ok(verdict)
}

fn clean(plane: &ControlPlane) -> Result<(), Failure> {
    for path in
        [PODS, "/api/v1/namespaces/default/persistentvolumeclaims", "/api/v1/persistentvolumes", "/api/v1/nodes"]
    {
        plane.delete(path)?;
        plane.wait(path, |plane| Ok(plane.get(path)?["items"].as_array().is_none_or(Vec::is_empty)))?;
    }
    Ok(())
}

fn names(list: &Value) -> impl Iterator<Item = String> {
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

/// The pod, asking for what only its node has.
fn pinned(pod: &Value, pin: usize) -> Value {
    let mut pod = pod.clone();
    let resources = &mut pod["spec"]["containers"][0]["resources"];
    resources["requests"][resource(pin)] = json!("1");
    resources["limits"] = json!({ resource(pin): "1" });
    pod
}

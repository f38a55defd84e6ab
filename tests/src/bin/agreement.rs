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

use std::path::Path;
use std::process::ExitCode;

use serde_json::Value;
use stowage_tests::control_plane::{self, ControlPlane};
use stowage_tests::stage::{PODS, Stage, clean};
use stowage_tests::{Failure, cases, planner};

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
    let stage = Stage::set(plane, &case, &plan)?;
    let nodes = plane.get("/api/v1/nodes")?["items"].as_array().map_or(0, Vec::len);
    for (pin, pod) in stage.order.iter().enumerate() {
        match settled(plane, &stage.pinned(pin), nodes)? {
            None => tally.bound += 1,
            Some(message) => {
                tally.refused += 1;
                println!("case {seed}: {pod} is not let onto {}: {message}", stage.host[pod]);
            }
        }
    }
    for unplaced in plan["unplaced"].as_array().into_iter().flatten().filter(|_| nodes > 0) {
        tally.left += 1;
        let pod = &stage.pending[unplaced["pod"].as_str().unwrap_or_default()];
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

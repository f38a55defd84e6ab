//! Where Karpenter places more pods than we do: would they run there?
//!
//! ```text
//! verdict CASES
//! ```
//!
//! Karpenter's nodes are created on a real API server, and its pods, each pinned
//! to the node that Karpenter has it on, all at once. The real kube-scheduler may
//! take them in any order and as often as it likes. If some are never bound, then
//! Karpenter would have bought nodes for pods that wait on for ever.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};
use stowage_tests::control_plane::{self, ControlPlane};
use stowage_tests::stage::{PODS, Stage, clean};
use stowage_tests::{Failure, cases, peer, planner};

/// Nobody was bound for so long: nobody will be. The scheduler tries a pod again
/// after ten seconds at most.
const QUIET: Duration = Duration::from_secs(11);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("verdict: {error}");
            ExitCode::from(70)
        }
    }
}

fn run() -> Result<(), Failure> {
    let count: u64 = std::env::args().nth(1).ok_or("say how many cases")?.parse()?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no root")?;
    let tools = control_plane::tools(root)?;
    let stowage = planner::build(root)?;
    let peer = peer::answers(root, count)?;
    let plane = ControlPlane::start(&tools)?;
    let (mut fewer, mut runs, mut equal) = (0, 0, 0);
    for (seed, answer) in (0..).zip(&peer.answers) {
        let case = cases::case(seed);
        let plan = planner::plan(&stowage, &peer.types, &case.list())?;
        let (ours, theirs) = (&plan["summary"]["placed"], answer["placed"].as_u64().unwrap_or(0));
        if ours.as_u64().unwrap_or(0) >= theirs {
            continue;
        }
        fewer += 1;
        let stage = Stage::set(&plane, &case, &answer["placement"])?;
        for pin in 0..stage.order.len() {
            let mut pod = stage.pinned(pin);
            pod.as_object_mut().ok_or("no pod")?.remove("status");
            plane.create(PODS, &pod)?;
        }
        let bound = settle(&plane, &stage)?;
        let verdict = if bound as u64 == theirs {
            runs += 1;
            "all of them run"
        } else if bound as u64 <= ours.as_u64().unwrap_or(0) {
            equal += 1;
            "no more than ours run"
        } else {
            "not all of them run"
        };
        println!(
            "case {seed}: Karpenter places {theirs}, we {ours}; the scheduler binds {bound} of Karpenter's: {verdict}"
        );
        clean(&plane)?;
    }
    println!(
        "{count} cases: Karpenter places more in {fewer}; all of its pods run in {runs}, no more than ours in {equal}"
    );
    Ok(())
}

/// Waits until nothing moves; says how many of the placed pods are bound.
fn settle(plane: &ControlPlane, stage: &Stage) -> Result<usize, Failure> {
    let bound = || -> Result<usize, Failure> {
        let seen = plane.get(PODS)?;
        let pods = seen["items"].as_array().into_iter().flatten();
        let placed = |pod: &&Value| {
            let name = format!("default/{}", pod["metadata"]["name"].as_str().unwrap_or_default());
            stage.host.contains_key(&name) && pod["spec"]["nodeName"] != json!(null)
        };
        Ok(pods.filter(placed).count())
    };
    plane.quiet(QUIET, stage.order.len(), bound)
}

//! Stowage and Karpenter with its kwok provider, one after the other, on a cluster
//! that has shrunk: how long until nothing more is given up, and what is left.
//!
//! ```text
//! scale_in PODS
//! ```
//!
//! Each side grows its own nodes (on-demand types of up to four cores) for the same
//! pods; then every Deployment is scaled to two fifths, consolidation is allowed
//! without budgets, and the clock runs until the nodes have not changed for a minute.
//! The time is that of the last change. Machines join and end at once on both sides; what kwok and a
//! kubelet would do for Karpenter's nodes (ready nodes, ended pods) is done here.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stowage_tests::live::{self, Live};
use stowage_tests::{Failure, control_plane};

const SIZES: [(&str, &str); 6] =
    [("250m", "1Gi"), ("500m", "512Mi"), ("700m", "3Gi"), ("1100m", "2Gi"), ("300m", "2Gi"), ("1900m", "4Gi")];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scale_in: {error}");
            ExitCode::from(70)
        }
    }
}

/// On-demand types of the families c, m and r with two or four cores.
fn types(stowage: &Path) -> Result<Value, Failure> {
    let output = Command::new(stowage).args(["catalog", "export", "--capacity-types", "on-demand"]).output()?;
    let all: Vec<Value> = serde_json::from_slice(&output.stdout)?;
    let wanted = |entry: &Value| {
        let name = text(&entry["name"]);
        let family = matches!(name.as_bytes(), [b'c' | b'm' | b'r', b'0'..=b'9', ..]);
        let small = name.ends_with(".large") || name.ends_with(".xlarge");
        family && small && entry["architecture"] == "amd64"
    };
    Ok(all.into_iter().filter(wanted).collect())
}

fn run() -> Result<(), Failure> {
    let pods: usize = std::env::args().nth(1).ok_or("say how many pods")?.parse()?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no root")?;
    let tools = control_plane::tools(root)?;
    let karpenter = control_plane::built(root, "karpenter")?.join("karpenter");
    let stowage = live::build_release(root)?;
    let types = types(&stowage)?;
    println!(
        "| | pods | nodes | $/h | nodes after | $/h after | seconds | evictions |\n| --- | --- | --- | --- | --- | --- | --- | --- |"
    );
    for name in ["Stowage", "Karpenter"] {
        let behaviour = json!({ "bootMillis": 0, "endMillis": 0 });
        let mut live = Live::start_with(&stowage, &tools, &behaviour, &types)?;
        live.pool(
            "default",
            json!({ "disruption": { "consolidateAfter": "Never", "budgets": [{ "nodes": "100%" }] } }),
        )?;
        let own = name == "Stowage";
        let process = match own {
            true => live.controller(&["--batch-idle-duration", "1s", "--disable-leader-election"])?,
            false => live.karpenter(&karpenter)?,
        };
        live.until("a controller that is ready", |live| live.is_ready(process))?;
        println!("{}", measure(&live, name, own, pods, &prices(&types))?);
        live.keep_logs()?;
    }
    Ok(())
}

/// What nobody's kubelet does: ready nodes, and pods that end.
fn tend(live: &Live, own: bool) -> Result<(), Failure> {
    if own {
        return Ok(());
    }
    for node in live.nodes()? {
        let conditions = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
        if !conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True") {
            let now = "2026-01-01T00:00:00Z";
            let ready = json!([{ "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "",
                "lastHeartbeatTime": now, "lastTransitionTime": now }]);
            let path = format!("/api/v1/nodes/{}/status", text(&node["metadata"]["name"]));
            // It may be gone by now.
            drop(live.plane.patch(&path, &json!({ "status": { "conditions": ready } })));
        }
    }
    for pod in live.list("/api/v1/namespaces/default/pods")? {
        if !pod["metadata"]["deletionTimestamp"].is_null() {
            drop(live.plane.delete(&format!("/api/v1/namespaces/default/pods/{}", text(&pod["metadata"]["name"]))));
        }
    }
    Ok(())
}

fn measure(live: &Live, name: &str, own: bool, pods: usize, prices: &BTreeMap<String, f64>) -> Result<String, Failure> {
    for (index, size) in SIZES.iter().enumerate() {
        live.deployment(&format!("size-{index}"), pods / SIZES.len(), *size, json!({}))?;
    }
    let all = pods / SIZES.len() * SIZES.len();
    let patience = Duration::from_secs(400);
    live.plane.wait_for("pods on initialized nodes", patience, |_| {
        tend(live, own)?;
        let initialized = live.claims()?.iter().all(|claim| {
            let conditions = claim["status"]["conditions"].as_array().cloned().unwrap_or_default();
            conditions.iter().any(|c| c["type"] == "Initialized" && c["status"] == "True")
        });
        Ok(live.bound()? == all && initialized)
    })?;
    let (nodes, price) = state(live, prices)?;
    let left = pods / SIZES.len() * 2 / 5;
    for index in 0..SIZES.len() {
        live.scale(&format!("size-{index}"), left)?;
    }
    live.plane.wait_for("fewer pods", patience, |_| {
        tend(live, own)?;
        Ok(uids(live)?.len() == left * SIZES.len())
    })?;
    let before = uids(live)?;
    let open = json!({ "spec": { "disruption": { "consolidateAfter": "0s" } } });
    live.plane.patch("/apis/karpenter.sh/v1/nodepools/default", &open)?;
    let started = Instant::now();
    let last = Cell::new((nodes, started));
    live.plane.wait_for("a quiet cluster", Duration::from_secs(1_200), |_| {
        tend(live, own)?;
        let (now, _) = state(live, prices)?;
        if now != last.get().0 {
            last.set((now, Instant::now()));
        }
        Ok(last.get().1.elapsed() > Duration::from_secs(60))
    })?;
    let seconds = last.get().1.duration_since(started).as_secs_f64();
    let evictions = uids(live)?.difference(&before).count();
    let (after, price_after) = state(live, prices)?;
    Ok(format!(
        "| {name} | {all} → {} | {nodes} | {price:.2} | {after} | {price_after:.2} | {seconds:.0} | {evictions} |",
        before.len()
    ))
}

fn uids(live: &Live) -> Result<BTreeSet<String>, Failure> {
    let pods = live.list("/api/v1/namespaces/default/pods")?;
    let there = pods.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
    Ok(there.map(|pod| text(&pod["metadata"]["uid"])).collect())
}

/// Nodes and what they cost.
fn state(live: &Live, prices: &BTreeMap<String, f64>) -> Result<(usize, f64), Failure> {
    let nodes = live.nodes()?;
    let of = |node: &Value| prices.get(&text(&node["metadata"]["labels"]["node.kubernetes.io/instance-type"])).copied();
    Ok((nodes.len(), nodes.iter().filter_map(of).sum()))
}

/// On-demand prices are the same in every zone.
fn prices(types: &Value) -> BTreeMap<String, f64> {
    let entries = types.as_array().into_iter().flatten();
    entries.filter_map(|entry| Some((text(&entry["name"]), entry["offerings"][0]["Price"].as_f64()?))).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

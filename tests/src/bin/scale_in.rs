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
//! The time is that of the last change, or 900 seconds; the last line says when each
//! side was at a price that both have reached. Machines join and end at once on both
//! sides; what kwok and a kubelet would do for Karpenter's nodes (ready nodes, ended
//! pods) is done here.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stowage_tests::live::{self, Live};
use stowage_tests::{Failure, control_plane};

const SIZES: [(&str, &str); 6] =
    [("250m", "1Gi"), ("500m", "512Mi"), ("700m", "3Gi"), ("1100m", "2Gi"), ("300m", "2Gi"), ("1900m", "4Gi")];

/// Nobody is watched for longer.
const LONGEST: Duration = Duration::from_secs(900);

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
    let mut histories = Vec::new();
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
        histories.push(measure(&live, name, own, pods, &prices(&types))?);
        live.keep_logs()?;
    }
    race(&histories);
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

fn measure(
    live: &Live,
    name: &str,
    own: bool,
    pods: usize,
    prices: &BTreeMap<String, f64>,
) -> Result<Vec<(f64, f64)>, Failure> {
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
    let history = RefCell::new(vec![(0.0, price)]);
    live.plane.wait_for("a quiet cluster", LONGEST * 2, |_| {
        tend(live, own)?;
        let (now, price) = state(live, prices)?;
        history.borrow_mut().push((started.elapsed().as_secs_f64(), price));
        if now != last.get().0 {
            last.set((now, Instant::now()));
        }
        Ok(last.get().1.elapsed() > Duration::from_secs(60) || started.elapsed() > LONGEST)
    })?;
    let ended = last.get().1.duration_since(started);
    let late = if last.get().1.elapsed() > Duration::from_secs(60) { "" } else { " and more" };
    let seconds = ended.as_secs();
    let evictions = uids(live)?.difference(&before).count();
    let (after, price_after) = state(live, prices)?;
    println!(
        "| {name} | {all} → {} | {nodes} | {price:.2} | {after} | {price_after:.2} | {seconds}{late} | {evictions} |",
        before.len()
    );
    Ok(history.into_inner())
}

/// Who has got how far when: the dearer end is one that both have reached.
fn race(histories: &[Vec<(f64, f64)>]) {
    let Some(end) = histories.iter().filter_map(|all| all.last()).map(|(_, price)| *price).reduce(f64::max) else {
        return;
    };
    // For good: while nodes come before others go, the price is higher for a while.
    let reached = |all: &Vec<(f64, f64)>| {
        let late = all.iter().rev().take_while(|(_, price)| *price <= end + 0.005).last();
        late.map_or(f64::NAN, |(seconds, _)| *seconds)
    };
    let seconds: Vec<String> = histories.iter().map(|all| format!("{:.0}", reached(all))).collect();
    println!("at ${end:.2} for good after {} seconds", seconds.join(" and "));
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

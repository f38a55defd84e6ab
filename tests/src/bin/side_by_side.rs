//! Stowage and Karpenter with its kwok provider, one after the other, each on a
//! fresh control plane with the same NodePool, types and pods.
//!
//! ```text
//! side_by_side PODS
//! ```
//!
//! Machines join at once on both sides. A pod counts when the scheduler has bound
//! it; the price is what the nodes cost that are there then.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stowage_tests::live::{self, Live};
use stowage_tests::{Failure, control_plane};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("side_by_side: {error}");
            ExitCode::from(70)
        }
    }
}

/// On-demand EC2 types of the families c, m and r for amd64, as the planner exports them.
fn types(stowage: &Path) -> Result<Value, Failure> {
    let output = Command::new(stowage).args(["catalog", "export", "--capacity-types", "on-demand"]).output()?;
    let all: Vec<Value> = serde_json::from_slice(&output.stdout)?;
    let wanted = |entry: &Value| {
        let name = entry["name"].as_str().unwrap_or_default().as_bytes();
        let family = matches!(name, [b'c' | b'm' | b'r', b'0'..=b'9', ..]);
        family && entry["architecture"] == "amd64"
    };
    Ok(all.into_iter().filter(wanted).collect())
}

struct Report {
    bound: usize,
    seconds: f64,
    nodes: usize,
    price: f64,
    megabytes: f64,
}

fn run() -> Result<(), Failure> {
    let pods: usize = std::env::args().nth(1).ok_or("say how many pods")?.parse()?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no root")?;
    let tools = control_plane::tools(root)?;
    let karpenter = control_plane::built(root, "karpenter")?.join("karpenter");
    let stowage = live::build_release(root)?;
    let types = types(&stowage)?;
    println!("| | pods bound | seconds | nodes | $/h | MB |\n| --- | --- | --- | --- | --- | --- |");
    for name in ["Karpenter", "Stowage"] {
        let behaviour = json!({ "bootMillis": 0, "endMillis": 0 });
        let mut live = Live::start_with(&stowage, &tools, &behaviour, &types)?;
        live.pool("default", json!({ "disruption": { "consolidateAfter": "Never" } }))?;
        let process = match name {
            "Stowage" => live.controller(&["--batch-idle-duration", "1s", "--disable-leader-election"])?,
            _ => live.karpenter(&karpenter)?,
        };
        let report = measure(&live, process, pods, &types)?;
        live.keep_logs()?;
        println!(
            "| {name} | {} of {pods} | {:.1} | {} | {:.4} | {:.0} |",
            report.bound, report.seconds, report.nodes, report.price, report.megabytes
        );
    }
    Ok(())
}

/// Ten sizes, a fifth of the pods spread over zones.
fn measure(live: &Live, process: usize, pods: usize, types: &Value) -> Result<Report, Failure> {
    live.until("a controller that is ready", |live| live.is_ready(process))?;
    let sizes = [
        ("100m", "256Mi"),
        ("250m", "1Gi"),
        ("500m", "512Mi"),
        ("700m", "3Gi"),
        ("1100m", "2Gi"),
        ("1500m", "8Gi"),
        ("300m", "2Gi"),
        ("1900m", "4Gi"),
        ("2600m", "5Gi"),
        ("3100m", "20Gi"),
    ];
    let started = Instant::now();
    for (index, size) in sizes.iter().enumerate() {
        let name = format!("size-{index}");
        let spread = json!({ "topologySpreadConstraints": [{ "maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone",
            "whenUnsatisfiable": "DoNotSchedule", "labelSelector": { "matchLabels": { "app": name } } }] });
        let change = if index % 5 == 0 { spread } else { json!({}) };
        let count = pods / sizes.len() + usize::from(index < pods % sizes.len());
        live.deployment(&name, count, *size, change)?;
    }
    let bound = live.plane.quiet(Duration::from_secs(60), pods, || live.bound())?;
    let seconds = started.elapsed().as_secs_f64();
    let mut price_of: BTreeMap<(String, String), f64> = BTreeMap::new();
    for entry in types.as_array().into_iter().flatten() {
        for offering in entry["offerings"].as_array().into_iter().flatten() {
            let requirements = offering["Requirements"].as_array().cloned().unwrap_or_default();
            let zones = requirements.iter().filter(|r| r["key"] == "topology.kubernetes.io/zone");
            for zone in zones.flat_map(|r| r["values"].as_array().cloned().unwrap_or_default()) {
                let key = (text(&entry["name"]), text(&zone));
                price_of.insert(key, offering["Price"].as_f64().unwrap_or(f64::NAN));
            }
        }
    }
    let nodes = live.nodes()?;
    let price = nodes.iter().map(|node| {
        let labels = &node["metadata"]["labels"];
        let key = (text(&labels["node.kubernetes.io/instance-type"]), text(&labels["topology.kubernetes.io/zone"]));
        price_of.get(&key).copied().unwrap_or(f64::NAN)
    });
    Ok(Report { bound, seconds, nodes: nodes.len(), price: price.sum(), megabytes: live.memory(process)? })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

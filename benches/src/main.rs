//! Stowage and Karpenter's own scheduler on the same files, in one run.
//!
//! `cargo run --release -p stowage-benches -- --trace openb_pods_default.csv`
//!
//! Each row writes a pod list and a catalogue, runs the release binary on them
//! (whole process: wall time and peak memory), has `stowage check` judge the plan,
//! and runs the peer (its solve alone). The trace is the pod list of Alibaba's
//! GPU cluster trace 2023 (openb), published in cluster-trace-gpu-v2023; without
//! it that row is left out and said so. The peer needs Go; `--no-peer` does without.
//! `--curve FILE.svg` measures how time grows with pods and draws it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use stowage_benches::run::{Row, Workplace};
use stowage_benches::{catalogs, curve, pods, related, run};

#[derive(Parser)]
struct Args {
    /// The openb pod list, as CSV
    #[arg(long)]
    trace: Option<PathBuf>,
    /// Leave the peer out
    #[arg(long)]
    no_peer: bool,
    /// Only rows whose name contains this
    #[arg(long, default_value = "")]
    only: String,
    /// Measure seconds against pods instead, and draw them here
    #[arg(long, value_name = "FILE.svg")]
    curve: Option<PathBuf>,
    /// Where inputs and answers are put
    #[arg(long, default_value = "target/compare")]
    out: PathBuf,
}

fn main() -> ExitCode {
    match compare(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("compare: {message}");
            ExitCode::FAILURE
        }
    }
}

fn compare(args: &Args) -> Result<(), String> {
    let place = Workplace::new(&args.out, !args.no_peer && args.curve.is_none())?;
    if let Some(path) = &args.curve {
        let picture = curve::measure(&place, &catalogs::ec2_of("cmr", false, Some("amd64"))?)?;
        return std::fs::write(path, picture).map_err(|e| format!("{}: {e}", path.display()));
    }
    let mut rows = rows(&place)?;
    match &args.trace {
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
            let trace = pods::openb(&text)?;
            let types = catalogs::ec2("cgimprtxz", true)?;
            rows.insert(0, Row::new("openb trace, all EC2 types with spot", &types, move || trace.clone()));
        }
        None => eprintln!("no --trace given: the openb row is left out"),
    }
    println!("{}", run::HEADER);
    for row in rows.into_iter().filter(|row| row.name.contains(&args.only)) {
        println!("{}", place.measure(&row)?);
    }
    Ok(())
}

/// The rows that need no trace; generated ones with three seeds.
fn rows(place: &Workplace) -> Result<Vec<Row>, String> {
    let cmr = catalogs::ec2_of("cmr", false, Some("amd64"))?;
    let all = catalogs::ec2("cgimprtxz", false)?;
    let spot = catalogs::ec2("cgimprtxz", true)?;
    let mut rows = Vec::new();
    for seed in 1..=3 {
        let name = format!("5,000 generic pods, c/m/r amd64, seed {seed}");
        rows.push(Row::new(&name, &cmr, move || pods::generic(5_000, seed)));
    }
    if let Some(kwok) = place.kwok_types()? {
        for seed in 1..=3 {
            let name = format!("5,000 generic pods, kwok types, seed {seed}");
            rows.push(Row::new(&name, &kwok, move || pods::generic(5_000, seed)));
        }
    }
    for seed in 1..=3 {
        for (what, types) in [("c/m/r amd64", &cmr), ("all types", &all)] {
            let name = format!("100,000 pods in 200 shapes, {what}, seed {seed}");
            rows.push(Row::new(&name, types, move || pods::shaped(100_000, 200, seed, false)).without_peer());
        }
        let name = format!("10,000 distinct pods, c/m/r amd64, seed {seed}");
        rows.push(Row::new(&name, &cmr, move || pods::distinct(10_000, seed)));
        let name = format!("1,000 pods in 20 constrained shapes, spot, seed {seed}");
        rows.push(Row::new(&name, &spot, move || pods::shaped(1_000, 20, seed, true)));
        let name = format!("40 pods in 8 shapes, seed {seed}");
        rows.push(Row::new(&name, &cmr, move || pods::shaped(40, 8, seed, false)));
    }
    for seed in 1..=3 {
        for count in [5_000, 20_000] {
            let name = format!("{count} diverse pods, c/m/r amd64, seed {seed}");
            rows.push(Row::new(&name, &cmr, move || related::diverse(count, seed, false)));
        }
        let name = format!("4000 diverse wishes, c/m/r amd64, seed {seed}");
        rows.push(Row::new(&name, &cmr, move || related::diverse(4_000, seed, true)));
        let name = format!("5000 pods and 1000 half-full nodes, seed {seed}");
        rows.push(Row::new(&name, &cmr, move || related::half_full(1_000, 5_000, seed)));
        let name = format!("40000 pods and 24 pools, seed {seed}");
        rows.push(Row::new(&name, &cmr, move || related::pooled(24, 40_000, seed)));
    }
    rows.push(Row::new("two pods of 70 % of a node", &cmr, pods::seventy_percent));
    Ok(rows)
}

//! Consolidation beside Karpenter's moves, on clusters that were packed well and
//! then scaled down.
//!
//! `cargo run --release -p stowage-benches --bin consolidation`
//!
//! Karpenter's moves are its own search (all empty nodes, then the longest prefix
//! of a hundred candidates that one new node replaces, then single nodes), replayed
//! until nothing is left to do: `stowage consolidate --solver first-fit`. Neither
//! side has budgets here. `--large` adds 2,000 nodes, without the peer.
//! `--evictions` asks instead how many pods move for the peer's price: the price of an
//! eviction is raised as long as the cluster ends no dearer than the peer's, and a
//! relaxation says how few it could be at best.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use serde_json::Value;
use stowage_benches::run::Workplace;
use stowage_benches::{catalogs, cluster, evictions, pods};

#[derive(Parser)]
struct Args {
    /// Also 2,000 nodes
    #[arg(long)]
    large: bool,
    /// How many pods move for the same price
    #[arg(long, conflicts_with = "large")]
    evictions: bool,
    /// Only rows whose name contains this
    #[arg(long, default_value = "")]
    only: String,
    /// What an eviction must save per hour, in dollars
    #[arg(long, default_value = "0.005")]
    eviction_price: String,
    /// Where inputs and answers are put
    #[arg(long, default_value = "target/compare")]
    out: PathBuf,
}

const HEADER: &str = "\
| cluster | nodes | pods | $/h | floor | $/h after | ÷ floor | evictions | commands | decisions | s, first decision | peer $/h after | peer evictions | peer commands | peer s, all | evictions ÷ peer |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |";

const EVICTIONS: &str = "\
| cluster | $/h | peer $/h after | peer evictions | eviction price | $/h after | evictions | ÷ peer | least possible | ÷ peer |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |";

/// Prices of an eviction that are tried, in dollars per hour.
const PRICES: [&str; 10] = ["0.005", "0.007", "0.01", "0.014", "0.02", "0.024", "0.028", "0.034", "0.04", "0.05"];

fn main() -> ExitCode {
    match compare(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("consolidation: {message}");
            ExitCode::FAILURE
        }
    }
}

struct Row {
    name: String,
    pods: Value,
    share: f64,
    seed: u64,
    /// Whether the peer is asked too; without it nodes are larger.
    peer: bool,
}

fn compare(args: &Args) -> Result<(), String> {
    let place = Workplace::new(&args.out, false)?;
    let types = catalogs::ec2_of("cmr", false, Some("amd64"))?;
    let (small, large) = (bounded(&types, 16), bounded(&types, 64));
    println!("{}", if args.evictions { EVICTIONS } else { HEADER });
    let mut rows = Vec::new();
    for (seed, share) in [(1, 0.7), (2, 0.5), (3, 0.3)] {
        let name = |kind: &str| format!("{kind}, {:.0} % left, seed {seed}", share * 100.0);
        rows.push(Row {
            name: name("60 workloads"),
            pods: pods::shaped(3_000, 60, seed, false),
            share,
            seed,
            peer: true,
        });
        rows.push(Row { name: name("generic"), pods: pods::generic(2_500, seed), share, seed, peer: true });
    }
    if args.large {
        let pods = pods::shaped(100_000, 300, 4, false);
        rows.push(Row { name: "300 workloads, 30 % left, seed 4".to_owned(), pods, share: 0.3, seed: 4, peer: false });
    }
    for row in rows.iter().filter(|row| row.name.contains(&args.only)) {
        let types = if row.peer { &small } else { &large };
        let line = match args.evictions {
            true => evictions(&place, row, types),
            false => measure(&place, row, types, &args.eviction_price),
        };
        println!("{}", line?);
    }
    Ok(())
}

/// Types of at most so many cores: clusters of many nodes.
fn bounded(types: &Value, cores: u64) -> Value {
    let few = |kind: &&Value| {
        kind["resources"]["cpu"].as_str().and_then(|text| text.parse().ok()).is_some_and(|own: u64| own <= cores)
    };
    types.as_array().into_iter().flatten().filter(few).cloned().collect()
}

const AT: [&str; 3] = ["--until-stable", "--at", "2026-06-01T00:00:00Z"];

fn figure(said: &Value, key: &str) -> f64 {
    said["summary"][key].as_f64().unwrap_or(f64::NAN)
}

/// The fewest pods that we move while the cluster ends no dearer than the peer's.
fn evictions(place: &Workplace, row: &Row, types: &Value) -> Result<String, String> {
    let plan = place.answer(&row.pods, types)?;
    let snapshot = cluster::scaled_down(&plan, &row.pods, types, row.share, row.seed);
    let peer = place.consolidate(&snapshot, types, &[&AT[..], &["--solver", "first-fit"]].concat())?;
    let (most, moved) = (figure(&peer, "hourlyPriceAfter"), figure(&peer, "evictions"));
    let mut best: Option<(f64, &str, f64)> = None;
    for price in PRICES {
        let ours = place.consolidate(&snapshot, types, &[&AT[..], &["--eviction-price", price]].concat())?;
        let (after, own) = (figure(&ours, "hourlyPriceAfter"), figure(&ours, "evictions"));
        if after <= most && best.is_none_or(|(fewest, ..)| own < fewest) {
            best = Some((own, price, after));
        }
    }
    let (own, price, after) = best.ok_or("no answer is as cheap as the peer's")?;
    let least = evictions::fewest(&snapshot, types, most).ok_or("a snapshot without types or prices")?;
    Ok(format!(
        "| {} | {:.2} | {most:.2} | {moved} | {price} | {after:.2} | {own} | {:.2} | {least:.0} | {:.2} |",
        row.name,
        figure(&peer, "hourlyPrice"),
        own / moved,
        least / moved
    ))
}

fn measure(place: &Workplace, row: &Row, types: &Value, eviction_price: &str) -> Result<String, String> {
    let plan = place.answer(&row.pods, types)?;
    let snapshot = cluster::scaled_down(&plan, &row.pods, types, row.share, row.seed);
    let at = [&AT[..], &["--eviction-price", eviction_price]].concat();
    let ours = place.consolidate(&snapshot, types, &at)?;
    // Every decision but the first is about less.
    let first = place.consolidate(&snapshot, types, &at[1..])?;
    let seconds = |said: &Value| said["timings"]["decideSeconds"].as_f64().unwrap_or(f64::NAN);
    let (after, floor) = (figure(&ours, "hourlyPriceAfter"), figure(&ours, "lowestHourlyPrice"));
    let waves = |said: &Value| {
        said["waves"]
            .as_array()
            .map_or(0, |all| all.iter().filter(|w| !w["commands"].as_array().is_none_or(Vec::is_empty)).count())
    };
    let mut line = format!(
        "| {} | {} | {} | {:.2} | {floor:.2} | {after:.2} | {:.3} | {} | {} | {} | {:.2} |",
        row.name,
        figure(&ours, "nodes"),
        figure(&ours, "pods"),
        figure(&ours, "hourlyPrice"),
        after / floor,
        figure(&ours, "evictions"),
        figure(&ours, "commands"),
        waves(&ours),
        seconds(&first)
    );
    if row.peer {
        let peer = place.consolidate(&snapshot, types, &[&at[..], &["--solver", "first-fit"]].concat())?;
        line.push_str(&format!(
            " {:.2} | {} | {} | {:.2} | {:.2} |",
            figure(&peer, "hourlyPriceAfter"),
            figure(&peer, "evictions"),
            figure(&peer, "commands"),
            seconds(&peer),
            figure(&ours, "evictions") / figure(&peer, "evictions")
        ));
    } else {
        line.push_str(" – | – | – | – | – |");
    }
    Ok(line)
}

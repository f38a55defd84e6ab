//! Writes the catalogue's files from published EC2 facts.
//!
//! `cargo run -p catalog-generator -- FACTS_DIR instance-catalog`
//!
//! FACTS_DIR holds `instance_types.json`, `prices_on_demand.csv`, `offerings.csv`,
//! `zones.csv`, `spot_advisor.csv` and `allocatable_sample.csv`; `SOURCES.md` beside
//! the output says where such facts come from. The output is made to be read in a
//! review: one file per instance category, one per region, a line per type.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::Path;

use serde_json::Value;

type Rows = Vec<BTreeMap<String, String>>;
type Failure = Box<dyn Error>;

const TYPE_COLUMNS: &str = "type,arch,vcpu,memory_mib,measured_mib,enis,ipv4_per_eni,branch_enis,efa,disk_gb,gpus,neuron,\
hypervisor,metal,flex,burstable,previous,cpu_manufacturer,clock_ghz,network_mbps,ebs_mbps,ebs_attach,encryption_in_transit,capacity_block";
const REGION_COLUMNS: &str = "type,on_demand,basis,zones,spot_saving,interruption";

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [facts, out] = args.as_slice() else { return Err("usage: catalog-generator FACTS_DIR OUT_DIR".into()) };
    let (facts, out) = (Path::new(facts), Path::new(out));
    let known = types(facts, out)?;
    regions(facts, out, &known)?;
    zones(facts, out)?;
    sample(facts, out, &known)
}

fn table(path: &Path) -> Result<Rows, Failure> {
    let mut reader = csv::Reader::from_path(path).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(reader.deserialize().collect::<Result<_, _>>()?)
}

/// One file per category; returns the names written.
fn types(facts: &Path, out: &Path) -> Result<BTreeSet<String>, Failure> {
    let all: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(facts.join("instance_types.json"))?)?;
    let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut names = BTreeSet::new();
    for fact in &all {
        let name = text(fact, "name");
        // Records without CPU or architecture are retired types; macs run no Linux node.
        if fact["vcpu"].is_null() || fact["arch"].is_null() || fact["mac"].as_bool() == Some(true) {
            continue;
        }
        let category: String = name.chars().take_while(char::is_ascii_alphabetic).collect();
        files.entry(category).or_default().push(type_row(fact));
        names.insert(name);
    }
    let folder = out.join("types");
    std::fs::create_dir_all(&folder)?;
    for (category, mut rows) in files {
        rows.sort();
        std::fs::write(folder.join(format!("{category}.csv")), format!("{TYPE_COLUMNS}\n{}\n", rows.join("\n")))?;
    }
    Ok(names)
}

fn type_row(fact: &Value) -> String {
    let flag = |key: &str| if fact[key].as_bool() == Some(true) { "y" } else { "" }.to_owned();
    let network = match &fact["net_mbps"] {
        Value::Null => fact["net_peak_gbps"].as_f64().map_or_else(String::new, |g| format!("{:.0}", g * 1000.0)),
        mbps => number(mbps),
    };
    let capacity_block_only = fact["usage"].as_array().is_some_and(|u| u.len() == 1 && u[0] == "capacity-block");
    [
        text(fact, "name"),
        fact["arch"][0].as_str().unwrap_or_default().to_owned(),
        number(&fact["vcpu"]),
        number(&fact["memory_mib"]),
        number(&fact["measured_memory_mib"]),
        number(&fact["enis"]),
        number(&fact["ipv4_per_eni"]),
        number(&fact["branch_enis"]),
        number(&fact["efa_max"]),
        number(&fact["disk_gb"]),
        devices(&fact["gpus"], |gpu| {
            let count = match gpu["count"].as_u64() {
                Some(0) | None => number(&gpu["logical"]),
                Some(count) => count.to_string(),
            };
            let share = if gpu["partition"].is_null() { "" } else { ":part" };
            let (maker, name) = (label(&text(gpu, "manufacturer")), label(&text(gpu, "name")));
            format!("{maker}:{name}:{count}:{}{share}", number(&gpu["memory_mib"]))
        }),
        devices(&fact["neuron"], |device| {
            format!(
                "{}:{}:{}",
                label(&text(device, "name")),
                number(&device["count"]),
                number(&device["cores_per_device"])
            )
        }),
        text(fact, "hypervisor"),
        flag("bare_metal"),
        flag("flex"),
        flag("burstable"),
        flag("previous_generation"),
        text(fact, "cpu_manufacturer").to_lowercase(),
        number(&fact["clock_ghz"]),
        network,
        if fact["ebs_optimized"] == "default" || fact["ebs_optimized"].is_null() {
            number(&fact["ebs_max_mbps"])
        } else {
            String::new()
        },
        number(&fact["ebs_attach"]),
        flag("encryption_in_transit"),
        if capacity_block_only { "y" } else { "" }.to_owned(),
    ]
    .join(",")
}

fn text(fact: &Value, key: &str) -> String {
    fact[key].as_str().unwrap_or_default().to_owned()
}

fn number(value: &Value) -> String {
    match value {
        Value::Number(n) => n.to_string(),
        _ => String::new(),
    }
}

/// As label values are written: lower case, dashes for spaces.
fn label(name: &str) -> String {
    name.to_lowercase().replace(' ', "-")
}

fn devices(list: &Value, describe: impl Fn(&Value) -> String) -> String {
    list.as_array().map_or_else(String::new, |all| all.iter().map(describe).collect::<Vec<_>>().join("+"))
}

/// One file per region: price, zones and spot saving of each type.
fn regions(facts: &Path, out: &Path, known: &BTreeSet<String>) -> Result<(), Failure> {
    type Key = (String, String);
    let keyed = |file: &str| -> Result<BTreeMap<Key, BTreeMap<String, String>>, Failure> {
        let rows = table(&facts.join(file))?;
        Ok(rows.into_iter().map(|row| ((row["region"].clone(), row["instance_type"].clone()), row)).collect())
    };
    let (prices, offerings, spot) =
        (keyed("prices_on_demand.csv")?, keyed("offerings.csv")?, keyed("spot_advisor.csv")?);
    let keys: BTreeSet<&Key> = prices.keys().chain(offerings.keys()).filter(|(_, name)| known.contains(name)).collect();
    let mut files: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for key in keys {
        let column = |rows: &BTreeMap<Key, BTreeMap<String, String>>, name: &str| {
            rows.get(key).and_then(|row| row.get(name)).cloned().unwrap_or_default()
        };
        let ids = column(&offerings, "zone_ids");
        let zones: Vec<&str> = ids.split_whitespace().filter_map(|id| id.rsplit_once("-az").map(|(_, n)| n)).collect();
        let row = [
            key.1.clone(),
            column(&prices, "usd_per_hour"),
            column(&prices, "basis"),
            zones.join(" "),
            column(&spot, "savings_pct"),
            column(&spot, "interruption_bucket"),
        ];
        files.entry(&key.0).or_default().push(row.join(","));
    }
    let folder = out.join("regions");
    std::fs::create_dir_all(&folder)?;
    for (region, mut rows) in files {
        rows.sort();
        std::fs::write(folder.join(format!("{region}.csv")), format!("{REGION_COLUMNS}\n{}\n", rows.join("\n")))?;
    }
    Ok(())
}

fn zones(facts: &Path, out: &Path) -> Result<(), Failure> {
    let rows = table(&facts.join("zones.csv"))?;
    let mut lines: Vec<String> =
        rows.iter().map(|r| format!("{},{},{}", r["region"], r["zone_name"], r["zone_id"])).collect();
    lines.sort();
    Ok(std::fs::write(out.join("zones.csv"), format!("region,zone,zone_id\n{}\n", lines.join("\n")))?)
}

/// Published allocatable of some types: what the arithmetic is tested against.
fn sample(facts: &Path, out: &Path, known: &BTreeSet<String>) -> Result<(), Failure> {
    let columns =
        ["cpu", "memory", "ephemeral-storage", "pods", "nvidia.com/gpu", "amd.com/gpu", "aws.amazon.com/neuroncore"];
    let mut lines: Vec<String> = table(&facts.join("allocatable_sample.csv"))?
        .iter()
        .filter(|row| known.contains(&row["instance_type"]))
        .map(|row| {
            let amounts: Vec<&str> = columns.iter().map(|column| row[*column].as_str()).collect();
            format!("{},{}", row["instance_type"], amounts.join(","))
        })
        .collect();
    lines.sort();
    let header = format!("type,{}", columns.join(","));
    Ok(std::fs::write(out.join("published-allocatable.csv"), format!("{header}\n{}\n", lines.join("\n")))?)
}

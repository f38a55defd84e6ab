//! EC2 types of us-east-1 in the kwok provider's form, as both sides read them.
//!
//! Current-generation Nitro types from the third generation on, without bare
//! metal; memory is 92.5 % of the nominal size, pods by the ENI formula, three
//! zones, spot by the Spot Advisor's average saving.

use serde_json::{Value, json};
use stowage_cloud::facts;

const ZONES: [&str; 3] = ["us-east-1a", "us-east-1b", "us-east-1c"];

/// Types of these one-letter categories, on demand and perhaps as spot.
pub fn ec2(categories: &str, spot: bool) -> Result<Value, String> {
    ec2_of(categories, spot, None)
}

/// The same, of one architecture.
pub fn ec2_of(categories: &str, spot: bool, arch: Option<&str>) -> Result<Value, String> {
    let types = facts::types().map_err(|e| e.to_string())?;
    let mut entries = Vec::new();
    for sale in facts::sales("us-east-1").map_err(|e| e.to_string())? {
        let Some((kind, price)) = types.get(&sale.name).zip(sale.on_demand()) else { continue };
        let (category, generation) = kind.category_and_generation();
        let current = !kind.is_previous_generation() && !kind.is_metal() && kind.hypervisor == "nitro";
        if !current || generation.is_none_or(|g| g < 3) || category.len() != 1 || !categories.contains(category) {
            continue;
        }
        if arch.is_some_and(|arch| arch != kind.arch) {
            continue;
        }
        let pods = kind.enis.unwrap_or(0) * (kind.ipv4_per_eni.unwrap_or(1) - 1) + 2;
        let mut resources = json!({
            "cpu": kind.vcpu.to_string(),
            "memory": format!("{}Mi", kind.memory_mib * 925 / 1000),
            "pods": pods.to_string(),
            "ephemeral-storage": "17Gi",
        });
        let gpus: i64 = kind.gpus().iter().filter(|gpu| gpu.manufacturer == "nvidia").map(|gpu| gpu.count).sum();
        if gpus > 0 {
            resources["nvidia.com/gpu"] = json!(gpus.to_string());
        }
        let offering = |zone: &str, capacity_type: &str, dollars: f64| {
            let requirement = |key: &str, value: &str| json!({ "key": key, "operator": "In", "values": [value] });
            json!({ "Price": dollars, "Available": true, "Requirements": [
                requirement("karpenter.sh/capacity-type", capacity_type),
                requirement("topology.kubernetes.io/zone", zone),
            ] })
        };
        let mut offerings = Vec::new();
        for zone in ZONES {
            offerings.push(offering(zone, "on-demand", price.dollars()));
            if let Some(saving) = sale.spot_saving.filter(|_| spot) {
                offerings.push(offering(zone, "spot", price.percent(100 - saving).dollars()));
            }
        }
        entries.push(json!({
            "name": kind.name, "architecture": kind.arch, "operatingSystems": ["linux"],
            "resources": resources, "offerings": offerings,
        }));
    }
    Ok(Value::Array(entries))
}

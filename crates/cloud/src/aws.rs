//! The embedded EC2 catalogue as instance types.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stowage_model::{CapacityType, Code, InstanceType, Offering, Price, labels};

use crate::error::CatalogError;
use crate::facts::{self, Sale, TypeFacts};
use crate::prices::Prices;
use crate::sizing::{self, MemoryRule, Sizing};

/// Which part of the catalogue to read.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// Region, such as `us-east-1`.
    pub region: String,
    /// Zone names or ids; empty for all of the region.
    pub zones: Vec<String>,
    /// Capacity types; empty for on-demand.
    pub capacity_types: Vec<CapacityType>,
    /// How memory is estimated.
    pub memory: MemoryRule,
}

/// A region's catalogue, before any NodeClass has its say.
#[derive(Clone, Debug)]
pub struct AwsCatalog {
    choice: Choice,
    types: Vec<(TypeFacts, Sale)>,
    zones: Vec<KnownZone>,
    prices: Prices,
}

#[derive(Clone, Debug)]
struct KnownZone {
    name: Arc<str>,
    id: Option<Arc<str>>,
    /// Number in the sales table; `None` where the catalogue knows no offerings.
    number: Option<String>,
}

impl AwsCatalog {
    /// Reads the catalogue of a region.
    pub fn load(choice: Choice, prices: Prices) -> Result<Self, CatalogError> {
        let sales = facts::sales(&choice.region)?;
        let zones = zones(&choice)?;
        let mut known = facts::types()?;
        let types: Vec<(TypeFacts, Sale)> =
            sales.into_iter().filter_map(|sale| known.remove(&sale.name).map(|facts| (facts, sale))).collect();
        Ok(Self { choice, types, zones, prices })
    }

    /// The zones in use.
    pub fn zone_names(&self) -> Vec<String> {
        self.zones.iter().map(|zone| zone.name.to_string()).collect()
    }

    /// The facts of every type sold in the region.
    pub fn facts(&self) -> impl Iterator<Item = (&TypeFacts, &Sale)> {
        self.types.iter().map(|(facts, sale)| (facts, sale))
    }

    /// The price of one offering, whatever capacity types were chosen.
    pub fn price(&self, name: &str, zone: &str, capacity_type: CapacityType) -> Option<Price> {
        let (facts, sale) = self.types.iter().find(|(facts, _)| facts.name == name)?;
        self.prices.get(&facts.name, zone, capacity_type).or_else(|| list_price(sale, capacity_type))
    }

    /// How the prices of `names` are known, and how many each.
    pub fn price_bases<'a>(&self, names: impl Iterator<Item = &'a str>) -> BTreeMap<String, usize> {
        let bases: BTreeMap<&str, &str> = self.types.iter().map(|(f, s)| (f.name.as_str(), s.basis.as_str())).collect();
        let mut counts = BTreeMap::new();
        for name in names {
            if let Some(basis) = bases.get(name) {
                *counts.entry((*basis).to_owned()).or_default() += 1;
            }
        }
        counts
    }

    /// Instance types as a NodeClass with this sizing would launch them. Types
    /// without a price or a zone are left out.
    pub fn instance_types(&self, sizing: &Sizing) -> Vec<InstanceType> {
        self.types.iter().filter_map(|(facts, sale)| self.instance_type(facts, sale, sizing)).collect()
    }

    fn instance_type(&self, facts: &TypeFacts, sale: &Sale, sizing: &Sizing) -> Option<InstanceType> {
        let offerings = self.offerings(facts, sale);
        (!offerings.is_empty()).then(|| InstanceType {
            name: facts.name.as_str().into(),
            labels: Arc::new(type_labels(facts, &self.choice.region)),
            operating_systems: vec![sizing.ami_family.os().into()],
            capacity: sizing::capacity(facts, sizing, self.choice.memory),
            allocatable: sizing::allocatable(facts, sizing, self.choice.memory),
            offerings,
        })
    }

    fn offerings(&self, facts: &TypeFacts, sale: &Sale) -> Vec<Offering> {
        if facts.is_capacity_block_only() {
            return Vec::new();
        }
        let sold: BTreeSet<&str> = sale.zone_numbers().collect();
        let default = [CapacityType::OnDemand];
        let capacity_types: &[CapacityType] =
            if self.choice.capacity_types.is_empty() { &default } else { &self.choice.capacity_types };
        let mut offerings = Vec::new();
        for zone in &self.zones {
            if zone.number.as_ref().is_some_and(|number| !sold.contains(number.as_str())) {
                continue;
            }
            for capacity_type in capacity_types {
                let price = self
                    .prices
                    .get(&facts.name, &zone.name, *capacity_type)
                    .or_else(|| list_price(sale, *capacity_type));
                if let Some(price) = price {
                    offerings.push(Offering {
                        zone: zone.name.clone(),
                        zone_id: zone.id.clone(),
                        capacity_type: *capacity_type,
                        price,
                        reservation: None,
                    });
                }
            }
        }
        offerings
    }
}

/// The catalogue's own price; spot is on-demand less the average saving.
fn list_price(sale: &Sale, capacity_type: CapacityType) -> Option<Price> {
    match capacity_type {
        CapacityType::OnDemand => sale.on_demand(),
        CapacityType::Spot => Some(sale.on_demand()?.percent(100 - sale.spot_saving?)),
        CapacityType::Reserved => None,
    }
}

fn zones(choice: &Choice) -> Result<Vec<KnownZone>, CatalogError> {
    let known = facts::zones(&choice.region)?;
    let all: Vec<KnownZone> = known
        .iter()
        .map(|zone| KnownZone {
            name: zone.zone.as_str().into(),
            id: Some(zone.zone_id.as_str().into()),
            number: zone.zone_id.rsplit_once("-az").map(|(_, number)| number.to_owned()),
        })
        .collect();
    if choice.zones.is_empty() {
        if all.is_empty() {
            let message = "has no known zones; name them with --zones";
            return Err(CatalogError::new(Code::InRegion, &choice.region, message));
        }
        return Ok(all);
    }
    let mut chosen = Vec::new();
    for name in &choice.zones {
        match all.iter().find(|zone| *zone.name == **name || zone.id.as_deref() == Some(name)) {
            Some(zone) => chosen.push(zone.clone()),
            None if all.is_empty() => chosen.push(KnownZone { name: name.as_str().into(), id: None, number: None }),
            None => {
                let names: Vec<&str> = all.iter().map(|zone| &*zone.name).collect();
                let message = format!("{name} is no zone of {}; its zones are {}", choice.region, names.join(", "));
                return Err(CatalogError::new(Code::InRegion, "--zones", message));
            }
        }
    }
    Ok(chosen)
}

/// The labels of a node of this type, as Karpenter's AWS provider sets them.
fn type_labels(facts: &TypeFacts, region: &str) -> BTreeMap<String, String> {
    let (family, size) = facts.family_and_size();
    let (category, generation) = facts.category_and_generation();
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    let mut set = |key: &str, value: String| {
        let key = if key.contains('/') { key.to_owned() } else { format!("{}{key}", labels::AWS_GROUP) };
        all.insert(key, value);
    };
    set(labels::ARCH, facts.arch.clone());
    set(labels::REGION, region.to_owned());
    set("instance-category", category.to_owned());
    set("instance-family", family.to_owned());
    set("instance-size", size.to_owned());
    if let Some(generation) = generation {
        set("instance-generation", generation.to_string());
    }
    set("instance-cpu", facts.vcpu.to_string());
    set("instance-memory", facts.memory_mib.to_string());
    set("instance-tenancy", "default".to_owned());
    set("instance-encryption-in-transit-supported", facts.encrypts_in_transit().to_string());
    if !facts.cpu_manufacturer.is_empty() {
        set("instance-cpu-manufacturer", facts.cpu_manufacturer.clone());
    }
    if let Some(ghz) = facts.clock_ghz {
        set("instance-cpu-sustained-clock-speed-mhz", format!("{:.0}", ghz * 1000.0));
    }
    if !facts.hypervisor.is_empty() {
        set("instance-hypervisor", facts.hypervisor.clone());
    }
    set("instance-capability-flex", facts.is_flex().to_string());
    let numbers = [
        ("instance-network-bandwidth", facts.network_mbps),
        ("instance-ebs-bandwidth", facts.ebs_mbps),
        ("instance-local-nvme", facts.disk_gb.filter(|gb| *gb > 0)),
    ];
    for (key, value) in numbers {
        if let Some(value) = value {
            set(key, value.to_string());
        }
    }
    if let [gpu] = facts.gpus().as_slice() {
        set("instance-gpu-name", gpu.name.clone());
        set("instance-gpu-manufacturer", gpu.manufacturer.clone());
        set("instance-gpu-count", gpu.count.to_string());
        set("instance-gpu-memory", gpu.memory_mib.to_string());
    }
    if let [device] = facts.neuron().as_slice() {
        set("instance-accelerator-name", device.name.clone());
        set("instance-accelerator-manufacturer", device.manufacturer.clone());
        set("instance-accelerator-count", device.count.to_string());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(region: &str, zones: &[&str]) -> Result<AwsCatalog, CatalogError> {
        let choice = Choice {
            region: region.into(),
            zones: zones.iter().map(|z| (*z).to_owned()).collect(),
            ..Choice::default()
        };
        AwsCatalog::load(choice, Prices::default())
    }

    #[test]
    fn every_region_with_zones_sells_something() {
        let mut sold = 0;
        for region in facts::regions() {
            match load(region, &[]) {
                Ok(catalog) => {
                    assert!(catalog.instance_types(&Sizing::default()).len() > 100, "{region}");
                    sold += 1;
                }
                Err(error) => {
                    assert_eq!(error.code, Code::InRegion);
                    assert!(load(region, &["my-zone"]).is_ok(), "{region}");
                }
            }
        }
        assert!(sold >= 28, "{sold}");
        assert_eq!(load("us-east-9", &[]).unwrap_err().code, Code::InRegion);
        assert_eq!(load("us-east-1", &["eu-west-1a"]).unwrap_err().code, Code::InRegion);
        assert_eq!(load("us-east-1", &["use1-az2"]).unwrap().zone_names().len(), 1);
    }

    #[test]
    fn labels_are_those_that_node_pools_ask_for() {
        let types = load("us-east-1", &[]).unwrap().instance_types(&Sizing::default());
        let of = |name: &str| types.iter().find(|t| &*t.name == name).unwrap().labels.clone();
        let gpu = of("g5.12xlarge");
        assert_eq!(gpu["karpenter.k8s.aws/instance-gpu-count"], "4");
        assert_eq!(gpu["karpenter.k8s.aws/instance-gpu-name"], "a10g");
        assert_eq!(gpu["karpenter.k8s.aws/instance-generation"], "5");
        let flex = of("m7i-flex.large");
        assert_eq!(flex["karpenter.k8s.aws/instance-family"], "m7i-flex");
        assert_eq!(flex["karpenter.k8s.aws/instance-capability-flex"], "true");
        assert!(!flex.contains_key("karpenter.k8s.aws/instance-gpu-count"));
        let huge = of("u-6tb1.56xlarge");
        assert_eq!(huge["karpenter.k8s.aws/instance-category"], "u");
        assert_eq!(huge["karpenter.k8s.aws/instance-generation"], "1");
    }
}

//! The rows of the embedded catalogue, typed.

use std::collections::BTreeMap;

use serde::Deserialize;
use stowage_model::{Code, Price};

use crate::embedded;
use crate::error::CatalogError;

/// A kind of accelerator on a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// `nvidia`, `amd`, …; `aws` for Neuron devices.
    pub manufacturer: String,
    /// Such as `a10g`.
    pub name: String,
    /// How many; a share of one device counts as none, as it cannot run what
    /// asks for a whole one.
    pub count: i64,
    /// MiB of memory per device, where known.
    pub memory_mib: i64,
    /// Neuron cores per device.
    pub cores: i64,
}

/// What the catalogue knows of one type.
#[derive(Clone, Debug, Deserialize)]
pub struct TypeFacts {
    /// Name.
    #[serde(rename = "type")]
    pub name: String,
    /// First architecture.
    pub arch: String,
    /// vCPUs.
    pub vcpu: i64,
    /// Nominal memory.
    pub memory_mib: i64,
    /// Memory that a running instance reports.
    pub measured_mib: Option<i64>,
    /// Network interfaces of the default card.
    #[serde(default)]
    pub enis: Option<i64>,
    /// IPv4 addresses of each.
    pub ipv4_per_eni: Option<i64>,
    /// Branch interfaces.
    pub branch_enis: Option<i64>,
    /// EFA interfaces.
    pub efa: Option<i64>,
    /// Local disks together.
    pub disk_gb: Option<i64>,
    gpus: String,
    neuron: String,
    /// `nitro`, `xen` or empty.
    pub hypervisor: String,
    metal: String,
    flex: String,
    burstable: String,
    previous: String,
    /// `intel`, `amd`, `aws`.
    pub cpu_manufacturer: String,
    /// Sustained clock speed.
    pub clock_ghz: Option<f64>,
    /// Network bandwidth.
    pub network_mbps: Option<i64>,
    /// EBS bandwidth.
    pub ebs_mbps: Option<i64>,
    /// EBS attachments.
    pub ebs_attach: Option<i64>,
    encryption_in_transit: String,
    capacity_block: String,
}

impl TypeFacts {
    /// Family and size: the name split at the dot.
    pub fn family_and_size(&self) -> (&str, &str) {
        self.name.split_once('.').unwrap_or((&self.name, ""))
    }

    /// Category and generation, from the leading letters and first number.
    pub fn category_and_generation(&self) -> (&str, Option<u32>) {
        let (family, _) = self.family_and_size();
        let family = family.split_once('-').filter(|(_, rest)| rest.contains("tb")).map_or(family, |(head, _)| head);
        let letters = family.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(family.len());
        let (category, rest) = family.split_at(letters);
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        match (category, digits.parse().ok()) {
            // u-6tb1: the generation follows the size.
            ("u", None) => ("u", Some(1)),
            (category, generation) => (category, generation),
        }
    }

    /// Bare metal.
    pub fn is_metal(&self) -> bool {
        self.metal == "y"
    }

    /// A flex type.
    pub fn is_flex(&self) -> bool {
        self.flex == "y"
    }

    /// A burstable type.
    pub fn is_burstable(&self) -> bool {
        self.burstable == "y"
    }

    /// Of a generation that EC2 calls previous.
    pub fn is_previous_generation(&self) -> bool {
        self.previous == "y"
    }

    /// Traffic between such instances is encrypted.
    pub fn encrypts_in_transit(&self) -> bool {
        self.encryption_in_transit == "y"
    }

    /// Sold in capacity blocks only.
    pub fn is_capacity_block_only(&self) -> bool {
        self.capacity_block == "y"
    }

    /// Graphics processors.
    pub fn gpus(&self) -> Vec<Device> {
        devices(&self.gpus, |fields| {
            let [maker, name, count, memory, ..] = fields else { return None };
            let whole = fields.len() == 4;
            Some(Device {
                manufacturer: (*maker).to_owned(),
                name: (*name).to_owned(),
                count: if whole { count.parse().ok()? } else { 0 },
                memory_mib: memory.parse().unwrap_or(0),
                cores: 0,
            })
        })
    }

    /// Neuron devices.
    pub fn neuron(&self) -> Vec<Device> {
        devices(&self.neuron, |fields| {
            let [name, count, cores] = fields else { return None };
            Some(Device {
                manufacturer: "aws".to_owned(),
                name: (*name).to_owned(),
                count: count.parse().ok()?,
                memory_mib: 0,
                cores: cores.parse().ok()?,
            })
        })
    }
}

fn devices(list: &str, parse: impl Fn(&[&str]) -> Option<Device>) -> Vec<Device> {
    list.split('+').filter_map(|one| parse(&one.split(':').collect::<Vec<_>>())).collect()
}

/// What the catalogue knows of one type in one region.
#[derive(Clone, Debug, Deserialize)]
pub struct Sale {
    /// Type.
    #[serde(rename = "type")]
    pub name: String,
    on_demand: String,
    /// How the price is known: list, observed, family, adjusted.
    pub basis: String,
    zones: String,
    /// Average percentage that spot is below on-demand.
    pub spot_saving: Option<i64>,
    /// Interruption frequency, 0 (rare) to 4.
    pub interruption: Option<u8>,
}

impl Sale {
    /// On-demand price.
    pub fn on_demand(&self) -> Option<Price> {
        Price::parse(&self.on_demand)
    }

    /// Numbers of the zone ids where it is sold.
    pub fn zone_numbers(&self) -> impl Iterator<Item = &str> {
        self.zones.split_whitespace()
    }
}

/// A zone.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Zone {
    /// Region.
    pub region: String,
    /// Name, as one account sees it.
    pub zone: String,
    /// Id, the same for all accounts.
    pub zone_id: String,
}

fn rows<T: for<'de> Deserialize<'de>>(name: &str) -> Result<Vec<T>, CatalogError> {
    let text = embedded::file(name)?;
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let rows: Result<Vec<T>, csv::Error> = reader.deserialize().collect();
    rows.map_err(|error| CatalogError::new(Code::InCatalog, format!("embedded file {name}"), error.to_string()))
}

/// Every type, by name.
pub fn types() -> Result<BTreeMap<String, TypeFacts>, CatalogError> {
    let mut all = BTreeMap::new();
    for category in embedded::folder("types") {
        let rows: Vec<TypeFacts> = rows(&format!("types/{category}"))?;
        all.extend(rows.into_iter().map(|facts| (facts.name.clone(), facts)));
    }
    Ok(all)
}

/// Regions that the catalogue knows.
pub fn regions() -> Vec<&'static str> {
    embedded::folder("regions").collect()
}

/// What is sold in a region.
pub fn sales(region: &str) -> Result<Vec<Sale>, CatalogError> {
    if !regions().contains(&region) {
        return Err(CatalogError::new(
            Code::InRegion,
            region,
            format!("is not in the catalogue; known are {}", regions().join(", ")),
        ));
    }
    rows(&format!("regions/{region}"))
}

/// The zones of a region.
pub fn zones(region: &str) -> Result<Vec<Zone>, CatalogError> {
    let all: Vec<Zone> = rows("zones")?;
    Ok(all.into_iter().filter(|zone| zone.region == region).collect())
}

//! The machines a run may use, whichever source they come from.

use std::collections::{BTreeMap, BTreeSet};

use stowage_cloud::aws::{AwsCatalog, Choice};
use stowage_cloud::prices::Prices;
use stowage_cloud::sizing::{AmiFamily, MemoryRule, Sizing, Threshold};
use stowage_cloud::{embedded, kwok};
use stowage_k8s::v1::Ec2NodeClass;
use stowage_model::{CapacityType, Code, InstanceType, Node, Price, labels, quantity};

use crate::args::{Allocatable, MachineArgs};
use crate::error::Failure;
use crate::input;
use stowage_model::Digest;

/// The embedded catalogue or a file.
#[derive(Debug)]
pub(crate) enum Catalog {
    Aws(Box<AwsCatalog>),
    File { name: String, types: Vec<InstanceType>, digest: Digest },
}

impl Catalog {
    /// Reads the catalogue. `named` are capacity types that NodePools name, for
    /// runs that do not choose.
    pub(crate) fn load(args: &MachineArgs, named: &BTreeSet<CapacityType>) -> Result<Self, Failure> {
        let prices = match &args.prices {
            Some(path) => Prices::parse(&path.display().to_string(), &input::text(path)?)?,
            None => Prices::default(),
        };
        if args.catalog == "aws" {
            let mut capacity_types = args.capacity_types.clone();
            if capacity_types.is_empty() {
                capacity_types.push(CapacityType::OnDemand);
                capacity_types.extend(named.iter().filter(|kind| **kind == CapacityType::Spot));
            }
            let choice = Choice {
                region: args.region.clone(),
                zones: args.zones.clone(),
                capacity_types,
                memory: memory_rule(args.allocatable),
            };
            return Ok(Self::Aws(Box::new(AwsCatalog::load(choice, prices)?)));
        }
        let text = input::text(std::path::Path::new(&args.catalog))?;
        let mut types = kwok::parse(&args.catalog, &text)?;
        prices.apply(&mut types);
        narrow(&mut types, args)?;
        let mut digest = Digest::default();
        digest.add(text.as_bytes());
        Ok(Self::File { name: args.catalog.clone(), types, digest })
    }

    /// The types as nodes of this sizing would be.
    pub(crate) fn types(&self, sizing: &Sizing) -> Vec<InstanceType> {
        match self {
            Self::Aws(catalog) => catalog.instance_types(sizing),
            Self::File { types, .. } => types.clone(),
        }
    }

    /// What an existing node costs, by its labels.
    pub(crate) fn price_of(&self, node: &Node) -> Option<Price> {
        let name = node.label(labels::INSTANCE_TYPE)?;
        let zone = node.label(labels::ZONE).unwrap_or_default();
        let spelled = node.label(labels::CAPACITY_TYPE).or_else(|| node.label("eks.amazonaws.com/capacityType"));
        let kind = CapacityType::parse(&spelled.unwrap_or("on-demand").to_lowercase().replace('_', "-"))?;
        match self {
            Self::Aws(catalog) => catalog.price(name, zone, kind),
            Self::File { types, .. } => {
                let offerings = types.iter().filter(|t| *t.name == *name).flat_map(|t| &t.offerings);
                offerings.filter(|o| *o.zone == *zone && o.capacity_type == kind).map(|o| o.price).next()
            }
        }
    }

    /// One line about where types and prices come from.
    pub(crate) fn describe(&self, args: &MachineArgs) -> CatalogInfo {
        match self {
            Self::Aws(catalog) => CatalogInfo {
                source: "aws".to_owned(),
                region: Some(args.region.clone()),
                zones: catalog.zone_names(),
                facts: Some(embedded::TYPE_DATE.to_owned()),
                prices: format!(
                    "list prices of {} (Linux, shared tenancy){}; spot estimated from average savings of 2025-06-28",
                    embedded::PRICE_DATE,
                    if args.prices.is_some() { ", overridden by --prices" } else { "" }
                ),
                digest: None,
            },
            Self::File { name, digest, .. } => CatalogInfo {
                source: name.clone(),
                region: None,
                zones: self.zones(),
                facts: None,
                prices: if args.prices.is_some() {
                    "of the file, overridden by --prices".into()
                } else {
                    "of the file".into()
                },
                digest: Some(digest.to_string()),
            },
        }
    }

    fn zones(&self) -> Vec<String> {
        let Self::File { types, .. } = self else { return Vec::new() };
        let zones: BTreeSet<&str> = types.iter().flat_map(|t| &t.offerings).map(|o| &*o.zone).collect();
        zones.into_iter().map(str::to_owned).collect()
    }

    /// How the on-demand prices of types are known.
    pub(crate) fn price_bases<'a>(&self, names: impl Iterator<Item = &'a str>) -> BTreeMap<String, usize> {
        match self {
            Self::Aws(catalog) => catalog.price_bases(names),
            Self::File { .. } => BTreeMap::new(),
        }
    }
}

/// Where types and prices come from.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CatalogInfo {
    pub(crate) source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) region: Option<String>,
    pub(crate) zones: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) facts: Option<String>,
    pub(crate) prices: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) digest: Option<String>,
}

fn memory_rule(choice: Allocatable) -> MemoryRule {
    match choice {
        Allocatable::Karpenter => MemoryRule::Karpenter,
        Allocatable::Measured => MemoryRule::Measured,
    }
}

/// Applies --zones and --capacity-types to a catalogue file.
fn narrow(types: &mut Vec<InstanceType>, args: &MachineArgs) -> Result<(), Failure> {
    for kind in types.iter_mut() {
        kind.offerings.retain(|offering| {
            let zone = args.zones.is_empty()
                || args.zones.iter().any(|z| **z == *offering.zone || offering.zone_id.as_deref() == Some(z));
            zone && (args.capacity_types.is_empty() || args.capacity_types.contains(&offering.capacity_type))
        });
    }
    types.retain(|kind| !kind.offerings.is_empty());
    if types.is_empty() {
        let message = "--zones and --capacity-types leave no offering; widen them";
        return Err(Failure::input(Code::InCatalog, &args.catalog, message));
    }
    Ok(())
}

/// What an EC2NodeClass says about size.
pub(crate) fn sizing(class: &Ec2NodeClass) -> Result<Sizing, Failure> {
    let name = format!("EC2NodeClass {}", class.metadata.name.as_deref().unwrap_or_default());
    let refuse =
        |field: &str, text: &str, why: &str| Failure::input(Code::InObject, &name, &format!("{field}: {text:?} {why}"));
    let spec = &class.spec;
    let kubelet = spec.kubelet.clone().unwrap_or_default();
    let amounts = |map: &Option<BTreeMap<String, String>>, field: &str| -> Result<BTreeMap<String, i64>, Failure> {
        let entries = map.iter().flatten().filter(|(resource, _)| resource.as_str() != "pid");
        entries
            .map(|(resource, text)| {
                let amount = quantity::amount(resource, text)
                    .map_err(|e| refuse(&format!("spec.kubelet.{field}.{resource}"), text, &e.to_string()))?;
                Ok((resource.clone(), amount))
            })
            .collect()
    };
    let threshold = |signal: &str| -> Result<Option<Threshold>, Failure> {
        let Some(text) = kubelet.eviction_hard.as_ref().and_then(|map| map.get(signal)) else { return Ok(None) };
        let field = format!("spec.kubelet.evictionHard.{signal}");
        if let Some(percent) = text.strip_suffix('%') {
            let value = percent.parse::<f64>().ok().filter(|p| (0.0..=100.0).contains(p));
            let value = value.ok_or_else(|| refuse(&field, text, "is not a percentage between 0 and 100"))?;
            return Ok(Some(Threshold::BasisPoints((value * 100.0).round() as i64)));
        }
        let amount = quantity::units(text).map_err(|e| refuse(&field, text, &e.to_string()))?;
        Ok(Some(Threshold::Amount(amount)))
    };
    let ami_family =
        ami_family(spec.ami_family.as_deref(), spec.ami_selector_terms.iter().find_map(|t| t.alias.as_deref()));
    let root_volume = match root_volume_size(class, ami_family) {
        Some(text) => Some(
            quantity::units(text)
                .map_err(|e| refuse("spec.blockDeviceMappings[].ebs.volumeSize", text, &e.to_string()))?,
        ),
        None => None,
    };
    Ok(Sizing {
        ami_family,
        max_pods: kubelet.max_pods,
        pods_per_core: kubelet.pods_per_core,
        kube_reserved: amounts(&kubelet.kube_reserved, "kubeReserved")?,
        system_reserved: amounts(&kubelet.system_reserved, "systemReserved")?,
        evict_memory: threshold("memory.available")?,
        evict_storage: threshold("nodefs.available")?,
        root_volume,
        local_disks: spec.instance_store_policy.as_deref() == Some("RAID0"),
        reserved_enis: 0,
    })
}

fn ami_family(family: Option<&str>, alias: Option<&str>) -> AmiFamily {
    let of_alias = alias.and_then(|alias| alias.split('@').next()).map(str::to_lowercase);
    let text = family.map(str::to_lowercase).or(of_alias).unwrap_or_default();
    match text.as_str() {
        "al2" => AmiFamily::Al2,
        "bottlerocket" => AmiFamily::Bottlerocket,
        "custom" => AmiFamily::Custom,
        text if text.starts_with("windows") => AmiFamily::Windows,
        _ => AmiFamily::Al2023,
    }
}

/// The volume that holds ephemeral storage: the one flagged, else the family's
/// data device, else for custom images the last.
fn root_volume_size(class: &Ec2NodeClass, family: AmiFamily) -> Option<&str> {
    let mappings = class.spec.block_device_mappings.as_deref().unwrap_or_default();
    let size = |mapping: &'_ stowage_k8s::v1::ec2_node_class::BlockDeviceMapping| {
        mapping.ebs.as_ref().and_then(|ebs| ebs.volume_size.as_ref()).is_some()
    };
    let device = match family {
        AmiFamily::Bottlerocket => "/dev/xvdb",
        AmiFamily::Windows => "/dev/sda1",
        _ => "/dev/xvda",
    };
    let found = mappings
        .iter()
        .find(|m| m.root_volume == Some(true))
        .or_else(|| if family == AmiFamily::Custom { mappings.last() } else { None })
        .or_else(|| mappings.iter().find(|m| m.device_name.as_deref() == Some(device)));
    found.filter(|m| size(m))?.ebs.as_ref()?.volume_size.as_deref()
}

//! What pods can have of an EC2 instance.
//!
//! The arithmetic is that of the EKS node images and of Karpenter's AWS
//! provider: capacity less what the kubelet reserves and keeps back before it
//! evicts. Two rules for memory: Karpenter's flat 7.5 % off the nominal size, or
//! what running instances were measured to have, less half a percent.

use std::collections::BTreeMap;

use stowage_model::{ResourceName, Resources};

use stowage_model::volume::attachments;

use crate::facts::TypeFacts;

const MIB: i64 = 1 << 20;
const GIB: i64 = 1 << 30;

/// How allocatable memory is estimated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemoryRule {
    /// 7.5 % off the nominal size, as Karpenter does by default.
    #[default]
    Karpenter,
    /// Measured memory less 0.5 %; types nobody measured fall back to Karpenter's.
    Measured,
}

/// Which node image an EC2NodeClass asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "AWS's own names")]
pub enum AmiFamily {
    #[default]
    Al2023,
    Al2,
    Bottlerocket,
    Windows,
    Custom,
}

impl AmiFamily {
    /// The operating system of its nodes.
    pub fn os(self) -> &'static str {
        if self == Self::Windows { "windows" } else { "linux" }
    }
}

/// A threshold below which the kubelet evicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Threshold {
    /// An absolute amount.
    Amount(i64),
    /// Hundredths of a percent of capacity.
    BasisPoints(i64),
}

impl Threshold {
    fn of(self, capacity: i64) -> i64 {
        match self {
            Self::Amount(amount) => amount,
            // 100 % switches eviction off.
            Self::BasisPoints(10_000) => 0,
            Self::BasisPoints(points) => {
                i64::try_from((i128::from(capacity) * i128::from(points) + 9_999) / 10_000).unwrap_or(i64::MAX)
            }
        }
    }
}

/// What a NodeClass says about the size of its nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sizing {
    /// Node image.
    pub ami_family: AmiFamily,
    /// kubelet.maxPods
    pub max_pods: Option<i64>,
    /// kubelet.podsPerCore
    pub pods_per_core: Option<i64>,
    /// kubelet.kubeReserved, by resource.
    pub kube_reserved: BTreeMap<String, i64>,
    /// kubelet.systemReserved, by resource.
    pub system_reserved: BTreeMap<String, i64>,
    /// kubelet.evictionHard memory.available
    pub evict_memory: Option<Threshold>,
    /// kubelet.evictionHard nodefs.available
    pub evict_storage: Option<Threshold>,
    /// Size of the root volume, where the NodeClass gives one.
    pub root_volume: Option<i64>,
    /// instanceStorePolicy RAID0
    pub local_disks: bool,
    /// Interfaces kept from pods (a setting of the controller).
    pub reserved_enis: i64,
}

/// Capacity as the node will report it.
pub fn capacity(facts: &TypeFacts, sizing: &Sizing, rule: MemoryRule) -> Resources {
    let mut capacity = Resources::new()
        .with(ResourceName::CPU, facts.vcpu * 1000)
        .with(ResourceName::MEMORY, memory_mib(facts, rule) * MIB)
        .with(ResourceName::PODS, pods(facts, sizing))
        .with(ResourceName::EPHEMERAL_STORAGE, ephemeral_storage(facts, sizing));
    for gpu in facts.gpus().iter().filter(|gpu| gpu.count > 0) {
        let name = match gpu.manufacturer.as_str() {
            "nvidia" => "nvidia.com/gpu",
            "amd" => "amd.com/gpu",
            "habana" => "habana.ai/gaudi",
            _ => continue,
        };
        capacity.set(name, capacity.get(name) + gpu.count);
    }
    let neuron = facts.neuron();
    if let Some(first) = neuron.first() {
        let devices: i64 = neuron.iter().map(|device| device.count).sum();
        capacity.set("aws.amazon.com/neuron", devices);
        capacity.set("aws.amazon.com/neuroncore", devices * first.cores);
    }
    for (name, count) in [("vpc.amazonaws.com/efa", facts.efa), ("vpc.amazonaws.com/pod-eni", facts.branch_enis)] {
        if let Some(count) = count.filter(|count| *count > 0) {
            capacity.set(name, count);
        }
    }
    capacity
}

fn memory_mib(facts: &TypeFacts, rule: MemoryRule) -> i64 {
    if let (MemoryRule::Measured, Some(measured)) = (rule, facts.measured_mib) {
        return measured - (measured + 199) / 200;
    }
    // Firmware of ARM machines keeps 64 MiB.
    let nominal = facts.memory_mib - if facts.arch == "arm64" { 64 } else { 0 };
    nominal - (nominal * 75 + 999) / 1000
}

/// Pods by network addresses: one interface's first address is its own.
fn eni_pods(facts: &TypeFacts, reserved: i64) -> i64 {
    let interfaces = facts.enis.unwrap_or(0) - reserved;
    if interfaces <= 0 { 0 } else { interfaces * (facts.ipv4_per_eni.unwrap_or(1) - 1) + 2 }
}

fn pods(facts: &TypeFacts, sizing: &Sizing) -> i64 {
    let most = match (sizing.max_pods, sizing.ami_family) {
        (Some(most), _) => most,
        (None, AmiFamily::Windows) => 110,
        _ => eni_pods(facts, sizing.reserved_enis),
    };
    match sizing.pods_per_core.filter(|_| sizing.ami_family != AmiFamily::Bottlerocket) {
        Some(each) if each > 0 => most.min(each * facts.vcpu),
        _ => most,
    }
}

fn ephemeral_storage(facts: &TypeFacts, sizing: &Sizing) -> i64 {
    match (sizing.local_disks, facts.disk_gb, sizing.root_volume) {
        (true, Some(gigabytes), _) if gigabytes > 0 => gigabytes * 1_000_000_000,
        (_, _, Some(size)) => size,
        _ if sizing.ami_family == AmiFamily::Windows => 50 * GIB,
        _ => 20 * GIB,
    }
}

/// What pods can have: capacity less reservations and eviction thresholds.
pub fn allocatable(facts: &TypeFacts, sizing: &Sizing, rule: MemoryRule) -> Resources {
    let mut allocatable = capacity(facts, sizing, rule);
    // Bottlerocket and Windows reserve memory by the pods they admit, the others
    // by the pods that their addresses would allow.
    let counted = match sizing.ami_family {
        AmiFamily::Bottlerocket | AmiFamily::Windows => pods(facts, sizing),
        _ => eni_pods(facts, 0),
    };
    let reserved = |map: &BTreeMap<String, i64>, name: &str, default: i64| map.get(name).copied().unwrap_or(default);
    let storage = allocatable.get(ResourceName::EPHEMERAL_STORAGE);
    let memory = allocatable.get(ResourceName::MEMORY);
    let (cpu_name, memory_name, storage_name) =
        (ResourceName::CPU, ResourceName::MEMORY, ResourceName::EPHEMERAL_STORAGE);
    let overhead = Resources::new()
        .with(
            cpu_name,
            reserved(&sizing.kube_reserved, cpu_name, reserved_cpu(facts.vcpu))
                + reserved(&sizing.system_reserved, cpu_name, 0),
        )
        .with(
            memory_name,
            reserved(&sizing.kube_reserved, memory_name, (11 * counted + 255) * MIB)
                + reserved(&sizing.system_reserved, memory_name, 0)
                + sizing.evict_memory.map_or(100 * MIB, |threshold| threshold.of(memory)),
        )
        .with(
            storage_name,
            reserved(&sizing.kube_reserved, storage_name, GIB)
                + reserved(&sizing.system_reserved, storage_name, 0)
                + sizing.evict_storage.unwrap_or(Threshold::BasisPoints(1_000)).of(storage),
        );
    allocatable.subtract(&overhead);
    if let Some(most) = facts.ebs_attach {
        allocatable.set(&attachments("ebs.csi.aws.com"), volumes(most));
    }
    allocatable
}

/// Volumes that the EBS driver will say it can attach, of as many attachments as
/// EC2 allows. One is the root volume's. Up to 28 are shared with network
/// interfaces, of which the VPC network plugin keeps a second one warm.
fn volumes(attachments: i64) -> i64 {
    const MOST_SHARED: i64 = 28;
    let interfaces = if attachments <= MOST_SHARED { 1 } else { 0 };
    (attachments - 1 - interfaces).max(0)
}

/// 6 % of the first core, 1 % of the second, 0.5 % of the next two, 0.25 % of the
/// rest, each slice in whole millicores.
fn reserved_cpu(vcpu: i64) -> i64 {
    let first = if vcpu >= 1 { 60 } else { 0 };
    let second = if vcpu >= 2 { 10 } else { 0 };
    let next = (vcpu - 2).clamp(0, 2) * 5;
    let rest = (vcpu - 4).max(0) * 1000 * 25 / 10_000;
    first + second + next + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use stowage_model::quantity;

    /// The published table of karpenter-provider-aws, AL2023, 20 GiB disk.
    #[test]
    fn published_allocatable_is_reproduced() {
        let table = include_str!("../../../instance-catalog/published-allocatable.csv");
        let types = crate::facts::types().unwrap();
        let mut reader = csv::Reader::from_reader(table.as_bytes());
        let columns: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
        let mut compared = 0;
        let mut other_network_cards = Vec::new();
        for row in reader.records() {
            let row = row.unwrap();
            let allocatable = allocatable(&types[&row[0]], &Sizing::default(), MemoryRule::Karpenter);
            // Where the inputs disagree on interfaces, pods and the memory kept for
            // them differ; the rest of the arithmetic must still agree.
            let pods = columns.iter().position(|c| c == "pods").and_then(|at| row.get(at)).unwrap();
            let same_cards = pods == allocatable.get("pods").to_string();
            if !same_cards {
                other_network_cards.push(row[0].to_owned());
            }
            for (name, text) in columns.iter().zip(row.iter()).skip(1).filter(|(_, text)| !text.is_empty()) {
                if !same_cards && matches!(name.as_str(), "pods" | "memory") {
                    continue;
                }
                let published = quantity::amount(name, text).unwrap();
                assert_eq!(allocatable.get(name), published, "{} {name}", &row[0]);
                compared += 1;
            }
        }
        assert!(compared > 600, "{compared}");
        assert_eq!(other_network_cards, ["i7ie.metal-48xl", "i8ge.48xlarge"]);
    }

    #[test]
    fn node_class_settings_count() {
        let types = crate::facts::types().unwrap();
        let facts = &types["m5.large"];
        let plain = allocatable(facts, &Sizing::default(), MemoryRule::Karpenter);
        assert_eq!(plain.get("memory"), 6903 * MIB);
        let sized = Sizing {
            max_pods: Some(110),
            pods_per_core: Some(20),
            kube_reserved: [("cpu".to_owned(), 100)].into(),
            system_reserved: [("cpu".to_owned(), 50)].into(),
            evict_memory: Some(Threshold::BasisPoints(500)),
            root_volume: Some(100 * GIB),
            ..Sizing::default()
        };
        let sized = allocatable(facts, &sized, MemoryRule::Karpenter);
        assert_eq!(sized.get("pods"), 40);
        assert_eq!(sized.get("cpu"), 1850);
        assert_eq!(sized.get("ephemeral-storage"), 89 * GIB);
        assert_eq!(sized.get("memory"), 7577 * MIB - 574 * MIB - (7577 * MIB + 19) / 20);
    }

    #[test]
    fn measured_memory_is_used_where_it_is_known() {
        let types = crate::facts::types().unwrap();
        let facts = &types["m5.large"];
        let measured = capacity(facts, &Sizing::default(), MemoryRule::Measured).get("memory");
        assert!(measured > capacity(facts, &Sizing::default(), MemoryRule::Karpenter).get("memory"));
        assert!(measured < facts.memory_mib * MIB);
    }
}

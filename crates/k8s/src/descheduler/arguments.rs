//! Arguments of each plugin, by the descheduler's own names. A field that is not
//! here is refused, so that nobody relies on what is not done.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::Deserialize;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct Namespaces {
    pub(super) include: BTreeSet<String>,
    pub(super) exclude: BTreeSet<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct Evictor {
    /// A place is always looked for, on or off.
    #[serde(rename = "nodeFit")]
    pub(super) _node_fit: Option<bool>,
    pub(super) evict_local_storage_pods: bool,
    pub(super) evict_system_critical_pods: bool,
    pub(super) evict_failed_bare_pods: bool,
    pub(super) ignore_pvc_pods: bool,
    #[serde(rename = "ignorePodsWithoutPDB")]
    pub(super) ignore_pods_without_pdb: bool,
    pub(super) pod_protections: Protections,
    pub(super) no_eviction_policy: Option<String>,
    pub(super) priority_threshold: Option<PriorityThreshold>,
    pub(super) label_selector: Option<LabelSelector>,
    pub(super) namespace_label_selector: Option<LabelSelector>,
    pub(super) min_replicas: usize,
    pub(super) min_pod_age: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct Protections {
    pub(super) default_disabled: BTreeSet<String>,
    pub(super) extra_enabled: BTreeSet<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct PriorityThreshold {
    pub(super) value: Option<i32>,
    pub(super) name: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct Duplicates {
    pub(super) namespaces: Namespaces,
    pub(super) exclude_owner_kinds: BTreeSet<String>,
}

/// What most violations take.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct Selection {
    pub(super) namespaces: Namespaces,
    pub(super) label_selector: Option<LabelSelector>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct NodeAffinity {
    pub(super) namespaces: Namespaces,
    pub(super) label_selector: Option<LabelSelector>,
    pub(super) node_affinity_type: BTreeSet<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct NodeTaints {
    pub(super) namespaces: Namespaces,
    pub(super) label_selector: Option<LabelSelector>,
    pub(super) include_prefer_no_schedule: bool,
    pub(super) excluded_taints: Vec<String>,
    pub(super) included_taints: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct TopologySpread {
    pub(super) namespaces: Namespaces,
    pub(super) label_selector: Option<LabelSelector>,
    pub(super) constraints: BTreeSet<String>,
    /// A place is always looked for, on or off.
    #[serde(rename = "topologyBalanceNodeFit")]
    pub(super) _topology_balance_node_fit: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct TooManyRestarts {
    pub(super) namespaces: Namespaces,
    pub(super) label_selector: Option<LabelSelector>,
    pub(super) pod_restart_threshold: u32,
    pub(super) including_init_containers: bool,
    pub(super) states: BTreeSet<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct PodLifeTime {
    pub(super) namespaces: Namespaces,
    pub(super) label_selector: Option<LabelSelector>,
    pub(super) max_pod_life_time_seconds: Option<u64>,
    pub(super) including_init_containers: bool,
    pub(super) states: BTreeSet<String>,
    pub(super) owner_kinds: OwnerKinds,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct OwnerKinds {
    pub(super) include: BTreeSet<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct FailedPods {
    pub(super) namespaces: Namespaces,
    pub(super) label_selector: Option<LabelSelector>,
    pub(super) min_pod_lifetime_seconds: Option<u64>,
    pub(super) including_init_containers: bool,
    pub(super) reasons: BTreeSet<String>,
    pub(super) exit_codes: BTreeSet<i32>,
    pub(super) exclude_owner_kinds: BTreeSet<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct LowUtilization {
    pub(super) use_deviation_thresholds: bool,
    pub(super) thresholds: BTreeMap<String, f64>,
    pub(super) target_thresholds: BTreeMap<String, f64>,
    pub(super) number_of_nodes: usize,
    pub(super) evictable_namespaces: Namespaces,
    pub(super) eviction_limits: Limits,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct Limits {
    pub(super) node: Option<usize>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct HighUtilization {
    pub(super) thresholds: BTreeMap<String, f64>,
    pub(super) evictable_namespaces: Namespaces,
    pub(super) eviction_modes: BTreeSet<String>,
}

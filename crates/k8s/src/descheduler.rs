//! The descheduler's policy file (`descheduler/v1alpha2`), as far as it says which
//! pods move and not how a process runs.

mod arguments;
mod lower;
mod methods;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// DeschedulerPolicy.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct DeschedulerPolicy {
    /// `descheduler/v1alpha2`.
    pub api_version: String,
    /// `DeschedulerPolicy`.
    pub kind: String,
    /// Not used.
    pub metadata: BTreeMap<String, Value>,
    /// Which nodes are looked at, as a label selector in text form.
    pub node_selector: Option<String>,
    /// Pods that go from one node at most.
    pub max_no_of_pods_to_evict_per_node: Option<usize>,
    /// Pods that go from one namespace at most.
    pub max_no_of_pods_to_evict_per_namespace: Option<usize>,
    /// Pods that go at most.
    pub max_no_of_pods_to_evict_total: Option<usize>,
    /// Seconds that pods have to end.
    pub grace_period_seconds: Option<u32>,
    /// Events for refused evictions are always written.
    pub eviction_failure_event_notification: Option<bool>,
    /// Sets of methods.
    pub profiles: Vec<Profile>,
}

/// A set of methods with the rules on which pods they may move.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// Arguments by plugin.
    pub plugin_config: Vec<PluginConfig>,
    /// Which plugins are on.
    pub plugins: Plugins,
}

/// Arguments of one plugin.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PluginConfig {
    /// The plugin.
    pub name: String,
    /// Its arguments.
    pub args: Value,
}

/// Plugins by what they do.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[allow(missing_docs, reason = "the descheduler's own names")]
pub struct Plugins {
    pub presort: PluginSet,
    pub sort: PluginSet,
    pub deschedule: PluginSet,
    pub balance: PluginSet,
    pub filter: PluginSet,
    #[serde(alias = "preevictionfilter")]
    pub pre_eviction_filter: PluginSet,
}

/// Plugins of one kind.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PluginSet {
    /// Those that are on.
    pub enabled: Vec<String>,
    /// Those that are off, `*` for all.
    pub disabled: Vec<String>,
}

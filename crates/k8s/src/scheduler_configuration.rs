//! The part of kube-scheduler's own configuration that pods without constraints
//! are scheduled by.

use k8s_openapi::api::core::v1::TopologySpreadConstraint;
use serde::Deserialize;

/// KubeSchedulerConfiguration (`kubescheduler.config.k8s.io/v1`).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct KubeSchedulerConfiguration {
    /// Profiles, one per scheduler name.
    pub profiles: Vec<Profile>,
}

/// A scheduler by name.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Profile {
    /// Its name; the default scheduler's where absent.
    pub scheduler_name: Option<String>,
    /// Arguments of plugins.
    pub plugin_config: Vec<PluginConfig>,
}

/// Arguments of one plugin.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct PluginConfig {
    /// The plugin.
    pub name: String,
    /// Arguments, of which those of PodTopologySpread are read.
    pub args: Args,
}

/// Arguments of PodTopologySpread.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Args {
    /// Constraints of pods that have none.
    pub default_constraints: Vec<TopologySpreadConstraint>,
}

impl KubeSchedulerConfiguration {
    /// Constraints that the default scheduler gives to pods without any.
    pub fn default_constraints(&self) -> Vec<TopologySpreadConstraint> {
        let named = |name: &Option<String>| name.as_deref().is_none_or(|name| name == "default-scheduler");
        let profiles = self.profiles.iter().filter(|profile| named(&profile.scheduler_name));
        let plugins = profiles.flat_map(|profile| &profile.plugin_config);
        let own = plugins.filter(|plugin| plugin.name == "PodTopologySpread");
        own.flat_map(|plugin| plugin.args.default_constraints.iter().cloned()).collect()
    }
}

//! Flags of the commands that talk to a cluster. Names and environment variables
//! are Karpenter's where the meaning is.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use stowage_k8s::duration;
use stowage_model::Price;

use crate::args::{BlockerChoice, MachineArgs, MinValuesChoice, PreferenceChoice, dollars};

/// Flags of `stowage controller`.
#[derive(Debug, Args)]
pub(crate) struct ControllerArgs {
    #[command(flatten)]
    pub(crate) machines: MachineArgs,
    /// Names the cluster towards the provider
    #[arg(long, env = "CLUSTER_NAME")]
    pub(crate) cluster_name: String,
    /// The address of a simulated cloud (stowage simulated-cloud); without one it runs in this process
    #[arg(long, env = "STOWAGE_SIMULATED_CLOUD", value_name = "ADDRESS")]
    pub(crate) simulated_cloud: Option<String>,
    /// Pending pods are planned once no new one came for so long
    #[arg(long, env = "BATCH_IDLE_DURATION", default_value = "1s", value_parser = time)]
    pub(crate) batch_idle_duration: Duration,
    /// Pending pods are planned after so long at the latest
    #[arg(long, env = "BATCH_MAX_DURATION", default_value = "10s", value_parser = time)]
    pub(crate) batch_max_duration: Duration,
    /// What becomes of preferences
    #[arg(long, env = "PREFERENCE_POLICY", value_enum, ignore_case = true, default_value_t = PreferenceChoice::Respect)]
    pub(crate) preference_policy: PreferenceChoice,
    /// What becomes of a NodePool's minValues that cannot be met
    #[arg(long, env = "MIN_VALUES_POLICY", value_enum, ignore_case = true, default_value_t = MinValuesChoice::Strict)]
    pub(crate) min_values_policy: MinValuesChoice,
    /// Pods with a lower priority get no nodes
    #[arg(long, env = "EXPENDABLE_PODS_PRIORITY_CUTOFF", allow_hyphen_values = true)]
    pub(crate) expendable_pods_priority_cutoff: Option<i32>,
    /// Pods younger than this are not planned yet
    #[arg(long, env = "NEW_POD_SCALE_UP_DELAY", default_value = "0s", value_parser = time)]
    pub(crate) new_pod_scale_up_delay: Duration,
    /// No nodes beyond so many in the cluster
    #[arg(long, env = "MAX_NODES_TOTAL")]
    pub(crate) max_nodes_total: Option<usize>,
    /// No more launches than this a minute
    #[arg(long, env = "STOWAGE_MAX_LAUNCHES_PER_MINUTE")]
    pub(crate) max_launches_per_minute: Option<usize>,
    /// No launches that bring the nodes' price above so many dollars an hour
    #[arg(long, env = "STOWAGE_MAX_HOURLY_SPEND", value_parser = dollars)]
    pub(crate) max_hourly_spend: Option<Price>,
    /// How long one plan may be searched for
    #[arg(long, env = "STOWAGE_PLAN_TIME", default_value = "30s", value_parser = time)]
    pub(crate) plan_time: Duration,
    /// Do not hold new nodes for the pods that were planned for them
    #[arg(long, env = "STOWAGE_NO_STEERING")]
    pub(crate) no_steering: bool,
    /// Decide and report, launch and disrupt nothing
    #[arg(long, env = "STOWAGE_DRY_RUN")]
    pub(crate) dry_run: bool,
    /// Finish what has begun, begin nothing
    #[arg(long, env = "STOWAGE_FREEZE")]
    pub(crate) freeze: bool,
    /// Karpenter's gates, such as SpotToSpotConsolidation=true,NodeRepair=true
    #[arg(long, env = "FEATURE_GATES", default_value = "", value_parser = gates)]
    pub(crate) feature_gates: Gates,
    /// Give up no node of its own accord: not empty ones, not drifted ones, none to save
    #[arg(long, env = "STOWAGE_NO_DISRUPTION")]
    pub(crate) no_disruption: bool,
    /// How long a decision to give up nodes must stand before it is carried out
    #[arg(long, env = "STOWAGE_DISRUPTION_VALIDATION", default_value = "5s", value_parser = time)]
    pub(crate) disruption_validation: Duration,
    /// What moving one ordinary pod must save, in dollars per hour
    #[arg(long, env = "STOWAGE_EVICTION_PRICE", default_value = "0.005", value_parser = dollars)]
    pub(crate) eviction_price: Price,
    /// What a consolidation must save at least, in dollars per hour
    #[arg(long, env = "STOWAGE_MIN_SAVINGS", default_value = "0.0001", value_parser = dollars)]
    pub(crate) min_savings: Price,
    /// Cheaper spot types that a spot node's spot replacement must have to choose from
    #[arg(long, env = "STOWAGE_SPOT_ALTERNATIVES", default_value = "15")]
    pub(crate) spot_alternatives: usize,
    /// Whose rules say which pods hold a node
    #[arg(long, env = "STOWAGE_BLOCKERS", value_enum, ignore_case = true, default_value_t = BlockerChoice::Karpenter)]
    pub(crate) blockers: BlockerChoice,
    /// A DeschedulerPolicy (descheduler/v1alpha2): pods that are badly placed move though their nodes stay
    #[arg(long, env = "STOWAGE_REBALANCE_POLICY", value_name = "FILE")]
    pub(crate) rebalance_policy: Option<PathBuf>,
    /// Between two rebalancings
    #[arg(long, env = "STOWAGE_REBALANCE_INTERVAL", default_value = "5m", value_parser = time)]
    pub(crate) rebalance_interval: Duration,
    /// A node that is not ready for so long is replaced, with the gate NodeRepair
    #[arg(long, env = "STOWAGE_REPAIR_AFTER", default_value = "30m", value_parser = time)]
    pub(crate) repair_after: Duration,
    /// Act without a lease: for one process alone
    #[arg(long, env = "DISABLE_LEADER_ELECTION")]
    pub(crate) disable_leader_election: bool,
    /// The lease's name: Karpenter's, so that both never act at once
    #[arg(long, env = "LEADER_ELECTION_NAME", default_value = "karpenter-leader-election")]
    pub(crate) leader_election_name: String,
    /// The lease's namespace
    #[arg(long, env = "LEADER_ELECTION_NAMESPACE", default_value = "kube-system")]
    pub(crate) leader_election_namespace: String,
    /// How long a leader that says nothing is respected
    #[arg(long, env = "STOWAGE_LEASE_DURATION", default_value = "15s", value_parser = time)]
    pub(crate) lease_duration: Duration,
    /// A claim without an instance is given up after so long
    #[arg(long, env = "STOWAGE_LAUNCH_TIMEOUT", default_value = "5m", value_parser = time)]
    pub(crate) launch_timeout: Duration,
    /// An instance whose node does not join is given up after so long
    #[arg(long, env = "STOWAGE_REGISTRATION_TIMEOUT", default_value = "15m", value_parser = time)]
    pub(crate) registration_timeout: Duration,
    /// Instances without a claim are ended when they are older than this
    #[arg(long, env = "STOWAGE_ORPHAN_AGE", default_value = "30s", value_parser = time)]
    pub(crate) orphan_age: Duration,
    /// Where metrics are served
    #[arg(long, env = "METRICS_ADDRESS", default_value = "0.0.0.0:8080")]
    pub(crate) metrics_address: SocketAddr,
    /// Where probes are served
    #[arg(long, env = "HEALTH_PROBE_ADDRESS", default_value = "0.0.0.0:8081")]
    pub(crate) health_probe_address: SocketAddr,
    /// error, warn, info, debug or trace
    #[arg(long, env = "LOG_LEVEL", default_value = "info")]
    pub(crate) log_level: String,
}

/// Flags of `stowage simulated-cloud`.
#[derive(Debug, Args)]
pub(crate) struct CloudArgs {
    /// Where its calls are answered
    #[arg(long, default_value = "127.0.0.1:8090")]
    pub(crate) listen: SocketAddr,
    /// How it behaves, as JSON: bootMillis, endMillis, pools, burst, callsPerSecond, neverRegister
    #[arg(long, value_name = "FILE")]
    pub(crate) behaviour: Option<PathBuf>,
}

/// Flags of `stowage snapshot`.
#[derive(Debug, Args)]
pub(crate) struct SnapshotArgs {
    /// Replace the names of objects, the same name by the same one
    #[arg(long)]
    pub(crate) mask_names: bool,
}

/// Which gates are open.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gates {
    pub(crate) spot_to_spot: bool,
    pub(crate) node_repair: bool,
}

/// Gates of Karpenter whose feature is always there.
const ALWAYS: [&str; 4] = ["ReservedCapacity", "NodeOverlay", "StaticCapacity", "CapacityBuffer"];

fn gates(text: &str) -> Result<Gates, String> {
    let mut gates = Gates::default();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or_else(|| format!("{pair:?} is not NAME=true or NAME=false"))?;
        let open: bool = value.parse().map_err(|_| format!("{pair:?}: {value:?} is neither true nor false"))?;
        match name {
            "SpotToSpotConsolidation" => gates.spot_to_spot = open,
            "NodeRepair" => gates.node_repair = open,
            // Asked for or not, what manifests use is honoured.
            _ if ALWAYS.contains(&name) => {}
            _ => return Err(format!("{name} is no gate: SpotToSpotConsolidation and NodeRepair are")),
        }
    }
    Ok(gates)
}

fn time(text: &str) -> Result<Duration, String> {
    duration::span(text).ok_or_else(|| "is not a duration such as 10s or 1m30s".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Args as _;
    use expect_test::expect_file;

    use super::ControllerArgs;

    /// One row per flag, made from the flags themselves.
    #[test]
    fn reference_of_settings() {
        let command = ControllerArgs::augment_args(clap::Command::new("controller"));
        let mut page = String::from(
            "# Settings of the controller\n\nA flag goes before its environment variable. This page is made from the flags by a test.\n\n\
             | flag | variable | default | meaning |\n| --- | --- | --- | --- |\n",
        );
        for argument in command.get_arguments() {
            let flag = argument.get_long().unwrap_or_default();
            let variable = argument.get_env().map(|name| format!("`{}`", name.to_string_lossy())).unwrap_or_default();
            let defaults: Vec<String> =
                argument.get_default_values().iter().map(|value| format!("`{}`", value.to_string_lossy())).collect();
            let meaning = argument.get_help().map(ToString::to_string).unwrap_or_default();
            let row =
                format!("| `--{flag}` | {variable} | {} | {} |\n", defaults.join(" "), meaning.replace('|', "or"));
            page.push_str(&row);
        }
        expect_file!["../../../../docs/settings.md"].assert_eq(&page);
    }
}

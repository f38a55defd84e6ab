//! From flags to a running controller.

use std::net::SocketAddr;
use std::sync::Arc;

use stowage_cloud::provider::CloudProvider;
use stowage_cloud::simulated::Behaviour;
use stowage_controllers::batch::Rhythm;
use stowage_controllers::claim::Timeouts;
use stowage_controllers::clock::{Clock, SystemClock};
use stowage_controllers::disruption::Disruption;
use stowage_controllers::lease::Terms;
use stowage_controllers::metrics::Metrics;
use stowage_controllers::server::{self, Readiness};
use stowage_controllers::settings::{Caps, Settings};
use stowage_controllers::simulated::wire::Remote;
use stowage_controllers::simulated::{Local, kubelet};
use stowage_controllers::{Ended, Parts};
use stowage_disruption::Rules;
use stowage_model::{Code, MinValues, Preferences, Rebalancing};
use tracing::{error, info, warn};

use super::args::ControllerArgs;
use super::machines::Machinery;
use crate::args::{MinValuesChoice, PreferenceChoice};
use crate::error::{Exit, Failure};
use crate::input;

pub(super) async fn run(args: &ControllerArgs) -> Result<Exit, Failure> {
    let watcher = super::connect(true).await?;
    let client = super::connect(false).await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut kubelets = None;
    let provider: Arc<dyn CloudProvider> = match &args.simulated_cloud {
        Some(name) => Arc::new(Remote::new(resolved(name).await?).map_err(|e| Failure::fault(&e.to_string()))?),
        None => {
            let cloud = Local::new(Behaviour::default(), clock.clone());
            kubelets = Some(tokio::spawn(kubelet::run(watcher.clone(), cloud.clone())));
            Arc::new(cloud)
        }
    };
    let metrics = Arc::new(Metrics::default());
    let readiness = Readiness::default();
    let parts = Parts {
        watcher,
        client,
        clock,
        provider,
        machines: Arc::new(Machinery::new(&args.machines)?),
        settings: settings(args, rebalancing(args)?),
        metrics: metrics.clone(),
        readiness: readiness.clone(),
        seed: seed(),
    };
    info!(version = env!("CARGO_PKG_VERSION"), cluster = %args.cluster_name, "starting");
    let served = |what: &'static str, answer: std::io::Result<()>| {
        let text = answer.err().map_or_else(|| "ended".to_owned(), |error| error.to_string());
        Err(Failure::fault(&format!("{what} cannot be served: {text}")))
    };
    let ended = tokio::select! {
        ended = stowage_controllers::run(parts, super::stopped()) => ended,
        answer = server::metrics(args.metrics_address, metrics) => return served("metrics", answer),
        answer = server::probes(args.health_probe_address, readiness) => return served("probes", answer),
    };
    if let Some(kubelets) = kubelets {
        kubelets.abort();
    }
    match ended {
        Ok(()) => Ok(Exit::Done),
        Err(ended @ Ended::LeaseLost) => {
            error!("{ended}");
            Err(Failure::fault(&ended.to_string()))
        }
        Err(ended) => Err(Failure::unreachable(&ended.to_string())),
    }
}

/// A name or an address, with a port.
async fn resolved(name: &str) -> Result<SocketAddr, Failure> {
    let mut found = tokio::net::lookup_host(name)
        .await
        .map_err(|error| Failure::unreachable(&format!("--simulated-cloud {name}: {error}")))?;
    found.next().ok_or_else(|| Failure::unreachable(&format!("--simulated-cloud {name}: no such host")))
}

/// Names must differ between processes; nothing else depends on it.
fn seed() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let nanos = since.map_or(0, |since| u64::try_from(since.as_nanos() & u128::from(u64::MAX)).unwrap_or(0));
    nanos ^ (u64::from(std::process::id()) << 32)
}

/// The methods that a policy file asks for.
fn rebalancing(args: &ControllerArgs) -> Result<Option<Rebalancing>, Failure> {
    let Some(path) = &args.rebalance_policy else { return Ok(None) };
    let input = input::read(std::slice::from_ref(path), false)?;
    let Some(rebalancing) = input.cluster.rebalancing() else {
        let message = "holds no DeschedulerPolicy (descheduler/v1alpha2)";
        return Err(Failure::input(Code::InEmpty, &path.display().to_string(), message));
    };
    let methods: Vec<&str> = rebalancing.steps.iter().map(|step| step.method.name()).collect();
    info!(?methods, "pods that are badly placed will move");
    rebalancing.notes.iter().for_each(|note| warn!("{note}"));
    Ok(Some(rebalancing.clone()))
}

fn settings(args: &ControllerArgs, rebalancing: Option<Rebalancing>) -> Settings {
    let terms = Terms {
        duration: args.lease_duration,
        renew_deadline: args.lease_duration * 2 / 3,
        retry: args.lease_duration / 8,
    };
    let defaults = Settings::default();
    Settings {
        cluster: args.cluster_name.clone(),
        rhythm: Rhythm { idle: args.batch_idle_duration, most: args.batch_max_duration, ..defaults.rhythm },
        preferences: match args.preference_policy {
            PreferenceChoice::Respect => Preferences::Respect,
            PreferenceChoice::Ignore => Preferences::Ignore,
        },
        min_values: match args.min_values_policy {
            MinValuesChoice::Strict => MinValues::Strict,
            MinValuesChoice::BestEffort => MinValues::BestEffort,
        },
        expendable_below: args.expendable_pods_priority_cutoff,
        new_pod_age: args.new_pod_scale_up_delay,
        plan_time: args.plan_time,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        steering: !args.no_steering,
        dry_run: args.dry_run,
        frozen: args.freeze,
        caps: Caps {
            nodes: args.max_nodes_total,
            per_minute: args.max_launches_per_minute,
            hourly: args.max_hourly_spend.map(|price| price.nanos()),
        },
        disruption: Disruption {
            enabled: !args.no_disruption,
            validation: args.disruption_validation,
            rules: Rules {
                eviction_price: args.eviction_price,
                least_saving: args.min_savings,
                spot_to_spot: args.feature_gates.spot_to_spot.then_some(args.spot_alternatives),
                ..Rules::default()
            },
            blockers: crate::consolidate::blockers(args.blockers),
            rebalancing,
            rebalance_period: args.rebalance_interval,
            ..defaults.disruption.clone()
        },
        repair: args.feature_gates.node_repair.then_some(args.repair_after),
        lease: (!args.disable_leader_election)
            .then(|| (args.leader_election_namespace.clone(), args.leader_election_name.clone())),
        terms,
        timeouts: Timeouts {
            launch: args.launch_timeout,
            registration: args.registration_timeout,
            ..defaults.timeouts.clone()
        },
        orphan_age: args.orphan_age,
        identity: identity(),
        ..defaults
    }
}

/// The pod's name, and what tells two starts of it apart.
fn identity() -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "stowage".to_owned());
    format!("{host}_{:x}", seed())
}

//! The live loop: pending pods become nodes.
//!
//! ```text
//! watches ─ state ─ view ┬ provisioner   pods → plan → judged → NodeClaims
//!                        ├ claim         launch, register, initialize, drain, end
//!                        ├ invite        lets pods onto the nodes planned for them
//!                        ├ node_pool     readiness, hash, counts
//!                        ├ claim_status  quiet, drifted: what claims say of themselves
//!                        ├ disruption    gives up, or replaces, what costs too much
//!                        ├ static_pool   keeps fixed numbers of nodes, and renews them
//!                        ├ interruption  moves pods off machines that are taken away
//!                        ├ repair        replaces nodes that are unwell for long
//!                        ├ …_status      what buffers and overlays say of themselves
//!                        └ garbage       instances without claims, claims without instances
//! ```
//!
//! Every loop derives what to do from everything that is known, again and again;
//! none acts on an event. What it decides is pure and tested by itself; the API
//! server, the clock and the provider are arguments.

pub mod activity;
pub mod batch;
pub mod buffer_status;
pub mod claim;
pub mod claim_status;
pub mod clock;
mod consistency;
pub mod context;
mod deadline;
pub mod disruption;
pub mod events;
pub mod garbage;
pub mod interruption;
pub mod invite;
pub mod lease;
pub mod machines;
pub mod metrics;
pub mod node_pool;
pub mod overlay_status;
pub mod provider_drift;
pub mod provisioner;
pub mod registration_health;
pub mod repair;
pub mod server;
pub mod settings;
pub mod simulated;
pub mod state;
pub mod static_pool;
pub mod steering;
#[cfg(test)]
mod testing;
pub mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::PostParams;
use kube::{Api, Client};
use stowage_cloud::provider::CloudProvider;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::context::Context;
use crate::events::Events;
use crate::lease::{Election, Move};
use crate::machines::{Catalogue, Machines};
use crate::metrics::Metrics;
use crate::server::Readiness;
use crate::settings::Settings;
use crate::state::State;

/// What a controller is made of.
pub struct Parts {
    /// The API server, for watches: a client that retries by itself.
    pub watcher: Client,
    /// The API server, for everything else: a client that does not. An eviction that
    /// a budget refuses would hang for minutes otherwise.
    pub client: Client,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Who sells machines.
    pub provider: Arc<dyn CloudProvider>,
    /// What machines there are.
    pub machines: Arc<dyn Machines>,
    /// What the user chose.
    pub settings: Settings,
    /// Figures.
    pub metrics: Arc<Metrics>,
    /// Told once the cluster is known.
    pub readiness: Readiness,
    /// Where random names begin.
    pub seed: u64,
}

/// Why a controller ended.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The API server could not be asked.
    #[error("the API server gave no answer: {0}")]
    Unreachable(#[from] kube::Error),
    /// Another process leads now.
    #[error("the lease was lost; another process leads")]
    LeaseLost,
}

/// Runs until `stop`, or until the lease is lost.
pub async fn run(parts: Parts, stop: impl Future<Output = ()>) -> Result<(), Ended> {
    let mut stop = std::pin::pin!(stop);
    // Followers know the cluster already when their turn comes.
    let state = tokio::select! {
        state = State::watch(&parts.watcher) => state?,
        () = &mut stop => return Ok(()),
    };
    parts.readiness.set();
    let lease = Leadership::new(&parts);
    tokio::select! {
        () = lease.wait() => {}
        () = &mut stop => return Ok(()),
    }
    parts.metrics.leading(true);
    info!(identity = %parts.settings.identity, "leading");
    let ctx = Arc::new(Context {
        events: Events::new(parts.client.clone(), &parts.settings.identity),
        client: parts.client,
        state,
        clock: parts.clock,
        provider: parts.provider,
        catalogue: Catalogue::new(parts.machines),
        settings: parts.settings,
        metrics: parts.metrics,
        planned: Mutex::new(BTreeMap::new()),
        expected: Mutex::new(BTreeSet::new()),
        creating: Mutex::new(BTreeSet::new()),
        accounted: Mutex::new(BTreeSet::new()),
        housed: Mutex::new(BTreeMap::new()),
        outdated: Mutex::new(BTreeMap::new()),
        registrations: Mutex::new(BTreeMap::new()),
        sold_out: Mutex::new(BTreeMap::new()),
        stirred: Notify::new(),
        names: Mutex::new(fastrand::Rng::with_seed(parts.seed)),
    });
    let ended = tokio::select! {
        () = provisioner::run(ctx.clone()) => Ok(()),
        () = invite::run(ctx.clone()) => Ok(()),
        () = claim::live::run(ctx.clone()) => Ok(()),
        () = node_pool::run(ctx.clone()) => Ok(()),
        () = claim_status::run(ctx.clone()) => Ok(()),
        () = disruption::run(ctx.clone()) => Ok(()),
        () = garbage::run(ctx.clone()) => Ok(()),
        () = repair::run(ctx.clone()) => Ok(()),
        () = interruption::run(ctx.clone()) => Ok(()),
        () = static_pool::run(ctx.clone()) => Ok(()),
        () = provider_drift::run(ctx.clone()) => Ok(()),
        () = overlay_status::run(ctx.clone()) => Ok(()),
        () = buffer_status::run(ctx.clone()) => Ok(()),
        () = metrics::run(ctx.clone()) => Ok(()),
        () = lease.lost() => Err(Ended::LeaseLost),
        () = &mut stop => Ok(()),
    };
    ctx.metrics.leading(false);
    if ended.is_ok() {
        lease.release(ctx.clock.now()).await;
    }
    ended
}

/// Waits for a change, or a second.
pub(crate) async fn wait_for_change(changes: &mut watch::Receiver<u64>) {
    // A burst of changes is looked at once.
    tokio::time::sleep(Duration::from_millis(20)).await;
    tokio::select! {
        _ = changes.changed() => {}
        () = tokio::time::sleep(Duration::from_secs(1)) => {}
    }
}

/// The election of this process, going on by itself.
struct Leadership {
    leads: watch::Receiver<bool>,
    election: Option<Arc<tokio::sync::Mutex<Election>>>,
    place: Option<(Api<Lease>, String)>,
    task: Option<tokio::task::JoinHandle<()>>,
}

impl Leadership {
    fn new(parts: &Parts) -> Self {
        let Some((namespace, name)) = parts.settings.lease.clone() else {
            let (_, leads) = watch::channel(true);
            return Self { leads, election: None, place: None, task: None };
        };
        let (told, leads) = watch::channel(false);
        let api: Api<Lease> = Api::namespaced(parts.client.clone(), &namespace);
        let election = Election::new(parts.settings.identity.clone(), parts.settings.terms);
        let election = Arc::new(tokio::sync::Mutex::new(election));
        let campaign = campaign(
            api.clone(),
            name.clone(),
            election.clone(),
            parts.clock.clone(),
            parts.settings.terms.retry,
            told,
        );
        Self { leads, election: Some(election), place: Some((api, name)), task: Some(tokio::spawn(campaign)) }
    }

    async fn wait(&self) {
        let mut leads = self.leads.clone();
        let _ = leads.wait_for(|leads| *leads).await;
    }

    async fn lost(&self) {
        if self.place.is_none() {
            return std::future::pending().await;
        }
        let mut leads = self.leads.clone();
        let _ = leads.wait_for(|leads| !*leads).await;
    }

    /// Lets the next one lead at once.
    async fn release(self, now: jiff::Timestamp) {
        if let Some(task) = &self.task {
            task.abort();
        }
        let (Some(election), Some((api, name))) = (self.election, self.place) else { return };
        let Ok(lease) = api.get(&name).await else { return };
        let released = election.lock().await.released(&lease, now);
        if let Some(released) = released
            && let Err(error) = api.replace(&name, &PostParams::default(), &released).await
        {
            warn!(%error, "the lease was not released; it runs out by itself");
        }
    }
}

async fn campaign(
    api: Api<Lease>,
    name: String,
    election: Arc<tokio::sync::Mutex<Election>>,
    clock: Arc<dyn Clock>,
    retry: Duration,
    told: watch::Sender<bool>,
) {
    loop {
        let asked = Instant::now();
        let turn = async {
            let lease = api.get_opt(&name).await?;
            let decided = election.lock().await.consider(lease.as_ref(), &name, asked, clock.now());
            match decided {
                Move::Follow => return Ok(()),
                Move::Create(lease) => api.create(&PostParams::default(), &lease).await?,
                Move::Replace(lease) => api.replace(&name, &PostParams::default(), &lease).await?,
            };
            election.lock().await.won(asked);
            Ok::<(), kube::Error>(())
        };
        match tokio::time::timeout(retry * 2, turn).await {
            Ok(Ok(())) => {}
            Ok(Err(kube::Error::Api(status))) if status.code == 409 => {}
            Ok(Err(error)) => warn!(%error, "the lease was not renewed"),
            Err(_) => warn!("the lease was not renewed in time"),
        }
        let leads = election.lock().await.leads(Instant::now());
        told.send_if_modified(|known| std::mem::replace(known, leads) != leads);
        tokio::time::sleep(retry).await;
    }
}

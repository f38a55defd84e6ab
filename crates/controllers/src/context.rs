//! What every controller is given: the API server, the clock, the provider, the
//! catalogue and the user's settings.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::Client;
use stowage_cloud::provider::{CloudProvider, SoldOut};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::buffer_status::Housed;
use crate::clock::Clock;
use crate::events::Events;
use crate::machines::Catalogue;
use crate::metrics::Metrics;
use crate::registration_health::Ring;
use crate::settings::Settings;
use crate::state::State;
use crate::steering::{self, Planned};
use crate::view::View;

/// Shared by all controllers of a process.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// What it holds.
    pub state: State,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Who sells machines.
    pub provider: Arc<dyn CloudProvider>,
    /// What machines there are.
    pub catalogue: Catalogue,
    /// What the user chose.
    pub settings: Settings,
    /// Figures.
    pub metrics: Arc<Metrics>,
    /// What is told to users.
    pub events: Events,
    /// Pods with the node that was planned for each.
    pub planned: Mutex<Planned>,
    /// Claims with room for pods that are not there yet: headroom, and pods of nodes
    /// that go away. By name.
    pub expected: Mutex<BTreeSet<String>>,
    /// Claims that replace others and are being created: gone they are not.
    pub creating: Mutex<BTreeSet<String>>,
    /// Nodes that were going away when the last plan was made: their pods have places.
    pub accounted: Mutex<BTreeSet<String>>,
    /// What the last plan says of CapacityBuffers.
    pub housed: Mutex<Housed>,
    /// What the provider says of instances that it would launch otherwise by now.
    pub outdated: Mutex<BTreeMap<String, String>>,
    /// How the last registrations of each pool went.
    pub registrations: Mutex<BTreeMap<String, Ring>>,
    /// Offers that were sold out, and when.
    pub sold_out: Mutex<BTreeMap<SoldOut, Instant>>,
    /// Wakes the provisioner when pods that found no place may find one.
    pub stirred: Notify,
    /// Names new claims.
    pub names: Mutex<fastrand::Rng>,
}

/// A lock that a panic elsewhere does not take away.
pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Context {
    /// Offers that are not to be tried now.
    pub fn unavailable(&self) -> Vec<SoldOut> {
        let mut all = locked(&self.sold_out);
        let now = Instant::now();
        all.retain(|_, at| now.duration_since(*at) < self.settings.sold_out);
        all.keys().cloned().collect()
    }

    /// The claim that each waiting pod is planned for, by the pod's UID.
    pub fn nominations(&self, view: &View) -> BTreeMap<String, String> {
        let planned = locked(&self.planned);
        steering::nominations(view.pods.iter().map(|pod| &**pod), &view.claim_refs(), &planned)
    }

    /// A name's random end.
    pub fn suffix(&self) -> String {
        let mut rng = locked(&self.names);
        (0..8).map(|_| char::from_digit(rng.u32(0..36), 36).unwrap_or('x')).collect()
    }
}

//! The simulated cloud at work: its machines join the cluster as nodes, and its
//! calls can come over a wire, so that it outlives the controller as a real cloud
//! does.

pub mod kubelet;
pub mod wire;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use stowage_cloud::provider::{Answer, CloudProvider, Instance, LaunchRequest, Notice};
use stowage_cloud::simulated::{Behaviour, SimulatedCloud};

use crate::clock::Clock;
use crate::context::locked;

/// A simulated cloud in this process.
#[derive(Clone)]
pub struct Local {
    cloud: Arc<Mutex<SimulatedCloud>>,
    clock: Arc<dyn Clock>,
}

impl Local {
    /// A cloud without machines.
    pub fn new(behaviour: Behaviour, clock: Arc<dyn Clock>) -> Self {
        Self { cloud: Arc::new(Mutex::new(SimulatedCloud::new(behaviour))), clock }
    }

    /// Does something with the cloud.
    pub fn with<T>(&self, work: impl FnOnce(&mut SimulatedCloud) -> T) -> T {
        work(&mut locked(&self.cloud))
    }
}

impl CloudProvider for Local {
    fn create<'a>(&'a self, request: &'a LaunchRequest) -> Answer<'a, Instance> {
        Box::pin(async move { locked(&self.cloud).create(request, self.clock.now()) })
    }

    fn delete<'a>(&'a self, provider_id: &'a str) -> Answer<'a, ()> {
        Box::pin(async move { locked(&self.cloud).delete(provider_id, self.clock.now()) })
    }

    fn get<'a>(&'a self, provider_id: &'a str) -> Answer<'a, Instance> {
        Box::pin(async move { locked(&self.cloud).get(provider_id) })
    }

    fn list(&self) -> Answer<'_, Vec<Instance>> {
        Box::pin(async move { Ok(locked(&self.cloud).list()) })
    }

    fn notices(&self) -> Answer<'_, Vec<Notice>> {
        Box::pin(async move { Ok(locked(&self.cloud).notices()) })
    }

    fn drift(&self) -> Answer<'_, BTreeMap<String, String>> {
        Box::pin(async move { Ok(locked(&self.cloud).drift()) })
    }
}

//! Nodes that exist, or are on their way.

use std::collections::{BTreeMap, BTreeSet};

use crate::labels;
use crate::pod::PodShape;
use crate::price::Price;
use crate::resources::Resources;
use crate::taint::Taint;
use crate::topology::{HostPort, Topology};
use crate::volume::SharedVolume;

/// A node with what is left of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Its name; for a claim that has no node yet, the claim's.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Taints that count: those that will vanish when the node is ready are gone.
    pub taints: Vec<Taint>,
    /// What it reports as capacity.
    pub capacity: Resources,
    /// What pods can have.
    pub allocatable: Resources,
    /// What bound pods hold.
    pub used: Resources,
    /// What DaemonSet pods will still take.
    pub reserved: Resources,
    /// How many of its pods each group counts.
    pub members: BTreeMap<u32, u32>,
    /// How many of its pods keep each group's pods away, by required anti-affinity.
    pub repels: BTreeMap<u32, u32>,
    /// Ports that its pods hold.
    pub ports: Vec<HostPort>,
    /// Shared volumes that its pods have attached; each is in `used` once.
    pub attached: BTreeSet<u32>,
    /// How many pods are bound.
    pub pods: usize,
    /// What it costs, where the catalogue knows.
    pub price: Option<Price>,
    /// Whether new pods may come: not cordoned, not being deleted.
    pub schedulable: bool,
}

impl Node {
    /// The value of label `key`; the name field counts as one.
    pub fn label(&self, key: &str) -> Option<&str> {
        match key {
            labels::NODE_NAME_FIELD => Some(&self.name),
            labels::HOSTNAME => Some(self.labels.get(key).map_or(&self.name, |v| v)),
            _ => self.labels.get(key).map(String::as_str),
        }
    }

    /// The NodePool it belongs to.
    pub fn pool(&self) -> Option<&str> {
        self.label(labels::NODEPOOL)
    }

    /// Counts a pod that runs on it.
    pub fn host(&mut self, shape: &PodShape) {
        self.used.add(&shape.requests);
        self.pods += 1;
        self.ports.extend(shape.ports.iter().cloned());
        for group in &shape.topology.member {
            *self.members.entry(*group).or_default() += 1;
        }
        for group in Topology::required(&shape.topology.anti_affinity) {
            *self.repels.entry(group).or_default() += 1;
        }
        self.attach(&shape.topology.shared);
    }

    /// Counts shared volumes, each once.
    pub fn attach(&mut self, volumes: &[SharedVolume]) {
        for volume in volumes {
            if self.attached.insert(volume.claim) {
                let used = self.used.get(&volume.resource);
                self.used.set(&volume.resource, used + 1);
            }
        }
    }

    /// What is left for further pods. Amounts can be negative on a node that
    /// holds more than it should.
    pub fn free(&self) -> Resources {
        let mut free = self.allocatable.clone();
        free.subtract(&self.used);
        free.subtract(&self.reserved);
        free
    }
}

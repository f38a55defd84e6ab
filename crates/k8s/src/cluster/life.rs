//! What pods have been through, as far as methods that move them ask.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod};
use stowage_model::life::{Condition, Failed, Kin, Life, Qos};
use stowage_model::rebalancing::Rebalancing;

use super::Cluster;
use super::guard::{LeftAlone, is_local};
use super::pods::PodRecord;
use crate::lower::workload::controllers;

/// What differs from pod to pod, and the places of what does not.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Past {
    started: Option<i64>,
    created: Option<i64>,
    restarts: u32,
    init_restarts: u32,
    kin: u32,
    condition: u32,
}

/// A pod that has failed.
#[derive(Clone, Debug)]
pub(super) struct FailedRecord {
    pub(super) namespace: u32,
    pub(super) name: Box<str>,
    pub(super) node: Option<String>,
    pub(super) priority: i32,
    pub(super) held: LeftAlone,
    pub(super) labels: u32,
    pub(super) past: Past,
}

const EVICT: &str = "descheduler.alpha.kubernetes.io/evict";
const PREFERS_TO_STAY: &str = "descheduler.alpha.kubernetes.io/prefer-no-eviction";

impl Cluster {
    pub(super) fn past(&mut self, pod: &Pod) -> Past {
        let status = pod.status.as_ref();
        let restarts = |all: Option<&Vec<ContainerStatus>>| {
            all.into_iter().flatten().map(|one| u32::try_from(one.restart_count).unwrap_or(0)).sum()
        };
        Past {
            started: status.and_then(|status| status.start_time.as_ref()).map(|time| time.0.as_second()),
            created: pod.metadata.creation_timestamp.as_ref().map(|time| time.0.as_second()),
            restarts: restarts(status.and_then(|status| status.container_statuses.as_ref())),
            init_restarts: restarts(status.and_then(|status| status.init_container_statuses.as_ref())),
            kin: self.kins.index(Arc::new(kin(pod))),
            condition: self.pod_conditions.index(Arc::new(condition(pod))),
        }
    }

    fn life_of(&self, past: &Past, labels: u32) -> Life {
        Life {
            started: past.started,
            created: past.created,
            restarts: past.restarts,
            init_restarts: past.init_restarts,
            kin: Arc::clone(self.kins.get(past.kin)),
            condition: Arc::clone(self.pod_conditions.get(past.condition)),
            labels: Arc::clone(self.label_sets.get(labels)),
        }
    }

    pub(super) fn life(&self, pod: &PodRecord) -> Life {
        self.life_of(&pod.past, pod.labels)
    }

    pub(super) fn failed_pods(&self, now: Timestamp) -> Vec<Failed> {
        let mut all: Vec<Failed> = self
            .failed
            .iter()
            .map(|pod| Failed {
                namespace: self.names.get(pod.namespace).to_string(),
                name: pod.name.to_string(),
                node: pod.node.clone(),
                priority: pod.priority,
                held: pod.held.at(now),
                life: self.life_of(&pod.past, pod.labels),
            })
            .collect();
        all.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        all
    }

    /// The same, with namespaces named that were picked by their labels.
    pub(super) fn named(&self, rebalancing: &Rebalancing) -> Rebalancing {
        let mut named = rebalancing.clone();
        for evictor in named.steps.iter_mut().map(|step| &mut step.evictor) {
            let Some(wanted) = &evictor.namespace_labels else { continue };
            let fits = self.namespaces.iter().filter(|(_, own)| wanted.admit(|key| own.get(key).map(String::as_str)));
            evictor.namespaces = fits.map(|(name, _)| name.clone()).collect();
        }
        named
    }
}

fn kin(pod: &Pod) -> Kin {
    let spec = pod.spec.as_ref();
    let annotated = |key: &str| pod.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(key));
    let volumes = || spec.and_then(|spec| spec.volumes.as_ref()).into_iter().flatten();
    let (owner_kind, owner) = controllers(&pod.metadata).into_iter().next().unwrap_or_default();
    let containers = spec.map_or(&[][..], |spec| &spec.containers);
    Kin {
        owner_kind,
        owner,
        images: containers.iter().filter_map(|container| container.image.clone()).collect(),
        qos: qos(pod, containers),
        local_storage: volumes().any(is_local),
        volume_claims: volumes().any(|v| v.persistent_volume_claim.is_some() || v.ephemeral.is_some()),
        device_claims: spec.and_then(|spec| spec.resource_claims.as_ref()).is_some_and(|all| !all.is_empty()),
        evict: annotated(EVICT),
        prefers_to_stay: annotated(PREFERS_TO_STAY),
    }
}

/// As the API server sets it; worked out where it did not.
fn qos(pod: &Pod, containers: &[Container]) -> Qos {
    let said = pod.status.as_ref().and_then(|status| status.qos_class.as_deref());
    match said {
        Some("Guaranteed") => return Qos::Guaranteed,
        Some("Burstable") => return Qos::Burstable,
        Some("BestEffort") => return Qos::BestEffort,
        _ => {}
    }
    let resources = || containers.iter().filter_map(|container| container.resources.as_ref());
    let full = |container: &Container| {
        let limits = container.resources.as_ref().and_then(|resources| resources.limits.clone()).unwrap_or_default();
        let requests = container.resources.as_ref().and_then(|r| r.requests.clone()).unwrap_or_default();
        ["cpu", "memory"].iter().all(|name| {
            let limit = limits.get(*name);
            limit.is_some() && (!requests.contains_key(*name) || requests.get(*name) == limit)
        })
    };
    if !containers.is_empty() && containers.iter().all(full) {
        Qos::Guaranteed
    } else if resources().any(|resources| resources.requests.is_some() || resources.limits.is_some()) {
        Qos::Burstable
    } else {
        Qos::BestEffort
    }
}

fn condition(pod: &Pod) -> Condition {
    let status = pod.status.clone().unwrap_or_default();
    let init = status.init_container_statuses.unwrap_or_default();
    let own = status.container_statuses.unwrap_or_default();
    Condition {
        phase: status.phase.unwrap_or_default(),
        reason: status.reason.unwrap_or_default(),
        reasons: reasons(&own),
        init_reasons: reasons(&init),
        exit_codes: exit_codes(&own),
        init_exit_codes: exit_codes(&init),
    }
}

fn reasons(all: &[ContainerStatus]) -> BTreeSet<String> {
    let states = all.iter().filter_map(|one| one.state.as_ref());
    let of = states.flat_map(|state| {
        let waiting = state.waiting.as_ref().and_then(|waiting| waiting.reason.clone());
        [waiting, state.terminated.as_ref().and_then(|ended| ended.reason.clone())]
    });
    of.flatten().collect()
}

fn exit_codes(all: &[ContainerStatus]) -> BTreeSet<i32> {
    let states = all.iter().filter_map(|one| one.state.as_ref());
    states.filter_map(|state| state.terminated.as_ref()).map(|ended| ended.exit_code).collect()
}

//! Pods as they are kept: a few words each, everything that repeats stored once.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use stowage_model::Resources;

use super::guard::Guard;
use super::life::{FailedRecord, Past};
use super::{Cluster, guard};
use crate::error::ObjectError;
use crate::lower;
use crate::lower::workload::controllers;

/// What is to be done with a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PodState {
    /// Waits for a node.
    Pending,
    /// Held back by scheduling gates.
    Gated,
    /// Another scheduler's.
    OtherScheduler,
    /// Waits until a node that it is nominated to has room.
    Nominated,
    /// On a node.
    Bound,
    /// On a node, going away.
    Leaving,
    /// One per node, by a DaemonSet.
    Daemon,
    /// Run by the kubelet from a file.
    Mirror,
    /// Succeeded, failed, or deleted before it ran.
    Finished,
}

/// A pod.
#[derive(Clone, Debug)]
pub(super) struct PodRecord {
    /// Index of the namespace.
    pub(super) namespace: u32,
    pub(super) name: Box<str>,
    /// Index of the lowered shape.
    pub(super) shape: u32,
    /// Index of the label set.
    pub(super) labels: u32,
    /// Index of the owner.
    pub(super) owner: u32,
    /// Index of the node's name, where it has one.
    pub(super) node: Option<u32>,
    pub(super) state: PodState,
    /// Index of what protects it.
    pub(super) guard: u32,
    pub(super) past: Past,
}

/// Kind and name of a controller; empty for bare pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Bare {
    pub(super) kind: String,
    pub(super) name: String,
}

const MIRROR: &str = "kubernetes.io/config.mirror";

/// What is to be done with a pod, by its own fields.
fn state(pod: &Pod) -> PodState {
    let spec = pod.spec.as_ref();
    let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref()).unwrap_or("Pending");
    let bound = spec.and_then(|s| s.node_name.as_deref()).is_some_and(|name| !name.is_empty());
    let owned_by = |kind: &str| controllers(&pod.metadata).iter().any(|(k, _)| k == kind);
    let annotated = |key: &str| pod.metadata.annotations.as_ref().is_some_and(|a| a.contains_key(key));
    let scheduler = spec.and_then(|s| s.scheduler_name.as_deref()).unwrap_or_default();
    if phase == "Succeeded" || phase == "Failed" {
        PodState::Finished
    } else if annotated(MIRROR) || owned_by("Node") {
        PodState::Mirror
    } else if owned_by("DaemonSet") {
        PodState::Daemon
    } else if pod.metadata.deletion_timestamp.is_some() {
        if bound { PodState::Leaving } else { PodState::Finished }
    } else if bound {
        PodState::Bound
    } else if !scheduler.is_empty() && scheduler != "default-scheduler" {
        PodState::OtherScheduler
    } else if spec.and_then(|s| s.scheduling_gates.as_ref()).is_some_and(|gates| !gates.is_empty()) {
        PodState::Gated
    } else if nominated(pod).is_some() {
        PodState::Nominated
    } else {
        PodState::Pending
    }
}

fn has_failed(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    phase == Some("Failed") && pod.metadata.deletion_timestamp.is_none()
}

/// The node that pre-emption is making room on.
fn nominated(pod: &Pod) -> Option<&str> {
    pod.status.as_ref().and_then(|s| s.nominated_node_name.as_deref()).filter(|name| !name.is_empty())
}

impl Cluster {
    pub(super) fn apply_pod(&mut self, pod: &Pod) -> Result<(), ObjectError> {
        let namespace: Arc<str> = pod.metadata.namespace.as_deref().unwrap_or("default").into();
        let name: Box<str> = pod.metadata.name.as_deref().unwrap_or_default().into();
        let state = state(pod);
        if state == PodState::Finished {
            if has_failed(pod) {
                let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
                let (held, priority) = (Guard::of(pod).left_alone, guard::priority(pod));
                let (labels, past) = (self.label_sets.index(workload_labels(pod).into()), self.past(pod));
                let namespace = self.names.index(namespace);
                self.failed.push(FailedRecord { namespace, name, node, priority, held, labels, past });
            }
            return Ok(());
        }
        let spec = pod.spec.clone().unwrap_or_default();
        let lowered =
            lower::pod::lower(&spec, &Resources::new()).map_err(|e| e.of(format!("Pod {namespace}/{name}")))?;
        let (kind, owner) = controllers(&pod.metadata).into_iter().next().unwrap_or_default();
        let record = PodRecord {
            namespace: self.names.index(namespace),
            name,
            shape: self.shapes.index(lowered),
            labels: self.label_sets.index(workload_labels(pod).into()),
            owner: self.owners.index(Bare { kind, name: owner }),
            node: spec
                .node_name
                .as_deref()
                .filter(|n| !n.is_empty())
                .or_else(|| nominated(pod))
                .map(|n| self.names.index(n.into())),
            state,
            guard: self.guards.index(Guard::of(pod)),
            past: self.past(pod),
        };
        self.pods.push(record);
        Ok(())
    }
}

/// A pod's labels without those that differ between the pods of one workload.
fn workload_labels(pod: &Pod) -> std::collections::BTreeMap<String, String> {
    const OWN: [&str; 3] = [
        "statefulset.kubernetes.io/pod-name",
        "apps.kubernetes.io/pod-index",
        "batch.kubernetes.io/job-completion-index",
    ];
    let mut labels = pod.metadata.labels.clone().unwrap_or_default();
    labels.retain(|key, _| !OWN.contains(&key.as_str()));
    labels
}

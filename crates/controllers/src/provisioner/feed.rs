//! From what is watched to the index that planning reads.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{Resource, ResourceExt};
use stowage_k8s::cluster::Cluster;
use stowage_k8s::object::Object;

use crate::budgets;
use crate::claim::drain;
use crate::clock;
use crate::node_pool;
use crate::state::{State, sorted};
use crate::steering;
use crate::view::View;

/// The index, and objects that it refused.
pub struct Fed {
    /// The index.
    pub cluster: Cluster,
    /// Names everything that machines depend on.
    pub version: String,
    /// Refused objects with the reason: each is left out, and only it.
    pub refused: Vec<String>,
}

/// How a pod takes part.
enum Part {
    /// As it is.
    AsIs,
    /// As if it were on this node already.
    On(String),
    /// As if it waited: its node goes away.
    Displaced,
    /// Not at all.
    Out,
}

/// Builds the index. `nominated` are claims by pod UID; `without` are objects,
/// kind and name, that planning refused.
pub fn feed(
    state: &State,
    view: &View,
    nominated: &BTreeMap<String, String>,
    without: &BTreeSet<String>,
    youngest: Duration,
    now: Timestamp,
) -> Fed {
    let mut fed = Fed { cluster: Cluster::default(), version: String::new(), refused: Vec::new() };
    let moving = moving(state, view, now);
    for pool in view.pools.values() {
        let ready = node_pool::readiness(pool, |reference| node_pool::class_exists(state, reference)).is_ok();
        if ready && pool.metadata.deletion_timestamp.is_none() && !node_pool::is_frozen(pool) {
            fed.versioned("pool", &**pool);
            fed.apply(Object::NodePool(Box::new((**pool).clone())));
        }
    }
    for (name, claim) in &view.claims {
        // Static pools count their claims, so how many there are decides what they owe.
        let _ = write!(fed.version, "{name} ");
        fed.apply(Object::NodeClaim(Box::new((**claim).clone())));
    }
    for node in view.nodes.values() {
        fed.apply(Object::Node(Box::new((**node).clone())));
    }
    for pod in &view.pods {
        let name = format!("Pod {}/{}", pod.namespace().unwrap_or_default(), pod.name_any());
        if without.contains(&name) {
            continue;
        }
        match part(pod, view, nominated, &moving, youngest, now) {
            Part::Out => {}
            Part::AsIs => fed.apply(Object::Pod(Box::new((**pod).clone()))),
            Part::On(node) => {
                let mut copy = (**pod).clone();
                copy.spec.get_or_insert_default().node_name = Some(node);
                fed.apply(Object::Pod(Box::new(copy)));
            }
            Part::Displaced => fed.apply(Object::Pod(Box::new(displaced(pod)))),
        }
    }
    fed.rest(state, without);
    fed
}

/// The pod as the one that will follow it elsewhere.
fn displaced(pod: &Pod) -> Pod {
    let mut copy = pod.clone();
    copy.metadata.deletion_timestamp = None;
    copy.spec.get_or_insert_default().node_name = None;
    if let Some(status) = &mut copy.status {
        status.phase = Some("Pending".to_owned());
        status.nominated_node_name = None;
    }
    copy
}

impl Fed {
    fn apply(&mut self, object: Object) {
        if let Err(error) = self.cluster.apply(object) {
            self.refused.push(error.to_string());
        }
    }

    fn versioned<K: Resource>(&mut self, kind: &str, object: &K) {
        let meta = object.meta();
        let (uid, generation) = (meta.uid.as_deref().unwrap_or_default(), meta.generation.unwrap_or_default());
        let _ = write!(self.version, "{kind} {uid} {generation} ");
    }

    fn rest(&mut self, state: &State, without: &BTreeSet<String>) {
        macro_rules! all {
            ($($store:ident => $kind:ident;)*) => {
                $(for object in sorted(&state.$store) {
                    self.apply(Object::$kind(Box::new(Arc::unwrap_or_clone(object))));
                })*
            };
        }
        for class in sorted(&state.ec2_classes) {
            self.versioned("class", &*class);
        }
        for class in sorted(&state.kwok_classes) {
            self.versioned("class", &*class);
        }
        for overlay in sorted(&state.overlays) {
            self.versioned("overlay", &*overlay);
        }
        for buffer in sorted(&state.buffers) {
            let name = format!("CapacityBuffer {}/{}", buffer.namespace().unwrap_or_default(), buffer.name_any());
            if !without.contains(&name) {
                self.apply(Object::CapacityBuffer(Box::new(Arc::unwrap_or_clone(buffer))));
            }
        }
        all! {
            ec2_classes => Ec2NodeClass;
            kwok_classes => KwokNodeClass;
            overlays => NodeOverlay;
            templates => PodTemplate;
            deployments => Deployment;
            replica_sets => ReplicaSet;
            stateful_sets => StatefulSet;
            daemon_sets => DaemonSet;
            volumes => PersistentVolume;
            volume_claims => PersistentVolumeClaim;
            storage_classes => StorageClass;
            csi_nodes => CsiNode;
            namespaces => Namespace;
            services => Service;
        }
    }
}

fn part(
    pod: &Pod,
    view: &View,
    nominated: &BTreeMap<String, String>,
    moving: &BTreeSet<String>,
    youngest: Duration,
    now: Timestamp,
) -> Part {
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    if moving.contains(uid) {
        return Part::Displaced;
    }
    if !steering::is_waiting(pod) {
        return Part::AsIs;
    }
    if let Some(claim) = nominated.get(uid) {
        let joined = view.claims.get(claim).and_then(|claim| view.node_of(claim)?.metadata.name.clone());
        return Part::On(joined.unwrap_or_else(|| claim.clone()));
    }
    if is_provisionable(pod, youngest, now) { Part::AsIs } else { Part::Out }
}

/// Whether the scheduler found no place for a pod, and it is not too young.
pub fn is_provisionable(pod: &Pod, youngest: Duration, now: Timestamp) -> bool {
    let Some(status) = &pod.status else { return false };
    let unschedulable = status.conditions.iter().flatten().any(|condition| {
        condition.type_ == "PodScheduled"
            && condition.status == "False"
            && condition.reason.as_deref() == Some("Unschedulable")
    });
    let making_room = status.nominated_node_name.as_deref().is_some_and(|name| !name.is_empty());
    let age = pod.metadata.creation_timestamp.as_ref().map_or(Duration::MAX, |at| clock::since(at.0, now));
    let for_nodes = !drain::is_owned_by(pod, "DaemonSet") && !drain::is_owned_by(pod, "Node");
    steering::is_waiting(pod) && unschedulable && !making_room && age >= youngest && for_nodes
}

/// Pods of nodes that go away, by UID, as far as they can be moved now.
pub fn moving(state: &State, view: &View, now: Timestamp) -> BTreeSet<String> {
    let budgets = sorted(&state.budgets);
    let pods = view.leaving().into_iter().flat_map(|node| view.pods_on(node));
    let movable = pods.filter(|pod| moves(pod, now) && !budgets::hold_for_good(pod, &budgets));
    movable.filter_map(|pod| pod.metadata.uid.clone()).collect()
}

/// Whether a pod of a node that goes away will need another place.
fn moves(pod: &Pod, now: Timestamp) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
    let finished = phase == "Succeeded" || phase == "Failed";
    let per_node = drain::is_owned_by(pod, "DaemonSet") || drain::is_owned_by(pod, "Node");
    let bare = pod.metadata.owner_references.as_ref().is_none_or(Vec::is_empty);
    // A StatefulSet gives the next pod the same name; others have theirs already.
    let gone = pod.metadata.deletion_timestamp.is_some() && !drain::is_owned_by(pod, "StatefulSet");
    !finished && !per_node && !bare && !gone && !drain::is_protected(pod, now)
}

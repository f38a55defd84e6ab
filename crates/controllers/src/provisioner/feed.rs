//! From what is watched to the index that planning reads.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{Resource, ResourceExt};
use stowage_k8s::cluster::Cluster;
use stowage_k8s::duration;
use stowage_k8s::object::Object;
use stowage_k8s::pod::{is_bare, is_per_node, is_protected, is_waiting, needs_a_place};
use stowage_k8s::pod_budget;
use stowage_k8s::v1::NodePool;

use crate::node_pool;
use crate::state::{State, sorted};
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

macro_rules! all_versioned {
    ($fed:ident, $state:ident, $($store:ident => $kind:ident),*) => {
        $(for object in sorted(&$state.$store) {
            $fed.versioned(stringify!($kind), &*object);
            $fed.apply(Object::$kind(Box::new(Arc::unwrap_or_clone(object))));
        })*
    };
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
    let mut fed = configuration(state, view);
    let moving = moving(state, view, now);
    fed.claims(view);
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

/// Only what machines depend on: pools that nodes can be launched from, with their
/// classes and overlays.
pub fn configuration(state: &State, view: &View) -> Fed {
    let mut fed = Fed { cluster: Cluster::default(), version: String::new(), refused: Vec::new() };
    for pool in view.pools.values().filter(|pool| node_pool::is_open(pool, state)) {
        fed.versioned("pool", &**pool);
        fed.apply(Object::NodePool(Box::new((**pool).clone())));
    }
    all_versioned!(fed, state, ec2_classes => Ec2NodeClass, kwok_classes => KwokNodeClass, overlays => NodeOverlay);
    fed
}

/// Only what buffers are read with.
pub fn buffers(state: &State) -> Cluster {
    let mut fed = Fed { cluster: Cluster::default(), version: String::new(), refused: Vec::new() };
    fed.rest(state, &BTreeSet::new());
    fed.cluster
}

/// How many nodes static pools lack, by pool.
pub fn owed(state: &State, view: &View) -> BTreeMap<String, usize> {
    let mut fed = Fed { cluster: Cluster::default(), version: String::new(), refused: Vec::new() };
    let keeps = |pool: &&Arc<NodePool>| pool.spec.replicas.is_some() && node_pool::is_open(pool, state);
    for pool in view.pools.values().filter(keeps) {
        fed.apply(Object::NodePool(Box::new((**pool).clone())));
    }
    if fed.cluster.has_pools() {
        fed.claims(view);
    }
    fed.cluster.static_pools().filter(|(_, lacks)| *lacks > 0).map(|(p, lacks)| (p.name.to_string(), lacks)).collect()
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

    fn claims(&mut self, view: &View) {
        for claim in view.claims.values() {
            self.apply(Object::NodeClaim(Box::new((**claim).clone())));
        }
    }

    fn rest(&mut self, state: &State, without: &BTreeSet<String>) {
        macro_rules! all {
            ($($store:ident => $kind:ident;)*) => {
                $(for object in sorted(&state.$store) {
                    self.apply(Object::$kind(Box::new(Arc::unwrap_or_clone(object))));
                })*
            };
        }
        for buffer in sorted(&state.buffers) {
            let name = format!("CapacityBuffer {}/{}", buffer.namespace().unwrap_or_default(), buffer.name_any());
            if !without.contains(&name) {
                self.apply(Object::CapacityBuffer(Box::new(Arc::unwrap_or_clone(buffer))));
            }
        }
        all! {
            templates => PodTemplate;
            deployments => Deployment;
            replica_sets => ReplicaSet;
            stateful_sets => StatefulSet;
            daemon_sets => DaemonSet;
            volumes => PersistentVolume;
            volume_claims => PersistentVolumeClaim;
            storage_classes => StorageClass;
            budgets => PodDisruptionBudget;
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
    if !is_waiting(pod) {
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
    let age = pod.metadata.creation_timestamp.as_ref().map_or(Duration::MAX, |at| duration::since(at.0, now));
    is_waiting(pod) && unschedulable && !making_room && age >= youngest && !is_per_node(pod)
}

/// Pods of nodes that go away, by UID, as far as they can be moved now.
pub fn moving(state: &State, view: &View, now: Timestamp) -> BTreeSet<String> {
    let budgets = sorted(&state.budgets);
    let pods = view.leaving().into_iter().flat_map(|node| view.pods_on(node));
    let movable = pods.filter(|pod| {
        needs_a_place(pod)
            && !is_bare(pod)
            && !is_protected(pod, now)
            && !pod_budget::hold_for_good(pod, budgets.iter().map(|b| &**b))
    });
    movable.filter_map(|pod| pod.metadata.uid.clone()).collect()
}

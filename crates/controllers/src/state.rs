//! What the API server holds, watched: one watch per kind and process.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, PodTemplate, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::storage::v1::{CSINode, StorageClass, VolumeAttachment};
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use stowage_k8s::v1;
use tokio::sync::watch;
use tracing::warn;

use crate::context::locked;
use crate::view::View;

/// Everything watched.
pub struct State {
    changes: watch::Receiver<u64>,
    /// The last look, and how many changes there had been.
    seen: Mutex<Option<(u64, Arc<View>)>>,
    /// Pods.
    pub pods: Store<Pod>,
    /// Nodes.
    pub nodes: Store<Node>,
    /// NodeClaims.
    pub claims: Store<v1::NodeClaim>,
    /// NodePools.
    pub pools: Store<v1::NodePool>,
    /// NodeOverlays.
    pub overlays: Store<v1::NodeOverlay>,
    /// CapacityBuffers.
    pub buffers: Store<v1::CapacityBuffer>,
    /// EC2NodeClasses.
    pub ec2_classes: Store<v1::Ec2NodeClass>,
    /// KWOKNodeClasses.
    pub kwok_classes: Store<v1::KwokNodeClass>,
    /// DaemonSets.
    pub daemon_sets: Store<DaemonSet>,
    /// Deployments, which buffers may name.
    pub deployments: Store<Deployment>,
    /// ReplicaSets, likewise.
    pub replica_sets: Store<ReplicaSet>,
    /// StatefulSets, likewise.
    pub stateful_sets: Store<StatefulSet>,
    /// PodTemplates, likewise.
    pub templates: Store<PodTemplate>,
    /// PersistentVolumes.
    pub volumes: Store<PersistentVolume>,
    /// PersistentVolumeClaims.
    pub volume_claims: Store<PersistentVolumeClaim>,
    /// StorageClasses.
    pub storage_classes: Store<StorageClass>,
    /// CSINodes.
    pub csi_nodes: Store<CSINode>,
    /// VolumeAttachments.
    pub attachments: Store<VolumeAttachment>,
    /// Namespaces.
    pub namespaces: Store<Namespace>,
    /// Services.
    pub services: Store<Service>,
    /// PodDisruptionBudgets.
    pub budgets: Store<PodDisruptionBudget>,
}

impl State {
    /// Starts every watch and waits until each has told everything once.
    pub async fn watch(client: &Client) -> Result<Self, kube::Error> {
        let (changed, changes) = watch::channel(0);
        let mut all = Watches { client, changed: Arc::new(changed), served: BTreeSet::new(), pending: Vec::new() };
        all.discover().await?;
        let state = Self {
            changes,
            seen: Mutex::new(None),
            pods: all.start(),
            nodes: all.start(),
            claims: all.start(),
            pools: all.start(),
            overlays: all.start(),
            buffers: all.start(),
            ec2_classes: all.start(),
            kwok_classes: all.start(),
            daemon_sets: all.start(),
            deployments: all.start(),
            replica_sets: all.start(),
            stateful_sets: all.start(),
            templates: all.start(),
            volumes: all.start(),
            volume_claims: all.start(),
            storage_classes: all.start(),
            csi_nodes: all.start(),
            attachments: all.start(),
            namespaces: all.start(),
            services: all.start(),
            budgets: all.start(),
        };
        for ready in all.pending {
            ready.await;
        }
        Ok(state)
    }

    /// Everything as it is now: one look serves all loops until something changes.
    pub fn view(&self) -> Arc<View> {
        let count = *self.changes.borrow();
        let mut seen = locked(&self.seen);
        if let Some((known, view)) = &*seen
            && *known == count
        {
            return view.clone();
        }
        let view = Arc::new(View::take(self));
        *seen = Some((count, view.clone()));
        view
    }

    /// Tells of changes.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }
}

/// A store's objects by namespace and name, so that nothing depends on the order
/// in which a hash map gives them.
pub fn sorted<K>(store: &Store<K>) -> Vec<Arc<K>>
where
    K: Resource + Clone + 'static,
    K::DynamicType: Eq + Hash + Clone + Default,
{
    let mut all = store.state();
    all.sort_by_cached_key(|object| (object.namespace(), object.name_any()));
    all
}

/// An object without a namespace, by name.
pub fn named<K>(store: &Store<K>, name: &str) -> Option<Arc<K>>
where
    K: Resource + Clone + 'static,
    K::DynamicType: Eq + Hash + Clone + Default,
{
    store.get(&reflector::ObjectRef::new(name))
}

/// Waits until the watch shows claims that were created.
pub async fn shown(state: &State, claims: &[String]) {
    until(state, || claims.iter().all(|name| named(&state.claims, name).is_some()), "created").await;
}

/// Waits until the watch shows that claims are on their way out.
pub async fn leaving(state: &State, claims: &[String]) {
    let leaves = |name: &String| named(&state.claims, name).is_none_or(|c| c.metadata.deletion_timestamp.is_some());
    until(state, || claims.iter().all(leaves), "deleted").await;
}

async fn until(state: &State, done: impl Fn() -> bool, what: &str) {
    let mut changes = state.changes();
    let all = async {
        while !done() {
            if changes.changed().await.is_err() {
                return;
            }
        }
    };
    if tokio::time::timeout(Duration::from_secs(10), all).await.is_err() {
        warn!("the watch does not show claims that were {what}; the next look may see them late");
    }
}

struct Watches<'a> {
    client: &'a Client,
    changed: Arc<watch::Sender<u64>>,
    /// Group and plural of the kinds that the server knows, of those that need not be there.
    served: BTreeSet<(String, String)>,
    pending: Vec<futures::future::BoxFuture<'static, ()>>,
}

/// Groups whose kinds a cluster may lack.
const OPTIONAL: [&str; 4] = ["karpenter.sh", "karpenter.k8s.aws", "karpenter.kwok.sh", "autoscaling.x-k8s.io"];

impl Watches<'_> {
    async fn discover(&mut self) -> Result<(), kube::Error> {
        for group in self.client.list_api_groups().await?.groups {
            if !OPTIONAL.contains(&group.name.as_str()) {
                continue;
            }
            for version in group.versions {
                for resource in self.client.list_api_group_resources(&version.group_version).await?.resources {
                    self.served.insert((version.group_version.clone(), resource.name));
                }
            }
        }
        Ok(())
    }

    /// Watches one kind, or leaves its store empty where the server does not know it.
    fn start<K>(&mut self) -> Store<K>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        let (store, writer) = reflector::store::<K>();
        let optional = OPTIONAL.contains(&K::group(&()).as_ref());
        if optional && !self.served.contains(&(K::api_version(&()).into_owned(), K::plural(&()).into_owned())) {
            warn!(kind = %K::kind(&()), "the API server does not know this kind: there are none");
            return store;
        }
        let api: Api<K> = Api::all(self.client.clone());
        // A connection that dies silently is noticed within a minute.
        let config = watcher::Config::default().timeout(60);
        let changed = self.changed.clone();
        let stream =
            watcher(api, config).default_backoff().modify(|object| object.managed_fields_mut().clear()).reflect(writer);
        tokio::spawn(async move {
            let mut stream = std::pin::pin!(stream);
            while let Some(event) = stream.next().await {
                if let Err(error) = event {
                    warn!(kind = %K::kind(&()), %error, "a watch broke and is begun again");
                }
                changed.send_modify(|count| *count += 1);
            }
        });
        let waiting = store.clone();
        self.pending.push(Box::pin(async move {
            let ready = waiting.wait_until_ready();
            if tokio::time::timeout(Duration::from_secs(120), ready).await.is_err() {
                warn!(kind = %K::kind(&()), "not all objects are known yet");
            }
        }));
        store
    }
}

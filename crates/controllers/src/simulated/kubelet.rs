//! What the kubelets of simulated machines do: register nodes, keep them ready,
//! start the pods that are bound to them, let those go that are deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, Time};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use stowage_cloud::provider::{Instance, LaunchRequest};
use stowage_cloud::simulated::{Due, PROVIDER};
use stowage_model::labels;
use tokio::time::Instant;
use tracing::{info, warn};

use super::Local;

/// Between two looks at what has come due.
const TICK: Duration = Duration::from_millis(100);
/// Between two heartbeats of a node.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Runs until it is dropped.
pub async fn run(client: Client, cloud: Local) {
    let (pods, writer) = reflector::store::<Pod>();
    let watch = watcher(Api::<Pod>::all(client.clone()), watcher::Config::default().timeout(60))
        .default_backoff()
        .modify(|pod| pod.managed_fields_mut().clear())
        .reflect(writer)
        .for_each(|_| std::future::ready(()));
    tokio::select! {
        () = watch => {}
        () = machines(client.clone(), cloud, pods) => {}
    }
}

async fn machines(client: Client, cloud: Local, pods: Store<Pod>) {
    let nodes: Api<Node> = Api::all(client.clone());
    let mut mine: BTreeMap<String, String> = BTreeMap::new();
    let mut beaten: Option<Instant> = None;
    loop {
        let now = cloud.clock.now();
        for due in cloud.with(|cloud| cloud.due(now)) {
            match due {
                Due::Register(instance, request) => {
                    let id = instance.provider_id.clone();
                    match register(&nodes, &instance, &request).await {
                        Ok(name) => {
                            info!(node = %name, provider_id = %id, "a simulated machine joined");
                            mine.insert(id, name);
                            beaten = None;
                        }
                        Err(error) => {
                            warn!(provider_id = %id, %error, "a simulated machine did not join; it tries again");
                            cloud.with(|cloud| cloud.retry(&id));
                        }
                    }
                }
                Due::Gone(id) => {
                    mine.remove(&id);
                }
            }
        }
        let names: BTreeSet<&str> = mine.values().map(String::as_str).collect();
        attend(&client, &pods, &names, now).await;
        if beaten.is_none_or(|at| at.elapsed() >= HEARTBEAT) {
            beat(&client, &names, now).await;
            beaten = Some(Instant::now());
        }
        tokio::time::sleep(TICK).await;
    }
}

/// Registers the node as its kubelet would, and says that it is ready.
async fn register(api: &Api<Node>, instance: &Instance, request: &LaunchRequest) -> Result<String, kube::Error> {
    let name = instance.provider_id.trim_start_matches(PROVIDER).replace('/', "-");
    let mut own = request.labels.clone();
    own.extend(instance.launched.labels.clone());
    own.insert(labels::HOSTNAME.to_owned(), name.clone());
    let taints: Vec<_> = request
        .taints
        .iter()
        .map(|taint| json!({ "key": taint.key, "value": taint.value, "effect": taint.effect }))
        .collect();
    let node = json!({
        "metadata": { "name": name, "labels": own },
        "spec": { "providerID": instance.provider_id, "taints": taints },
    });
    let node: Node = serde_json::from_value(node).map_err(kube::Error::SerdeError)?;
    match api.create(&PostParams::default(), &node).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.code == 409 => {}
        Err(error) => return Err(error),
    }
    let now = Time(jiff::Timestamp::now());
    let status = json!({ "status": {
        "capacity": instance.launched.capacity,
        "allocatable": instance.launched.allocatable,
        "conditions": [{ "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "",
            "lastHeartbeatTime": now, "lastTransitionTime": now }],
    } });
    api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status)).await?;
    Ok(name)
}

/// Starts pods that are bound to these nodes, and lets go of deleted ones.
async fn attend(client: &Client, pods: &Store<Pod>, nodes: &BTreeSet<&str>, now: jiff::Timestamp) {
    let here = |pod: &Pod| pod.spec.as_ref().and_then(|s| s.node_name.as_deref()).is_some_and(|n| nodes.contains(n));
    let mut calls = futures::stream::FuturesUnordered::new();
    for pod in pods.state().into_iter().filter(|pod| here(pod)) {
        let phase = pod.status.as_ref().and_then(|s| s.phase.clone()).unwrap_or_default();
        let leaving = pod.metadata.deletion_timestamp.is_some();
        let begins = phase.is_empty() || phase == "Pending";
        if !leaving && !begins {
            continue;
        }
        let api: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
        calls.push(async move {
            let name = pod.name_any();
            if leaving {
                return api.delete(&name, &DeleteParams::default().grace_period(0)).await.map(|_| ());
            }
            let time = Time(now);
            let ready = |kind: &str| json!({ "type": kind, "status": "True", "lastTransitionTime": time });
            let scheduled = pod.status.as_ref().and_then(|s| s.conditions.clone()).unwrap_or_default();
            let mut conditions: Vec<_> =
                scheduled.into_iter().filter(|c| c.type_ == "PodScheduled").map(|c| json!(c)).collect();
            conditions.extend(["Initialized", "ContainersReady", "Ready"].map(ready));
            let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
            let started: Vec<_> = containers
                .map(|c| {
                    json!({ "name": c.name, "ready": true, "restartCount": 0, "image": c.image.clone().unwrap_or_default(),
                    "imageID": "", "state": { "running": { "startedAt": time } } })
                })
                .collect();
            let status = json!({ "status": { "phase": "Running", "startTime": time, "conditions": conditions,
                "containerStatuses": started } });
            api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status)).await.map(|_| ())
        });
    }
    while let Some(answer) = calls.next().await {
        match answer {
            Ok(()) => {}
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => {}
            Err(error) => warn!(%error, "a simulated kubelet could not write"),
        }
    }
}

/// Renews the leases by which a cluster knows that its nodes live.
async fn beat(client: &Client, nodes: &BTreeSet<&str>, now: jiff::Timestamp) {
    let api: Api<Lease> = Api::namespaced(client.clone(), "kube-node-lease");
    for name in nodes {
        let lease = Lease {
            metadata: ObjectMeta { name: Some((*name).to_owned()), ..ObjectMeta::default() },
            spec: Some(LeaseSpec {
                holder_identity: Some((*name).to_owned()),
                lease_duration_seconds: Some(40),
                renew_time: Some(MicroTime(now)),
                ..LeaseSpec::default()
            }),
        };
        let params = PatchParams::apply("stowage-simulated-kubelet").force();
        if let Err(error) = api.patch(name, &params, &Patch::Apply(&lease)).await {
            warn!(node = %name, %error, "a simulated heartbeat was not written");
        }
    }
}

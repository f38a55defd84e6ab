//! Figures about nodes, pods and pools as they are, under Karpenter's names, so that
//! its dashboards go on working. Pods are counted by what they have in common, not
//! one series each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use stowage_k8s::lower;
use stowage_k8s::pod::{is_finished, is_per_node};
use stowage_model::{ResourceName, Resources, labels};

use super::{Labels, labelled};
use crate::view::View;

type Amounts = Family<Labels, Gauge<f64, AtomicU64>>;

/// The figures.
pub(super) struct Cluster {
    nodes: Gauge,
    allocatable: Amounts,
    pod_requests: Amounts,
    daemon_requests: Amounts,
    usage: Amounts,
    limit: Amounts,
    pods: Family<Labels, Gauge>,
    startup: Histogram,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            nodes: Gauge::default(),
            allocatable: Family::default(),
            pod_requests: Family::default(),
            daemon_requests: Family::default(),
            usage: Family::default(),
            limit: Family::default(),
            pods: Family::default(),
            startup: Histogram::new([1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0]),
        }
    }
}

impl Cluster {
    pub(super) fn register(&self, r: &mut Registry) {
        r.register("karpenter_cluster_state_node_count", "Nodes in the cluster", self.nodes.clone());
        r.register("karpenter_nodes_allocatable", "What pods can have of each node", self.allocatable.clone());
        r.register(
            "karpenter_nodes_total_pod_requests",
            "What pods ask for on each node, without DaemonSets",
            self.pod_requests.clone(),
        );
        r.register(
            "karpenter_nodes_total_daemon_requests",
            "What pods of DaemonSets ask for on each node",
            self.daemon_requests.clone(),
        );
        r.register("karpenter_nodepools_usage", "What the nodes of each pool have together", self.usage.clone());
        r.register("karpenter_nodepools_limit", "The most that they may have", self.limit.clone());
        r.register("karpenter_pods_state", "Pods, by phase, NodePool and whether they have a node", self.pods.clone());
        r.register(
            "karpenter_pods_startup_duration_seconds",
            "Seconds from a pod's creation until it is ready",
            self.startup.clone(),
        );
    }

    /// Takes everything down as it is. `unstarted` are pods that were not ready at the
    /// last look, by UID.
    pub(super) fn look(&self, view: &View, unstarted: &mut BTreeSet<String>) {
        self.nodes.set(i64::try_from(view.nodes.len()).unwrap_or(i64::MAX));
        for family in [&self.allocatable, &self.pod_requests, &self.daemon_requests, &self.usage, &self.limit] {
            family.clear();
        }
        for (name, node) in &view.nodes {
            self.node(view, name, node);
        }
        for (name, pool) in &view.pools {
            let own = |resource: &str| labelled(&[("nodepool", name), ("resource_type", resource)]);
            let used = pool.status.as_ref().and_then(|status| status.resources.as_ref()).and_then(lower::amounts);
            write(&self.usage, &used.unwrap_or_default(), own);
            write(&self.limit, &pool.spec.limits.as_ref().and_then(lower::amounts).unwrap_or_default(), own);
        }
        self.count_pods(view, unstarted);
    }

    fn node(&self, view: &View, name: &str, node: &Node) {
        let label = |key: &str| node.labels().get(key).map_or("", String::as_str);
        let own = |resource: &str| {
            labelled(&[
                ("node_name", name),
                ("nodepool", label(labels::NODEPOOL)),
                ("resource_type", resource),
                ("instance_type", label(labels::INSTANCE_TYPE)),
                ("capacity_type", label(labels::CAPACITY_TYPE)),
                ("zone", label(labels::ZONE)),
                ("arch", label(labels::ARCH)),
            ])
        };
        let allocatable = node.status.as_ref().and_then(|status| status.allocatable.as_ref());
        write(&self.allocatable, &allocatable.and_then(lower::amounts).unwrap_or_default(), own);
        let (mut pods, mut daemons) = (Resources::new(), Resources::new());
        for pod in view.pods_on(name).filter(|pod| !is_finished(pod)) {
            let requests = lower::pod_requests(pod).unwrap_or_default();
            if is_per_node(pod) { daemons.add(&requests) } else { pods.add(&requests) }
        }
        write(&self.pod_requests, &pods, own);
        write(&self.daemon_requests, &daemons, own);
    }

    fn count_pods(&self, view: &View, unstarted: &mut BTreeSet<String>) {
        let mut counts: BTreeMap<Labels, i64> = BTreeMap::new();
        let mut waiting = BTreeSet::new();
        for pod in &view.pods {
            let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default();
            let pool = view.nodes.get(node).and_then(|node| node.labels().get(labels::NODEPOOL));
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending");
            let own = labelled(&[
                ("phase", phase),
                ("nodepool", pool.map_or("", String::as_str)),
                ("scheduled", if node.is_empty() { "false" } else { "true" }),
            ]);
            *counts.entry(own).or_default() += 1;
            let uid = pod.metadata.uid.clone().unwrap_or_default();
            match ready_since(pod) {
                None if !is_finished(pod) => {
                    waiting.insert(uid);
                }
                Some(since) if unstarted.contains(&uid) => {
                    let created = pod.metadata.creation_timestamp.as_ref().map_or(since, |time| time.0);
                    self.startup.observe(since.duration_since(created).as_secs_f64().max(0.0));
                }
                _ => {}
            }
        }
        *unstarted = waiting;
        self.pods.clear();
        for (own, count) in counts {
            self.pods.get_or_create(&own).set(count);
        }
    }
}

/// Since when a pod is ready.
fn ready_since(pod: &Pod) -> Option<Timestamp> {
    let all = pod.status.as_ref()?.conditions.as_ref()?;
    let ready = all.iter().find(|condition| condition.type_ == "Ready" && condition.status == "True")?;
    ready.last_transition_time.as_ref().map(|time| time.0)
}

fn write(family: &Amounts, amounts: &Resources, own: impl Fn(&str) -> Labels) {
    for (name, amount) in amounts.iter() {
        let scale = if name.as_str() == ResourceName::CPU { 1000.0 } else { 1.0 };
        family.get_or_create(&own(name.as_str())).set(amount as f64 / scale);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;
    use crate::testing::{at, read};
    use serde_json::json;

    #[test]
    fn figures_follow_the_cluster_and_forget_what_is_gone() {
        let node = read::<Node>(json!({
            "metadata": { "name": "n", "labels": { labels::NODEPOOL: "p" } },
            "status": { "allocatable": { "cpu": "1500m", "memory": "1Gi" } },
        }));
        let pod = |ready: bool| {
            let condition = json!([{ "type": "Ready", "status": if ready { "True" } else { "False" }, "lastTransitionTime": at(7) }]);
            read::<Pod>(json!({
                "metadata": { "name": "a", "namespace": "d", "uid": "u", "creationTimestamp": at(3) },
                "spec": { "nodeName": "n", "containers": [
                    { "name": "c", "resources": { "requests": { "cpu": "250m" } } }] },
                "status": { "phase": "Running", "conditions": condition },
            }))
        };
        let metrics = Metrics::default();
        let view = |ready| {
            View::new(BTreeMap::new(), BTreeMap::new(), [("n".to_owned(), node.clone())].into(), vec![pod(ready)])
        };
        let mut unstarted = BTreeSet::new();
        metrics.look(&view(false), &mut unstarted);
        metrics.look(&view(true), &mut unstarted);
        let text = metrics.text();
        let line = |start: &str, end: &str| text.lines().any(|line| line.starts_with(start) && line.ends_with(end));
        assert!(
            line("karpenter_nodes_allocatable{node_name=\"n\",nodepool=\"p\",resource_type=\"cpu\"", "1.5"),
            "{text}"
        );
        assert!(line(
            "karpenter_nodes_total_pod_requests{node_name=\"n\",nodepool=\"p\",resource_type=\"cpu\"",
            "0.25"
        ));
        assert!(line("karpenter_pods_state{phase=\"Running\",nodepool=\"p\",scheduled=\"true\"}", " 1"));
        assert!(line("karpenter_pods_startup_duration_seconds_sum", " 4.0"));
        metrics.look(&View::new(BTreeMap::new(), BTreeMap::new(), BTreeMap::new(), Vec::new()), &mut unstarted);
        assert!(!metrics.text().contains("node_name=\"n\""));
    }
}

//! Decisions as a table: facts in words, the step that follows.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::{Value, json};
use stowage_k8s::names;
use stowage_k8s::v1::NodeClaim;

use crate::testing::{at, merge};

use super::decide::{Call, Facts, Memory, Timeouts, Verdict, Write, decide};

/// A claim, its node and its pods, changed step by step.
struct Stage {
    claim: Value,
    node: Option<Value>,
    pods: Vec<Value>,
    invited: usize,
    landed: Option<i64>,
    attachments: usize,
    ended: bool,
}

impl Stage {
    /// A claim that was just created by the provisioner.
    fn new() -> Self {
        let claim = json!({
            "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim",
            "metadata": {
                "name": "web-1", "uid": "u", "resourceVersion": "7", "creationTimestamp": at(0),
                "finalizers": [names::TERMINATION_FINALIZER], "annotations": { names::LAUNCH_ATTEMPT: "1" },
            },
            "spec": {
                "requirements": [], "expireAfter": "720h",
                "nodeClassRef": { "group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "default" },
            },
        });
        Self { claim, node: None, pods: Vec::new(), invited: 0, landed: None, attachments: 0, ended: false }
    }

    fn with(mut self, change: Value) -> Self {
        merge(&mut self.claim, change);
        self
    }

    /// These conditions hold since second 10.
    fn holding(self, kinds: &[&str]) -> Self {
        let conditions: Vec<Value> = kinds
            .iter()
            .map(|kind| {
                json!({ "type": kind, "status": "True", "reason": kind, "message": "", "lastTransitionTime": at(10) })
            })
            .collect();
        self.with(json!({ "status": { "providerID": "id", "conditions": conditions } }))
    }

    fn joined(mut self, change: Value) -> Self {
        let mut node = json!({
            "metadata": { "name": "n", "resourceVersion": "3", "labels": {} },
            "spec": { "providerID": "id", "taints": [{ "key": names::UNREGISTERED_TAINT, "effect": "NoExecute" }] },
            "status": { "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": at(20) }] },
        });
        merge(&mut node, change);
        self.node = Some(node);
        self
    }

    /// Joined, and ours.
    fn registered(self, taints: Value) -> Self {
        let labels = json!({ "karpenter.sh/registered": "true" });
        let finalizers = json!([names::TERMINATION_FINALIZER]);
        self.holding(&["Launched", "Registered"])
            .joined(json!({ "metadata": { "labels": labels, "finalizers": finalizers }, "spec": { "taints": taints } }))
    }

    /// Registered, and shut as one that goes away: no balancer sends it anything.
    fn shut(self) -> Self {
        let mut stage = self.registered(json!([taint(names::DISRUPTED_TAINT)]));
        if let Some(node) = &mut stage.node {
            merge(node, json!({ "metadata": { "labels": { names::EXCLUDE_BALANCERS: "karpenter" } } }));
        }
        stage
    }

    fn deleted(self) -> Self {
        self.with(json!({ "metadata": { "deletionTimestamp": at(50) } }))
    }

    fn pod(mut self, change: Value) -> Self {
        let mut pod = json!({ "metadata": { "name": "p", "namespace": "default" },
            "spec": { "containers": [] }, "status": { "phase": "Running" } });
        merge(&mut pod, change);
        self.pods.push(pod);
        self
    }

    fn decide(&self, now: i64) -> Verdict {
        let claim: NodeClaim = serde_json::from_value(self.claim.clone()).unwrap_or_default();
        let node: Option<Node> = self.node.clone().and_then(|node| serde_json::from_value(node).ok());
        let pods: Vec<Pod> = self.pods.iter().filter_map(|pod| serde_json::from_value(pod.clone()).ok()).collect();
        decide(&Facts {
            claim: &claim,
            node: node.as_ref(),
            pods: pods.iter().collect(),
            attachments: self.attachments,
            invited: self.invited,
            uninvited: 0,
            landed: self.landed.map(at),
            memory: Memory { ended: self.ended },
            now: at(now),
            timeouts: &Timeouts::default(),
        })
    }

    /// The step's name, or how many seconds are waited.
    fn step(&self, now: i64) -> String {
        match self.decide(now) {
            Verdict::Do { step, .. } => step.to_owned(),
            Verdict::Wait(time) => format!("wait {}", time.as_secs()),
        }
    }

    fn call(&self, now: i64) -> Option<Call> {
        match self.decide(now) {
            Verdict::Do { call, .. } => Some(call),
            Verdict::Wait(_) => None,
        }
    }
}

fn taint(key: &str) -> Value {
    json!({ "key": key, "effect": "NoSchedule" })
}

#[test]
fn nothing_is_launched_before_it_is_written_down_that_it_will_be() {
    let bare = json!({ "metadata": { "finalizers": null } });
    assert_eq!(Stage::new().with(bare).step(1), "finalizer");
    let unwritten = json!({ "metadata": { "annotations": null } });
    assert_eq!(Stage::new().with(unwritten).step(1), "intent");
    assert_eq!(Stage::new().call(1), Some(Call::Launch(1)));
    let second = json!({ "metadata": { "annotations": { names::LAUNCH_ATTEMPT: "2" } } });
    assert_eq!(Stage::new().with(second).call(1), Some(Call::Launch(2)));
}

#[test]
fn what_takes_too_long_is_given_up() {
    assert_eq!(Stage::new().step(300), "launch timeout");
    let launched = Stage::new().holding(&["Launched"]);
    assert_eq!(launched.step(11), "wait 899");
    assert_eq!(launched.step(910), "registration timeout");
    assert_eq!(Stage::new().registered(json!([])).step(720 * 3600), "expire");
    let never = json!({ "spec": { "expireAfter": "Never" } });
    assert_ne!(Stage::new().registered(json!([])).with(never).step(720 * 3600), "expire");
}

#[test]
fn a_node_becomes_ours_then_ready() {
    let joined = Stage::new().holding(&["Launched"]).joined(json!({}));
    assert_eq!(joined.step(30), "register");
    let labelled = Stage::new()
        .holding(&["Launched"])
        .joined(json!({ "metadata": { "labels": { "karpenter.sh/registered": "true" } } }));
    assert_eq!(labelled.step(30), "registered");
    assert_eq!(Stage::new().registered(json!([])).step(30), "initialize");
    let initialized = Stage::new().registered(json!([])).joined(json!({
        "metadata": { "labels": { "karpenter.sh/registered": "true", "karpenter.sh/initialized": "true" } }, "spec": { "taints": [] } }));
    assert_eq!(initialized.step(30), "initialized");
    let ready = Stage::new().registered(json!([])).holding(&["Launched", "Registered", "Initialized"]);
    assert_eq!(ready.step(30), "wait 60");
}

#[test]
fn a_node_is_not_ready_while_something_of_its_start_is_left() {
    let not_ready = json!({ "status": { "conditions": [{ "type": "Ready", "status": "False" }] } });
    assert_eq!(Stage::new().registered(json!([])).joined(not_ready).step(30), "waiting");
    assert_eq!(Stage::new().registered(json!([taint("node.kubernetes.io/not-ready")])).step(30), "waiting");
    assert_eq!(Stage::new().registered(json!([taint("readiness.k8s.io/cni")])).step(30), "waiting");
    let startup = json!({ "spec": { "startupTaints": [taint("cilium")] } });
    assert_eq!(Stage::new().with(startup).registered(json!([taint("cilium")])).step(30), "waiting");
    let gpu = json!({ "spec": { "resources": { "requests": { "nvidia.com/gpu": "1" } } } });
    assert_eq!(Stage::new().with(gpu).registered(json!([])).step(30), "waiting");
}

#[test]
fn a_held_node_is_released_when_its_pods_are_there_or_had_their_time() {
    let held = || Stage::new().registered(json!([taint(names::RESERVED_TAINT)]));
    assert_eq!(held().step(21), "release");
    let expecting = Stage { invited: 2, ..held() };
    assert_eq!(expecting.step(21), "wait 1");
    assert_eq!(expecting.step(35), "release");
    // Other taints of its start come first.
    let starting = Stage {
        invited: 2,
        ..Stage::new().registered(json!([taint(names::RESERVED_TAINT), taint("node.kubernetes.io/not-ready")]))
    };
    assert_eq!(starting.step(35), "waiting");
    // As long as pods come to held nodes the scheduler is at it; but not for ever.
    let busy = |landed| Stage { invited: 2, landed: Some(landed), ..held() };
    assert_eq!(busy(30).step(44), "wait 1");
    assert_eq!(busy(30).step(45), "release");
    assert_eq!(busy(109).step(109), "wait 1");
    assert_eq!(busy(109).step(110), "release");
}

#[test]
fn a_claim_goes_node_by_node_and_the_instance_before_the_claim() {
    let shut = json!([taint(names::DISRUPTED_TAINT)]);
    // What is being replaced is shut already, and balancers know nothing of it yet.
    assert_eq!(Stage::new().registered(shut).deleted().step(51), "shut");
    assert_eq!(Stage::new().registered(json!([])).deleted().step(51), "shut");
    let full = || Stage::new().shut().deleted();
    assert_eq!(full().pod(json!({})).step(51), "evict");
    let leaving = json!({ "metadata": { "deletionTimestamp": at(50) } });
    assert_eq!(full().pod(leaving).step(51), "draining");
    assert_eq!(full().step(51), "drained");
    let drained = || full().holding(&["Launched", "Registered", "Drained"]);
    let attached = Stage { attachments: 1, ..drained() };
    assert_eq!(attached.step(51), "detaching");
    assert_eq!(drained().step(51), "detached");
    let empty = || full().holding(&["Launched", "Registered", "Drained", "VolumesDetached"]);
    assert_eq!(empty().step(51), "terminating");
    let ending = || full().holding(&["Launched", "Registered", "Drained", "VolumesDetached", "InstanceTerminating"]);
    assert_eq!(ending().call(51), Some(Call::EndInstance));
    let ended = || Stage { ended: true, ..ending() };
    assert_eq!(ended().step(51), "delete node");
    let going = Stage { ended: true, ..ending() }.joined(json!({ "metadata": {
        "deletionTimestamp": at(50), "finalizers": [names::TERMINATION_FINALIZER] } }));
    assert_eq!(going.step(51), "let node go");
    let gone = Stage { node: None, ..ended() };
    assert_eq!(gone.step(51), "let claim go");
}

#[test]
fn an_instance_that_nobody_wrote_down_is_looked_for() {
    assert_eq!(Stage::new().deleted().call(51), Some(Call::EndInstance));
    let untried = json!({ "metadata": { "annotations": null } });
    assert_eq!(Stage::new().with(untried).deleted().step(51), "let claim go");
}

#[test]
fn a_grace_period_becomes_a_deadline_and_the_deadline_forces() {
    let grace = json!({ "spec": { "terminationGracePeriod": "60s" } });
    let stage = || Stage::new().shut().with(grace.clone()).deleted();
    assert_eq!(stage().step(51), "deadline");
    let written = json!({ "metadata": { "annotations": { names::TERMINATION_TIMESTAMP: at(110).to_string() } } });
    let keep = json!({ "metadata": { "annotations": { names::DO_NOT_DISRUPT: "true" } },
        "spec": { "terminationGracePeriodSeconds": 30 } });
    let kept = stage().with(written).pod(keep);
    assert_eq!(kept.step(70), "draining");
    assert_eq!(kept.call(85), Some(Call::Force(vec![("default".to_owned(), "p".to_owned(), 25)])));
}

#[test]
fn every_write_names_the_version_that_it_was_decided_upon() {
    let stages = [
        Stage::new().with(json!({ "metadata": { "finalizers": null } })),
        Stage::new().with(json!({ "metadata": { "annotations": null } })),
        Stage::new().holding(&["Launched"]).joined(json!({})),
        Stage::new().registered(json!([taint(names::RESERVED_TAINT)])),
        Stage::new().registered(json!([])).deleted(),
        Stage::new().shut().deleted(),
    ];
    for stage in stages {
        let version = match stage.call(60) {
            Some(Call::Patch(Write::Claim(patch)) | Call::Patch(Write::Status(patch))) => {
                (patch["metadata"]["resourceVersion"].clone(), json!("7"))
            }
            Some(Call::Patch(Write::Node(_, patch))) => (patch["metadata"]["resourceVersion"].clone(), json!("3")),
            other => (json!(format!("{other:?}")), json!("a patch")),
        };
        assert_eq!(version.0, version.1);
    }
}

#[test]
fn no_decision_is_repeated_at_once() {
    // What a step leaves behind must not ask for the same step again.
    let unknown = Stage::new().registered(json!([taint("node.kubernetes.io/not-ready")]));
    let Some(Call::Patch(Write::Status(patch))) = unknown.call(30) else { panic!("no status is written") };
    let after = Stage::new()
        .registered(json!([taint("node.kubernetes.io/not-ready")]))
        .with(json!({ "status": patch["status"] }));
    assert_eq!(after.step(31), format!("wait {}", Duration::from_secs(1).as_secs()));
}

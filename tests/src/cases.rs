//! Small random clusters with every rule that pods can have, as manifests.
//!
//! The same number gives the same case everywhere, so that answers can be
//! recorded by number.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use serde_json::{Map, Value, json};

const ZONE: &str = "topology.kubernetes.io/zone";
const HOST: &str = "kubernetes.io/hostname";
const CAPACITY: &str = "karpenter.sh/capacity-type";
const ARCH: &str = "kubernetes.io/arch";
const TEAM: &str = "example.com/team";
const ZONES: [&str; 3] = ["a", "b", "c"];
const APPS: [&str; 3] = ["web", "db", "job"];

/// A case: its objects, and the rules that its pods carry.
pub struct Case {
    /// Every object.
    pub objects: Vec<Value>,
    /// Rules per pod shape.
    pub rules: Vec<BTreeSet<&'static str>>,
}

impl Case {
    /// The objects as one line of JSON.
    pub fn list(&self) -> String {
        json!({ "apiVersion": "v1", "kind": "List", "items": self.objects }).to_string()
    }
}

/// The types that every case launches from, in the kwok provider's form.
pub fn catalog() -> Value {
    let kinds = [
        ("small", "amd64", 2, 0.1),
        ("medium", "amd64", 4, 0.19),
        ("large", "amd64", 8, 0.4),
        ("lean", "arm64", 4, 0.15),
    ];
    let kind = |(name, arch, cpu, price): &(&str, &str, i32, f64)| {
        let offering = |capacity: &str, price: f64| {
            json!({ "Price": price, "Available": true, "Requirements": [
                { "key": CAPACITY, "operator": "In", "values": [capacity] },
                { "key": ZONE, "operator": "In", "values": ZONES },
            ] })
        };
        json!({
            "name": name, "architecture": arch, "operatingSystems": ["linux"],
            "resources": { "cpu": cpu.to_string(), "memory": format!("{}Gi", cpu * 4) },
            "offerings": [offering("on-demand", *price), offering("spot", price / 2.0)],
        })
    };
    Value::Array(kinds.iter().map(kind).collect())
}

/// Case number `seed`.
pub fn case(seed: u64) -> Case {
    let mut maker = Maker { rng: Rng::with_seed(seed), objects: Vec::new(), rules: Vec::new() };
    maker.pools();
    maker.nodes();
    for kind in 0..maker.rng.usize(1..5) {
        maker.workload(kind);
    }
    Case { objects: maker.objects, rules: maker.rules }
}

struct Maker {
    rng: Rng,
    objects: Vec<Value>,
    rules: Vec<BTreeSet<&'static str>>,
}

impl Maker {
    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.rng.usize(0..from.len())]
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.u32(0..100) < percent
    }

    fn pools(&mut self) {
        let count = if self.chance(40) { 2 } else { 1 };
        for index in 0..count {
            let mut requirements = Vec::new();
            if self.chance(30) {
                let zones: Vec<&str> = ZONES.iter().copied().take(self.rng.usize(1..4)).collect();
                requirements.push(json!({ "key": ZONE, "operator": "In", "values": zones }));
            }
            if self.chance(50) {
                requirements.push(json!({ "key": CAPACITY, "operator": "In", "values": ["on-demand"] }));
            }
            if self.chance(40) {
                requirements.push(json!({ "key": ARCH, "operator": "In", "values": ["amd64"] }));
            }
            if self.chance(30) {
                requirements.push(json!({ "key": TEAM, "operator": "In", "values": ["x", "y"] }));
            }
            let mut template = json!({
                "nodeClassRef": { "group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "default" },
                "requirements": requirements,
            });
            if index == 1 && self.chance(50) {
                let effect = self.pick(&["NoSchedule", "PreferNoSchedule"]);
                template["taints"] = json!([{ "key": "dedicated", "value": "gold", "effect": effect }]);
            }
            // The scheduler that cases are compared with expects limits.
            let limit = if self.chance(15) { 12 } else { 1_000_000 };
            let mut spec = json!({ "template": { "spec": template }, "limits": { "cpu": limit.to_string() } });
            if self.chance(30) {
                spec["weight"] = json!(self.rng.u32(1..4));
            }
            let name = ["general", "special"][index];
            self.objects.push(json!({
                "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": { "name": name }, "spec": spec,
            }));
        }
    }

    fn nodes(&mut self) {
        for index in 0..self.rng.usize(0..3) {
            let name = format!("node-{index}");
            let zone = self.pick(&ZONES);
            let resources = json!({ "cpu": "4", "memory": "8Gi", "pods": "20" });
            self.objects.push(json!({
                "apiVersion": "v1", "kind": "Node",
                "metadata": { "name": name, "labels": {
                    ZONE: zone, HOST: name, ARCH: "amd64", "kubernetes.io/os": "linux", CAPACITY: "on-demand" } },
                "spec": { "providerID": format!("test://{name}") },
                "status": { "capacity": resources, "allocatable": resources,
                    "conditions": [{ "type": "Ready", "status": "True" }] },
            }));
            for number in 0..self.rng.usize(0..3) {
                let app = self.pick(&APPS);
                let (cpu, repels) = (self.pick(&["100m", "500m", "1"]), self.chance(25));
                let mut spec = json!({ "nodeName": name, "containers": [{ "name": "c", "image": "example/app",
                    "resources": { "requests": { "cpu": cpu, "memory": "256Mi" } } }] });
                if repels {
                    let (key, other) = (self.pick(&[ZONE, HOST]), self.pick(&APPS));
                    spec["affinity"] = json!({ "podAntiAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": [term(key, other)] } });
                }
                self.objects.push(json!({
                    "apiVersion": "v1", "kind": "Pod",
                    "metadata": { "name": format!("running-{index}-{number}"), "namespace": "default", "labels": { "app": app } },
                    "spec": spec, "status": { "phase": "Running" },
                }));
            }
        }
    }

    fn workload(&mut self, kind: usize) {
        let app = self.pick(&APPS);
        let mut rules: BTreeSet<&'static str> = BTreeSet::new();
        let mut container = json!({ "name": "c", "image": "example/app", "resources": { "requests": {
            "cpu": self.pick(&["100m", "400m", "1", "1900m", "3"]), "memory": self.pick(&["128Mi", "1Gi", "3Gi"]) } } });
        let mut spec = Map::new();
        if self.chance(10) {
            rules.insert("hostPort");
            container["ports"] = json!([{ "containerPort": 80, "hostPort": 8080 }]);
        }
        self.selector(&mut spec, &mut rules);
        self.spread(app, &mut spec, &mut rules);
        self.affinity(app, &mut spec, &mut rules);
        if self.chance(25) {
            rules.insert("toleration");
            spec.insert("tolerations".into(), json!([{ "key": "dedicated", "operator": "Exists" }]));
        }
        if self.chance(8) {
            rules.insert("volume");
            self.claim(kind, &mut spec);
        }
        spec.insert("containers".into(), json!([container]));
        for number in 0..self.rng.usize(1..6) {
            self.objects.push(json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": { "name": format!("pod-{kind}-{number}"), "namespace": "default", "labels": { "app": app } },
                "spec": spec,
                "status": { "phase": "Pending", "conditions": [
                    { "type": "PodScheduled", "status": "False", "reason": "Unschedulable" }] },
            }));
        }
        self.rules.push(rules);
    }

    fn selector(&mut self, spec: &mut Map<String, Value>, rules: &mut BTreeSet<&'static str>) {
        if self.chance(20) {
            rules.insert("nodeSelector");
            let zone = self.pick(&ZONES);
            let (key, value) =
                self.pick(&[(ZONE, zone), (CAPACITY, "on-demand"), (CAPACITY, "spot"), (ARCH, "arm64"), (TEAM, "x")]);
            spec.insert("nodeSelector".into(), json!({ key: value }));
        }
    }

    fn spread(&mut self, app: &str, spec: &mut Map<String, Value>, rules: &mut BTreeSet<&'static str>) {
        if !self.chance(35) {
            return;
        }
        let mut constraints = Vec::new();
        for key in [ZONE, HOST, CAPACITY] {
            if !self.chance(45) {
                continue;
            }
            let soft = self.chance(25);
            rules.insert(match (key, soft) {
                (_, true) => "scheduleAnyway",
                (ZONE, _) => "zoneSpread",
                (HOST, _) => "hostnameSpread",
                _ => "capacitySpread",
            });
            let target = if self.chance(80) { app } else { self.pick(&APPS) };
            let mut constraint = json!({
                "maxSkew": self.rng.u32(1..3), "topologyKey": key,
                "whenUnsatisfiable": if soft { "ScheduleAnyway" } else { "DoNotSchedule" },
                "labelSelector": { "matchLabels": { "app": target } },
            });
            if key == ZONE && !soft && self.chance(20) {
                rules.insert("minDomains");
                constraint["minDomains"] = json!(self.rng.u32(2..5));
            }
            constraints.push(constraint);
        }
        if !constraints.is_empty() {
            spec.insert("topologySpreadConstraints".into(), Value::Array(constraints));
        }
    }

    fn affinity(&mut self, app: &str, spec: &mut Map<String, Value>, rules: &mut BTreeSet<&'static str>) {
        let mut affinity: BTreeMap<&str, Value> = BTreeMap::new();
        for (kind, required, wished) in [
            ("podAffinity", "podAffinity", "preferredPodAffinity"),
            ("podAntiAffinity", "podAntiAffinity", "preferredPodAntiAffinity"),
        ] {
            if !self.chance(20) {
                continue;
            }
            let key = self.pick(&[ZONE, HOST]);
            let target = if self.chance(60) { app } else { self.pick(&APPS) };
            if self.chance(65) {
                rules.insert(required);
                affinity.insert(kind, json!({ "requiredDuringSchedulingIgnoredDuringExecution": [term(key, target)] }));
            } else {
                rules.insert(wished);
                let weighted = json!({ "weight": 10, "podAffinityTerm": term(key, target) });
                affinity.insert(kind, json!({ "preferredDuringSchedulingIgnoredDuringExecution": [weighted] }));
            }
        }
        if self.chance(20) {
            let zone = self.pick(&ZONES);
            let operator = self.pick(&["In", "NotIn"]);
            let expressions = json!({ "matchExpressions": [{ "key": ZONE, "operator": operator, "values": [zone] }] });
            if self.chance(50) {
                rules.insert("nodeAffinity");
                affinity.insert(
                    "nodeAffinity",
                    json!({ "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [expressions] } }),
                );
            } else {
                rules.insert("preferredNodeAffinity");
                affinity.insert(
                    "nodeAffinity",
                    json!({ "preferredDuringSchedulingIgnoredDuringExecution": [
                    { "weight": 5, "preference": expressions }] }),
                );
            }
        }
        if !affinity.is_empty() {
            spec.insert("affinity".into(), json!(affinity));
        }
    }

    /// A bound claim, whose volume is in one zone.
    fn claim(&mut self, kind: usize, spec: &mut Map<String, Value>) {
        let name = format!("data-{kind}");
        let zone = self.pick(&ZONES);
        self.objects.push(json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": name },
            "spec": { "capacity": { "storage": "1Gi" }, "csi": { "driver": "disk.example.com", "volumeHandle": name },
                "nodeAffinity": { "required": { "nodeSelectorTerms": [{ "matchExpressions": [
                    { "key": ZONE, "operator": "In", "values": [zone] }] }] } } },
        }));
        self.objects.push(json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": { "name": name, "namespace": "default",
                "annotations": { "pv.kubernetes.io/bind-completed": "yes" } },
            "spec": { "volumeName": name, "storageClassName": "disk" }, "status": { "phase": "Bound" },
        }));
        spec.insert("volumes".into(), json!([{ "name": "data", "persistentVolumeClaim": { "claimName": name } }]));
    }
}

fn term(key: &str, app: &str) -> Value {
    json!({ "topologyKey": key, "labelSelector": { "matchLabels": { "app": app } } })
}

/// How often each rule and each pair of rules came up in one pod.
pub fn coverage(cases: impl Iterator<Item = Case>) -> BTreeMap<(&'static str, &'static str), usize> {
    let mut counts = BTreeMap::new();
    for rules in cases.flat_map(|case| case.rules) {
        for a in &rules {
            for b in rules.iter().filter(|b| *b >= a) {
                *counts.entry((*a, *b)).or_default() += 1;
            }
        }
    }
    counts
}

/// Every rule that cases are made of.
pub const RULES: [&str; 15] = [
    "capacitySpread",
    "hostPort",
    "hostnameSpread",
    "minDomains",
    "nodeAffinity",
    "nodeSelector",
    "podAffinity",
    "podAntiAffinity",
    "preferredNodeAffinity",
    "preferredPodAffinity",
    "preferredPodAntiAffinity",
    "scheduleAnyway",
    "toleration",
    "volume",
    "zoneSpread",
];

/// Pairs that one pod never carries together.
pub const EXCLUSIVE: [(&str, &str); 3] = [
    ("nodeAffinity", "preferredNodeAffinity"),
    ("podAffinity", "preferredPodAffinity"),
    ("podAntiAffinity", "preferredPodAntiAffinity"),
];

//! What a plan costs once the real kube-scheduler has bound the pods.
//!
//! ```text
//! regret PODS [SEED]
//! ```
//!
//! The pods wait before any node is there. Then the planned nodes come: all at
//! once; one by one; held behind a startup taint and released one by one, each
//! after its pods were nominated to it; or each behind a taint of its own that its
//! pods are made to tolerate. Once nothing moves any more, pods that found no room
//! are planned again, and what their nodes cost is the regret. Ends with 1 where
//! tolerations leave more than one percent of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::{Value, json};
use stowage_tests::control_plane::{self, ControlPlane};
use stowage_tests::nodes::planned;
use stowage_tests::stage::{PODS, names};
use stowage_tests::{Failure, cases, planner};

const NODES: &str = "/api/v1/nodes";
const HELD: &str = "stowage.sh/planned";
/// The scheduler is taken to be done when it has bound nobody for so long. A pod
/// that failed is tried again after at most ten seconds, or when something changes
/// that could help it.
const QUIET: Duration = Duration::from_secs(11);

/// What the best steering may cost, as a share of the plan's price.
const MOST_REGRET: f64 = 0.01;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Steering {
    Together,
    OneByOne,
    Nominated,
    Tolerated,
}

const ALL: [(&str, Steering); 4] = [
    ("nothing set, nodes together", Steering::Together),
    ("nothing set, nodes one by one", Steering::OneByOne),
    ("nominated node by node", Steering::Nominated),
    ("tolerated by pod", Steering::Tolerated),
];

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("regret: {error}");
            ExitCode::from(70)
        }
    }
}

fn run() -> Result<bool, Failure> {
    let mut kept = true;
    let count: usize = std::env::args().nth(1).ok_or("say how many pods")?.parse()?;
    let seed: u64 = std::env::args().nth(2).map_or(Ok(1), |seed| seed.parse())?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no root")?;
    let tools = control_plane::tools(root)?;
    let stowage = planner::build(root)?;
    let types = std::env::temp_dir().join(format!("stowage-regret-{}.json", std::process::id()));
    std::fs::write(&types, cases::catalog().to_string())?;
    println!("| {count} pods | steering | bound | as planned | extra | regret | seconds |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for (name, pods) in [("sizes only", plain(count, seed)), ("with rules and priorities", ruled(count, seed))] {
        let objects: Vec<Value> = pods.iter().chain([&pool()]).cloned().collect();
        let plan = planner::plan(&stowage, &types, &list(&objects))?;
        for (how, steering) in ALL {
            let plane = ControlPlane::start(&tools)?;
            let trial = Trial { plane: &plane, plan: &plan, pods: &pods };
            let started = Instant::now();
            let bound = trial.run(steering)?;
            let seconds = (started.elapsed().saturating_sub(QUIET)).as_secs_f64();
            let host = trial.host();
            let as_planned = bound.iter().filter(|(pod, node)| host.get(*pod) == Some(node)).count();
            let extra = trial.extra(&stowage, &types, &bound)?;
            let price = plan["summary"]["hourlyPrice"].as_f64().unwrap_or_default();
            kept = kept && (steering != Steering::Tolerated || extra <= MOST_REGRET * price);
            println!(
                "| {name} | {how} | {} of {} | {as_planned} | ${extra:.3}/h | {:.2} % | {seconds:.0} |",
                bound.len(),
                host.len(),
                100.0 * extra / price
            );
        }
    }
    std::fs::remove_file(&types)?;
    Ok(kept)
}

fn list(objects: &[Value]) -> String {
    json!({ "apiVersion": "v1", "kind": "List", "items": objects }).to_string()
}

fn pool() -> Value {
    json!({ "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": { "name": "general" },
        "spec": { "template": { "spec": {
            "nodeClassRef": { "group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "default" },
            "requirements": [{ "key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand"] }],
        } } } })
}

fn pod(name: String, app: &str, cpu: i64, memory: i64, rules: &Value) -> Value {
    let mut spec = rules.clone();
    spec["containers"] = json!([{ "name": "main", "image": "none",
        "resources": { "requests": { "cpu": format!("{cpu}m"), "memory": format!("{memory}Mi") } } }]);
    json!({ "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "namespace": "default", "labels": { "app": app } }, "spec": spec })
}

/// Pods of many sizes without rules.
fn plain(count: usize, seed: u64) -> Vec<Value> {
    let mut rng = Rng::with_seed(seed);
    let size = |rng: &mut Rng| (rng.i64(1..30) * 50, rng.i64(1..30) * 100);
    let sizes: Vec<(i64, i64)> = (0..20).map(|_| size(&mut rng)).collect();
    (0..count)
        .map(|n| {
            let (cpu, memory) = sizes[rng.usize(0..sizes.len())];
            pod(format!("plain-{n:05}"), "plain", cpu, memory, &json!({}))
        })
        .collect()
}

/// Workloads that spread, gather, avoid themselves, or matter more than others.
fn ruled(count: usize, seed: u64) -> Vec<Value> {
    let mut rng = Rng::with_seed(seed);
    let mut pods = Vec::new();
    let mut workload = 0;
    while pods.len() < count {
        let app = format!("app-{workload:03}");
        let own = json!({ "matchLabels": { "app": app } });
        let term = |key: &str| json!([{ "topologyKey": key, "labelSelector": own }]);
        let spread = |key: &str| {
            json!({ "topologySpreadConstraints": [{ "maxSkew": 1, "topologyKey": key,
                "whenUnsatisfiable": "DoNotSchedule", "labelSelector": own }] })
        };
        let (rules, most) = match workload % 6 {
            0 => (spread("topology.kubernetes.io/zone"), 40),
            1 => (spread("kubernetes.io/hostname"), 12),
            2 => (
                json!({ "affinity": { "podAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": term("topology.kubernetes.io/zone") } } }),
                30,
            ),
            3 => (
                json!({ "affinity": { "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": term("kubernetes.io/hostname") } } }),
                12,
            ),
            4 => (json!({ "priority": 1000, "priorityClassName": "important" }), 30),
            _ => (json!({}), 40),
        };
        let (cpu, memory) = (rng.i64(1..25) * 50, rng.i64(1..25) * 100);
        let replicas = rng.usize(4..most).min(count - pods.len());
        pods.extend((0..replicas).map(|n| pod(format!("{app}-{n:03}"), &app, cpu, memory, &rules)));
        workload += 1;
    }
    pods
}

struct Trial<'a> {
    plane: &'a ControlPlane,
    plan: &'a Value,
    pods: &'a [Value],
}

impl Trial<'_> {
    /// The planned node of each pod.
    fn host(&self) -> BTreeMap<String, String> {
        let nodes = self.plan["nodes"].as_array().into_iter().flatten().enumerate();
        nodes.flat_map(|(index, node)| names(&node["pods"]).map(move |pod| (pod, name(index)))).collect()
    }

    /// Lets the scheduler work; says who ended where.
    fn run(&self, steering: Steering) -> Result<BTreeMap<String, String>, Failure> {
        let class = json!({ "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
            "metadata": { "name": "important" }, "value": 1000, "preemptionPolicy": "Never" });
        self.plane.create("/apis/scheduling.k8s.io/v1/priorityclasses", &class)?;
        for pod in self.pods {
            self.plane.create(PODS, pod)?;
        }
        let pool = pool();
        let pools = BTreeMap::from([("general", &pool)]);
        let nodes: Vec<Value> = self.plan["nodes"].as_array().cloned().unwrap_or_default();
        for (index, node) in nodes.iter().enumerate() {
            let mut object = planned(&name(index), node, &pools);
            if matches!(steering, Steering::Nominated | Steering::Tolerated) {
                object["spec"]["taints"] = json!([{ "key": HELD, "value": name(index), "effect": "NoSchedule" }]);
            }
            self.plane.create(NODES, &object)?;
            if steering == Steering::OneByOne {
                self.settle(Duration::from_millis(300))?;
            }
        }
        match steering {
            Steering::Together | Steering::OneByOne => {}
            Steering::Nominated => self.nominate(&nodes)?,
            Steering::Tolerated => self.tolerate()?,
        }
        self.settle(QUIET)
    }

    /// Node by node: nominate its pods, then drop its taint.
    fn nominate(&self, nodes: &[Value]) -> Result<(), Failure> {
        for (index, node) in nodes.iter().enumerate() {
            let bound = self.bound()?;
            for pod in names(&node["pods"]).filter(|pod| !bound.contains_key(pod)) {
                let change = json!({ "status": { "nominatedNodeName": name(index) } });
                // Bound in the meantime: its place is free for others.
                drop(self.plane.patch(&format!("{}/status", path(&pod)), &change));
            }
            self.plane.patch(&format!("{NODES}/{}", name(index)), &json!({ "spec": { "taints": null } }))?;
            self.settle(Duration::from_millis(300))?;
        }
        Ok(())
    }

    /// Wave by wave: make pods tolerate what keeps others off their node.
    fn tolerate(&self) -> Result<(), Failure> {
        let host = self.host();
        let waves: Vec<Vec<String>> =
            self.plan["waves"].as_array().into_iter().flatten().map(|wave| names(wave).collect()).collect();
        let later: BTreeSet<&String> = waves.iter().flatten().collect();
        let mut order: Vec<String> = names(&self.plan["order"]).collect();
        order.extend(host.keys().filter(|pod| !order.contains(pod)).cloned().collect::<Vec<_>>());
        let first: Vec<String> = order.into_iter().filter(|pod| !later.contains(pod)).collect();
        for wave in std::iter::once(&first).chain(&waves) {
            for pod in wave {
                let seen = self.plane.get(&path(pod))?;
                let mut tolerations = seen["spec"]["tolerations"].as_array().cloned().unwrap_or_default();
                tolerations
                    .push(json!({ "key": HELD, "operator": "Equal", "value": host[pod], "effect": "NoSchedule" }));
                self.plane.patch(&path(pod), &json!({ "spec": { "tolerations": tolerations } }))?;
            }
            self.settle(Duration::from_millis(500))?;
        }
        Ok(())
    }

    fn bound(&self) -> Result<BTreeMap<String, String>, Failure> {
        let seen = self.plane.get(PODS)?;
        let pods = seen["items"].as_array().into_iter().flatten();
        let host = |pod: &Value| {
            let name = pod["metadata"]["name"].as_str()?;
            Some((format!("default/{name}"), pod["spec"]["nodeName"].as_str()?.to_owned()))
        };
        Ok(pods.filter_map(host).collect())
    }

    /// Waits until nobody was bound for `quiet`, or everybody is bound.
    fn settle(&self, quiet: Duration) -> Result<BTreeMap<String, String>, Failure> {
        self.plane.quiet(quiet, self.pods.len(), || Ok(self.bound()?.len()))?;
        self.bound()
    }

    /// What new nodes for the others cost.
    fn extra(&self, stowage: &Path, types: &Path, bound: &BTreeMap<String, String>) -> Result<f64, Failure> {
        let placed = self.host();
        let left = |pod: &&Value| placed.contains_key(&full_name(pod)) && !bound.contains_key(&full_name(pod));
        if !self.pods.iter().any(|pod| left(&pod)) {
            return Ok(0.0);
        }
        let mut objects: Vec<Value> = vec![pool()];
        let pool = pool();
        let pools = BTreeMap::from([("general", &pool)]);
        let nodes = self.plan["nodes"].as_array().into_iter().flatten().enumerate();
        objects.extend(nodes.map(|(index, node)| planned(&name(index), node, &pools)));
        for pod in self.pods {
            let mut pod = pod.clone();
            match bound.get(&full_name(&pod)) {
                Some(node) => pod["spec"]["nodeName"] = json!(node),
                None if left(&&pod) => {}
                None => continue,
            }
            objects.push(pod);
        }
        let plan = planner::plan(stowage, types, &list(&objects))?;
        Ok(plan["summary"]["hourlyPrice"].as_f64().unwrap_or_default())
    }
}

fn name(index: usize) -> String {
    format!("planned-{index:04}")
}

fn full_name(pod: &Value) -> String {
    format!("default/{}", pod["metadata"]["name"].as_str().unwrap_or_default())
}

fn path(pod: &str) -> String {
    format!("{PODS}/{}", pod.trim_start_matches("default/"))
}

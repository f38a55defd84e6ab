//! A control plane with a simulated cloud and controllers, each a process of its
//! own that ends with this value.

use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::control_plane::ControlPlane;
use crate::{Failure, cases};

/// A cluster that buys its own nodes.
pub struct Live {
    /// The API server.
    pub plane: ControlPlane,
    stowage: PathBuf,
    cloud: Option<Child>,
    cloud_address: String,
    controllers: Vec<Option<Child>>,
    /// Where each controller serves its metrics.
    metrics: Vec<String>,
}

impl Drop for Live {
    fn drop(&mut self) {
        for child in self.controllers.iter_mut().flatten().chain(&mut self.cloud) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Builds the binary with its controller.
pub fn build(root: &Path) -> Result<PathBuf, Failure> {
    let args = ["build", "--quiet", "-p", "stowage-cli", "--features", "controller"];
    if !Command::new("cargo").args(args).current_dir(root).status()?.success() {
        return Err("the controller does not build".into());
    }
    Ok(root.join("target/debug/stowage"))
}

/// The same with optimisation, for measuring.
pub fn build_release(root: &Path) -> Result<PathBuf, Failure> {
    let args = ["build", "--quiet", "--release", "-p", "stowage-cli", "--features", "controller"];
    if !Command::new("cargo").args(args).current_dir(root).status()?.success() {
        return Err("the controller does not build".into());
    }
    Ok(root.join("target/release/stowage"))
}

impl Live {
    /// Starts everything but a controller.
    pub fn start(stowage: &Path, tools: &Path, behaviour: &Value) -> Result<Self, Failure> {
        Self::start_with(stowage, tools, behaviour, &cases::catalog())
    }

    /// The same with other types.
    pub fn start_with(stowage: &Path, tools: &Path, behaviour: &Value, types: &Value) -> Result<Self, Failure> {
        let mut plane = ControlPlane::start(tools)?;
        plane.manage(tools)?;
        let definitions = Command::new(stowage).arg("crds").output()?;
        let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        for text in String::from_utf8(definitions.stdout)?.split("---\n").filter(|text| !text.trim().is_empty()) {
            plane.create_yaml(path, text)?;
        }
        for list in
            ["karpenter.sh/v1/nodepools", "karpenter.sh/v1/nodeclaims", "karpenter.kwok.sh/v1alpha1/kwoknodeclasses"]
        {
            plane.wait(list, |plane| Ok(plane.get(&format!("/apis/{list}")).is_ok()))?;
        }
        std::fs::write(plane.folder().join("types.json"), types.to_string())?;
        std::fs::write(plane.folder().join("behaviour.json"), behaviour.to_string())?;
        let address = format!("127.0.0.1:{}", free_port()?);
        let mut live = Self {
            plane,
            stowage: stowage.to_owned(),
            cloud: None,
            cloud_address: address,
            controllers: Vec::new(),
            metrics: Vec::new(),
        };
        let behaviour = live.plane.folder().join("behaviour.json").display().to_string();
        let address = live.cloud_address.clone();
        live.cloud = Some(live.run("cloud", &["simulated-cloud", "--listen", &address, "--behaviour", &behaviour])?);
        let ledger = |live: &Self| live.ledger().is_ok();
        live.plane.wait("the simulated cloud", |_| Ok(ledger(&live)))?;
        let class = json!({ "apiVersion": "karpenter.kwok.sh/v1alpha1", "kind": "KWOKNodeClass",
            "metadata": { "name": "default" }, "spec": {} });
        live.plane.create("/apis/karpenter.kwok.sh/v1alpha1/kwoknodeclasses", &class)?;
        Ok(live)
    }

    fn run(&self, name: &str, args: &[&str]) -> Result<Child, Failure> {
        self.run_as(name, args, &self.plane.kubeconfig())
    }

    fn run_as(&self, name: &str, args: &[&str], kubeconfig: &Path) -> Result<Child, Failure> {
        let log = std::fs::File::create(self.plane.folder().join(format!("{name}.log")))?;
        let mut command = Command::new(&self.stowage);
        command.args(args).env("KUBECONFIG", kubeconfig).env("HOSTNAME", name);
        // As defaults, which a scenario's own flags override.
        command.env("BATCH_IDLE_DURATION", "300ms");
        Ok(command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?)
    }

    /// Starts a controller; returns its number.
    pub fn controller(&mut self, more: &[&str]) -> Result<usize, Failure> {
        let kubeconfig = self.plane.kubeconfig();
        self.controller_as(more, &kubeconfig)
    }

    /// Starts a controller that is somebody.
    pub fn controller_as(&mut self, more: &[&str], kubeconfig: &Path) -> Result<usize, Failure> {
        let types = self.plane.folder().join("types.json").display().to_string();
        let metrics = format!("127.0.0.1:{}", free_port()?);
        let probes = format!("127.0.0.1:{}", free_port()?);
        let mut args = vec![
            "controller",
            "--cluster-name",
            "test",
            "--catalog",
            &types,
            "--simulated-cloud",
            &self.cloud_address,
            "--metrics-address",
            &metrics,
            "--health-probe-address",
            &probes,
            "--lease-duration",
            "4s",
        ];
        args.extend(more);
        let number = self.controllers.len();
        let child = self.run_as(&format!("controller-{number}"), &args, kubeconfig)?;
        self.controllers.push(Some(child));
        self.metrics.push(metrics);
        Ok(number)
    }

    /// Starts Karpenter with its kwok provider; returns its number.
    pub fn karpenter(&mut self, binary: &Path) -> Result<usize, Failure> {
        let number = self.controllers.len();
        let log = std::fs::File::create(self.plane.folder().join(format!("controller-{number}.log")))?;
        let (metrics, probes) = (free_port()?, free_port()?);
        let child = Command::new(binary)
            .env("KUBECONFIG", self.plane.kubeconfig())
            .env("DISABLE_LEADER_ELECTION", "true")
            .env("METRICS_PORT", metrics.to_string())
            .env("HEALTH_PROBE_PORT", probes.to_string())
            .env("INSTANCE_TYPES_FILE_PATH", self.plane.folder().join("types.json"))
            .env("SYSTEM_NAMESPACE", "kube-system")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        self.controllers.push(Some(child));
        self.metrics.push(format!("127.0.0.1:{metrics}"));
        Ok(number)
    }

    /// Whether a controller serves its metrics and made the pool ready.
    pub fn is_ready(&self, number: usize) -> Result<bool, Failure> {
        let pool = self.plane.get("/apis/karpenter.sh/v1/nodepools/default")?;
        let conditions = pool["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let ready = conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True");
        Ok(ready && agent().get(format!("http://{}/metrics", self.metrics[number])).call().is_ok())
    }

    /// Pods of the default namespace that have a node.
    pub fn bound(&self) -> Result<usize, Failure> {
        let pods = self.list("/api/v1/namespaces/default/pods")?;
        Ok(pods.iter().filter(|pod| pod["spec"]["nodeName"].is_string()).count())
    }

    /// The most memory that a controller has used, in MB.
    pub fn memory(&self, number: usize) -> Result<f64, Failure> {
        let child = self.controllers.get(number).and_then(Option::as_ref).ok_or("no such controller")?;
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
        Ok(line.trim().trim_end_matches(" kB").trim().parse::<f64>()? / 1024.0)
    }

    /// Ends the cloud and begins another, as somebody else.
    pub fn cloud_as(&mut self, kubeconfig: &Path) -> Result<(), Failure> {
        if let Some(mut cloud) = self.cloud.take() {
            cloud.kill()?;
            cloud.wait()?;
        }
        let behaviour = self.plane.folder().join("behaviour.json").display().to_string();
        let address = self.cloud_address.clone();
        let args = ["simulated-cloud", "--listen", &address, "--behaviour", &behaviour];
        self.cloud = Some(self.run_as("cloud", &args, kubeconfig)?);
        self.until("the simulated cloud", |live| Ok(live.ledger().is_ok()))
    }

    /// Runs the binary on this cluster and gives what it prints.
    pub fn stowage(&self, args: &[&str], input: &str) -> Result<String, Failure> {
        let mut command = Command::new(&self.stowage);
        command.args(args).env("KUBECONFIG", self.plane.kubeconfig());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        child.stdin.take().ok_or("no standard input")?.write_all(input.as_bytes())?;
        let output = child.wait_with_output()?;
        if !output.status.success() {
            return Err(format!("{args:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// What the binary says of its flags.
    pub fn help(&self) -> Result<String, Failure> {
        Ok(String::from_utf8(Command::new(&self.stowage).args(["controller", "--help"]).output()?.stdout)?)
    }

    /// What a controller wrote.
    pub fn log(&self, number: usize) -> Result<String, Failure> {
        Ok(std::fs::read_to_string(self.plane.folder().join(format!("controller-{number}.log")))?)
    }

    /// Ends a controller as a power cut would.
    pub fn kill(&mut self, number: usize) -> Result<(), Failure> {
        if let Some(mut child) = self.controllers.get_mut(number).and_then(Option::take) {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// The cloud's own books.
    pub fn ledger(&self) -> Result<Value, Failure> {
        self.ask("/ledger")
    }

    /// Instances that are not gone.
    pub fn instances(&self) -> Result<Vec<Value>, Failure> {
        Ok(self.ask("/instances")?.as_array().cloned().unwrap_or_default())
    }

    fn ask(&self, path: &str) -> Result<Value, Failure> {
        let url = format!("http://{}{path}", self.cloud_address);
        Ok(serde_json::from_str(&agent().get(url).call()?.body_mut().read_to_string()?)?)
    }

    /// Launches an instance for a claim that does not exist.
    pub fn launch_behind_its_back(&self) -> Result<(), Failure> {
        let candidate = json!({ "instanceType": "small", "zone": "zone-a", "capacityType": "on-demand", "labels": {},
            "capacity": { "cpu": "2" }, "allocatable": { "cpu": "2" } });
        let request = json!({ "token": "t", "claimUid": "nobody", "claim": "nobody", "nodePool": "default",
            "candidates": [candidate], "labels": { "karpenter.sh/nodepool": "default" }, "taints": [] });
        let url = format!("http://{}/instances", self.cloud_address);
        agent().post(url).header("Content-Type", "application/json").send(request.to_string())?;
        Ok(())
    }

    /// Tells the cloud something that its owner would do.
    pub fn tell_cloud(&self, path: &str, body: &Value) -> Result<(), Failure> {
        let url = format!("http://{}{path}", self.cloud_address);
        agent().post(url).header("Content-Type", "application/json").send(body.to_string())?;
        Ok(())
    }

    /// The sum of a metric's lines that contain `label`, of the last controller.
    pub fn metric(&self, name: &str, label: &str) -> Result<f64, Failure> {
        self.metric_of(self.metrics.len().saturating_sub(1), name, label)
    }

    /// The same of one controller; nothing while it does not serve yet.
    pub fn metric_of(&self, number: usize, name: &str, label: &str) -> Result<f64, Failure> {
        let url = format!("http://{}/metrics", self.metrics[number]);
        let Ok(mut answer) = agent().get(url).call() else { return Ok(0.0) };
        let text = answer.body_mut().read_to_string()?;
        let own = text.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])) && line.contains(label)
        });
        Ok(own.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }

    /// The notes of all events with this reason.
    pub fn said(&self, reason: &str) -> Result<String, Failure> {
        let events = self.list("/apis/events.k8s.io/v1/events")?;
        let own = events.iter().filter(|event| event["reason"] == reason && event["reportingController"] == "stowage");
        Ok(own.filter_map(|event| event["note"].as_str()).collect::<Vec<_>>().join("\n"))
    }

    /// Items of a list.
    pub fn list(&self, path: &str) -> Result<Vec<Value>, Failure> {
        Ok(self.plane.get(path)?["items"].as_array().cloned().unwrap_or_default())
    }

    /// NodeClaims.
    pub fn claims(&self) -> Result<Vec<Value>, Failure> {
        self.list("/apis/karpenter.sh/v1/nodeclaims")
    }

    /// Nodes.
    pub fn nodes(&self) -> Result<Vec<Value>, Failure> {
        self.list("/api/v1/nodes")
    }

    /// Running pods of the default namespace.
    pub fn running(&self) -> Result<Vec<Value>, Failure> {
        let pods = self.list("/api/v1/namespaces/default/pods")?;
        let runs = |pod: &Value| pod["status"]["phase"] == "Running" && pod["metadata"]["deletionTimestamp"].is_null();
        Ok(pods.into_iter().filter(runs).collect())
    }

    /// Waits until so many pods run.
    pub fn until_running(&self, count: usize) -> Result<(), Failure> {
        self.until(&format!("{count} running pods"), |live| Ok(live.running()?.len() == count))
    }

    /// Waits until no node, claim or instance is left.
    pub fn until_nothing(&self) -> Result<(), Failure> {
        self.until("an empty cluster", |live| {
            Ok(live.claims()?.is_empty() && live.nodes()?.is_empty() && live.instances()?.is_empty())
        })
    }

    /// Waits until something holds.
    pub fn until(&self, what: &str, done: impl Fn(&Self) -> Result<bool, Failure>) -> Result<(), Failure> {
        self.plane.wait_for(what, Duration::from_secs(90), |_| done(self)).map_err(|error| {
            let copied = self.keep_logs();
            let logs = if copied.is_ok() { "logs are in target/scenarios" } else { "its logs were not kept" };
            format!("{error}; {logs}").into()
        })
    }

    /// Keeps what controllers and cloud wrote, in target/scenarios.
    pub fn keep_logs(&self) -> Result<(), std::io::Error> {
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/scenarios");
        std::fs::create_dir_all(&kept)?;
        let names = (0..self.controllers.len()).map(|n| format!("controller-{n}.log")).chain(["cloud.log".to_owned()]);
        for name in names {
            std::fs::copy(self.plane.folder().join(&name), kept.join(&name))?;
        }
        Ok(())
    }

    /// A NodePool that is fine.
    pub fn pool_object(&self, name: &str) -> Value {
        json!({
            "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": { "name": name },
            "spec": {
                "template": { "spec": {
                    "nodeClassRef": { "group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "default" },
                    "requirements": [
                        { "key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand"] },
                        { "key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"] },
                    ],
                } },
                "disruption": { "consolidateAfter": "1s", "budgets": [{ "nodes": "100%" }] },
            },
        })
    }

    /// A NodePool with these parts of its spec.
    pub fn pool(&self, name: &str, change: Value) -> Result<(), Failure> {
        let mut pool = self.pool_object(name);
        merge(&mut pool["spec"], change);
        drop(self.plane.create("/apis/karpenter.sh/v1/nodepools", &pool)?);
        Ok(())
    }

    /// A Deployment of pods that ask for so much CPU and memory, with these parts
    /// of the pod's spec.
    pub fn deployment(
        &self,
        name: &str,
        replicas: usize,
        (cpu, memory): (&str, &str),
        change: Value,
    ) -> Result<(), Failure> {
        self.deployment_with(name, replicas, (cpu, memory), change, json!({}))
    }

    /// The same with annotations on the pods.
    pub fn deployment_with(
        &self,
        name: &str,
        replicas: usize,
        (cpu, memory): (&str, &str),
        change: Value,
        annotations: Value,
    ) -> Result<(), Failure> {
        let mut spec = json!({
            "terminationGracePeriodSeconds": 1,
            "containers": [{ "name": "c", "image": "i", "resources": { "requests": { "cpu": cpu, "memory": memory } } }],
        });
        merge(&mut spec, change);
        let labels = json!({ "app": name });
        let object = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name },
            "spec": { "replicas": replicas, "selector": { "matchLabels": labels },
                "template": { "metadata": { "labels": labels, "annotations": annotations }, "spec": spec } },
        });
        drop(self.plane.create("/apis/apps/v1/namespaces/default/deployments", &object)?);
        Ok(())
    }

    /// Sets the number of replicas of a Deployment.
    pub fn scale(&self, name: &str, replicas: usize) -> Result<(), Failure> {
        let path = format!("/apis/apps/v1/namespaces/default/deployments/{name}");
        drop(self.plane.patch(&path, &json!({ "spec": { "replicas": replicas } }))?);
        Ok(())
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(5))).build().into()
}

/// Puts a change over a value, key by key.
pub fn merge(into: &mut Value, change: Value) {
    match (into, change) {
        (Value::Object(into), Value::Object(change)) => {
            for (key, value) in change {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, change) => *into = change,
    }
}

fn free_port() -> Result<u16, Failure> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

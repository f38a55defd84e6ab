//! A real control plane on loopback: etcd, kube-apiserver, kube-scheduler and,
//! where a test asks for it, kube-controller-manager; each a child process that
//! ends with this value.

use std::cell::Cell;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::Agent;

use crate::Failure;

static STARTED: AtomicUsize = AtomicUsize::new(0);
const TOKEN: &str = "test-admin";
/// How long anything may take to become true.
const PATIENCE: Duration = Duration::from_secs(60);

/// The control plane.
pub struct ControlPlane {
    children: Vec<Child>,
    folder: PathBuf,
    base: String,
    agent: Agent,
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl ControlPlane {
    /// Starts one from the binaries in `tools` (see tests/control-plane/build).
    pub fn start(tools: &Path) -> Result<Self, Failure> {
        let folder = std::env::temp_dir().join(format!(
            "stowage-control-plane-{}-{}",
            std::process::id(),
            STARTED.fetch_add(1, Ordering::Relaxed)
        ));
        std::fs::create_dir_all(&folder)?;
        let [client, peer, secure, scheduler] = free_ports()?;
        let tls = ureq::tls::TlsConfig::builder().disable_verification(true).build();
        let config = Agent::config_builder().tls_config(tls).http_status_as_error(false);
        let agent = config.timeout_global(Some(Duration::from_secs(20))).build().new_agent();
        let base = format!("https://127.0.0.1:{secure}");
        let mut plane = Self { children: Vec::new(), folder: folder.clone(), base, agent };
        let file = |name: &str, text: &str| -> Result<String, Failure> {
            let path = folder.join(name);
            std::fs::write(&path, text)?;
            Ok(path.display().to_string())
        };
        let tokens = file("tokens.csv", &format!("{TOKEN},admin,admin,system:masters\n"))?;
        // Who does what is kept of service accounts only.
        let audit = file(
            "audit.json",
            r#"{"apiVersion":"audit.k8s.io/v1","kind":"Policy","omitStages":["RequestReceived"],"rules":[
                {"level":"Metadata","userGroups":["system:serviceaccounts"]},{"level":"None"}]}"#,
        )?;
        let key = folder.join("service-accounts.key").display().to_string();
        let made = Command::new("openssl").args(["genrsa", "-out", &key, "2048"]).stderr(Stdio::null()).status()?;
        if !made.success() {
            return Err("openssl made no key".into());
        }
        let etcd = format!("http://127.0.0.1:{client}");
        let neighbour = format!("http://127.0.0.1:{peer}");
        plane.run(
            tools,
            "etcd",
            &[
                "--data-dir",
                &folder.join("etcd").display().to_string(),
                "--unsafe-no-fsync",
                "--listen-client-urls",
                &etcd,
                "--advertise-client-urls",
                &etcd,
                "--listen-peer-urls",
                &neighbour,
                "--initial-advertise-peer-urls",
                &neighbour,
                "--initial-cluster",
                &format!("default={neighbour}"),
                "--log-level",
                "error",
            ],
        )?;
        plane.run(
            tools,
            "kube-apiserver",
            &[
                "--etcd-servers",
                &etcd,
                "--bind-address",
                "127.0.0.1",
                "--secure-port",
                &secure.to_string(),
                "--cert-dir",
                &folder.join("certs").display().to_string(),
                "--token-auth-file",
                &tokens,
                "--service-account-issuer",
                "https://kubernetes.default.svc",
                "--service-account-key-file",
                &key,
                "--service-account-signing-key-file",
                &key,
                "--audit-policy-file",
                &audit,
                "--audit-log-path",
                &folder.join("audit.log").display().to_string(),
                "--authorization-mode",
                "RBAC",
                "--service-cluster-ip-range",
                "10.0.0.0/24",
                // No kubelet reports and no controller serves here.
                "--disable-admission-plugins",
                "ServiceAccount,TaintNodesByCondition,StorageObjectInUseProtection",
            ],
        )?;
        plane.wait("the API server", |plane| {
            Ok(plane.get("/readyz").is_ok_and(|_| plane.get("/api/v1/namespaces/default").is_ok()))
        })?;
        let kubeconfig = file(
            "kubeconfig",
            &format!(
                "apiVersion: v1\nkind: Config\ncurrent-context: test\ncontexts: [{{name: test, context: {{cluster: test, user: test}}}}]\n\
             clusters: [{{name: test, cluster: {{server: \"{}\", insecure-skip-tls-verify: true}}}}]\n\
             users: [{{name: test, user: {{token: {TOKEN}}}}}]\n",
                plane.base
            ),
        )?;
        plane.run(
            tools,
            "kube-scheduler",
            &[
                "--kubeconfig",
                &kubeconfig,
                "--authentication-kubeconfig",
                &kubeconfig,
                "--authorization-kubeconfig",
                &kubeconfig,
                "--leader-elect=false",
                "--bind-address",
                "127.0.0.1",
                "--secure-port",
                &scheduler.to_string(),
                "--cert-dir",
                &folder.join("scheduler-certs").display().to_string(),
                "--kube-api-qps",
                "1000",
                "--kube-api-burst",
                "1000",
            ],
        )?;
        Ok(plane)
    }

    /// Adds the controllers of workloads, budgets and namespaces, and the collector
    /// of what has no owner.
    pub fn manage(&mut self, tools: &Path) -> Result<(), Failure> {
        let [port, ..] = free_ports()?;
        let kubeconfig = self.kubeconfig().display().to_string();
        let controllers = "deployment-controller,replicaset-controller,statefulset-controller,daemonset-controller,\
            job-controller,disruption-controller,garbage-collector-controller,namespace-controller,\
            pod-garbage-collector-controller,serviceaccount-controller";
        self.run(
            tools,
            "kube-controller-manager",
            &[
                "--kubeconfig",
                &kubeconfig,
                "--authentication-kubeconfig",
                &kubeconfig,
                "--authorization-kubeconfig",
                &kubeconfig,
                "--leader-elect=false",
                "--controllers",
                controllers,
                "--bind-address",
                "127.0.0.1",
                "--secure-port",
                &port.to_string(),
                "--cert-dir",
                &self.folder.join("manager-certs").display().to_string(),
                "--kube-api-qps",
                "1000",
                "--kube-api-burst",
                "1000",
            ],
        )
    }

    /// How a service account connects.
    pub fn kubeconfig_of(&self, namespace: &str, account: &str) -> Result<PathBuf, Failure> {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
        let request =
            serde_json::json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {} });
        let token = self.create(&path, &request)?;
        let token = token["status"]["token"].as_str().ok_or("no token")?;
        let file = self.folder.join(format!("kubeconfig-{account}"));
        std::fs::write(&file, std::fs::read_to_string(self.kubeconfig())?.replace(TOKEN, token))?;
        Ok(file)
    }

    /// How clients connect.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    /// Where files of this control plane are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn run(&mut self, tools: &Path, name: &str, args: &[&str]) -> Result<(), Failure> {
        let log = std::fs::File::create(self.folder.join(format!("{name}.log")))?;
        let child = Command::new(tools.join(name))
            .args(args)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .map_err(|e| format!("{name} does not start: {e}; run tests/control-plane/build"))?;
        self.children.push(child);
        Ok(())
    }

    /// Waits until `done`.
    pub fn wait(&self, what: &str, done: impl Fn(&Self) -> Result<bool, Failure>) -> Result<(), Failure> {
        self.wait_for(what, PATIENCE, done)
    }

    /// Waits until `done`, which may take long.
    pub fn wait_for(
        &self,
        what: &str,
        patience: Duration,
        done: impl Fn(&Self) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let start = Instant::now();
        while !done(self)? {
            if start.elapsed() > patience {
                return Err(format!("{what}: nothing after {patience:?}").into());
            }
            std::thread::yield_now();
        }
        Ok(())
    }

    /// Waits until `count` is `all`, or has stayed what it is for `quiet`; returns it.
    pub fn quiet(
        &self,
        quiet: Duration,
        all: usize,
        count: impl Fn() -> Result<usize, Failure>,
    ) -> Result<usize, Failure> {
        let last = Cell::new((usize::MAX, Instant::now()));
        self.wait_for("the scheduler", Duration::from_secs(1200), |_| {
            let count = count()?;
            if last.get().0 != count {
                last.set((count, Instant::now()));
            }
            Ok(count == all || last.get().1.elapsed() > quiet)
        })?;
        Ok(last.get().0)
    }

    fn answered(&self, mut response: ureq::http::Response<ureq::Body>, what: &str) -> Result<Value, Failure> {
        let text = response.body_mut().read_to_string()?;
        if !response.status().is_success() {
            return Err(format!("{what}: {}: {text}", response.status()).into());
        }
        Ok(serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// Reads an object or a list.
    pub fn get(&self, path: &str) -> Result<Value, Failure> {
        let request = self.agent.get(format!("{}{path}", self.base));
        let response = request.header("Authorization", format!("Bearer {TOKEN}")).call()?;
        self.answered(response, path)
    }

    /// Creates an object.
    pub fn create(&self, path: &str, object: &Value) -> Result<Value, Failure> {
        let request = self.agent.post(format!("{}{path}", self.base));
        let request =
            request.header("Authorization", format!("Bearer {TOKEN}")).header("Content-Type", "application/json");
        let response = request.send(object.to_string())?;
        self.answered(response, &format!("create {path} {object}"))
    }

    /// Creates an object that is written in YAML.
    pub fn create_yaml(&self, path: &str, text: &str) -> Result<Value, Failure> {
        let request = self.agent.post(format!("{}{path}", self.base));
        let request =
            request.header("Authorization", format!("Bearer {TOKEN}")).header("Content-Type", "application/yaml");
        let response = request.header("Accept", "application/json").send(text)?;
        self.answered(response, &format!("create {path}"))
    }

    /// Puts a definition over one that is there, whoever owns it.
    pub fn apply_yaml(&self, path: &str, text: &str) -> Result<Value, Failure> {
        let request = self.agent.patch(format!("{}{path}?fieldManager=test&force=true", self.base));
        let request = request
            .header("Authorization", format!("Bearer {TOKEN}"))
            .header("Content-Type", "application/apply-patch+yaml");
        let response = request.header("Accept", "application/json").send(text)?;
        self.answered(response, &format!("apply {path}"))
    }

    /// Changes parts of an object, by a merge patch.
    pub fn patch(&self, path: &str, change: &Value) -> Result<Value, Failure> {
        let request = self.agent.patch(format!("{}{path}", self.base));
        let request = request
            .header("Authorization", format!("Bearer {TOKEN}"))
            .header("Content-Type", "application/merge-patch+json");
        let response = request.send(change.to_string())?;
        self.answered(response, &format!("patch {path} {change}"))
    }

    /// Deletes an object, or everything of a collection, at once.
    pub fn delete(&self, path: &str) -> Result<(), Failure> {
        self.delete_politely(&format!("{path}?gracePeriodSeconds=0"))
    }

    /// Deletes an object with the grace that it asks for.
    pub fn delete_politely(&self, path: &str) -> Result<(), Failure> {
        let request = self.agent.delete(format!("{}{path}", self.base));
        let response = request.header("Authorization", format!("Bearer {TOKEN}")).call()?;
        self.answered(response, path).map(|_| ())
    }
}

/// Builds the binaries, or finds them built, and says where they are.
pub fn tools(root: &Path) -> Result<PathBuf, Failure> {
    built(root, "control-plane")
}

/// Builds the tools of a folder of `tests`, or finds them built, and says where
/// they are.
pub fn built(root: &Path, folder: &str) -> Result<PathBuf, Failure> {
    let built = Command::new(root.join("tests").join(folder).join("build")).stderr(Stdio::inherit()).output()?;
    if !built.status.success() {
        return Err(format!("tests/{folder} does not build; is Go installed?").into());
    }
    Ok(PathBuf::from(String::from_utf8(built.stdout)?.trim()))
}

fn free_ports() -> Result<[u16; 4], Failure> {
    let listeners: Vec<TcpListener> = (0..4).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    let mut ports = [0; 4];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

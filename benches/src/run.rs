//! Running both sides and reading what they say.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;

pub const HEADER: &str = "\
| input | pods | cost ÷ bound | $/h | bound | peer $/h | cost ÷ peer | s | peer s | time ÷ peer | MB | end | judged |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |";

/// One input for both.
pub struct Row {
    pub name: String,
    /// Made when its turn comes: a hundred thousand pods as JSON are large.
    pods: Box<dyn Fn() -> Value>,
    types: Value,
    peer: bool,
}

impl Row {
    pub fn new(name: &str, types: &Value, pods: impl Fn() -> Value + 'static) -> Self {
        Self { name: name.to_owned(), pods: Box::new(pods), types: types.clone(), peer: true }
    }

    /// The peer would take too long.
    pub fn without_peer(self) -> Self {
        Self { peer: false, ..self }
    }
}

/// Where files and binaries are.
pub struct Workplace {
    out: PathBuf,
    stowage: PathBuf,
    peer: Option<PathBuf>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

fn checked(command: &mut Command, what: &str) -> Result<Vec<u8>, String> {
    let output = command.stderr(Stdio::inherit()).output().map_err(|e| format!("{what}: {e}"))?;
    if output.status.success() { Ok(output.stdout) } else { Err(format!("{what} failed: {}", output.status)) }
}

impl Workplace {
    /// Builds both sides.
    pub fn new(out: &Path, peer: bool) -> Result<Self, String> {
        std::fs::create_dir_all(out).map_err(|e| format!("{}: {e}", out.display()))?;
        let out = out.canonicalize().map_err(|e| e.to_string())?;
        checked(
            Command::new("cargo").args(["build", "--release", "--package", "stowage-cli"]).current_dir(root()),
            "cargo build",
        )?;
        let stowage = root().join("target/release/stowage");
        let peer = if peer {
            let binary = out.join("peer");
            let mut go = Command::new("go");
            go.args(["build", "-o"])
                .arg(&binary)
                .arg(".")
                .current_dir(root().join("benches/peer"))
                .env("GOTOOLCHAIN", "auto");
            checked(&mut go, "go build of the peer")?;
            Some(binary)
        } else {
            None
        };
        Ok(Self { out, stowage, peer })
    }

    /// The kwok provider's own types, from its module; none without the peer.
    pub fn kwok_types(&self) -> Result<Option<Value>, String> {
        if self.peer.is_none() {
            return Ok(None);
        }
        let mut go = Command::new("go");
        go.args(["list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/karpenter"]).current_dir(root().join("benches/peer"));
        let folder = checked(go.env("GOTOOLCHAIN", "auto"), "go list")?;
        let path = Path::new(String::from_utf8_lossy(&folder).trim()).join("kwok/cloudprovider/instance_types.json");
        let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        serde_json::from_str(&text).map(Some).map_err(|e| e.to_string())
    }

    /// A plan's own report.
    pub fn answer(&self, pods: &Value, types: &Value) -> Result<Value, String> {
        let (pods, types) = self.inputs(pods, types)?;
        let plan = self.out.join("plan.json");
        self.plan(&pods, &types, &plan)?;
        let text = std::fs::read_to_string(&plan).map_err(|e| e.to_string())?;
        serde_json::from_str(&text).map_err(|e| e.to_string())
    }

    /// What `stowage consolidate` says of a snapshot, with these further arguments.
    pub fn consolidate(&self, snapshot: &Value, types: &Value, more: &[&str]) -> Result<Value, String> {
        let (snapshot, types) = self.inputs(snapshot, types)?;
        let mut command = Command::new(&self.stowage);
        command.arg("consolidate").arg(&snapshot).arg("--catalog").arg(&types).args(["-o", "json"]).args(more);
        let said = checked(&mut command, "stowage consolidate")?;
        serde_json::from_slice(&said).map_err(|e| e.to_string())
    }

    /// Seconds to plan, the whole process.
    pub fn seconds(&self, pods: &Value, types: &Value) -> Result<f64, String> {
        let (pods, types) = self.inputs(pods, types)?;
        let started = Instant::now();
        self.plan(&pods, &types, &self.out.join("plan.json"))?;
        Ok(started.elapsed().as_secs_f64())
    }

    /// Writes what both sides read.
    fn inputs(&self, pods: &Value, types: &Value) -> Result<(PathBuf, PathBuf), String> {
        let write = |name: &str, value: &Value| -> Result<PathBuf, String> {
            let path = self.out.join(name);
            std::fs::write(&path, value.to_string()).map_err(|e| e.to_string())?;
            Ok(path)
        };
        Ok((write("pods.json", pods)?, write("types.json", types)?))
    }

    /// Runs one row and returns its line of the table.
    pub fn measure(&self, row: &Row) -> Result<String, String> {
        let (pods, types) = self.inputs(&(row.pods)(), &row.types)?;
        let plan = self.out.join("plan.json");
        let started = Instant::now();
        let memory = self.plan(&pods, &types, &plan)?;
        let seconds = started.elapsed().as_secs_f64();
        let judged = Command::new(&self.stowage)
            .args(["check"])
            .args([&plan, &pods])
            .arg("--catalog")
            .arg(&types)
            .stdout(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        let text = std::fs::read_to_string(&plan).map_err(|e| e.to_string())?;
        let answer: Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
        let figure = |key: &str| answer["summary"][key].as_f64().unwrap_or(f64::NAN);
        let (price, bound) = (figure("hourlyPrice"), figure("lowerBound"));
        let ratio =
            |a: f64, b: f64, digits: usize| if b > 0.0 { format!("{:.digits$}", a / b) } else { "–".to_owned() };
        let (mut peer_price, mut peer_seconds) = (0.0, 0.0);
        if let Some(peer) = self.peer.as_ref().filter(|_| row.peer) {
            let said = checked(Command::new(peer).args([&types, &pods]), "the peer")?;
            let said: Value = serde_json::from_slice(&said).map_err(|e| e.to_string())?;
            peer_price = said["perHour"].as_f64().unwrap_or(0.0);
            peer_seconds = said["seconds"].as_f64().unwrap_or(0.0);
        }
        let or_none =
            |value: f64, digits: usize| if value > 0.0 { format!("{value:.digits$}") } else { "–".to_owned() };
        Ok(format!(
            "| {} | {:.0} of {:.0} | {} | {price:.4} | {bound:.4} | {} | {} | {seconds:.2} | {} | {} | {:.0} | {} | {} |",
            row.name,
            figure("placed"),
            figure("pods"),
            ratio(price, bound, 4),
            or_none(peer_price, 4),
            ratio(price, peer_price, 3),
            or_none(peer_seconds, 2),
            ratio(seconds, peer_seconds, 4),
            memory,
            answer["summary"]["end"].as_str().unwrap_or("?"),
            if judged { "holds" } else { "FAULT" },
        ))
    }

    /// Plans, and returns the peak of resident memory in MB as the kernel counts
    /// it for the finished child.
    fn plan(&self, pods: &Path, types: &Path, plan: &Path) -> Result<f64, String> {
        let file = std::fs::File::create(plan).map_err(|e| e.to_string())?;
        let mut child = Command::new(&self.stowage)
            .arg("plan")
            .arg(pods)
            .arg("--catalog")
            .arg(types)
            .args(["-o", "json"])
            .stdout(file)
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| e.to_string())?;
        let status_file = PathBuf::from(format!("/proc/{}/status", child.id()));
        let mut peak = 0.0_f64;
        // VmHWM only grows, so the last reading before the end is the peak, but
        // for what the last millisecond adds.
        let done = loop {
            if let Ok(text) = std::fs::read_to_string(&status_file) {
                let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
                let kib = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<f64>().ok());
                peak = peak.max(kib.unwrap_or(0.0) / 1024.0);
            }
            if let Some(status) = child.try_wait().map_err(|e| e.to_string())? {
                break status;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        };
        if done.success() { Ok(peak) } else { Err(format!("stowage plan failed: {done}")) }
    }
}

//! Running the binary, and little inputs.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The repository's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the repository")
}

/// The binary, built once.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--package", "stowage-cli", "--message-format", "json"])
            .current_dir(root())
            .stderr(Stdio::inherit())
            .output()
            .expect("cargo runs");
        assert!(built.status.success(), "the binary does not build");
        String::from_utf8_lossy(&built.stdout)
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .find_map(|message| message["executable"].as_str().map(PathBuf::from))
            .expect("cargo names the executable")
    })
}

/// What a run printed.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

/// Runs the binary in the repository's root with `input` on standard input.
pub fn stowage(args: &[&str], input: &str) -> Ran {
    let mut child = Command::new(binary())
        .args(args)
        .current_dir(root())
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut stdin = child.stdin.take().expect("piped");
    let text = input.to_owned();
    // A run that refuses early does not read everything.
    let writer = std::thread::spawn(move || drop(stdin.write_all(text.as_bytes())));
    let output = child.wait_with_output().expect("the binary ends");
    writer.join().expect("the writer ends");
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A file that lives as long as the test.
pub struct TempFile(pub PathBuf);

impl TempFile {
    pub fn new(name: &str, text: &str) -> Self {
        static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("stowage-{}-{number}-{name}", std::process::id()));
        std::fs::write(&path, text).expect("the temporary folder can be written");
        Self(path)
    }

    pub fn path(&self) -> &str {
        self.0.to_str().expect("a UTF-8 path")
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A pending pod; `spec` is more JSON for its spec, such as `,"nodeSelector":{}`.
pub fn pod(name: &str, cpu: &str, memory: &str, spec: &str) -> String {
    format!(
        r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{name}","namespace":"d"}},"spec":{{"containers":[
        {{"name":"c","resources":{{"requests":{{"cpu":"{cpu}","memory":"{memory}"}}}}}}]{spec}}},"status":{{"phase":"Pending"}}}}"#
    )
}

/// A list of objects.
pub fn list(items: &[String]) -> String {
    format!(r#"{{"apiVersion":"v1","kind":"List","items":[{}]}}"#, items.join(","))
}

/// Two sizes of machine in two zones.
pub const CATALOG: &str = r#"[
 {"name":"small-2x-amd64-linux","architecture":"amd64","operatingSystems":["linux"],"resources":{"cpu":"2","memory":"8Gi"},
  "offerings":[{"Price":0.1,"Available":true,"Requirements":[
   {"key":"karpenter.sh/capacity-type","operator":"In","values":["on-demand"]},{"key":"topology.kubernetes.io/zone","operator":"In","values":["a","b"]}]}]},
 {"name":"large-4x-amd64-linux","architecture":"amd64","operatingSystems":["linux"],"resources":{"cpu":"4","memory":"16Gi","nvidia.com/gpu":"1"},
  "offerings":[{"Price":0.18,"Available":true,"Requirements":[
   {"key":"karpenter.sh/capacity-type","operator":"In","values":["on-demand"]},{"key":"topology.kubernetes.io/zone","operator":"In","values":["a"]}]},
   {"Price":0.06,"Available":true,"Requirements":[
   {"key":"karpenter.sh/capacity-type","operator":"In","values":["spot"]},{"key":"topology.kubernetes.io/zone","operator":"In","values":["b"]}]}]}]"#;

/// A NodePool with these requirements (JSON) and more spec (JSON with a comma first).
pub fn pool(name: &str, requirements: &str, template: &str, spec: &str) -> String {
    format!(
        r#"{{"apiVersion":"karpenter.sh/v1","kind":"NodePool","metadata":{{"name":"{name}"}},"spec":{{"template":{{"spec":{{
        "nodeClassRef":{{"group":"karpenter.kwok.sh","kind":"KWOKNodeClass","name":"d"}},"requirements":[{requirements}]{template}}}}}{spec}}}}}"#
    )
}

/// A plan of `items` on [`CATALOG`], with more arguments.
pub fn plan(items: &[String], more: &[&str]) -> Ran {
    // One file for all runs: its name is part of the answer.
    static FILE: OnceLock<TempFile> = OnceLock::new();
    let catalog = FILE.get_or_init(|| TempFile::new("types.json", CATALOG));
    let mut args = vec!["plan", "-", "--catalog", catalog.path(), "-o", "json", "--no-timings"];
    args.extend(more);
    stowage(&args, &list(items))
}

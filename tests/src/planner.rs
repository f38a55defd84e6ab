//! The release build of the planner, as a child process.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::Failure;

/// Builds it in the repository at `root`.
pub fn build(root: &Path) -> Result<PathBuf, Failure> {
    let built = Command::new("cargo")
        .args(["build", "--release", "--quiet", "-p", "stowage-cli"])
        .current_dir(root)
        .status()?;
    if !built.success() {
        return Err("the planner does not build".into());
    }
    Ok(root.join("target/release/stowage"))
}

/// Plans `objects` (a List) on the types in a file.
pub fn plan(stowage: &Path, types: &Path, objects: &str) -> Result<Value, Failure> {
    let mut child = Command::new(stowage)
        .args(["plan", "-", "-o", "json", "--no-timings", "--effort", "quick", "--catalog"])
        .arg(types)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    child.stdin.take().ok_or("no standard input")?.write_all(objects.as_bytes())?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        return Err(format!("plan ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

//! Karpenter's own scheduler on the cases, through the Go program in benches/peer.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::{Failure, cases};

/// Its answers, by number of the case.
pub struct Peer {
    /// The file of types that it was given.
    pub types: PathBuf,
    /// One answer per case.
    pub answers: Vec<Value>,
}

/// Runs the first `count` cases.
pub fn answers(root: &Path, count: u64) -> Result<Peer, Failure> {
    let folder = root.join("target/differential");
    std::fs::create_dir_all(&folder)?;
    let types = folder.join("types.json");
    std::fs::write(&types, cases::catalog().to_string())?;
    let lines = folder.join("cases.jsonl");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&lines)?);
    for seed in 0..count {
        writeln!(file, "{}", cases::case(seed).list())?;
    }
    file.flush()?;
    let answers = run(root, &folder, &types, &lines)?;
    Ok(Peer { types, answers })
}

fn run(root: &Path, folder: &Path, types: &Path, lines: &Path) -> Result<Vec<Value>, Failure> {
    let binary = folder.join("peer");
    let built = Command::new("go")
        .args(["build", "-o"])
        .arg(&binary)
        .arg(".")
        .env("GOTOOLCHAIN", "auto")
        .current_dir(root.join("benches/peer"))
        .status()?;
    if !built.success() {
        return Err("the peer does not build; is Go installed?".into());
    }
    let output = Command::new(&binary).arg(types).arg("--cases").arg(lines).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err("the peer failed".into());
    }
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}

//! Reading: the only files that touch the filesystem or standard input.

mod csv_pods;
mod documents;
#[cfg(test)]
mod fuzz;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use stowage_k8s::Cluster;
use stowage_model::Code;

use crate::error::{Exit, Failure};
use stowage_model::Digest;

/// The largest file that is read.
const MOST_BYTES: u64 = 2 << 30;

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct Input {
    pub(crate) cluster: Cluster,
    /// Kinds that planning does not know, and how many of each.
    pub(crate) skipped: BTreeMap<String, usize>,
    /// Malformed objects, where `--keep-going` lets them pass.
    pub(crate) refused: Vec<String>,
    pub(crate) objects: usize,
    pub(crate) digest: Digest,
}

/// Reads everything. Malformed objects end the run unless `keep_going`.
pub(crate) fn read(paths: &[PathBuf], keep_going: bool) -> Result<Input, Failure> {
    let mut input = Input::default();
    for path in paths {
        if path.as_os_str() == "-" {
            let text = limited(std::io::stdin().lock(), "standard input")?;
            input.take("standard input", &text)?;
        } else {
            for file in files(path)? {
                let name = file.display().to_string();
                input.take(&name, &text(&file)?)?;
            }
        }
    }
    if !input.refused.is_empty() && !keep_going {
        return Err(Failure::bad_input(std::mem::take(&mut input.refused)));
    }
    Ok(input)
}

/// Reads a text file.
pub(crate) fn text(path: &Path) -> Result<String, Failure> {
    let name = path.display().to_string();
    let file = std::fs::File::open(path).map_err(|e| Failure::unreadable(&name, &e))?;
    limited(file, &name)
}

fn limited(source: impl Read, name: &str) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    source.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(|e| Failure::unreadable(name, &e))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(Failure::input(Code::InTooLarge, name, "is larger than 2 GiB; split it"));
    }
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        Failure::input(Code::InSyntax, name, &format!("is not UTF-8 text from byte {at} on; save it as UTF-8"))
    })
}

/// A file itself, or the manifests in a folder and below, in name order.
fn files(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let unreadable = |e: std::io::Error| Failure::unreadable(&path.display().to_string(), &e);
    if !std::fs::metadata(path).map_err(unreadable)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            // Links are not followed: a folder may contain itself through one.
            let kind = entry.file_type().map_err(unreadable)?;
            let file = entry.path();
            let extension = file.extension().and_then(|e| e.to_str()).unwrap_or_default();
            if kind.is_dir() {
                folders.push(file);
            } else if kind.is_file() && ["yaml", "yml", "json", "csv"].contains(&extension) {
                found.push(file);
            }
        }
    }
    if found.is_empty() {
        let name = path.display().to_string();
        return Err(Failure {
            exit: Exit::BadInput,
            lines: vec![format!("{}: {name}: the folder holds no .yaml, .yml, .json or .csv file", Code::InEmpty)],
        });
    }
    found.sort();
    Ok(found)
}

impl Input {
    /// Takes one file's text.
    fn take(&mut self, file: &str, text: &str) -> Result<(), Failure> {
        self.digest.add(text.as_bytes());
        let trimmed = text.trim_start_matches('\u{feff}').trim_start();
        if trimmed.is_empty() {
            return Err(Failure::input(Code::InEmpty, file, "is empty; leave it out, or fill it"));
        }
        if trimmed.starts_with(['{', '[']) {
            documents::json(self, file, trimmed)
        } else if file.ends_with(".csv") || csv_pods::looks_like(trimmed) {
            csv_pods::take(self, file, trimmed)
        } else {
            documents::yaml(self, file, text.trim_start_matches('\u{feff}'))
        }
    }

    fn refuse(&mut self, file: &str, message: impl std::fmt::Display) {
        self.refused.push(format!("{file}: {message}"));
    }
}

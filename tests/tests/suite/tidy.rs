//! The shape of the code, stated as sentences.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::harness::root;

fn metadata(more: &[&str]) -> Value {
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--format-version", "1", "--locked"]).args(more).current_dir(root());
    let output = command.output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo prints JSON")
}

/// Direct dependencies, development ones left out, per package of ours.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = metadata(&["--no-deps"]);
    let packages = metadata["packages"].as_array().unwrap();
    packages
        .iter()
        .map(|package| {
            let all = package["dependencies"].as_array().unwrap().iter();
            let normal = all.filter(|d| d["kind"].is_null()).map(|d| d["name"].as_str().unwrap().to_owned());
            (package["name"].as_str().unwrap().to_owned(), normal.collect())
        })
        .collect()
}

#[test]
fn the_arrows_between_crates_point_one_way() {
    let all = dependencies();
    let forbidden = [
        ("stowage-model", "stowage-", "the model knows nobody"),
        ("stowage-model", "kube", "the model knows no API types"),
        ("stowage-model", "tokio", "the core is synchronous"),
        ("stowage-solver", "stowage-verify", "the solver does not judge itself"),
        ("stowage-solver", "stowage-k8s", "the solver knows no API types"),
        ("stowage-solver", "stowage-cloud", "the solver knows no cloud"),
        ("stowage-solver", "tokio", "the core is synchronous"),
        ("stowage-solver", "serde", "the solver reads and writes nothing"),
        ("stowage-solver", "rand", "randomness is seeded and our own"),
        ("stowage-verify", "stowage-solver", "the judge shares nothing with the solver"),
        ("stowage-verify", "good_lp", "the judge trusts no LP solver"),
        ("stowage-verify", "stowage-k8s", "the judge knows no API types"),
        ("stowage-disruption", "stowage-k8s", "disruption knows no API types"),
        ("stowage-disruption", "stowage-verify", "disruption does not judge itself"),
        ("stowage-disruption", "stowage-cloud", "disruption knows no cloud"),
        ("stowage-disruption", "tokio", "the core is synchronous"),
        ("stowage-k8s", "stowage-disruption", "lowering does not decide"),
        ("stowage-cloud", "kube", "the catalogue knows no API machinery"),
        ("stowage-cloud", "stowage-k8s", "the catalogue knows no API types"),
        ("stowage-k8s", "stowage-solver", "lowering does not solve"),
        ("stowage-k8s", "stowage-cloud", "lowering knows no catalogue"),
        ("stowage-cloud", "tokio", "the port to a provider needs no runtime"),
        ("stowage-controllers", "stowage-cli", "controllers are given their settings"),
    ];
    for (package, start, sentence) in forbidden {
        let found = all[package].iter().find(|name| name.starts_with(start) && **name != "stowage-model");
        assert_eq!(found, None, "{package}: {sentence}");
    }
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn the_core_has_no_clock_no_files_no_environment() {
    let banned = [
        "Instant::now",
        "SystemTime",
        "std::fs",
        "std::env",
        "std::net",
        "std::process",
        "println!",
        "async fn",
        "HashMap::new().iter",
    ];
    for core in ["model", "solver", "verify", "disruption"] {
        for file in sources(&root().join("crates").join(core).join("src")) {
            let text = std::fs::read_to_string(&file).unwrap();
            for word in banned {
                assert!(!text.contains(word), "{}: the core does not use {word}", file.display());
            }
        }
    }
}

#[test]
fn one_file_names_lp_crates() {
    for file in sources(&root().join("crates/solver/src")) {
        let text = std::fs::read_to_string(&file).unwrap();
        let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        let names = ["good_lp", "clarabel", "microlp"].iter().any(|name| code.contains(name));
        assert_eq!(names, file.ends_with("lp.rs"), "{}", file.display());
    }
}

#[test]
fn files_stay_short_and_say_what_they_are() {
    for file in sources(&root().join("crates")) {
        let text = std::fs::read_to_string(&file).unwrap();
        let name = file.display();
        let production = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count();
        assert!(production <= 400, "{name} has {production} lines: which two ideas met there?");
        let is_tests = file.ends_with("tests.rs");
        assert!(is_tests || text.starts_with("//!"), "{name} does not say what it is");
    }
}

#[test]
fn no_test_module_is_forgotten() {
    let main = std::fs::read_to_string(root().join("tests/tests/suite/main.rs")).unwrap();
    for file in sources(&root().join("tests/tests/suite")) {
        let stem = file.file_stem().unwrap().to_str().unwrap();
        assert!(stem == "main" || main.contains(&format!("mod {stem};")), "{stem} is not run");
    }
}

#[test]
fn dependencies_have_licences_we_accept_and_come_from_one_source() {
    const ACCEPTED: [&str; 13] = [
        "Apache-2.0",
        "MIT",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "ISC",
        "Zlib",
        "Unicode-3.0",
        "Unlicense",
        // Mozilla's list of roots, as data.
        "CDLA-Permissive-2.0",
        "BSL-1.0",
        "CC0-1.0",
        "0BSD",
        "MPL-2.0",
    ];
    let metadata = metadata(&[]);
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let licence = package["license"].as_str().unwrap_or_default();
        // Any alternative of an OR, every part of an AND.
        let accepted = licence.replace('/', " OR ").split(" OR ").any(|alternative| {
            alternative.trim_matches(['(', ')', ' ']).split(" AND ").all(|part| {
                let part = part.trim_matches(['(', ')', ' ']);
                ACCEPTED.contains(&part.split(" WITH ").next().unwrap_or(part))
            })
        });
        assert!(accepted, "{name} has licence {licence:?}");
        if let Some(source) = package["source"].as_str() {
            assert!(source.starts_with("registry+"), "{name} comes from {source}");
        }
        versions.entry(name.to_owned()).or_default().insert(package["version"].to_string());
    }
    for single in ["kube", "kube-core", "k8s-openapi", "schemars", "jiff", "good_lp", "serde", "clap"] {
        assert!(
            versions.get(single).is_none_or(|v| v.len() == 1),
            "{single} is there in versions {:?}",
            versions[single]
        );
    }
}

//! From Karpenter to Stowage and back, with everybody's nodes in place.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use super::chart::{NAMESPACE, helm};
use super::check;
use crate::live::Live;
use crate::{Failure, control_plane};

fn names(claims: &[Value]) -> BTreeSet<String> {
    claims.iter().map(|claim| claim["metadata"]["name"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Nobody's kubelet runs on Karpenter's kwok nodes: they are said to be ready here.
fn all_ready(live: &Live) -> Result<(), Failure> {
    for node in live.nodes()? {
        let conditions = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
        if !conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True") {
            let name = node["metadata"]["name"].as_str().unwrap_or_default();
            let now = "2026-01-01T00:00:00Z";
            let ready = json!([{ "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "",
                "lastHeartbeatTime": now, "lastTransitionTime": now }]);
            live.plane.patch(&format!("/api/v1/nodes/{name}/status"), &json!({ "status": { "conditions": ready } }))?;
        }
    }
    Ok(())
}

fn nobody_drifted_or_left(live: &Live, old: &BTreeSet<String>) -> Result<(), Failure> {
    let claims = live.claims()?;
    check(old.is_subset(&names(&claims)), || format!("of {old:?} only {:?} are left", names(&claims)))?;
    for claim in &claims {
        let conditions = claim["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let drifted = conditions.iter().any(|c| c["type"] == "Drifted" && c["status"] == "True");
        let leaving = !claim["metadata"]["deletionTimestamp"].is_null();
        check(!drifted && !leaving, || format!("{} drifted or leaves: {conditions:?}", claim["metadata"]["name"]))?;
    }
    Ok(())
}

/// Karpenter's own definitions in place of those that are there.
fn karpenters_definitions(live: &Live, folder: &Path) -> Result<(), Failure> {
    let mut files: Vec<_> = std::fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    files.sort_by_key(std::fs::DirEntry::file_name);
    check(files.len() >= 2, || format!("{} definitions in {}", files.len(), folder.display()))?;
    for file in files {
        let text = std::fs::read_to_string(file.path())?;
        let name = text.lines().find_map(|line| line.strip_prefix("  name: ")).ok_or("a definition without a name")?;
        let path = format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{}", name.trim());
        live.plane.apply_yaml(&path, &text)?;
    }
    served_again(live)
}

/// The API server begins its storage anew where a definition changes.
fn served_again(live: &Live) -> Result<(), Failure> {
    live.until("the changed definitions", |live| {
        Ok(live.claims().is_ok() && live.list("/apis/karpenter.sh/v1/nodepools").is_ok())
    })
}

/// The generation of each claim: nobody rewrote what it asks for.
fn generations(live: &Live) -> Result<Vec<(String, Value)>, Failure> {
    let all = live.claims()?;
    let name = |claim: &Value| claim["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    Ok(all.iter().map(|claim| (name(claim), claim["metadata"]["generation"].clone())).collect())
}

pub(super) fn from_karpenter_and_back(live: &mut Live) -> Result<(), Failure> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no root")?;
    let karpenter = control_plane::built(root, "karpenter")?;
    let binary = karpenter.join("karpenter");
    karpenters_definitions(live, &karpenter.join("crds"))?;
    // Drift is what a careless switch would cause, so it is allowed to show.
    live.pool("default", json!({ "disruption": { "consolidateAfter": "Never", "budgets": [{ "nodes": "100%" }] } }))?;
    let first = live.karpenter(&binary)?;
    live.until("Karpenter", |live| live.is_ready(first))?;
    live.deployment("web", 3, ("1400m", "1Gi"), json!({}))?;
    live.until("three bound pods on ready nodes", |live| {
        all_ready(live)?;
        Ok(live.bound()? == 3 && live.nodes()?.len() == live.claims()?.len())
    })?;
    let initialized = |live: &Live| -> Result<bool, Failure> {
        all_ready(live)?;
        Ok(live.claims()?.iter().all(|claim| {
            let conditions = claim["status"]["conditions"].as_array().cloned().unwrap_or_default();
            conditions.iter().any(|c| c["type"] == "Initialized" && c["status"] == "True")
        }))
    };
    live.until("initialized claims", initialized)?;
    let theirs = names(&live.claims()?);
    live.kill(first)?;

    // The definitions are upgraded with everybody's objects in place.
    let before = generations(live)?;
    live.plane.create("/api/v1/namespaces", &json!({ "metadata": { "name": NAMESPACE } }))?;
    helm(live, &["install", "crds", "stowage-crds", "--take-ownership"])?;
    served_again(live)?;
    let after = generations(live)?;
    check(before == after, || format!("the upgrade changed claims: {before:?}, {after:?}"))?;

    let second = live.controller(&["--disable-leader-election"])?;
    live.scale("web", 6)?;
    live.until("six bound pods", |live| Ok(live.bound()? == 6))?;
    live.until("claims taken over", |live| {
        nobody_drifted_or_left(live, &theirs)?;
        Ok(live
            .claims()?
            .iter()
            .all(|claim| claim["metadata"]["annotations"]["karpenter.sh/nodepool-hash-version"] == "stowage-v1"))
    })?;
    live.until("initialized claims", initialized)?;
    let all = names(&live.claims()?);
    live.kill(second)?;
    karpenters_definitions(live, &karpenter.join("crds"))?;

    let third = live.karpenter(&binary)?;
    live.until("Karpenter again", |live| live.is_ready(third))?;
    live.scale("web", 9)?;
    live.until("nine bound pods", |live| {
        nobody_drifted_or_left(live, &all)?;
        Ok(live.bound()? == 9)
    })?;
    live.until("claims handed back", |live| {
        nobody_drifted_or_left(live, &all)?;
        Ok(live
            .claims()?
            .iter()
            .all(|claim| claim["metadata"]["annotations"]["karpenter.sh/nodepool-hash-version"] != "stowage-v1"))
    })
}

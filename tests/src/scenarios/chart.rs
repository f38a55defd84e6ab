//! The charts on a real API server, as a new user installs them.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::{check, nothing_leaked};
use crate::Failure;
use crate::control_plane::built;
use crate::live::Live;

pub(super) const NAMESPACE: &str = "stowage";

pub(super) fn helm(live: &Live, args: &[&str]) -> Result<String, Failure> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no root")?;
    let output = Command::new(built(root, "helm")?.join("helm"))
        .args(args)
        .args(["--namespace", NAMESPACE, "--kubeconfig"])
        .arg(live.plane.kubeconfig())
        .env("HOME", live.plane.folder())
        .current_dir(root.join("charts"))
        .output()?;
    if !output.status.success() {
        return Err(format!("helm {args:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Installs with one value, in a namespace that admits restricted pods only; then
/// runs the controller and the cloud as the chart's own accounts.
pub(super) fn the_chart_installs_and_its_accounts_are_enough(live: &mut Live) -> Result<(), Failure> {
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": {
        "name": NAMESPACE, "labels": { "pod-security.kubernetes.io/enforce": "restricted" } } });
    live.plane.create("/api/v1/namespaces", &namespace)?;
    live.plane.create("/api/v1/namespaces", &json!({ "metadata": { "name": "kube-node-lease" } })).ok();
    check(helm(live, &["install", "stowage", "stowage"]).is_err(), || {
        "a chart without a cluster name installs".to_owned()
    })?;
    helm(live, &["install", "stowage", "stowage", "--set", "settings.clusterName=test", "--skip-crds"])?;
    // The chart of definitions takes over what is there, and leaves it behind.
    helm(live, &["install", "crds", "stowage-crds", "--take-ownership"])?;
    helm(live, &["uninstall", "crds"])?;
    check(live.claims().is_ok(), || "definitions went with their chart".to_owned())?;
    let pods = format!("/api/v1/namespaces/{NAMESPACE}/pods");
    live.until("two controllers and a cloud, admitted", |live| Ok(live.list(&pods)?.len() == 3))?;
    environment(live)?;

    let account = live.plane.kubeconfig_of(NAMESPACE, "stowage")?;
    let cloud = live.plane.kubeconfig_of(NAMESPACE, "stowage-cloud")?;
    live.cloud_as(&cloud)?;
    live.pool("default", json!({ "template": { "spec": { "terminationGracePeriod": "20s" } } }))?;
    let number = live.controller_as(&["--leader-election-namespace", NAMESPACE], &account)?;
    live.deployment("web", 5, ("900m", "1Gi"), json!({}))?;
    live.until_running(5)?;
    described(live)?;
    // A pod that only a deadline moves.
    let keep = json!({ "metadata": { "annotations": { "karpenter.sh/do-not-disrupt": "true" } } });
    let name = live.running()?[0]["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    live.plane.patch(&format!("/api/v1/namespaces/default/pods/{name}"), &keep)?;
    for claim in live.claims()? {
        let claim = claim["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        live.plane.delete_politely(&format!("/apis/karpenter.sh/v1/nodeclaims/{claim}"))?;
    }
    live.until("the protected pod to go", |live| {
        Ok(live.running()?.iter().all(|pod| pod["metadata"]["name"] != name.as_str()))
    })?;
    live.until_running(5)?;
    live.scale("web", 0)?;
    live.until_nothing()?;
    nothing_leaked(live)?;
    let forbidden: Vec<String> =
        live.log(number)?.lines().filter(|line| line.contains("orbidden")).map(str::to_owned).collect();
    check(forbidden.is_empty(), || format!("the account may not do all it must: {forbidden:?}"))?;
    unused(live)
}

/// Statuses of what users write beside pools.
fn described(live: &Live) -> Result<(), Failure> {
    let overlay = json!({ "apiVersion": "karpenter.sh/v1alpha1", "kind": "NodeOverlay", "metadata": { "name": "o" },
        "spec": { "priceAdjustment": "+1%", "requirements": [] } });
    live.plane.create("/apis/karpenter.sh/v1alpha1/nodeoverlays", &overlay)?;
    let buffers = "/apis/autoscaling.x-k8s.io/v1beta1/namespaces/default/capacitybuffers";
    let buffer = json!({ "apiVersion": "autoscaling.x-k8s.io/v1beta1", "kind": "CapacityBuffer",
        "metadata": { "name": "b" }, "spec": { "podTemplateRef": { "name": "nobody" }, "replicas": 1 } });
    live.plane.create(buffers, &buffer)?;
    live.until("statuses of overlay and buffer", |live| {
        let lists = [live.list("/apis/karpenter.sh/v1alpha1/nodeoverlays")?, live.list(buffers)?];
        Ok(lists.iter().flatten().all(|object| object["status"]["conditions"].is_array()))
    })?;
    live.plane.delete(&format!("{buffers}/b"))
}

/// The environment that the chart sets is one that the binary takes.
fn environment(live: &Live) -> Result<(), Failure> {
    let deployment = live.plane.get(&format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments/stowage"))?;
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let names: BTreeSet<&str> =
        container["env"].as_array().into_iter().flatten().filter_map(|e| e["name"].as_str()).collect();
    let help = live.help()?;
    let unknown: Vec<&&str> = names.iter().filter(|name| !help.contains(&format!("[env: {name}="))).collect();
    check(unknown.is_empty(), || format!("the binary knows nothing of {unknown:?}"))
}

/// Verbs that the role grants and nobody used. Some belong to what a scenario
/// cannot show: finalizers are checked by an admission plugin that is off here,
/// and events are patched only when they repeat.
fn unused(live: &Live) -> Result<(), Failure> {
    const UNSEEN: [&str; 3] = ["update nodepools/finalizers", "update nodeclaims/finalizers", "patch events"];
    let log = std::fs::read_to_string(live.plane.folder().join("audit.log"))?;
    let mut used = BTreeSet::new();
    for line in log.lines() {
        let event: Value = serde_json::from_str(line)?;
        let user = event["user"]["username"].as_str().unwrap_or_default();
        if user == format!("system:serviceaccount:{NAMESPACE}:stowage") {
            let of = &event["objectRef"];
            let resource = of["resource"].as_str().unwrap_or_default();
            let resource = of["subresource"].as_str().map_or(resource.to_owned(), |sub| format!("{resource}/{sub}"));
            used.insert(format!("{} {resource}", event["verb"].as_str().unwrap_or_default()));
        }
    }
    let role = live.plane.get("/apis/rbac.authorization.k8s.io/v1/clusterroles/stowage")?;
    let words = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|word| word.as_str().map(str::to_owned)).collect()
    };
    let mut idle = Vec::new();
    for rule in role["rules"].as_array().into_iter().flatten() {
        for (resource, verb) in
            words(&rule["resources"]).iter().flat_map(|r| words(&rule["verbs"]).into_iter().map(move |v| (r, v)))
        {
            let right = format!("{verb} {resource}");
            if !used.contains(&right) && !UNSEEN.contains(&right.as_str()) {
                idle.push(right);
            }
        }
    }
    check(idle.is_empty(), || format!("rights that nobody used: {idle:?}"))
}

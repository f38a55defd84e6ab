//! Claims, volumes and what drivers can attach.

use crate::harness::{Ran, list, plan, pod, stowage};

fn claim(name: &str, more: &str) -> String {
    format!(
        r#"{{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{{"name":"{name}","namespace":"d"}},{more}}}"#
    )
}

fn class(name: &str, mode: &str) -> String {
    format!(
        r#"{{"apiVersion":"storage.k8s.io/v1","kind":"StorageClass","metadata":{{"name":"{name}"}},
        "provisioner":"ebs.csi.aws.com","volumeBindingMode":"{mode}"}}"#
    )
}

fn mounting(name: &str, claims: &[&str]) -> String {
    let volumes: Vec<String> = claims
        .iter()
        .map(|claim| format!(r#"{{"name":"v-{claim}","persistentVolumeClaim":{{"claimName":"{claim}"}}}}"#))
        .collect();
    pod(name, "1m", "1Mi", &format!(r#","volumes":[{}]"#, volumes.join(",")))
}

/// The codes of why pods are left over.
fn codes(ran: &Ran) -> Vec<String> {
    let left = ran.json()["unplaced"].as_array().cloned().unwrap_or_default();
    left.iter().map(|u| u["reasons"][0]["code"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn claims_that_cannot_be_used_keep_their_pod_waiting() {
    let waiting = r#""spec":{"storageClassName":"late"},"status":{"phase":"Pending"}"#;
    let cases = [
        ("deleting", r#""spec":{"storageClassName":"late"},"status":{"phase":"Pending"}"#, false),
        ("lost", r#""spec":{"volumeName":"v"},"status":{"phase":"Lost"}"#, true),
        ("at once", r#""spec":{"storageClassName":"now"},"status":{"phase":"Pending"}"#, true),
        ("a manifest", r#""spec":{"storageClassName":"now"}"#, false),
        ("waits", waiting, false),
        ("no class", r#""spec":{"storageClassName":"none"},"status":{"phase":"Pending"}"#, true),
        ("pre-bound", r#""spec":{"volumeName":"v"},"status":{"phase":"Pending"}"#, true),
        ("no volume", r#""spec":{"volumeName":"w"},"status":{"phase":"Bound"}"#, true),
        ("bound", r#""spec":{"volumeName":"v"},"status":{"phase":"Bound"}"#, false),
    ];
    let volume = r#"{"apiVersion":"v1","kind":"PersistentVolume","metadata":{"name":"v"},"spec":{}}"#;
    for (name, spec, refused) in cases {
        let items = [
            mounting("a", &["c"]),
            claim("c", spec),
            volume.to_owned(),
            class("late", "WaitForFirstConsumer"),
            class("now", "Immediate"),
        ];
        let expected: &[&str] = if refused { &["NP-VOLUME-CLAIM"] } else { &[] };
        assert_eq!(codes(&plan(&items, &[])), expected, "{name}");
    }
    let deleting =
        claim("c", waiting).replace(r#""name":"c""#, r#""name":"c","deletionTimestamp":"2026-01-01T00:00:00Z""#);
    let gone = plan(&[mounting("a", &["c"]), deleting, class("late", "WaitForFirstConsumer")], &[]);
    assert!(gone.json()["unplaced"][0]["reasons"][0]["message"].to_string().contains("being deleted"), "{gone:?}");
    // A claim that is not there, though others are.
    assert_eq!(codes(&plan(&[mounting("a", &["x"]), claim("c", waiting)], &[])), ["NP-VOLUME-CLAIM"]);
    assert_eq!(codes(&plan(&[mounting("a", &["x"])], &[])), [""; 0]);
}

#[test]
fn ephemeral_volumes_go_where_their_class_makes_them() {
    let ephemeral = pod(
        "a",
        "1m",
        "1Mi",
        r#","volumes":[{"name":"scratch","ephemeral":{"volumeClaimTemplate":{"spec":{"storageClassName":"zonal",
        "accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}}}}]"#,
    );
    let zonal = class("zonal", "WaitForFirstConsumer").replace(
        r#""provisioner""#,
        r#""allowedTopologies":[{"matchLabelExpressions":[{"key":"topology.kubernetes.io/zone","values":["b"]}]}],"provisioner""#,
    );
    let json = plan(&[ephemeral, zonal], &[]).json();
    assert_eq!(json["nodes"][0]["zone"], "b");
}

/// Pods with a volume each on a node type of the embedded catalogue that holds
/// hundreds of them.
fn on_ec2(items: &[String]) -> usize {
    let pool = r#"{"apiVersion":"karpenter.sh/v1","kind":"NodePool","metadata":{"name":"p"},"spec":{"template":{"spec":{
        "nodeClassRef":{"group":"karpenter.k8s.aws","kind":"EC2NodeClass","name":"d"},
        "requirements":[{"key":"node.kubernetes.io/instance-type","operator":"In","values":["m5.4xlarge"]}]}}}}"#;
    let mut items = items.to_vec();
    items.push(pool.to_owned());
    items.push(class("late", "WaitForFirstConsumer"));
    let ran = stowage(&["plan", "-", "-o", "json", "--daemonsets", "none"], &list(&items));
    usize::try_from(ran.json()["summary"]["newNodes"].as_u64().unwrap()).unwrap()
}

#[test]
fn a_new_node_attaches_as_many_volumes_as_its_type_can() {
    let waiting = r#""spec":{"storageClassName":"late"},"status":{"phase":"Pending"}"#;
    let with_volumes = |pods: usize| -> Vec<String> {
        (0..pods)
            .flat_map(|n| [mounting(&format!("p{n}"), &[&format!("c{n}")]), claim(&format!("c{n}"), waiting)])
            .collect()
    };
    // 27 attachments, less the root volume and a second network interface.
    assert_eq!(on_ec2(&with_volumes(25)), 1);
    assert_eq!(on_ec2(&with_volumes(26)), 2);
    // A shared volume is attached once, however many pods mount it.
    let mut shared: Vec<String> = (0..60).map(|n| mounting(&format!("p{n:02}"), &["c"])).collect();
    shared.push(claim("c", waiting));
    assert_eq!(on_ec2(&shared), 1);
}

#[test]
fn an_existing_node_attaches_what_its_driver_says() {
    let node = r#"{"apiVersion":"v1","kind":"Node","metadata":{"name":"n1"},"status":{"allocatable":{"cpu":"2","memory":"8Gi","pods":"50"}}}"#;
    let csi = r#"{"apiVersion":"storage.k8s.io/v1","kind":"CSINode","metadata":{"name":"n1"},"spec":{"drivers":[
        {"name":"ebs.csi.aws.com","nodeID":"i","allocatable":{"count":3}}]}}"#;
    let waiting = r#""spec":{"storageClassName":"late"},"status":{"phase":"Pending"}"#;
    let running = mounting("r", &["r"]).replace(r#""containers""#, r#""nodeName":"n1","containers""#);
    let mut items: Vec<String> = vec![node.into(), csi.into(), class("late", "WaitForFirstConsumer"), running];
    items.extend(["r", "a", "b", "c"].map(|name| claim(name, waiting)));
    items.extend(["a", "b", "c"].map(|name| mounting(name, &[name])));
    let json = plan(&items, &[]).json();
    // Two of the three beside the one that runs; the third needs a node.
    assert_eq!(json["existing"][0]["pods"].as_array().unwrap().len(), 2);
    assert_eq!(json["summary"]["newNodes"], 1);
}

#[test]
fn a_local_volume_holds_its_pod_to_its_node() {
    let volume = |node: &str| {
        format!(
            r#"{{"apiVersion":"v1","kind":"PersistentVolume","metadata":{{"name":"v"}},"spec":{{"local":{{"path":"/x"}},
            "nodeAffinity":{{"required":{{"nodeSelectorTerms":[{{"matchExpressions":[
                {{"key":"kubernetes.io/hostname","operator":"In","values":["{node}"]}}]}}]}}}}}}}}"#
        )
    };
    let node = r#"{"apiVersion":"v1","kind":"Node","metadata":{"name":"n1"},"status":{"allocatable":{"cpu":"2","memory":"8Gi","pods":"9"}}}"#;
    let bound = claim("c", r#""spec":{"volumeName":"v"},"status":{"phase":"Bound"}"#);
    let items = |on: &str| [node.to_owned(), volume(on), bound.clone(), mounting("a", &["c"])];
    assert_eq!(plan(&items("n1"), &[]).json()["existing"][0]["name"], "n1");
    assert_eq!(codes(&plan(&items("gone"), &[])), ["NP-VOLUME-ZONE"]);
}

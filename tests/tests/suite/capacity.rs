//! Capacity that is there, or paid for, before anything is bought.

use crate::harness::{TempFile, list, plan, pod, pool, stowage};

const M5: &str = r#"{"apiVersion":"karpenter.sh/v1","kind":"NodePool","metadata":{"name":"p"},"spec":{"template":{"spec":{
    "nodeClassRef":{"group":"karpenter.k8s.aws","kind":"EC2NodeClass","name":"d"},
    "requirements":[{"key":"karpenter.k8s.aws/instance-family","operator":"In","values":["m5"]},
        {"key":"karpenter.sh/capacity-type","operator":"In","values":["reserved","on-demand"]}]}}}}"#;

fn class(terms: &str) -> String {
    format!(
        r#"{{"apiVersion":"karpenter.k8s.aws/v1","kind":"EC2NodeClass","metadata":{{"name":"d"}},"spec":{{
        "capacityReservationSelectorTerms":[{terms}]}}}}"#
    )
}

/// How many nodes are reserved, and how many are bought.
fn bought(pods: usize, terms: &str) -> (usize, usize) {
    let reservations = TempFile::new(
        "reservations.json",
        r#"{"CapacityReservations":[{"CapacityReservationId":"cr-1","OwnerId":"1","InstanceType":"m5.2xlarge",
        "AvailabilityZone":"us-east-1a","AvailableInstanceCount":2,"State":"active","Tags":[{"Key":"team","Value":"x"}]}]}"#,
    );
    let mut items: Vec<String> = (0..pods).map(|n| pod(&format!("p{n}"), "7", "8Gi", "")).collect();
    items.extend([M5.to_owned(), class(terms)]);
    let args = ["plan", "-", "-o", "json", "--reservations", reservations.path()];
    let json = stowage(&args, &list(&items)).json();
    let nodes = json["nodes"].as_array().unwrap();
    let bound = json["summary"]["lowerBound"].as_f64().unwrap();
    assert!(bound <= json["summary"]["hourlyPrice"].as_f64().unwrap());
    let reserved = nodes.iter().filter(|n| n["reservation"] == "cr-1" && n["capacityType"] == "reserved").count();
    (reserved, nodes.len() - reserved)
}

#[test]
fn reservations_are_used_first_and_no_further_than_they_go() {
    assert_eq!(bought(1, r#"{"id":"cr-1"}"#), (1, 0));
    assert_eq!(bought(4, r#"{"tags":{"team":"*"}}"#), (2, 1));
    assert_eq!(bought(2, r#"{"ownerID":"2","tags":{"team":"x"}}"#), (0, 1));
}

#[test]
fn a_reservation_leaves_the_bound_close() {
    let reserved = r#"[{"name":"one-4x-amd64-linux","architecture":"amd64","resources":{"cpu":"4","memory":"16Gi"},"offerings":[
        {"Price":0.2,"Requirements":[{"key":"karpenter.sh/capacity-type","operator":"In","values":["on-demand"]},
            {"key":"topology.kubernetes.io/zone","operator":"In","values":["a"]}]},
        {"Price":0.0,"ReservationCapacity":3,"Requirements":[{"key":"karpenter.sh/capacity-type","operator":"In","values":["reserved"]},
            {"key":"topology.kubernetes.io/zone","operator":"In","values":["a"]}]}]}]"#;
    let catalog = TempFile::new("reserved.json", reserved);
    let items: Vec<String> = (0..10).map(|n| pod(&format!("p{n}"), "3", "1Gi", "")).collect();
    let ran = stowage(&["plan", "-", "--catalog", catalog.path(), "-o", "json"], &list(&items));
    let summary = &ran.json()["summary"];
    assert_eq!(summary["newNodes"], 10);
    assert!((summary["hourlyPrice"].as_f64().unwrap() - 1.4).abs() < 1e-9, "{summary}");
    assert!(summary["lowerBound"].as_f64().unwrap() > 0.9, "{summary}");
}

#[test]
fn nodes_that_a_static_pool_owes_are_filled_before_others_are_bought() {
    let standing = pool("standing", "", "", r#","replicas":2"#);
    let items = [standing, pool("general", "", "", ""), pod("a", "1", "1Gi", ""), pod("b", "1", "1Gi", "")];
    let json = plan(&items, &["--capacity-types", "on-demand"]).json();
    assert_eq!(json["summary"]["newNodes"], 0, "{json}");
    assert!(json["assumptions"].to_string().contains("owes 2 nodes"), "{}", json["assumptions"]);
    // The nodes it has already are not owed.
    let node = |name: &str| {
        format!(
            r#"{{"apiVersion":"v1","kind":"Node","metadata":{{"name":"{name}","labels":{{"karpenter.sh/nodepool":"standing",
            "karpenter.sh/initialized":"true"}}}},"status":{{"allocatable":{{"cpu":"1","memory":"8Gi","pods":"9"}}}}}}"#
        )
    };
    let mut items = items.to_vec();
    items.extend([node("n1"), node("n2")]);
    let json = plan(&items, &["--capacity-types", "on-demand"]).json();
    assert!(!json["assumptions"].to_string().contains("owes"));
    assert_eq!(json["existing"].as_array().unwrap().len(), 2);
}

#[test]
fn min_values_that_cannot_be_met_yield_where_best_effort_is_asked_for() {
    let demanding =
        pool("general", r#"{"key":"node.kubernetes.io/instance-type","operator":"Exists","minValues":2}"#, "", "");
    let items = [pod("a", "3", "1Gi", ""), demanding];
    let left = |more: &[&str]| plan(&items, more).json()["summary"]["unplaced"].clone();
    assert_eq!(left(&[]), 1);
    assert_eq!(left(&["--min-values-policy", "best-effort"]), 0);
}

#[test]
fn taints_that_go_when_a_node_is_ready_keep_nobody_away() {
    let node = |more: &str, taint: &str| {
        format!(
            r#"{{"apiVersion":"v1","kind":"Node","metadata":{{"name":"n1","labels":{{"karpenter.sh/nodepool":"general"{more}}}}},
            "spec":{{"taints":[{{"key":"{taint}","effect":"NoSchedule"}}]}},
            "status":{{"allocatable":{{"cpu":"2","memory":"8Gi","pods":"9"}}}}}}"#
        )
    };
    let started = pool("general", "", r#","startupTaints":[{"key":"cni","effect":"NoSchedule"}]"#, "");
    let launched = |node: String| {
        plan(&[node, started.clone(), pod("a", "1", "1Gi", "")], &[]).json()["summary"]["newNodes"].clone()
    };
    for taint in ["node.kubernetes.io/not-ready", "karpenter.sh/unregistered", "readiness.k8s.io/x", "cni"] {
        assert_eq!(launched(node("", taint)), 0, "{taint}");
        assert_eq!(launched(node(r#","karpenter.sh/initialized":"true""#, taint)), 1, "{taint}");
    }
    assert_eq!(launched(node("", "mine")), 1);
}

fn daemon_set(spec: &str) -> String {
    format!(
        r#"{{"apiVersion":"apps/v1","kind":"DaemonSet","metadata":{{"name":"agent","namespace":"d"}},"spec":{{
        "selector":{{"matchLabels":{{"app":"agent"}}}},"template":{{"metadata":{{"labels":{{"app":"agent"}}}},"spec":{spec}}}}}}}"#
    )
}

#[test]
fn daemon_sets_hold_their_host_ports_on_new_nodes() {
    let ports = r#"{"containers":[{"name":"c","ports":[{"containerPort":80,"hostPort":80}]}]}"#;
    let taker = pod("a", "1", "1Gi", "").replace(
        r#""name":"c","resources""#,
        r#""name":"c","ports":[{"containerPort":8080,"hostPort":80}],"resources""#,
    );
    let left = |items: &[String]| plan(items, &[]).json()["unplaced"].clone();
    assert_eq!(left(&[taker.clone(), pool("general", "", "", "")]), serde_json::json!([]));
    let refused = left(&[taker, pool("general", "", "", ""), daemon_set(ports)]);
    assert_eq!(refused[0]["reasons"][0]["code"], "NP-HOST-PORT", "{refused}");
}

#[test]
fn daemon_sets_are_inferred_from_their_pods() {
    let node = r#"{"apiVersion":"v1","kind":"Node","metadata":{"name":"n1"},"status":{"allocatable":{"cpu":"1","memory":"8Gi","pods":"9"}}}"#;
    let daemon = pod("agent-x", "1", "1Gi", r#","nodeName":"n1""#).replace(
        r#""namespace":"d""#,
        r#""namespace":"d","ownerReferences":[{"apiVersion":"apps/v1","kind":"DaemonSet","name":"agent","uid":"1","controller":true}]"#,
    );
    let kind =
        |items: &[String]| plan(items, &["--capacity-types", "on-demand"]).json()["nodes"][0]["instanceType"].clone();
    let asking = pod("a", "1500m", "1Gi", "");
    assert_eq!(kind(&[node.to_owned(), asking.clone()]), "small-2x-amd64-linux");
    // Beside the agent's core the small type has too little.
    assert_eq!(kind(&[node.to_owned(), asking, daemon]), "large-4x-amd64-linux");
}

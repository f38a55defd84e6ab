//! What a plan says, rule by rule.

use expect_test::expect_file;
use serde_json::Value;

use super::harness::{Ran, list, plan, pod, pool, stowage};

#[test]
fn the_example_prints_its_plan() {
    let ran = stowage(&["plan", "examples/shop", "--no-timings"], "");
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    expect_file!["../../fixtures/shop.table.txt"].assert_eq(&ran.out);
    let claims = stowage(&["plan", "examples/shop", "-o", "nodeclaims"], "");
    expect_file!["../../fixtures/shop.nodeclaims.yaml"].assert_eq(&claims.out);
}

#[test]
fn every_output_carries_the_same_nodes() {
    let json = stowage(&["plan", "examples/shop", "-o", "json"], "").json();
    let nodes = json["nodes"].as_array().unwrap().len();
    assert!(nodes > 0);
    let count = |text: &str, what: &str| text.matches(what).count();
    let html = stowage(&["plan", "examples/shop", "-o", "html"], "").out;
    assert_eq!(count(&html, "<svg "), nodes);
    assert!(!html.contains("http://") && !html.contains("https://") && !html.contains("<script"));
    let claims = stowage(&["plan", "examples/shop", "-o", "nodeclaims"], "").out;
    assert_eq!(count(&claims, "kind: NodeClaim"), nodes);
    let yaml = stowage(&["plan", "examples/shop", "-o", "yaml", "--no-timings"], "").out;
    assert!(yaml.contains("formatVersion"));
    assert!(stowage(&["plan", "examples/shop", "-o", "wide"], "").out.contains("ALTERNATIVES"));
}

fn types(ran: &Ran) -> Vec<String> {
    let json = ran.json();
    let nodes = json["nodes"].as_array().unwrap();
    nodes
        .iter()
        .map(|n| {
            format!(
                "{} {} {}",
                n["instanceType"].as_str().unwrap(),
                n["zone"].as_str().unwrap(),
                n["pods"].as_array().unwrap().len()
            )
        })
        .collect()
}

fn codes(json: &Value) -> Vec<String> {
    let unplaced = json["unplaced"].as_array().unwrap();
    let reasons = unplaced.iter().flat_map(|u| u["reasons"].as_array().unwrap());
    reasons.map(|r| r["code"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn two_pods_of_seventy_percent_share_one_right_sized_node() {
    let pods = [pod("a", "1330m", "1Gi", ""), pod("b", "1330m", "1Gi", "")];
    let ran = plan(&pods, &["--capacity-types", "on-demand"]);
    assert_eq!(types(&ran), ["large-4x-amd64-linux a 2"]);
    assert_eq!(ran.json()["summary"]["end"], "optimal");
    assert_eq!(ran.json()["certificate"]["kind"], "exact");
}

#[test]
fn rules_decide_where_pods_go() {
    let zone = |z: &str| format!(r#","nodeSelector":{{"topology.kubernetes.io/zone":"{z}"}}"#);
    let on_demand = r#","nodeSelector":{"karpenter.sh/capacity-type":"on-demand"}"#;
    let gpu =
        |n: u32| format!(r#","initContainers":[{{"name":"i","resources":{{"limits":{{"nvidia.com/gpu":"{n}"}}}}}}]"#);
    for (pods, expected) in [
        (vec![pod("a", "1", "1Gi", "")], vec!["large-4x-amd64-linux b 1"]),
        (vec![pod("a", "1", "1Gi", on_demand)], vec!["small-2x-amd64-linux a 1"]),
        (vec![pod("a", "1", "1Gi", &zone("a"))], vec!["small-2x-amd64-linux a 1"]),
        (vec![pod("a", "1", "1Gi", &(zone("a") + &gpu(1)))], vec!["large-4x-amd64-linux a 1"]),
        (
            vec![pod(
                "a",
                "1",
                "1Gi",
                r#","affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[
                {"matchExpressions":[{"key":"karpenter.kwok.sh/instance-cpu","operator":"Lt","values":["4"]}]},
                {"matchExpressions":[{"key":"topology.kubernetes.io/zone","operator":"In","values":["nowhere"]}]}]}}}"#,
            )],
            vec!["small-2x-amd64-linux a 1"],
        ),
    ] {
        assert_eq!(types(&plan(&pods, &[])), expected, "{pods:?}");
    }
}

#[test]
fn unplaced_pods_say_why_for_each_pool() {
    let gpu = r#","initContainers":[{"name":"i","resources":{"limits":{"nvidia.com/gpu":"3"}}}]"#;
    let everything = pool("open", "", "", "");
    let tainted = pool("tainted", "", r#","taints":[{"key":"x","effect":"NoSchedule"}]"#, "");
    let arm = pool("arm", r#"{"key":"kubernetes.io/arch","operator":"In","values":["arm64"]}"#, "", "");
    let ran = plan(&[pod("a", "1", "1Gi", gpu), everything, tainted, arm], &["--detailed-exitcode"]);
    assert_eq!(ran.code, 3);
    let json = ran.json();
    assert_eq!(codes(&json), ["NP-NO-TYPES", "NP-RESOURCE", "NP-TAINT"]);
    let message = json["unplaced"][0]["reasons"][1]["message"].as_str().unwrap();
    assert_eq!(
        message,
        "asks 3 nvidia.com/gpu; the largest allowed type has 1 (large-4x-amd64-linux); \
         widen requirement karpenter.k8s.aws/instance-gpu-count of pool open"
    );
}

#[test]
fn limits_are_kept_exactly() {
    let limited = pool("p", "", "", r#","limits":{"cpu":"5"}"#);
    let pods: Vec<String> = (0..9).map(|i| pod(&format!("p{i}"), "900m", "1Gi", "")).chain([limited]).collect();
    let json = plan(&pods, &["--capacity-types", "on-demand"]).json();
    // One node of two cores and none of four would waste a core: four fit four.
    assert_eq!(json["summary"]["placed"], 4, "{json}");
    assert!(codes(&json).iter().all(|code| code == "NP-LIMIT"));
    let nodes = pool("p", "", "", r#","limits":{"nodes":"2"}"#);
    let pods: Vec<String> = (0..9).map(|i| pod(&format!("p{i}"), "900m", "1Gi", "")).chain([nodes]).collect();
    assert_eq!(plan(&pods, &[]).json()["summary"]["placed"], 8);
}

#[test]
fn heavier_pools_go_first_even_where_they_cost_more() {
    let kind = |t: &str| format!(r#"{{"key":"karpenter.sh/capacity-type","operator":"In","values":["{t}"]}}"#);
    let pools = [pool("dear", &kind("on-demand"), "", r#","weight":10"#), pool("cheap", &kind("spot"), "", "")];
    let json = plan(&[vec![pod("a", "1", "1Gi", "")], pools.to_vec()].concat(), &[]).json();
    assert_eq!(json["nodes"][0]["nodePool"], "dear");
    assert_eq!(json["summary"]["end"], "optimal");
}

#[test]
fn a_heavy_pool_whose_limits_hold_no_node_gives_way() {
    let pools = [pool("full", "", "", r#","weight":10,"limits":{"cpu":"1"}"#), pool("open", "", "", "")];
    let json = plan(&[vec![pod("a", "1", "1Gi", "")], pools.to_vec()].concat(), &[]).json();
    assert_eq!(json["nodes"][0]["nodePool"], "open", "{json}");
}

#[test]
fn existing_nodes_are_used_first() {
    let node = |name: &str, spec: &str| {
        format!(
            r#"{{"apiVersion":"v1","kind":"Node","metadata":{{"name":"{name}","labels":{{"topology.kubernetes.io/zone":"a"}}}},
            "spec":{{{spec}}},"status":{{"allocatable":{{"cpu":"4","memory":"16Gi","pods":"10"}},"capacity":{{"cpu":"4","memory":"16Gi"}}}}}}"#
        )
    };
    let bound = pod("running", "2", "4Gi", r#","nodeName":"n1""#).replace("Pending", "Running");
    let elsewhere = pod("away", "2", "4Gi", r#","nodeName":"gone""#).replace("Pending", "Running");
    let items = [
        node("n1", ""),
        node("n2", r#""unschedulable":true"#),
        bound,
        elsewhere,
        pod("a", "1500m", "1Gi", ""),
        pod("b", "1", "1Gi", ""),
    ];
    let json = plan(&items, &["--detailed-exitcode"]).json();
    assert_eq!(json["existing"].as_array().unwrap().len(), 1);
    assert_eq!(
        (json["existing"][0]["name"].as_str(), json["existing"][0]["pods"][0].as_str()),
        (Some("n1"), Some("d/a"))
    );
    assert_eq!(json["summary"]["newNodes"], 1);
    assert!(json["warnings"].to_string().contains("d/away: runs on a node that is not in the input"));
}

#[test]
fn what_is_not_planned_for_is_said() {
    let gated = r#","schedulingGates":[{"name":"g"}]"#;
    let claims = r#","resourceClaims":[{"name":"gpu","resourceClaimName":"g"}]"#;
    let json = plan(&[pod("a", "1", "1Gi", claims), pod("b", "1", "1Gi", gated)], &[]).json();
    let warnings = json["warnings"].to_string();
    assert!(warnings.contains("d/b: has scheduling gates"), "{warnings}");
    assert_eq!(json["summary"]["pods"], 1);
    assert!(codes(&json).iter().all(|code| code == "NP-DRA"), "{:?}", codes(&json));
}

#[test]
fn workloads_stand_for_missing_pods_only() {
    let deployment = r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","namespace":"d"},"spec":{"replicas":3,
        "selector":{"matchLabels":{"app":"web"}},"template":{"metadata":{"labels":{"app":"web"}},
        "spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"1"}}}]}}}}"#;
    let own = pod("web-x", "1", "1Gi", "").replace(r#""namespace":"d""#, r#""namespace":"d","labels":{"app":"web"}"#);
    assert_eq!(plan(&[deployment.to_owned()], &[]).json()["summary"]["pods"], 3);
    assert_eq!(plan(&[deployment.to_owned(), own], &[]).json()["summary"]["pods"], 3);
}

#[test]
fn bound_volumes_pin_the_zone() {
    let volume = r#"{"apiVersion":"v1","kind":"PersistentVolume","metadata":{"name":"v"},"spec":{"nodeAffinity":{"required":{"nodeSelectorTerms":[
        {"matchExpressions":[{"key":"topology.ebs.csi.aws.com/zone","operator":"In","values":["a"]}]}]}}}}"#;
    let claim = r#"{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"c","namespace":"d"},"spec":{"volumeName":"v"}}"#;
    let user = pod("a", "1", "1Gi", r#","volumes":[{"name":"x","persistentVolumeClaim":{"claimName":"c"}}]"#);
    assert_eq!(types(&plan(&[user, volume.into(), claim.into()], &[])), ["small-2x-amd64-linux a 1"]);
}

#[test]
fn an_empty_list_is_nothing_to_plan() {
    let ran = stowage(&["plan", "-"], &list(&[]));
    assert_eq!(ran.code, 0);
    assert!(ran.out.contains("nothing to plan"), "{ran:?}");
}

#[test]
fn alternatives_can_be_asked_for() {
    let json = stowage(&["plan", "examples/shop", "-o", "json", "--min-alternatives", "3"], "").json();
    assert!(json["summary"]["minAlternatives"].as_u64().unwrap() >= 3);
}

#[test]
fn first_fit_is_the_baseline() {
    let price = |solver: &str| {
        let ran = stowage(&["plan", "examples/shop", "-o", "json", "--solver", solver], "");
        ran.json()["summary"]["hourlyPrice"].as_f64().unwrap()
    };
    assert!(price("optimise") <= price("first-fit"));
}

#[test]
fn overlays_correct_prices_and_resources() {
    let overlay = |spec: &str| {
        format!(
            r#"{{"apiVersion":"karpenter.sh/v1alpha1","kind":"NodeOverlay","metadata":{{"name":"o"}},"spec":{spec}}}"#
        )
    };
    let small = r#""requirements":[{"key":"node.kubernetes.io/instance-type","operator":"In","values":["small-2x-amd64-linux"]}]"#;
    let price = |spec: String| {
        let ran = plan(&[pod("a", "1", "1Gi", ""), overlay(&spec)], &["--capacity-types", "on-demand"]);
        ran.json()["summary"]["hourlyPrice"].as_f64().unwrap()
    };
    assert_eq!(price(format!(r#"{{{small},"priceAdjustment":"-50%"}}"#)), 0.05);
    assert_eq!(price(format!(r#"{{{small},"priceAdjustment":"+0.01"}}"#)), 0.11);
    assert_eq!(price(format!(r#"{{{small},"price":"0.9"}}"#)), 0.18);
    let gadget = pod("a", "1", "1Gi", "").replace(r#""cpu":"1","#, r#""cpu":"1","example.com/gadget":"1","#);
    let capacity = overlay(&format!(r#"{{{small},"capacity":{{"example.com/gadget":"2"}}}}"#));
    assert_eq!(types(&plan(&[gadget, capacity], &["--capacity-types", "on-demand"])), ["small-2x-amd64-linux a 1"]);
}

#[test]
fn buffers_keep_room() {
    let deployment = r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","namespace":"d"},"spec":{"replicas":3,
        "selector":{"matchLabels":{"app":"web"}},"template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[
        {"name":"c","resources":{"requests":{"cpu":"1","memory":"1Gi"}}}]}}}}"#;
    let buffer = |spec: &str| {
        format!(
            r#"{{"apiVersion":"autoscaling.x-k8s.io/v1beta1","kind":"CapacityBuffer","metadata":{{"name":"spare","namespace":"d"}},
            "spec":{{"scalableRef":{{"kind":"Deployment","name":"web"}},{spec}}}}}"#
        )
    };
    for (spec, pods) in [
        (r#""percentage":50"#, 5),
        (r#""replicas":4"#, 7),
        (r#""replicas":4,"limits":{"cpu":"2"}"#, 5),
        (r#""limits":{"cpu":"3500m"}"#, 6),
    ] {
        let json = plan(&[deployment.to_owned(), buffer(spec)], &[]).json();
        assert_eq!(json["summary"]["pods"], pods, "{spec}");
    }
    assert_eq!(plan(&[buffer(r#""replicas":1"#)], &[]).code, 65, "its workload is not there");
}

#[test]
fn min_values_keep_other_types_open() {
    let pool = |least: u32| {
        pool(
            "general",
            &format!(r#"{{"key":"node.kubernetes.io/instance-type","operator":"Exists","minValues":{least}}}"#),
            "",
            "",
        )
    };
    let ask = |cpu: &str, least| plan(&[pod("a", cpu, "1Gi", ""), pool(least)], &["--capacity-types", "on-demand"]);
    // Both types hold a small pod; only one holds a large one.
    assert_eq!(types(&ask("1", 2)), ["small-2x-amd64-linux a 1"]);
    assert_eq!(ask("1", 2).json()["nodes"][0]["alternatives"].as_array().unwrap().len(), 1);
    assert_eq!(types(&ask("3", 1)), ["large-4x-amd64-linux a 1"]);
    assert_eq!(types(&ask("3", 2)), Vec::<String>::new());
}

#[test]
fn pods_that_need_no_node_of_their_own_are_left_out() {
    let node = r#"{"apiVersion":"v1","kind":"Node","metadata":{"name":"n1"},"status":{"allocatable":{"cpu":"2","memory":"8Gi","pods":"9"}}}"#;
    let nominated = pod("waits", "1500m", "1Gi", "")
        .replace(r#""phase":"Pending""#, r#""phase":"Pending","nominatedNodeName":"n1""#);
    let json = plan(&[node.to_owned(), nominated, pod("a", "1", "1Gi", "")], &[]).json();
    assert!(json["warnings"].to_string().contains("d/waits: is nominated to a node"), "{}", json["warnings"]);
    // Its room on the node is kept.
    assert_eq!((json["existing"].as_array().unwrap().len(), &json["summary"]["newNodes"]), (0, &serde_json::json!(1)));
    let cheap = pod("cheap", "1", "1Gi", r#","priority":-20"#);
    let json = plan(&[cheap, pod("a", "1", "1Gi", "")], &["--expendable-priority", "-10"]).json();
    assert_eq!(json["summary"]["pods"], 1);
    assert!(json["warnings"].to_string().contains("d/cheap: has a priority below the cut-off"));
}

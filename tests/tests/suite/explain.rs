//! Explanations.

use expect_test::expect;

use super::harness::{plan, pod, pool, stowage};

#[test]
fn a_pod_that_fits_nowhere_is_followed_through_the_rules() {
    let ran = stowage(&["explain", "pod", "finetune-0", "examples/shop"], "");
    expect![[r#"
        pod ml/finetune-0 asks for 16 cpu, 96Gi memory, 4 nvidia.com/gpu

        pool data (weight 0): 326 types
            326 left after resource claims
            326 left after volume claims
              0 left after taints
              0 left after nodeSelector
              0 left after required node affinity
              0 left after bound volumes
              0 left after resources
          no: NP-TAINT: does not tolerate dedicated=data:NoSchedule; tolerate it, or use a pool without it

        pool general (weight 0): 518 types
            518 left after resource claims
            518 left after volume claims
            518 left after taints
            518 left after nodeSelector
            518 left after required node affinity
            518 left after bound volumes
              0 left after resources
          no: NP-RESOURCE: asks 4 nvidia.com/gpu; the largest allowed type has 0; widen requirement karpenter.k8s.aws/instance-gpu-count of pool general

        pool gpu (weight 0): 33 types
             33 left after resource claims
             33 left after volume claims
             33 left after taints
             33 left after nodeSelector
             33 left after required node affinity
             33 left after bound volumes
              0 left after resources
          no: NP-RESOURCE: asks 4 nvidia.com/gpu; the largest allowed type has 1 (gr6.8xlarge); widen requirement karpenter.k8s.aws/instance-gpu-count of pool gpu

        blocked by NP-RESOURCE nvidia.com/gpu (dropping it is enough)
        nearest: pool gpu with g6.8xlarge: ask for at most 1 nvidia.com/gpu
    "#]]
    .assert_eq(&ran.out);
}

#[test]
fn codes_explain_themselves() {
    let all = stowage(&["explain", "code"], "").out;
    assert!(all.contains("NP-TAINT") && all.contains("IN-PRICE"));
    let one = stowage(&["explain", "code", "np-limit"], "").out;
    assert!(one.contains("What to do: raise spec.limits"), "{one}");
}

#[test]
fn a_pod_without_a_place_learns_which_rules_block_it_and_what_came_nearest() {
    let tainted = pool(
        "tainted",
        r#"{"key":"team","operator":"In","values":["red"]}"#,
        r#","taints":[{"key":"a","value":"b","effect":"NoSchedule"}]"#,
        "",
    );
    let red = pod("red", "1", "1Gi", r#","nodeSelector":{"team":"red"}"#);
    let json = plan(&[red.clone(), pool("plain", "", "", ""), tainted], &[]).json();
    let left = &json["unplaced"][0];
    // Without the taint one pool would do, without the selector the other.
    assert_eq!(
        left["blockedBy"],
        serde_json::json!([
            "NP-TAINT a=b:NoSchedule (dropping it is enough)",
            "NP-SELECTOR team (dropping it is enough)"
        ])
    );
    assert_eq!(left["nearest"]["changes"].as_array().unwrap().len(), 1, "{left}");
    // Two things at once: neither alone is enough.
    let large = pod("large", "9", "1Gi", r#","nodeSelector":{"team":"red"}"#);
    let json = plan(&[large, pool("plain", "", "", "")], &[]).json();
    let left = &json["unplaced"][0];
    assert_eq!(left["blockedBy"].as_array().unwrap().len(), 1, "{left}");
    assert_eq!(left["nearest"]["changes"].as_array().unwrap().len(), 2, "{left}");
}

#[test]
fn a_node_says_why_it_is_of_its_type() {
    let json = plan(&[pod("a", "3", "1Gi", "")], &["--capacity-types", "on-demand"]).json();
    let why = &json["nodes"][0]["why"];
    assert_eq!(json["nodes"][0]["instanceType"], "large-4x-amd64-linux");
    assert_eq!(why["cheaper"]["instanceType"], "small-2x-amd64-linux");
    assert_eq!(why["cheaper"]["lacks"], "1100m cpu");
    let json = plan(&[pod("a", "1", "1Gi", "")], &["--capacity-types", "on-demand", "--zones", "a"]).json();
    let why = &json["nodes"][0]["why"];
    assert_eq!((&why["cheaper"], &why["instead"]["hourlyPrice"]), (&serde_json::Value::Null, &serde_json::json!(0.18)));
}

//! Explanations.

use expect_test::expect;

use super::harness::stowage;

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

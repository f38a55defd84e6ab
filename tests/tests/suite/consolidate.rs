//! What to give up, and why the rest stays.

use expect_test::expect;

use super::harness::{CATALOG, TempFile, list, pool, stowage};

const AT: &str = "2026-06-01T00:00:00Z";

/// A node of one of the catalogue's sizes, with more labels or spec as JSON.
fn node(name: &str, kind: &str, zone: &str, annotations: &str) -> String {
    let (cpu, memory) = if kind.starts_with("small") { (2, 8) } else { (4, 16) };
    format!(
        r#"{{"apiVersion":"v1","kind":"Node","metadata":{{"name":"{name}","annotations":{{{annotations}}},"labels":{{
        "karpenter.sh/nodepool":"default","karpenter.sh/initialized":"true","karpenter.sh/registered":"true",
        "node.kubernetes.io/instance-type":"{kind}","topology.kubernetes.io/zone":"{zone}","karpenter.sh/capacity-type":"on-demand",
        "kubernetes.io/arch":"amd64","kubernetes.io/os":"linux","kubernetes.io/hostname":"{name}"}}}},
        "status":{{"capacity":{{"cpu":"{cpu}","memory":"{memory}Gi","pods":"110"}},"allocatable":{{"cpu":"{cpu}","memory":"{memory}Gi","pods":"110"}},
        "conditions":[{{"type":"Ready","status":"True"}}]}}}}"#
    )
}

/// A running pod; `more` is JSON for its metadata, with a comma first.
fn running(name: &str, node: &str, cpu: &str, more: &str) -> String {
    format!(
        r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{name}","namespace":"d","labels":{{"app":"{name}"}},
        "ownerReferences":[{{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"{name}","uid":"u","controller":true}}]{more}}},
        "spec":{{"nodeName":"{node}","containers":[{{"name":"c","resources":{{"requests":{{"cpu":"{cpu}"}}}}}}]}},
        "status":{{"phase":"Running","startTime":"2026-01-01T00:00:00Z"}}}}"#
    )
}

fn on_demand(spec: &str) -> String {
    let requirement = r#"{"key":"karpenter.sh/capacity-type","operator":"In","values":["on-demand"]}"#;
    pool(
        "default",
        requirement,
        "",
        &format!(r#","disruption":{{"consolidateAfter":"0s","budgets":[{{"nodes":"100%"}}]{spec}}}"#),
    )
}

/// Two nodes that are 70 % full.
fn seed() -> Vec<String> {
    vec![
        on_demand(""),
        node("a", "small-2x-amd64-linux", "a", ""),
        node("b", "small-2x-amd64-linux", "a", ""),
        running("one", "a", "1400m", ""),
        running("two", "b", "1400m", ""),
    ]
}

fn consolidate(items: &[String], more: &[&str]) -> super::harness::Ran {
    let catalog = TempFile::new("types.json", CATALOG);
    let at = if more.contains(&"--at") { &[][..] } else { &["--at", AT][..] };
    let args = ["consolidate", "-", "--catalog", catalog.path(), "--no-timings"];
    stowage(&[&args[..], at, more].concat(), &list(items))
}

#[test]
fn a_small_cluster_is_told_what_to_give_up() {
    let ran = stowage(&["consolidate", "examples/cluster", "--at", AT, "--no-timings"], "");
    expect![[r#"
          Empty          delete ip-10-0-1-3  ($0.0960/h)
          Underutilized  replace 2 nodes by m6i.xlarge us-east-1a on-demand, 4 pods move  ($0.2880/h, paid back in 3 min)
            - ip-10-0-1-1 m6i.large us-east-1a $0.0960/h
            - ip-10-0-1-5 m6i.2xlarge us-east-1a $0.3840/h
            + general m6i.xlarge us-east-1a $0.1920/h

        Nodes that stay
          ip-10-0-1-2: no cheaper arrangement was found; by what its pods are worth, $0.0142/h might be saved
          ip-10-0-1-4: pod shop/report-6d4cf56db6-ccccc has karpenter.sh/do-not-disrupt

        5 nodes, $0.7680/h → 3 nodes, $0.3840/h: saves $0.3840/h, $280.32 a month, with 2 commands and 4 evictions
        no arrangement costs less than $0.3265/h: at most 17.60 % above it is left
    "#]]
    .assert_eq(&ran.out);
    let why = stowage(&["explain", "node", "ip-10-0-1-4", "examples/cluster", "--at", AT], "");
    expect![[r#"
        node ip-10-0-1-4: $0.0960/h, 1 pod that could be moved
        it stays: pod shop/report-6d4cf56db6-ccccc has karpenter.sh/do-not-disrupt
        the whole decision saves $0.3840/h with 2 commands
    "#]]
    .assert_eq(&why.out);
}

#[test]
fn two_nodes_of_seventy_percent_become_one() {
    let ran = consolidate(&seed(), &["-o", "json", "--detailed-exitcode", "--eviction-price", "0.001"]);
    assert_eq!(ran.code, 2, "{}", ran.err);
    let json = ran.json();
    let command = &json["waves"][0]["commands"][0];
    assert_eq!(command["sentence"], "replace 2 nodes by large-4x-amd64-linux a on-demand, 2 pods move");
    assert_eq!(json["summary"]["hourlyPriceAfter"], 0.18);
    assert_eq!(json["summary"]["lowestHourlyPrice"].as_f64().map(|floor| floor <= 0.18), Some(true));
    // An eviction that is worth more than what is saved keeps both.
    let dear = consolidate(&seed(), &["-o", "json", "--detailed-exitcode", "--eviction-price", "0.02"]);
    assert_eq!((dear.code, dear.json()["summary"]["commands"].as_u64()), (0, Some(0)));
}

#[test]
fn what_protects_a_node_is_named() {
    let budget = r#"{"apiVersion":"policy/v1","kind":"PodDisruptionBudget","metadata":{"name":"two","namespace":"d"},
        "spec":{"minAvailable":1,"selector":{"matchLabels":{"app":"two"}}}}"#;
    let mut items = seed();
    items[1] = node("a", "small-2x-amd64-linux", "a", r#""karpenter.sh/do-not-disrupt":"true""#);
    items.push(budget.to_owned());
    let json = consolidate(&items, &["-o", "json"]).json();
    let why: Vec<&str> = json["stay"].as_array().unwrap().iter().map(|stay| stay["why"].as_str().unwrap()).collect();
    assert_eq!(
        why,
        ["its Node has karpenter.sh/do-not-disrupt", "pod d/two has a PodDisruptionBudget that allows no disruption"]
    );
    // cluster-autoscaler's rules, where they are asked for.
    let mut local = seed();
    local[3] =
        running("one", "a", "1400m", r#","annotations":{"cluster-autoscaler.kubernetes.io/safe-to-evict":"false"}"#);
    let more = ["-o", "json", "--eviction-price", "0.001", "--blockers"];
    let count =
        |blockers: &str| consolidate(&local, &[&more[..], &[blockers]].concat()).json()["summary"]["commands"].as_u64();
    assert_eq!((count("karpenter"), count("cluster-autoscaler")), (Some(1), Some(0)));
}

#[test]
fn budgets_and_policies_hold() {
    let empty = |name| node(name, "small-2x-amd64-linux", "b", "");
    let of = |disruption: &str, more: &[&str]| {
        let requirement = r#"{"key":"karpenter.sh/capacity-type","operator":"In","values":["on-demand"]}"#;
        let pool = pool("default", requirement, "", &format!(r#","disruption":{{{disruption}}}"#));
        let items = [pool, empty("x"), empty("y"), empty("z")];
        consolidate(&items, &[&["-o", "json"], more].concat()).json()["summary"]["commands"].as_u64()
    };
    assert_eq!(of(r#""consolidateAfter":"0s","budgets":[{"nodes":"2"}]"#, &[]), Some(2));
    assert_eq!(of(r#""consolidateAfter":"Never""#, &[]), Some(0));
    assert_eq!(of(r#""consolidateAfter":"0s","budgets":[{"nodes":"0","reasons":["Empty"]}]"#, &[]), Some(0));
    // A tenth of three, rounded up, wave by wave.
    assert_eq!(of(r#""consolidateAfter":"0s""#, &[]), Some(1));
    assert_eq!(of(r#""consolidateAfter":"0s""#, &["--until-stable"]), Some(3));
    // From nine to five in UTC nothing goes.
    let office =
        r#""consolidateAfter":"0s","budgets":[{"nodes":"0","schedule":"0 9 * * *","duration":"8h"},{"nodes":"100%"}]"#;
    assert_eq!(of(office, &[]), Some(3));
    assert_eq!(of(office, &["--at", "2026-06-01T10:00:00Z"]), Some(0));
    // A schedule that cannot be read keeps everything, and is named.
    let broken = [
        on_demand("").replace(r#""nodes":"100%""#, r#""nodes":"100%","schedule":"often","duration":"1h""#),
        empty("x"),
    ];
    let json = consolidate(&broken, &["-o", "json"]).json();
    assert_eq!(json["summary"]["commands"], 0);
    assert!(json["warnings"].to_string().contains("NodePool default has a budget that cannot be read"), "{json}");
}

#[test]
fn nodes_are_replaced_before_they_expire_where_their_pool_says_so() {
    let claim = r#"{"apiVersion":"karpenter.sh/v1","kind":"NodeClaim","metadata":{"name":"c","creationTimestamp":"2026-05-02T00:00:00Z",
        "labels":{"karpenter.sh/nodepool":"default"}},"spec":{"requirements":[],"expireAfter":"720h",
        "nodeClassRef":{"group":"karpenter.kwok.sh","kind":"KWOKNodeClass","name":"default"}},
        "status":{"nodeName":"a","conditions":[{"type":"Initialized","status":"True","reason":"r","message":"","lastTransitionTime":"2026-05-02T00:00:00Z"}]}}"#;
    let of = |annotation: &str, at: &str| {
        let pool = on_demand("").replacen(
            r#""name":"default""#,
            &format!(r#""name":"default","annotations":{{{annotation}}}"#),
            1,
        );
        let items =
            [pool, node("a", "small-2x-amd64-linux", "a", ""), running("one", "a", "1400m", ""), claim.to_owned()];
        let json = consolidate(&items, &["-o", "json", "--at", at]).json();
        json["waves"][0]["commands"][0]["reason"].as_str().map(str::to_owned)
    };
    let lead = r#""stowage.sh/replace-before-expiry":"15m""#;
    assert_eq!(of(lead, "2026-05-31T23:50:00Z").as_deref(), Some("Drifted"));
    assert_eq!(of(lead, "2026-05-31T23:40:00Z"), None);
    assert_eq!(of("", "2026-05-31T23:50:00Z"), None);
}

#[test]
fn drifted_nodes_of_static_pools_are_renewed_one_for_one() {
    let claim = r#"{"apiVersion":"karpenter.sh/v1","kind":"NodeClaim","metadata":{"name":"c",
        "labels":{"karpenter.sh/nodepool":"default"}},"spec":{"requirements":[],
        "nodeClassRef":{"group":"karpenter.kwok.sh","kind":"KWOKNodeClass","name":"d"}},
        "status":{"nodeName":"a","conditions":[
            {"type":"Initialized","status":"True","reason":"r","message":"","lastTransitionTime":"2026-05-02T00:00:00Z"},
            {"type":"Drifted","status":"True","reason":"AMIDrift","message":"","lastTransitionTime":"2026-05-02T00:00:00Z"}]}}"#;
    let of = |budget: &str| {
        let spec = format!(r#","replicas":1,"disruption":{{"budgets":[{{"nodes":"{budget}"}}]}}"#);
        let pool = pool("default", "", "", &spec);
        let items =
            [pool, node("a", "small-2x-amd64-linux", "a", ""), running("one", "a", "1400m", ""), claim.to_owned()];
        consolidate(&items, &["--until-stable"]).out
    };
    let (open, shut) = (of("1"), of("0"));
    assert!(open.contains("renew a of a static pool (AMIDrift)") && !open.contains("nothing to do"), "{open}");
    assert!(shut.contains("nothing to do"), "{shut}");
}

#[test]
fn the_same_cluster_gives_the_same_bytes() {
    let of = |threads| consolidate(&seed(), &["-o", "json", "--threads", threads]).out;
    assert_eq!(of("1"), of("8"));
    let page = consolidate(&seed(), &["-o", "html", "--eviction-price", "0.001"]).out;
    assert!(page.contains("<h2>Before</h2>") && page.contains("replace 2 nodes by"), "{page}");
}

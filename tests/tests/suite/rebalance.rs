//! Pods that move though their nodes stay: a DeschedulerPolicy beside a cluster.

use serde_json::{Value, json};

use super::harness::{CATALOG, Ran, TempFile, list, pool, stowage};

const AT: &str = "2026-06-01T00:00:00Z";

/// A node of four cores; `change` is merged into it.
fn node(name: &str, zone: &str, change: Value) -> Value {
    let room = json!({ "cpu": "4", "memory": "16Gi", "pods": "110" });
    let mut node = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": name, "labels": {
            "karpenter.sh/nodepool": "default", "karpenter.sh/initialized": "true", "karpenter.sh/registered": "true",
            "node.kubernetes.io/instance-type": "large-4x-amd64-linux", "topology.kubernetes.io/zone": zone,
            "karpenter.sh/capacity-type": "on-demand", "kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux",
            "kubernetes.io/hostname": name } },
        "spec": {},
        "status": { "capacity": room, "allocatable": room, "conditions": [{ "type": "Ready", "status": "True" }] },
    });
    merge(&mut node, change);
    node
}

/// A running pod of workload `app`; `change` is merged into it.
fn pod(app: &str, index: usize, node: &str, change: Value) -> Value {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": format!("{app}-{index}"), "namespace": "d", "labels": { "app": app },
            "creationTimestamp": "2026-05-31T00:00:00Z",
            "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": app, "uid": app, "controller": true }] },
        "spec": { "nodeName": node, "containers": [{ "name": "c", "image": "i", "resources": { "requests": { "cpu": "500m" } } }] },
        "status": { "phase": "Running", "startTime": "2026-05-31T00:00:00Z" },
    });
    merge(&mut pod, change);
    pod
}

fn merge(into: &mut Value, change: Value) {
    match (into, change) {
        (Value::Object(into), Value::Object(change)) => {
            for (key, value) in change {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, change) => *into = change,
    }
}

fn policy(point: &str, name: &str, args: Value) -> Value {
    json!({
        "apiVersion": "descheduler/v1alpha2", "kind": "DeschedulerPolicy",
        "profiles": [{ "name": "p", "pluginConfig": [{ "name": name, "args": args }],
            "plugins": { point: { "enabled": [name] } } }],
    })
}

/// Nodes stay as they are, and half of them may be touched.
fn fixed_pool(budget: &str) -> String {
    let rest = format!(r#","disruption":{{"consolidateAfter":"Never","budgets":[{{"nodes":"{budget}"}}]}}"#);
    pool("default", r#"{"key":"kubernetes.io/arch","operator":"Exists"}"#, "", &rest)
}

fn run(objects: &[Value], budget: &str, more: &[&str]) -> Ran {
    let catalog = TempFile::new("types.json", CATALOG);
    let args = ["consolidate", "-", "--catalog", catalog.path(), "--no-timings", "--at", AT, "--blockers", "karpenter"];
    let mut items = vec![fixed_pool(budget)];
    items.extend(objects.iter().map(Value::to_string));
    stowage(&[&args[..], more].concat(), &list(&items))
}

/// What the first decision moves, as `pod: from → to`, and what it leaves.
fn moves(objects: &[Value]) -> (Vec<String>, Vec<String>) {
    let ran = run(objects, "100%", &["-o", "json"]);
    let view: Value = serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {} {}", ran.out, ran.err));
    let wave = &view["waves"][0];
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let of = |name: &str| wave[name].as_array().cloned().unwrap_or_default();
    let moved = of("relocations")
        .iter()
        .map(|m| format!("{}: {} → {}", text(&m["pod"]), text(&m["from"]), text(&m["to"])))
        .collect();
    let kept = of("kept").iter().map(|k| format!("{}: {}", text(&k["pod"]), text(&k["why"]))).collect();
    (moved, kept)
}

fn assert_moves(objects: &[Value], expected: &[&str]) {
    assert_eq!(moves(objects).0, expected);
}

fn two_nodes() -> Vec<Value> {
    vec![node("a", "a", json!({})), node("b", "b", json!({}))]
}

fn with(mut objects: Vec<Value>, more: impl IntoIterator<Item = Value>) -> Vec<Value> {
    objects.extend(more);
    objects
}

fn four_on_a(change: &Value) -> Vec<Value> {
    (0..4).map(|index| pod("web", index, "a", change.clone())).collect()
}

#[test]
fn duplicates_are_shared_out_evenly() {
    let duplicates = || policy("balance", "RemoveDuplicates", json!({}));
    let cluster = || with(two_nodes(), four_on_a(&json!({})));
    assert_moves(&with(cluster(), [duplicates()]), &["d/web-3: a → b", "d/web-2: a → b"]);
    // One node admits them: there is nothing to share.
    let shut = json!({ "spec": { "unschedulable": true } });
    let lonely = with(vec![node("a", "a", json!({})), node("b", "b", shut)], four_on_a(&json!({})));
    assert_moves(&with(lonely, [duplicates()]), &[]);
    let spared = policy("balance", "RemoveDuplicates", json!({ "excludeOwnerKinds": ["ReplicaSet"] }));
    assert_moves(&with(cluster(), [spared]), &[]);
    let elsewhere = policy("balance", "RemoveDuplicates", json!({ "namespaces": { "exclude": ["d"] } }));
    assert_moves(&with(cluster(), [elsewhere]), &[]);
}

#[test]
fn a_taint_that_came_later_sends_pods_away() {
    let taint = |effect: &str| json!({ "spec": { "taints": [{ "key": "team", "value": "ml", "effect": effect }] } });
    let cluster = |effect: &str| {
        let tolerant = json!({ "spec": { "tolerations": [{ "key": "team", "operator": "Exists" }] } });
        let pods = [pod("web", 0, "a", json!({})), pod("ml", 0, "a", tolerant)];
        with(vec![node("a", "a", taint(effect)), node("b", "b", json!({}))], pods)
    };
    let taints = |args: Value| policy("deschedule", "RemovePodsViolatingNodeTaints", args);
    let moved = ["d/web-0: a → b"];
    for (effect, args, expected) in [
        ("NoSchedule", json!({}), &moved[..]),
        ("NoSchedule", json!({ "excludedTaints": ["team=ml"] }), &[]),
        ("NoSchedule", json!({ "excludedTaints": ["team=web"] }), &moved),
        ("NoSchedule", json!({ "includedTaints": ["other"] }), &[]),
        ("PreferNoSchedule", json!({}), &[]),
        ("PreferNoSchedule", json!({ "includePreferNoSchedule": true }), &moved),
    ] {
        assert_moves(&with(cluster(effect), [taints(args)]), expected);
    }
}

#[test]
fn a_node_that_is_no_longer_what_a_pod_asks_for_loses_it() {
    let term = |zone: &str| json!({ "matchExpressions": [{ "key": "topology.kubernetes.io/zone", "operator": "In", "values": [zone] }] });
    let (required, preferred) =
        ("requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution");
    let affinity = |zone: &str| json!({ "spec": { "affinity": { "nodeAffinity": { required: { "nodeSelectorTerms": [term(zone)] } } } } });
    let wish = |zone: &str| json!({ "spec": { "affinity": { "nodeAffinity": { preferred: [{ "weight": 1, "preference": term(zone) }] } } } });
    let of =
        |kind: &str| policy("deschedule", "RemovePodsViolatingNodeAffinity", json!({ "nodeAffinityType": [kind] }));
    let cluster = |change: Value| with(two_nodes(), [pod("web", 0, "a", change)]);
    let moved = ["d/web-0: a → b"];
    for (change, kind, expected) in [
        (affinity("b"), required, &moved[..]),
        (affinity("a"), required, &[]),
        (affinity("b"), preferred, &[]),
        (wish("b"), preferred, &moved),
        (wish("a"), preferred, &[]),
        (wish("b"), required, &[]),
    ] {
        assert_moves(&with(cluster(change), [of(kind)]), expected);
    }
    let (moved, kept) = moves(&with(cluster(affinity("c")), [of(required)]));
    assert_eq!((moved.len(), kept), (0, vec!["d/web-0: no node that it may go to admits it and has room".to_owned()]));
}

#[test]
fn the_least_important_pod_leaves_where_anti_affinity_is_broken() {
    let apart = |priority: i32| {
        json!({ "spec": { "priority": priority, "affinity": { "podAntiAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [{ "topologyKey": "kubernetes.io/hostname",
                "labelSelector": { "matchLabels": { "app": "web" } } }] } } } })
    };
    let pods = [pod("web", 0, "a", apart(5)), pod("web", 1, "a", apart(10)), pod("db", 0, "a", json!({}))];
    let policy = policy("deschedule", "RemovePodsViolatingInterPodAntiAffinity", json!({}));
    assert_moves(&with(with(two_nodes(), pods), [policy]), &["d/web-0: a → b"]);
}

#[test]
fn domains_are_levelled_with_as_few_moves_as_will_do() {
    let spread = |when: &str| {
        json!({ "spec": { "topologySpreadConstraints": [{ "maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone",
            "whenUnsatisfiable": when, "labelSelector": { "matchLabels": { "app": "web" } } }] } })
    };
    let of = |constraints: Value| {
        policy("balance", "RemovePodsViolatingTopologySpreadConstraint", json!({ "constraints": constraints }))
    };
    let cluster = |when: &str| with(two_nodes(), four_on_a(&spread(when)));
    let two = ["d/web-3: a → b", "d/web-2: a → b"];
    assert_moves(&with(cluster("DoNotSchedule"), [of(json!([]))]), &two);
    assert_moves(&with(cluster("ScheduleAnyway"), [of(json!(["ScheduleAnyway"]))]), &two);
    assert_moves(&with(cluster("ScheduleAnyway"), [of(json!(["DoNotSchedule"]))]), &[]);
    let three: Vec<Value> = cluster("DoNotSchedule").into_iter().take(5).collect();
    assert_moves(&with(three, [of(json!([]))]), &["d/web-2: a → b"]);
}

#[test]
fn used_nodes_give_to_unused_ones_up_to_the_target() {
    let low = |target: f64, number: usize| {
        let args =
            json!({ "thresholds": { "cpu": 20 }, "targetThresholds": { "cpu": target }, "numberOfNodes": number });
        policy("balance", "LowNodeUtilization", args)
    };
    let cluster = |pods: usize| with(two_nodes(), (0..pods).map(|index| pod("web", index, "a", json!({}))));
    // Seven pods are 87.5 %; three have to go to be at 50 %.
    let three = ["d/web-6: a → b", "d/web-5: a → b", "d/web-4: a → b"];
    assert_moves(&with(cluster(7), [low(50.0, 0)]), &three);
    assert_moves(&with(cluster(7), [low(87.5, 0)]), &[]);
    assert_moves(&with(cluster(7), [low(50.0, 1)]), &[]);
    // Nobody is above the target afterwards: two of one and a half cores each do not fit b.
    let large = json!({ "spec": { "containers": [{ "name": "c", "image": "i", "resources": { "requests": { "cpu": "1500m" } } }] } });
    let pods = [pod("big", 0, "a", large.clone()), pod("big", 1, "a", large)];
    assert_moves(&with(two_nodes(), with(pods.to_vec(), [low(40.0, 0)])), &["d/big-1: a → b"]);
    let deviation =
        json!({ "useDeviationThresholds": true, "thresholds": { "cpu": 10 }, "targetThresholds": { "cpu": 10 } });
    assert_moves(
        &with(cluster(6), [policy("balance", "LowNodeUtilization", deviation)]),
        &["d/web-5: a → b", "d/web-4: a → b", "d/web-3: a → b"],
    );
}

#[test]
fn unused_nodes_give_everything_away() {
    let high = || policy("balance", "HighNodeUtilization", json!({ "thresholds": { "cpu": 20 } }));
    let pods = |on_b: usize| {
        let a = (0..4).map(|index| pod("web", index, "a", json!({})));
        a.chain((4..4 + on_b).map(|index| pod("web", index, "b", json!({}))))
    };
    assert_moves(&with(two_nodes(), pods(1).chain([high()])), &["d/web-4: b → a"]);
    assert_moves(&with(two_nodes(), pods(2).chain([high()])), &[]);
}

#[test]
fn pods_that_are_old_or_keep_failing_are_made_anew() {
    let life = |args: Value| policy("deschedule", "PodLifeTime", args);
    let age = |at: &str| json!({ "metadata": { "creationTimestamp": at } });
    let two = || {
        let pods = [pod("web", 0, "a", age("2026-05-30T00:00:00Z")), pod("web", 1, "a", age("2026-05-31T23:00:00Z"))];
        with(vec![node("a", "a", json!({}))], pods)
    };
    // It may come back where it is: nothing is wrong with the node.
    assert_moves(&with(two(), [life(json!({ "maxPodLifeTimeSeconds": 86400 }))]), &["d/web-0: a → a"]);
    assert_moves(&with(two(), [life(json!({ "maxPodLifeTimeSeconds": 86400, "states": ["Pending"] }))]), &[]);
    // A node that takes no pods any more is another matter.
    let shut = node("a", "a", json!({ "spec": { "unschedulable": true } }));
    let pods = || [pod("web", 0, "a", json!({})), life(json!({ "maxPodLifeTimeSeconds": 1 }))];
    assert_moves(&with(vec![shut.clone(), node("b", "b", json!({}))], pods()), &["d/web-0: a → b"]);
    assert_moves(&with(vec![shut], pods()), &[]);
    let restarts = |count: u32| {
        json!({ "status": { "containerStatuses": [{ "name": "c", "image": "i", "imageID": "", "ready": false,
            "restartCount": count, "state": { "waiting": { "reason": "CrashLoopBackOff" } } }] } })
    };
    let too_many = |states: Value| {
        let args = json!({ "podRestartThreshold": 100, "states": states });
        policy("deschedule", "RemovePodsHavingTooManyRestarts", args)
    };
    let pods = || [pod("web", 0, "a", restarts(100)), pod("web", 1, "a", restarts(99))];
    let moved = ["d/web-0: a → b"];
    assert_moves(&with(two_nodes(), with(pods().to_vec(), [too_many(json!([]))])), &moved);
    assert_moves(&with(two_nodes(), with(pods().to_vec(), [too_many(json!(["CrashLoopBackOff"]))])), &moved);
    assert_moves(&with(two_nodes(), with(pods().to_vec(), [too_many(json!(["Running"]))])), &moved);
    assert_moves(&with(two_nodes(), with(pods().to_vec(), [too_many(json!(["Error"]))])), &[]);
}

#[test]
fn failed_pods_are_taken_away() {
    let failed = |reason: &str| json!({ "status": { "phase": "Failed", "reason": reason } });
    let bare = json!({ "metadata": { "ownerReferences": [] }, "status": { "phase": "Failed" } });
    let cluster = || {
        let young =
            json!({ "metadata": { "creationTimestamp": "2026-05-31T23:30:00Z" }, "status": { "phase": "Failed" } });
        let pods =
            [pod("web", 0, "a", failed("NodeAffinity")), pod("web", 1, "a", young), pod("web", 2, "a", bare.clone())];
        with(two_nodes(), pods)
    };
    let gone = |name: &str| format!("d/{name}: - → -");
    let of = |args: Value| moves(&with(cluster(), [policy("deschedule", "RemoveFailedPods", args)])).0;
    assert_eq!(of(json!({})), [gone("web-0")]);
    assert_eq!(of(json!({ "reasons": ["OutOfcpu"] })), Vec::<String>::new());
    assert_eq!(of(json!({ "reasons": ["NodeAffinity"], "minPodLifetimeSeconds": 0 })), [gone("web-0")]);
    assert_eq!(of(json!({ "minPodLifetimeSeconds": 0 })), [gone("web-0"), gone("web-1")]);
}

#[test]
fn what_protects_pods_from_disruption_protects_them_here() {
    let of = |evictor: Value| {
        json!({ "apiVersion": "descheduler/v1alpha2", "kind": "DeschedulerPolicy",
            "maxNoOfPodsToEvictPerNode": 3,
            "profiles": [{ "name": "p", "pluginConfig": [{ "name": "DefaultEvictor", "args": evictor },
                { "name": "PodLifeTime", "args": { "maxPodLifeTimeSeconds": 1 } }],
                "plugins": { "deschedule": { "enabled": ["PodLifeTime"] } } }] })
    };
    let note = |key: &str| json!({ "metadata": { "annotations": { key: "true" } } });
    let disk = || json!({ "spec": { "volumes": [{ "name": "v", "emptyDir": {} }] } });
    for (change, evictor, moved) in [
        (json!({}), json!({}), true),
        (note("karpenter.sh/do-not-disrupt"), json!({}), false),
        (json!({ "metadata": { "ownerReferences": [] } }), json!({}), false),
        (json!({ "spec": { "priority": 2_000_000_000 } }), json!({}), false),
        (json!({ "spec": { "priority": 2_000_000_000 } }), json!({ "evictSystemCriticalPods": true }), true),
        (json!({ "spec": { "priority": 10 } }), json!({ "priorityThreshold": { "value": 10 } }), false),
        (json!({ "spec": { "priority": 9 } }), json!({ "priorityThreshold": { "value": 10 } }), true),
        (disk(), json!({}), false),
        (disk(), json!({ "podProtections": { "defaultDisabled": ["PodsWithLocalStorage"] } }), true),
        (json!({}), json!({ "podProtections": { "extraEnabled": ["PodsWithoutPDB"] } }), false),
        (note("descheduler.alpha.kubernetes.io/prefer-no-eviction"), json!({}), true),
        (note("descheduler.alpha.kubernetes.io/prefer-no-eviction"), json!({ "noEvictionPolicy": "Mandatory" }), false),
        (note("descheduler.alpha.kubernetes.io/evict"), json!({ "minReplicas": 5 }), true),
        (json!({}), json!({ "minReplicas": 2 }), false),
        (json!({}), json!({ "minPodAge": "48h" }), false),
        (json!({}), json!({ "minPodAge": "1h" }), true),
        (json!({}), json!({ "labelSelector": { "matchLabels": { "app": "db" } } }), false),
        (json!({}), json!({ "namespaceLabelSelector": { "matchLabels": { "team": "ml" } } }), false),
    ] {
        let objects = with(two_nodes(), [pod("web", 0, "a", change.clone()), of(evictor.clone())]);
        assert_eq!(!moves(&objects).0.is_empty(), moved, "{change} {evictor}");
    }
    let budget = json!({ "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": { "name": "web", "namespace": "d" },
        "spec": { "maxUnavailable": 1, "selector": { "matchLabels": { "app": "web" } } },
        "status": { "disruptionsAllowed": 1, "currentHealthy": 4, "desiredHealthy": 3, "expectedPods": 4 } });
    let ready = json!({ "status": { "conditions": [{ "type": "Ready", "status": "True" }] } });
    let (moved, kept) = moves(&with(with(two_nodes(), four_on_a(&ready)), [budget, of(json!({}))]));
    assert_eq!((moved.len(), kept[0].as_str()), (1, "d/web-1: PodDisruptionBudget d/web is used up"));
    // The policy's own limit.
    let (moved, kept) = moves(&with(with(two_nodes(), four_on_a(&json!({}))), [of(json!({}))]));
    assert_eq!((moved.len(), kept), (3, vec!["d/web-3: the policy moves no more from one node".to_owned()]));
}

#[test]
fn budgets_of_pools_count_nodes_that_pods_move_from() {
    let life = || policy("deschedule", "PodLifeTime", json!({ "maxPodLifeTimeSeconds": 1 }));
    let cluster = || with(two_nodes(), [pod("web", 0, "a", json!({})), pod("web", 1, "b", json!({})), life()]);
    let ran = run(&cluster(), "1", &[]);
    assert!(ran.out.contains("PodLifeTime: 1 pod\n    d/web-0: made anew on a"), "{}", ran.out);
    assert!(ran.out.contains("PodLifeTime leaves d/web-1: the budget of its NodePool is used up"), "{}", ran.out);
    let frozen = run(&cluster(), "0", &[]);
    assert!(frozen.out.contains("nothing to do"), "{}", frozen.out);
}

#[test]
fn a_replay_comes_to_an_end_and_pages_show_the_moves() {
    let cluster = || with(with(two_nodes(), four_on_a(&json!({}))), [policy("balance", "RemoveDuplicates", json!({}))]);
    let ran = run(&cluster(), "100%", &["--until-stable"]);
    assert!(ran.out.contains("RemoveDuplicates: 2 pods"), "{}", ran.out);
    assert!(ran.out.contains("0 commands and 2 evictions"), "{}", ran.out);
    let page = run(&cluster(), "100%", &["-o", "html"]);
    assert!(page.out.contains("d/web-3: a → b"), "{}", page.out);
}

#[test]
fn a_policy_that_is_not_understood_is_refused_by_field() {
    let of = |policy: Value| {
        let ran = run(&with(two_nodes(), [policy]), "100%", &[]);
        assert_ne!(ran.code, 0, "{}", ran.out);
        ran.err
    };
    for (wrong, expected) in [
        (
            policy("balance", "PodLifeTime", json!({ "maxPodLifeTimeSeconds": 1 })),
            "plugins.balance.enabled[0]: PodLifeTime belongs under deschedule",
        ),
        (
            policy("deschedule", "PodLifeTime", json!({})),
            "profiles[0].pluginConfig[0].args.maxPodLifeTimeSeconds: is missing",
        ),
        (policy("deschedule", "PodLifeTime", json!({ "maxPodAge": 1 })), "unknown field `maxPodAge`"),
        (policy("deschedule", "Unheard", json!({})), "pluginConfig[0].name: \"Unheard\" is not known"),
        (
            policy(
                "balance",
                "LowNodeUtilization",
                json!({ "thresholds": { "cpu": 120 }, "targetThresholds": { "cpu": 130 } }),
            ),
            "thresholds.cpu: is not a percentage",
        ),
        (
            policy(
                "balance",
                "LowNodeUtilization",
                json!({ "thresholds": { "cpu": 20 }, "targetThresholds": { "memory": 30 } }),
            ),
            "must name the same resources",
        ),
        (
            policy(
                "balance",
                "LowNodeUtilization",
                json!({ "thresholds": { "cpu": 50 }, "targetThresholds": { "cpu": 30 } }),
            ),
            "cpu is below its threshold",
        ),
        (
            json!({ "apiVersion": "descheduler/v1alpha1", "kind": "DeschedulerPolicy" }),
            "write the policy as descheduler/v1alpha2",
        ),
    ] {
        let err = of(wrong);
        assert!(err.contains(expected), "{err}");
    }
}

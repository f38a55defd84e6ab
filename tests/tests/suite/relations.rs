//! Rules between pods, as a user writes them: one row per behaviour.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::harness::{CATALOG, TempFile, list, plan, stowage};

const ZONE: &str = "topology.kubernetes.io/zone";
const HOST: &str = "kubernetes.io/hostname";

/// A pending pod with labels and more spec.
fn labelled(name: &str, labels: &Value, spec: Value) -> Value {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "namespace": "d", "labels": labels },
        "spec": { "containers": [{ "name": "c", "resources": { "requests": { "cpu": "100m", "memory": "64Mi" } } }] },
        "status": { "phase": "Pending" },
    });
    let target = pod["spec"].as_object_mut().unwrap();
    target.extend(spec.as_object().unwrap().clone());
    pod
}

fn many(count: usize, labels: &Value, spec: &Value) -> Vec<Value> {
    (0..count).map(|n| labelled(&format!("{}-{n}", labels["app"].as_str().unwrap()), labels, spec.clone())).collect()
}

fn spread(key: &str, more: Value) -> Value {
    let mut constraint = json!({
        "maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": { "matchLabels": { "app": "web" } },
    });
    constraint.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "topologySpreadConstraints": [constraint] })
}

fn term(key: &str, app: &str) -> Value {
    json!({ "topologyKey": key, "labelSelector": { "matchLabels": { "app": app } } })
}

fn required(kind: &str, term: &Value) -> Value {
    json!({ "affinity": { kind: { "requiredDuringSchedulingIgnoredDuringExecution": [term] } } })
}

fn preferred(kind: &str, term: &Value) -> Value {
    let weighted = json!({ "weight": 10, "podAffinityTerm": term });
    json!({ "affinity": { kind: { "preferredDuringSchedulingIgnoredDuringExecution": [weighted] } } })
}

/// Pods per node with its zone, sorted, and the codes of pods without a place.
fn placed(items: &[Value], more: &[&str]) -> (Vec<(String, usize)>, Vec<String>) {
    let items: Vec<String> = items.iter().map(Value::to_string).collect();
    let ran = plan(&items, more);
    assert_eq!(ran.code, 0, "{ran:?}");
    let json = ran.json();
    let mut nodes: Vec<(String, usize)> = json["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| (node["zone"].as_str().unwrap().to_owned(), node["pods"].as_array().unwrap().len()))
        .collect();
    for node in json["existing"].as_array().unwrap() {
        nodes.push((node["name"].as_str().unwrap().to_owned(), node["pods"].as_array().unwrap().len()));
    }
    nodes.sort();
    let unplaced = json["unplaced"].as_array().unwrap();
    let codes = unplaced.iter().map(|pod| pod["reasons"][0]["code"].as_str().unwrap().to_owned()).collect();
    (nodes, codes)
}

fn per_zone(nodes: &[(String, usize)]) -> Vec<usize> {
    let mut zones: BTreeMap<&str, usize> = BTreeMap::new();
    nodes.iter().for_each(|(zone, pods)| *zones.entry(zone).or_default() += pods);
    zones.into_values().collect()
}

fn web() -> Value {
    json!({ "app": "web" })
}

#[test]
fn zones_get_equal_shares() {
    let (nodes, codes) = placed(&many(6, &web(), &spread(ZONE, json!({}))), &[]);
    assert_eq!((per_zone(&nodes), codes.len()), (vec![3, 3], 0));
    // More domains are asked for than there are: each may have as many as the skew.
    let (nodes, codes) = placed(&many(6, &web(), &spread(ZONE, json!({ "minDomains": 3 }))), &[]);
    assert_eq!((per_zone(&nodes), codes), (vec![1, 1], vec!["NP-SPREAD".to_owned(); 4]));
    let soft = spread(ZONE, json!({ "minDomains": 3, "whenUnsatisfiable": "ScheduleAnyway" }));
    let (nodes, codes) = placed(&many(6, &web(), &soft), &[]);
    assert_eq!((per_zone(&nodes).iter().sum::<usize>(), codes.len()), (6, 0));
}

#[test]
fn nodes_get_as_many_as_the_skew() {
    for (skew, nodes) in [(1, 4), (2, 2)] {
        let (placed, _) = placed(&many(4, &web(), &spread(HOST, json!({ "maxSkew": skew }))), &[]);
        assert_eq!(placed.len(), nodes, "skew {skew}");
    }
    let apart = required("podAntiAffinity", &term(HOST, "web"));
    assert_eq!(placed(&many(3, &web(), &apart), &[]).0.len(), 3);
}

#[test]
fn zonal_anti_affinity_is_solved_at_once() {
    let apart = required("podAntiAffinity", &term(ZONE, "web"));
    let (nodes, codes) = placed(&many(3, &web(), &apart), &[]);
    assert_eq!((per_zone(&nodes), codes), (vec![1, 1], vec!["NP-POD-ANTI-AFFINITY".to_owned()]));
    let wish = preferred("podAntiAffinity", &term(ZONE, "web"));
    let (nodes, codes) = placed(&many(3, &web(), &wish), &[]);
    assert_eq!((per_zone(&nodes).iter().sum::<usize>(), codes.len()), (3, 0));
}

#[test]
fn anti_affinity_works_both_ways() {
    // Nobody with app=quiet may be in the zone of a web pod, though quiet pods ask for nothing.
    let apart = required("podAntiAffinity", &term(ZONE, "quiet"));
    let mut items = many(1, &web(), &apart);
    items.extend(many(5, &json!({ "app": "quiet" }), &json!({})));
    let (nodes, codes) = placed(&items, &[]);
    assert_eq!((nodes.len(), codes.len()), (2, 0));
    assert_eq!(per_zone(&nodes).iter().min(), Some(&1));
}

#[test]
fn followers_go_where_their_targets_are() {
    let mut items = many(4, &json!({ "app": "follower" }), &required("podAffinity", &term(ZONE, "web")));
    items.extend(many(1, &web(), &json!({})));
    let (nodes, codes) = placed(&items, &[]);
    assert_eq!((per_zone(&nodes), codes.len()), (vec![5], 0));
    // A chain on one node.
    let mut items = many(1, &json!({ "app": "third" }), &required("podAffinity", &term(HOST, "second")));
    items.extend(many(1, &json!({ "app": "second" }), &required("podAffinity", &term(HOST, "web"))));
    items.extend(many(1, &web(), &json!({})));
    let (nodes, codes) = placed(&items, &[]);
    assert_eq!((nodes.len(), codes.len()), (1, 0));
    let (_, codes) = placed(&many(1, &web(), &required("podAffinity", &term(ZONE, "nobody"))), &[]);
    assert_eq!(codes, ["NP-POD-AFFINITY"]);
}

#[test]
fn pods_of_one_kind_gather() {
    for key in [ZONE, HOST] {
        let (nodes, codes) = placed(&many(5, &web(), &required("podAffinity", &term(key, "web"))), &[]);
        assert_eq!((per_zone(&nodes), codes.len()), (vec![5], 0), "{key}");
    }
}

#[test]
fn a_host_port_is_held_once_per_node() {
    let port = json!({ "containers": [{ "name": "c", "ports": [{ "containerPort": 80, "hostPort": 80 }],
        "resources": { "requests": { "cpu": "100m", "memory": "64Mi" } } }] });
    assert_eq!(placed(&many(3, &web(), &port), &[]).0.len(), 3);
}

fn node(name: &str, zone: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": name, "labels": { ZONE: zone, HOST: name } },
        "status": { "allocatable": { "cpu": "4", "memory": "8Gi", "pods": "50" }, "capacity": { "cpu": "4", "memory": "8Gi", "pods": "50" } },
    })
}

fn running(mut pod: Value, node: &str) -> Value {
    pod["spec"]["nodeName"] = json!(node);
    pod["status"] = json!({ "phase": "Running" });
    pod
}

#[test]
fn pods_that_run_already_count() {
    let there = running(labelled("old", &web(), json!({})), "n1");
    // Spread: the first new pod goes to the other zone.
    let mut items = vec![node("n1", "a"), there.clone()];
    items.extend(many(1, &web(), &spread(ZONE, json!({}))));
    assert_eq!(placed(&items, &[]).0, [("b".to_owned(), 1)]);
    // Affinity: it goes to the node where they are.
    let mut items = vec![node("n1", "a"), there];
    items.extend(many(1, &json!({ "app": "follower" }), &required("podAffinity", &term(HOST, "web"))));
    assert_eq!(placed(&items, &[]).0, [("n1".to_owned(), 1)]);
    // A running pod's own anti-affinity keeps new ones away.
    let loner = running(labelled("old", &web(), required("podAntiAffinity", &term(HOST, "quiet"))), "n1");
    let mut items = vec![node("n1", "a"), loner];
    items.extend(many(1, &json!({ "app": "quiet" }), &json!({})));
    assert_ne!(placed(&items, &[]).0[0].0, "n1");
}

#[test]
fn namespaces_are_told_apart() {
    let other = |name: &str| {
        let mut pod = running(labelled(name, &web(), json!({})), "n1");
        pod["metadata"]["namespace"] = json!("other");
        pod
    };
    let space =
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "other", "labels": { "team": "x" } } });
    let mut near = term(HOST, "web");
    let follower = |near: &Value| many(1, &json!({ "app": "follower" }), &required("podAffinity", near));
    let ask = |near: &Value| {
        let mut items = vec![node("n1", "a"), other("old"), space.clone()];
        items.extend(follower(near));
        placed(&items, &[]).1.len()
    };
    assert_eq!(ask(&near), 1, "only its own namespace");
    near["namespaces"] = json!(["other"]);
    assert_eq!(ask(&near), 0, "a list");
    near.as_object_mut().unwrap().remove("namespaces");
    near["namespaceSelector"] = json!({ "matchLabels": { "team": "x" } });
    assert_eq!(ask(&near), 0, "a selector");
    near["namespaceSelector"] = json!({});
    assert_eq!(ask(&near), 0, "all of them");
}

#[test]
fn preferences_are_met_or_dropped() {
    let wish = |zone: &str| {
        let term = json!({ "matchExpressions": [{ "key": ZONE, "operator": "In", "values": [zone] }] });
        json!({ "affinity": { "nodeAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [{ "weight": 5, "preference": term }] } } })
    };
    let zones = |zone: &str, more: &[&str]| placed(&many(1, &web(), &wish(zone)), more).0[0].0.clone();
    // Spot in zone b is cheapest; the wish for a is met all the same.
    assert_eq!(zones("a", &[]), "a");
    assert_eq!(zones("a", &["--preference-policy", "ignore"]), "b");
    assert_eq!(zones("nowhere", &[]), "b");
}

#[test]
fn revisions_are_spread_apart() {
    let keyed = spread(ZONE, json!({ "matchLabelKeys": ["rev"] }));
    let mut items = many(1, &json!({ "app": "web", "rev": "1" }), &keyed);
    items.push(labelled("second", &json!({ "app": "web", "rev": "2" }), keyed));
    let (nodes, codes) = placed(&items, &[]);
    // Each revision counts for itself, so both may share the cheapest zone.
    assert_eq!((nodes.len(), codes.len()), (1, 0));
}

#[test]
fn the_judge_refuses_broken_relations() {
    let apart = required("podAntiAffinity", &term(HOST, "web"));
    let even = spread(ZONE, json!({}));
    type Forge = fn(&mut Value);
    let forgeries: [(&Value, Forge); 4] = [
        (&apart, |plan| {
            let pod = plan["nodes"][1]["pods"].as_array_mut().unwrap().pop().unwrap();
            plan["nodes"][0]["pods"].as_array_mut().unwrap().push(pod);
        }),
        (&apart, |plan| drop(plan.as_object_mut().unwrap().remove("order"))),
        (&apart, |plan| plan["order"][0] = plan["order"][1].clone()),
        // All in one zone, which admits them all but for their rule.
        (&even, |plan| {
            let moved = plan["nodes"][1]["pods"].clone();
            plan["nodes"][1]["pods"] = json!([]);
            plan["nodes"][0]["pods"].as_array_mut().unwrap().extend(moved.as_array().unwrap().clone());
        }),
    ];
    let types = TempFile::new("types.json", CATALOG);
    for (index, (rule, forge)) in forgeries.into_iter().enumerate() {
        let items: Vec<String> = many(4, &web(), rule).iter().map(Value::to_string).collect();
        let input = TempFile::new("pods.json", &list(&items));
        let args = ["plan", input.path(), "--catalog", types.path(), "-o", "json"];
        let honest = stowage(&args, "").json();
        let verdict = |plan: &Value| {
            let file = TempFile::new("plan.json", &plan.to_string());
            stowage(&["check", file.path(), input.path(), "--catalog", types.path()], "").code
        };
        assert_eq!(verdict(&honest), 0);
        let mut forged = honest.clone();
        forge(&mut forged);
        assert_eq!(verdict(&forged), 1, "forgery {index}");
    }
}

#[test]
fn headroom_beside_rules_between_pods_is_placed_last() {
    let deployment = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web", "namespace": "d" },
        "spec": { "replicas": 2, "selector": { "matchLabels": web() }, "template": { "metadata": { "labels": web() },
            "spec": labelled("x", &web(), required("podAntiAffinity", &term(ZONE, "web")))["spec"] } } });
    let buffer = json!({ "apiVersion": "autoscaling.x-k8s.io/v1beta1", "kind": "CapacityBuffer",
        "metadata": { "name": "spare", "namespace": "d" },
        "spec": { "replicas": 1, "scalableRef": { "kind": "Deployment", "name": "web" } } });
    let items = [deployment, buffer].map(|item| item.to_string());
    let json = plan(&items, &[]).json();
    let unplaced: Vec<&str> = json["unplaced"].as_array().unwrap().iter().map(|u| u["pod"].as_str().unwrap()).collect();
    assert_eq!(unplaced, ["d/spare-buffer-0"]);
}

#[test]
fn the_schedulers_default_constraints_spread_what_services_and_controllers_select() {
    let configuration = r#"{"apiVersion":"kubescheduler.config.k8s.io/v1","kind":"KubeSchedulerConfiguration","profiles":[{"pluginConfig":[
        {"name":"PodTopologySpread","args":{"defaultingType":"List","defaultConstraints":[
            {"maxSkew":1,"topologyKey":"topology.kubernetes.io/zone","whenUnsatisfiable":"DoNotSchedule"}]}}]}]}"#;
    let labelled = |name: &str| {
        crate::harness::pod(name, "100m", "100Mi", "")
            .replace(r#""namespace""#, r#""labels":{"app":"web"},"namespace""#)
    };
    let service = r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"web","namespace":"d"},"spec":{"selector":{"app":"web"}}}"#;
    let mut items: Vec<String> = (0..4).map(|n| labelled(&format!("p{n}"))).collect();
    let zones = |items: &[String]| {
        let json = plan(items, &["--capacity-types", "on-demand"]).json();
        let mut zones: Vec<(String, usize)> = json["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|n| (n["zone"].as_str().unwrap().to_owned(), n["pods"].as_array().unwrap().len()))
            .collect();
        zones.sort();
        zones
    };
    items.push(configuration.to_owned());
    // Nothing selects the pods, so nothing says whom to count.
    assert_eq!(zones(&items).len(), 1);
    items.push(service.to_owned());
    assert_eq!(zones(&items), [("a".to_owned(), 2), ("b".to_owned(), 2)]);
}

//! The same input gives the same bytes, in any order and on any threads.

use super::harness::{list, plan, pod, stowage};

fn items(count: usize) -> Vec<String> {
    let zones = [
        "",
        r#","nodeSelector":{"topology.kubernetes.io/zone":"a"}"#,
        r#","nodeSelector":{"topology.kubernetes.io/zone":"b"}"#,
    ];
    (0..count)
        .map(|i| {
            pod(
                &format!("p{i}"),
                &format!("{}m", 50 + i * 37 % 900),
                &format!("{}Mi", 64 + i * 91 % 3000),
                zones[i % 3],
            )
        })
        .collect()
}

#[test]
fn threads_and_order_change_nothing() {
    let forward = items(300);
    let backward: Vec<String> = forward.iter().rev().cloned().collect();
    let digestless =
        |text: String| text.lines().filter(|line| !line.contains("\"digest\"")).collect::<Vec<_>>().join("\n");
    let one = digestless(plan(&forward, &["--threads", "1"]).out);
    for threads in ["2", "8"] {
        assert!(one == digestless(plan(&forward, &["--threads", threads]).out), "{threads} threads");
    }
    assert!(one == digestless(plan(&backward, &[]).out), "reversed input");
}

#[test]
fn an_exported_catalogue_gives_the_same_plan() {
    let export = stowage(&["catalog", "export", "--region", "eu-central-1"], "");
    assert_eq!(export.code, 0);
    let file = super::harness::TempFile::new("export.json", &export.out);
    let pods = list(&items(40).iter().map(|pod| pod.replace("\"nodeSelector\"", "\"unused\"")).collect::<Vec<_>>());
    let pool = r#"{"apiVersion":"karpenter.sh/v1","kind":"NodePool","metadata":{"name":"p"},"spec":{"template":{"spec":{
        "nodeClassRef":{"group":"g","kind":"Other","name":"n"},"requirements":[
        {"key":"kubernetes.io/arch","operator":"In","values":["amd64"]}]}}}}"#;
    let input = format!("{pods}{pool}");
    let args = |catalog: &'static str| {
        [
            "plan",
            "-",
            "-o",
            "json",
            "--no-timings",
            "--daemonsets",
            "none",
            "--region",
            "eu-central-1",
            "--catalog",
            catalog,
        ]
    };
    let embedded = stowage(&args("aws"), &input).json();
    let path: &'static str = Box::leak(file.path().to_owned().into_boxed_str());
    let exported = stowage(&args(path), &input).json();
    assert_eq!(embedded["summary"]["hourlyPrice"], exported["summary"]["hourlyPrice"]);
    assert_eq!(embedded["nodes"], exported["nodes"]);
}

//! Bad input: a code, a place, a remedy, and never a panic.

use super::harness::{TempFile, list, plan, pod, pool, stowage};

#[test]
fn each_fault_has_its_exit_and_code() {
    let twice = list(&[pod("a", "1", "1Gi", ""), pod("a", "1", "1Gi", "")]);
    let cases = [
        ("", 65, "IN-EMPTY"),
        ("{\"kind\":", 65, "IN-SYNTAX"),
        ("a: [1\n", 65, "IN-SYNTAX"),
        ("just words", 65, "IN-OBJECT"),
        ("kind: Pod\napiVersion: v1\nmetadata: {}\n", 65, "metadata.name"),
        (&list(&[pod("a", "-1", "1Gi", "")]), 65, "IN-QUANTITY"),
        (&list(&[pod("a", "9e99", "1Gi", "")]), 65, "IN-QUANTITY"),
        (&list(&[pod("a", "NaN", "1Gi", "")]), 65, "IN-QUANTITY"),
        (&list(&[pod("a", "1", "lots", "")]), 65, "spec.containers[c].resources.requests.memory"),
        (&twice, 65, "IN-DUPLICATE: Pod d/a"),
        (&list(&[pod("a", "1", "1Gi", r#","tolerations":[{"operator":"Maybe"}]"#)]), 65, "spec.tolerations[0]"),
        ("name,cpu\na,lots\n", 65, "IN-QUANTITY\u{0}IN-CSV"),
    ];
    for (input, code, part) in cases {
        let ran = stowage(&["plan", "-"], input);
        assert_eq!(ran.code, code, "{input:?}: {ran:?}");
        assert!(part.split('\u{0}').any(|part| ran.err.contains(part)), "{input:?}: {}", ran.err);
        assert_eq!(ran.out, "", "{input:?}");
    }
}

#[test]
fn pools_that_contradict_themselves_are_refused() {
    let requirement = |values: &str| format!(r#"{{"key":"kubernetes.io/arch","operator":"In","values":[{values}]}}"#);
    let both = format!("{},{}", requirement("\"amd64\""), requirement("\"arm64\""));
    let ran = plan(&[pool("p", &both, "", "")], &[]);
    assert_eq!(ran.code, 65);
    assert!(ran.err.contains("IN-POOL: NodePool p: spec.template.spec.requirements"), "{}", ran.err);
}

#[test]
fn malformed_objects_can_be_left_out_on_request() {
    let items = [pod("good", "1", "1Gi", ""), pod("bad", "-1", "1Gi", "")];
    assert_eq!(plan(&items, &[]).code, 65);
    let json = plan(&items, &["--keep-going"]).json();
    assert_eq!(json["summary"]["placed"], 1);
    assert!(json["warnings"].to_string().contains("left out"));
}

#[test]
fn unknown_kinds_are_listed_once() {
    let items = [
        pod("a", "1", "1Gi", ""),
        r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"s"}}"#.to_owned(),
        r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"t"}}"#.to_owned(),
    ];
    let warnings = plan(&items, &[]).json()["warnings"].to_string();
    assert!(warnings.contains("ConfigMap (2)"), "{warnings}");
}

#[test]
fn numbers_that_add_up_to_too_much_are_refused() {
    let items: Vec<String> = (0..2).map(|i| pod(&format!("p{i}"), "1", "1Ei", "")).collect();
    let ran = plan(&items, &[]);
    assert_eq!(ran.code, 65);
    assert!(ran.err.contains("IN-NUMBERS"), "{}", ran.err);
}

#[test]
fn usage_files_and_catalogues() {
    let empty = TempFile::new("empty.json", "[]");
    let zero = TempFile::new("zero.json", r#"[{"name":"x","resources":{"cpu":"0","memory":"0"},"offerings":[]}]"#);
    let nan = TempFile::new("p.csv", "m5.large,*,on-demand,NaN\nm5.large,*,on-demand,NaN\n");
    for (args, code, part) in [
        (vec!["plan", "--no-such-flag"], 64, "no-such-flag"),
        (vec!["plan", "-", "--capacity-types", "cheap"], 64, "cheap"),
        (vec!["plan", "no-such-file"], 66, "IN-UNREADABLE"),
        (vec!["plan", "-", "--catalog", "no-such-file"], 66, "IN-UNREADABLE"),
        (vec!["plan", "-", "--catalog", empty.path()], 65, "IN-CATALOG"),
        (vec!["plan", "-", "--catalog", zero.path()], 65, "no capacity"),
        (vec!["plan", "-", "--prices", nan.path()], 65, "IN-PRICE"),
        (vec!["plan", "-", "--region", "mars-north-1"], 65, "IN-REGION"),
        (vec!["plan", "-", "--region", "us-gov-west-1"], 65, "--zones"),
        (vec!["plan", "-", "--zones", "nowhere"], 65, "IN-REGION"),
        (vec!["explain", "pod", "nobody", "-"], 65, "no pod nobody"),
        (vec!["explain", "code", "XX-1"], 64, "XX-1"),
    ] {
        let ran = stowage(&args, &list(&[pod("a", "1", "1Gi", "")]));
        assert_eq!(ran.code, code, "{args:?}: {ran:?}");
        assert!(ran.err.contains(part), "{args:?}: {}", ran.err);
    }
}

#[test]
fn gaps_and_changes_reach_the_exit_code() {
    let items = [pod("a", "1", "1Gi", "")];
    assert_eq!(plan(&items, &[]).code, 0);
    assert_eq!(plan(&items, &["--detailed-exitcode"]).code, 2);
    let first_fit = ["plan", "examples/shop", "--solver", "first-fit", "--max-gap", "0"];
    assert_eq!(stowage(&first_fit, "").code, 4);
    assert_eq!(stowage(&["plan", "examples/shop", "--max-gap", "0"], "").code, 0);
}

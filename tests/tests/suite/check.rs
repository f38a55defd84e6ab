//! The judge refuses every forged figure.

use serde_json::{Value, json};

use super::harness::{TempFile, stowage};

const INPUT: &str = "examples/shop";

fn planned(solver: &str) -> Value {
    stowage(&["plan", INPUT, "-o", "json", "--solver", solver], "").json()
}

fn verdict(plan: &Value) -> (i32, String) {
    let file = TempFile::new("plan.json", &plan.to_string());
    let ran = stowage(&["check", file.path(), INPUT], "");
    (ran.code, ran.out + &ran.err)
}

#[test]
fn honest_plans_pass() {
    for solver in ["optimise", "first-fit"] {
        let (code, text) = verdict(&planned(solver));
        assert_eq!(code, 0, "{text}");
        assert!(text.contains("the plan holds") && text.contains("the bound holds"), "{text}");
    }
}

#[test]
fn forged_plans_do_not() {
    type Forge = fn(&mut Value);
    let forgeries: [(&str, Forge); 14] = [
        ("a price", |p| p["nodes"][0]["hourlyPrice"] = json!(0.01)),
        ("a total", |p| p["summary"]["hourlyPrice"] = json!(1.0)),
        ("a bound", |p| p["summary"]["lowerBound"] = json!(p["summary"]["lowerBound"].as_f64().unwrap() + 0.5)),
        ("a gap", |p| p["summary"]["gap"] = json!(0.5)),
        ("a pod gone", |p| drop(p["nodes"][0]["pods"].as_array_mut().unwrap().remove(0))),
        ("a pod twice", |p| {
            let pod = p["nodes"][0]["pods"][0].clone();
            p["nodes"][1]["pods"].as_array_mut().unwrap().push(pod);
        }),
        ("a stranger", |p| p["nodes"][0]["pods"][0] = json!("shop/nobody-0")),
        ("a type", |p| p["nodes"][0]["instanceType"] = json!("m6g.huge")),
        ("a smaller type", |p| p["nodes"][1]["instanceType"] = json!("m6g.medium")),
        ("a pool", |p| p["nodes"][0]["nodePool"] = json!("other")),
        ("a zone", |p| p["nodes"][0]["zone"] = json!("eu-west-1a")),
        ("a label", |p| p["nodes"][0]["labels"] = json!({"dedicated": "other"})),
        ("an unplaced pod", |p| {
            let pod = p["nodes"][0]["pods"].as_array_mut().unwrap().remove(0);
            p["unplaced"]
                .as_array_mut()
                .unwrap()
                .push(json!({"pod": pod, "reasons": [{"code": "NP-TAINT", "message": "no"}]}));
        }),
        ("a certificate", |p| {
            let value = &mut p["certificate"]["values"][0];
            *value = json!("99999999999999999999999999");
        }),
    ];
    let honest = planned("first-fit");
    for (what, forge) in forgeries {
        let mut plan = honest.clone();
        forge(&mut plan);
        assert_ne!(plan, honest, "{what} was not forged");
        let (code, text) = verdict(&plan);
        assert_eq!(code, 1, "{what}: {text}");
        assert!(text.contains("fault: "), "{what}: {text}");
    }
}

#[test]
fn a_claimed_optimum_must_be_one() {
    let mut plan = planned("first-fit");
    let price = plan["summary"]["hourlyPrice"].clone();
    assert!(plan["summary"]["lowerBound"].as_f64() < price.as_f64(), "first fit must not be optimal here");
    plan["summary"]["lowerBound"] = price;
    plan["summary"]["gap"] = json!(0.0);
    plan["summary"]["end"] = json!("optimal");
    plan["certificate"]["kind"] = json!("exact");
    let (code, text) = verdict(&plan);
    assert_eq!(code, 1, "{text}");
}

#[test]
fn files_that_are_no_plans_are_bad_input() {
    for text in ["", "{}", "[]", "{\"formatVersion\":\"9.0\"}"] {
        let file = TempFile::new("plan.json", text);
        assert_eq!(stowage(&["check", file.path(), INPUT], "").code, 65, "{text}");
    }
    assert_eq!(stowage(&["check", "no-such-file.json", INPUT], "").code, 66);
}

use std::collections::BTreeMap;

use stowage_model::{
    Code, Effect, Node, NodeTerm, Operator, PodShape, Requirement, Requirements, Resources, Taint, Toleration,
};

use super::{Place, admit};

fn node() -> Node {
    let labels = [("topology.kubernetes.io/zone", "a"), ("gpus", "4"), ("team", "ml")];
    Node {
        name: "n1".into(),
        labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>(),
        taints: vec![Taint { key: "ml".into(), value: String::new(), effect: Effect::NoSchedule }],
        allocatable: Resources::new().with("cpu", 1000).with("pods", 10),
        schedulable: true,
        ..Node::default()
    }
}

fn set(entries: &[(&str, Operator, &[&str])]) -> Requirements {
    let mut requirements = Requirements::new();
    for (key, operator, values) in entries {
        requirements.add(key, Requirement::new(*operator, values.iter().copied()).unwrap());
    }
    requirements
}

fn verdict(shape: &PodShape) -> Option<Code> {
    let node = node();
    let free = node.free();
    admit(shape, &Place::Node(&node, &free)).err().map(|misfit| misfit.code)
}

fn tolerant() -> PodShape {
    PodShape {
        tolerations: vec![Toleration { key: "ml".into(), value: None, effect: None }],
        requests: Resources::new().with("cpu", 500).with("pods", 1),
        ..PodShape::default()
    }
}

#[test]
fn each_rule_refuses_with_its_own_code() {
    let cases = [
        (PodShape::default(), Some(Code::Taint)),
        (tolerant(), None),
        (PodShape { selector: set(&[("team", Operator::In, &["web"])]), ..tolerant() }, Some(Code::Selector)),
        (PodShape { requests: Resources::new().with("cpu", 1001), ..tolerant() }, Some(Code::Resource)),
        (PodShape { requests: Resources::new().with("nvidia.com/gpu", 1), ..tolerant() }, Some(Code::Resource)),
        (
            PodShape {
                volumes: vec![vec![NodeTerm(set(&[("topology.kubernetes.io/zone", Operator::In, &["b"])]))]],
                ..tolerant()
            },
            Some(Code::VolumeZone),
        ),
    ];
    for (shape, expected) in cases {
        assert_eq!(verdict(&shape), expected, "{shape:?}");
    }
}

#[test]
fn affinity_takes_any_term_and_every_operator() {
    use Operator::*;
    let admitted = |terms: &[&[(&str, Operator, &[&str])]]| {
        let terms = terms.iter().map(|term| NodeTerm(set(term))).collect();
        verdict(&PodShape { affinity: Some(terms), ..tolerant() }).is_none()
    };
    assert!(admitted(&[&[("team", In, &["web", "ml"])]]));
    assert!(admitted(&[&[("team", NotIn, &["web"])]]));
    assert!(admitted(&[&[("absent", NotIn, &["web"])]]));
    assert!(!admitted(&[&[("absent", Exists, &[])]]));
    assert!(admitted(&[&[("absent", DoesNotExist, &[])]]));
    assert!(admitted(&[&[("gpus", Gt, &["3"])]]) && !admitted(&[&[("gpus", Gt, &["4"])]]));
    assert!(admitted(&[&[("gpus", Lt, &["5"])]]) && !admitted(&[&[("team", Lt, &["5"])]]));
    assert!(admitted(&[&[("team", In, &["web"])], &[("gpus", Exists, &[])]]), "terms are alternatives");
    assert!(!admitted(&[&[("team", In, &["ml"]), ("gpus", Lt, &["2"])]]), "expressions are all needed");
    assert!(!admitted(&[]), "no term matches no node");
    assert!(!admitted(&[&[]]), "an empty term matches no node");
    assert!(admitted(&[&[("field:metadata.name", In, &["n1"])]]));
}

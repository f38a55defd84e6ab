//! What is assumed where the input is silent. Everything assumed is said.

use std::collections::BTreeSet;

use stowage_model::{
    Daemon, InstanceType, NodeClassRef, NodePool, Operator, PodShape, Requirement, Requirements, ResourceName,
    Resources, Toleration, labels,
};

/// One open general-purpose pool on the embedded catalogue; a second one for
/// devices that pods ask for.
pub(crate) fn default_pools(extended: &BTreeSet<String>, types: &[InstanceType]) -> (Vec<NodePool>, Vec<String>) {
    let mut said = vec![
        "no NodePool given: one pool \"default\" of linux/amd64 types of categories c, m, r, generation above 2, no bare metal"
            .to_owned(),
    ];
    let aws = |name: &str| format!("{}{name}", labels::AWS_GROUP);
    let mut pools = vec![pool(
        "default",
        [
            (aws("instance-category"), Operator::In, vec!["c", "m", "r"]),
            (aws("instance-generation"), Operator::Gt, vec!["2"]),
            (aws("instance-hypervisor"), Operator::In, vec!["nitro"]),
        ],
    )];
    let families: BTreeSet<&str> = types
        .iter()
        .filter(|t| t.labels.get(labels::ARCH).is_some_and(|arch| arch == "amd64"))
        .filter(|t| extended.iter().any(|name| t.allocatable.get(name) > 0))
        .filter(|t| t.labels.get(&aws("instance-hypervisor")).is_some_and(|h| h == "nitro"))
        .filter(|t| !general_purpose(t))
        .filter_map(|t| t.labels.get(&aws("instance-family")))
        .map(String::as_str)
        .collect();
    if !families.is_empty() {
        let list: Vec<&str> = families.into_iter().collect();
        said.push(format!(
            "and one pool \"default-devices\" of the families with what pods ask for: {}",
            list.join(", ")
        ));
        pools.push(pool(
            "default-devices",
            [(aws("instance-family"), Operator::In, list), (aws("instance-hypervisor"), Operator::In, vec!["nitro"])],
        ));
    }
    (pools, said)
}

fn general_purpose(kind: &InstanceType) -> bool {
    let category = kind.labels.get(&format!("{}instance-category", labels::AWS_GROUP));
    category.is_some_and(|category| ["c", "m", "r"].contains(&category.as_str()))
}

/// A pool that admits everything in a catalogue file.
pub(crate) fn open_pool() -> NodePool {
    NodePool { name: "default".to_owned(), ..NodePool::default() }
}

fn pool<const N: usize>(name: &str, own: [(String, Operator, Vec<&str>); N]) -> NodePool {
    let mut requirements = Requirements::new();
    let mut add = |key: &str, operator: Operator, values: Vec<&str>| {
        if let Some(requirement) = Requirement::new(operator, values) {
            requirements.add(key, requirement);
        }
    };
    add(labels::OS, Operator::In, vec!["linux"]);
    add(labels::ARCH, Operator::In, vec!["amd64"]);
    for (key, operator, values) in own {
        add(&key, operator, values);
    }
    let node_class = NodeClassRef {
        group: "karpenter.k8s.aws".to_owned(),
        kind: "EC2NodeClass".to_owned(),
        name: "default".to_owned(),
    };
    NodePool { name: name.to_owned(), requirements, node_class, ..NodePool::default() }
}

/// The DaemonSets that every EKS node runs, with the requests of their add-ons'
/// defaults.
pub(crate) fn eks_daemons() -> Vec<Daemon> {
    let everything = Toleration { key: String::new(), value: None, effect: None };
    [("kube-system/aws-node", 50), ("kube-system/kube-proxy", 100)]
        .into_iter()
        .map(|(name, cpu)| Daemon {
            name: name.to_owned(),
            shape: PodShape {
                requests: Resources::new().with(ResourceName::CPU, cpu).with(ResourceName::PODS, 1),
                tolerations: vec![everything.clone()],
                ..PodShape::default()
            },
        })
        .collect()
}

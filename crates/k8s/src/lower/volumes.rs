//! Where a pod's claims let it run.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use stowage_model::{NodeTerm, Operator, Requirement, Requirements, labels};

use super::selector;
use crate::error::FieldError;

const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";

/// Volumes, claims and classes by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Storage {
    pub(crate) claims: BTreeMap<(String, String), PersistentVolumeClaim>,
    pub(crate) volumes: BTreeMap<String, PersistentVolume>,
    pub(crate) classes: BTreeMap<String, StorageClass>,
}

/// What one claim says about nodes.
pub(crate) enum Reach {
    /// Any of these terms must match.
    Terms(Vec<NodeTerm>),
    /// Any node will do.
    Anywhere,
    /// Nothing can be said: an object is missing.
    Unknown,
}

impl Storage {
    /// Where claim `name` lets a pod run.
    pub(crate) fn reach(&self, namespace: &str, name: &str) -> Result<Reach, FieldError> {
        let Some(claim) = self.claims.get(&(namespace.to_owned(), name.to_owned())) else { return Ok(Reach::Unknown) };
        let spec = claim.spec.as_ref();
        match spec.and_then(|s| s.volume_name.as_deref()).filter(|name| !name.is_empty()) {
            Some(volume) => self.volume(volume),
            None => Ok(self.class(spec.and_then(|s| s.storage_class_name.as_deref()))),
        }
    }

    fn volume(&self, name: &str) -> Result<Reach, FieldError> {
        let Some(volume) = self.volumes.get(name) else { return Ok(Reach::Unknown) };
        let affinity = volume.spec.as_ref().and_then(|s| s.node_affinity.as_ref()).and_then(|a| a.required.as_ref());
        let Some(required) = affinity else { return Ok(Reach::Anywhere) };
        let terms: Result<Vec<NodeTerm>, FieldError> = required
            .node_selector_terms
            .iter()
            .enumerate()
            .map(|(i, term)| selector::term(term, &format!("spec.nodeAffinity.required.nodeSelectorTerms[{i}]")))
            .collect();
        Ok(Reach::Terms(terms?.into_iter().map(csi_zone_as_zone).collect()))
    }

    /// An unbound claim can go wherever its class can make a volume.
    fn class(&self, name: Option<&str>) -> Reach {
        let class = match name {
            Some(name) => self.classes.get(name),
            None => self.classes.values().find(|class| {
                let annotations = class.metadata.annotations.as_ref();
                annotations.and_then(|a| a.get(DEFAULT_CLASS)).is_some_and(|value| value == "true")
            }),
        };
        let Some(class) = class else { return Reach::Unknown };
        let terms: Vec<NodeTerm> = class
            .allowed_topologies
            .iter()
            .flatten()
            .map(|term| {
                let mut requirements = Requirements::new();
                for e in term.match_label_expressions.iter().flatten() {
                    if let Some(values) = Requirement::new(Operator::In, e.values.iter().cloned()) {
                        requirements.add(labels::normalized(&e.key), values);
                    }
                }
                csi_zone_as_zone(NodeTerm(requirements))
            })
            .collect();
        if terms.is_empty() { Reach::Anywhere } else { Reach::Terms(terms) }
    }
}

/// The EBS driver names zones by a key of its own, which nodes get only once
/// the driver runs there; its values are zone names.
fn csi_zone_as_zone(term: NodeTerm) -> NodeTerm {
    let mut requirements = Requirements::new();
    for (key, requirement) in term.0.iter() {
        let key = if key == "topology.ebs.csi.aws.com/zone" { labels::ZONE } else { key };
        requirements.add(key, requirement.clone());
    }
    NodeTerm(requirements)
}

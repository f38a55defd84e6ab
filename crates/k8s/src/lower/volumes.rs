//! What a pod's claims say about nodes.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, PodSpec};
use k8s_openapi::api::storage::v1::StorageClass;
use stowage_model::{NodeTerm, Operator, Requirement, Requirements, VolumeFault, labels};

use super::selector;
use crate::error::FieldError;

const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";
const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// Provisioners of volume plugins that their CSI drivers have replaced.
const MIGRATED: [(&str, &str); 3] = [
    ("kubernetes.io/aws-ebs", "ebs.csi.aws.com"),
    ("kubernetes.io/gce-pd", "pd.csi.storage.gke.io"),
    ("kubernetes.io/azure-disk", "disk.csi.azure.com"),
];

/// A claim that a pod mounts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mount {
    /// A claim that must be there.
    Claim(String),
    /// A claim that is made for the pod, of a class or of the default one.
    Made {
        /// The claim's name; of an ephemeral volume, what follows the pod's.
        name: String,
        /// Whether the name follows the pod's.
        ephemeral: bool,
        /// Its class.
        class: Option<String>,
    },
}

impl Mount {
    /// The name of the claim of pod `pod`.
    pub(crate) fn claim(&self, pod: &str) -> String {
        match self {
            Self::Made { name, ephemeral: true, .. } => format!("{pod}-{name}"),
            Self::Claim(name) | Self::Made { name, .. } => name.clone(),
        }
    }

    /// Whether the claim's name depends on the pod's.
    pub(crate) fn is_ephemeral(&self) -> bool {
        matches!(self, Self::Made { ephemeral: true, .. })
    }
}

/// The claims that a pod mounts, each once.
pub(crate) fn mounts(spec: &PodSpec) -> Vec<Mount> {
    let mut mounts: Vec<Mount> = Vec::new();
    for volume in spec.volumes.iter().flatten() {
        if let Some(source) = &volume.persistent_volume_claim {
            mounts.push(Mount::Claim(source.claim_name.clone()));
        }
        if let Some(template) = volume.ephemeral.as_ref().and_then(|e| e.volume_claim_template.as_ref()) {
            let class = template.spec.storage_class_name.clone();
            mounts.push(Mount::Made { name: volume.name.clone(), ephemeral: true, class });
        }
    }
    mounts.sort();
    mounts.dedup();
    mounts
}

/// Volumes, claims and classes by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Storage {
    pub(crate) claims: BTreeMap<(String, String), PersistentVolumeClaim>,
    pub(crate) volumes: BTreeMap<String, PersistentVolume>,
    pub(crate) classes: BTreeMap<String, StorageClass>,
}

/// What one claim says about nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reach {
    /// Any of these terms must match, where there are some.
    pub(crate) terms: Vec<NodeTerm>,
    /// The CSI driver that attaches the volume.
    pub(crate) driver: Option<String>,
    /// Why no node will do.
    pub(crate) fault: Option<VolumeFault>,
    /// Nothing can be said: the input leaves such objects out.
    pub(crate) unknown: bool,
}

impl Reach {
    fn fault(fault: VolumeFault) -> Self {
        Self { fault: Some(fault), ..Self::default() }
    }

    fn unknown() -> Self {
        Self { unknown: true, ..Self::default() }
    }
}

impl Storage {
    /// Where `mount` lets pod `pod` run.
    pub(crate) fn reach(&self, namespace: &str, pod: &str, mount: &Mount) -> Result<Reach, FieldError> {
        let key = (namespace.to_owned(), mount.claim(pod));
        let Some(claim) = self.claims.get(&key) else {
            return Ok(match mount {
                Mount::Made { class, .. } => self.of_class(class.as_deref(), true),
                // Where claims of the namespace are in the input, all of them are.
                Mount::Claim(_) if self.claims.keys().any(|(other, _)| *other == namespace) => {
                    Reach::fault(VolumeFault::ClaimMissing)
                }
                Mount::Claim(_) => Reach::unknown(),
            });
        };
        if claim.metadata.deletion_timestamp.is_some() {
            return Ok(Reach::fault(VolumeFault::ClaimDeleting));
        }
        let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
        if phase == Some("Lost") {
            return Ok(Reach::fault(VolumeFault::ClaimLost));
        }
        let spec = claim.spec.as_ref();
        match spec.and_then(|s| s.volume_name.as_deref()).filter(|name| !name.is_empty()) {
            Some(volume) => {
                let annotations = claim.metadata.annotations.as_ref();
                let bound = phase == Some("Bound") || annotations.is_some_and(|a| a.contains_key(BIND_COMPLETED));
                if phase.is_some() && !bound {
                    return Ok(Reach::fault(VolumeFault::NotBoundYet));
                }
                self.volume(volume)
            }
            // A claim without a status is a manifest that nobody has applied yet.
            None => Ok(self.of_class(spec.and_then(|s| s.storage_class_name.as_deref()), phase.is_none())),
        }
    }

    fn volume(&self, name: &str) -> Result<Reach, FieldError> {
        let Some(volume) = self.volumes.get(name) else {
            let all = self.volumes.is_empty();
            return Ok(if all { Reach::unknown() } else { Reach::fault(VolumeFault::VolumeMissing) });
        };
        if volume.metadata.deletion_timestamp.is_some() {
            return Ok(Reach::fault(VolumeFault::VolumeDeleting));
        }
        let spec = volume.spec.as_ref();
        let csi = spec.and_then(|s| s.csi.as_ref()).map(|csi| csi.driver.clone());
        let in_tree = spec.and_then(|s| s.aws_elastic_block_store.as_ref()).map(|_| MIGRATED[0].1.to_owned());
        let affinity = spec.and_then(|s| s.node_affinity.as_ref()).and_then(|a| a.required.as_ref());
        let terms: Result<Vec<NodeTerm>, FieldError> = affinity
            .map_or(&[][..], |required| &required.node_selector_terms)
            .iter()
            .enumerate()
            .map(|(i, term)| selector::term(term, &format!("spec.nodeAffinity.required.nodeSelectorTerms[{i}]")))
            .collect();
        let terms = terms?.into_iter().map(csi_zone_as_zone).collect();
        Ok(Reach { terms, driver: csi.or(in_tree), ..Reach::default() })
    }

    /// A claim that is not bound goes wherever its class can make a volume, once
    /// its pod has a node. A class that does not wait must have bound it already,
    /// unless it is yet to be `made`.
    fn of_class(&self, name: Option<&str>, made: bool) -> Reach {
        let class = match name {
            Some(name) => self.classes.get(name),
            None => self.default_class(),
        };
        let Some(class) = class else {
            let said = name == Some("") || !self.classes.is_empty();
            return if said { Reach::fault(VolumeFault::ClassMissing) } else { Reach::unknown() };
        };
        if !made && class.volume_binding_mode.as_deref() != Some("WaitForFirstConsumer") {
            return Reach::fault(VolumeFault::Unbound);
        }
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
        let migrated = MIGRATED.iter().find(|(old, _)| *old == class.provisioner);
        let driver = migrated.map_or(class.provisioner.as_str(), |(_, driver)| driver);
        Reach { terms, driver: Some(driver.to_owned()), ..Reach::default() }
    }

    /// Of several default classes the newest counts.
    fn default_class(&self) -> Option<&StorageClass> {
        let default = |class: &&StorageClass| {
            let annotations = class.metadata.annotations.as_ref();
            annotations.and_then(|a| a.get(DEFAULT_CLASS)).is_some_and(|value| value == "true")
        };
        let made = |class: &&StorageClass| class.metadata.creation_timestamp.as_ref().map(|time| time.0);
        // Names decide between classes of one moment: the first wins, as the last maximum would not.
        self.classes.values().rev().filter(default).max_by_key(made)
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

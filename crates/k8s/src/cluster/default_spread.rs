//! Spread constraints that the scheduler's configuration gives to pods without
//! any. Which pods they count follows from the Services and controllers that
//! select the pod, as in kube-scheduler.

use std::collections::BTreeMap;

use stowage_model::{Code, Requirement, Requirements};

use super::Cluster;
use crate::error::ObjectError;
use crate::lower::topology::{self, Spread};
use crate::lower::workload::selects;
use crate::scheduler_configuration::KubeSchedulerConfiguration;

type Labels = BTreeMap<String, String>;

/// The constraints, and who selects pods.
#[derive(Clone, Debug, Default)]
pub(super) struct DefaultSpread {
    constraints: Vec<Spread>,
    /// By namespace, what Services select.
    services: BTreeMap<String, Vec<Labels>>,
    /// By namespace, what controllers select.
    controllers: BTreeMap<String, Vec<Requirements>>,
}

impl DefaultSpread {
    pub(super) fn gather(cluster: &Cluster) -> Result<Self, ObjectError> {
        let mut gathered = Self { constraints: cluster.default_constraints.clone(), ..Self::default() };
        if gathered.constraints.is_empty() {
            return Ok(gathered);
        }
        gathered.services = cluster.services.clone();
        for template in &cluster.templates {
            if matches!(template.kind, "ReplicaSet" | "StatefulSet" | "Deployment") {
                let object = || format!("{} {}/{}", template.kind, template.namespace, template.name);
                let selector =
                    topology::label_selector(&template.selector, "spec.selector").map_err(|e| e.of(object()))?;
                // A selector that selects nothing is nobody's.
                let labels = template.pod.metadata.as_ref().and_then(|m| m.labels.clone()).unwrap_or_default();
                if selects(&template.selector, &labels) {
                    gathered.controllers.entry(template.namespace.clone()).or_default().push(selector);
                }
            }
        }
        Ok(gathered)
    }

    /// Constraints of a pod that has none of its own.
    pub(super) fn of(&self, namespace: &str, labels: &Labels) -> Vec<Spread> {
        if self.constraints.is_empty() {
            return Vec::new();
        }
        let mut selector = Requirements::new();
        for service in self.services.get(namespace).into_iter().flatten() {
            if service.iter().all(|(key, value)| labels.get(key) == Some(value)) {
                service.iter().for_each(|(key, value)| selector.add(key, Requirement::exactly(value)));
            }
        }
        for controller in self.controllers.get(namespace).into_iter().flatten() {
            if controller.admit(|key| labels.get(key).map(String::as_str)) {
                selector.add_all(controller);
            }
        }
        if selector.is_empty() {
            return Vec::new();
        }
        self.constraints.iter().map(|spread| spread.clone().selecting(&selector)).collect()
    }
}

impl Cluster {
    pub(super) fn apply_scheduler_configuration(
        &mut self,
        configuration: &KubeSchedulerConfiguration,
    ) -> Result<(), ObjectError> {
        const OBJECT: &str = "KubeSchedulerConfiguration";
        const FIELD: &str = "profiles[].pluginConfig[].args.defaultConstraints";
        self.remember(OBJECT, "", "")?;
        let constraints = configuration.default_constraints();
        if constraints.iter().any(|constraint| constraint.label_selector.is_some()) {
            return Err(ObjectError {
                code: Code::InObject,
                object: OBJECT.to_owned(),
                field: format!("{FIELD}[].labelSelector"),
                message: "is not allowed here; Services and controllers say which pods count".to_owned(),
            });
        }
        self.default_constraints = topology::constraints(&constraints, FIELD).map_err(|e| e.of(OBJECT.to_owned()))?;
        Ok(())
    }
}

//! Workloads become pods where their own pods are not in the input.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PodSpec};
use stowage_model::Resources;

use super::Cluster;
use super::pods::PodState;
use crate::error::ObjectError;
use crate::lower::pod::LoweredPod;
use crate::lower::requests::quantities;
use crate::lower::volumes::Mount;
use crate::lower::workload::{Template, selects};
use crate::lower::{self};

/// A pod that a workload would create.
pub(super) struct Expanded {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) workload: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) lowered: LoweredPod,
}

/// The most pods that one workload may stand for.
const MOST_REPLICAS: i64 = 1_000_000;

impl Cluster {
    /// The pods that workloads are missing, and how many workloads were expanded.
    pub(super) fn expand(&self) -> Result<(Vec<Expanded>, usize), ObjectError> {
        let present = self.present();
        let mut pods = Vec::new();
        let mut workloads = 0;
        for template in &self.templates {
            if self.is_owned(template) {
                continue;
            }
            let wanted = i64::from(self.replicas(template));
            let missing = wanted - self.own(template, &present);
            if wanted > MOST_REPLICAS {
                return Err(crate::error::FieldError::new(
                    stowage_model::Code::InNumbers,
                    "spec.replicas",
                    format!("{wanted} is more than {MOST_REPLICAS}; correct it"),
                )
                .of(format!("{} {}/{}", template.kind, template.namespace, template.name)));
            }
            if missing <= 0 {
                continue;
            }
            workloads += 1;
            let lowered = self.lower_template(template)?;
            let labels = template.pod.metadata.as_ref().and_then(|m| m.labels.clone()).unwrap_or_default();
            // Pods that exist are taken to have the lowest ordinals.
            for ordinal in (wanted - missing)..wanted {
                let mut lowered = lowered.clone();
                lowered.claims.extend(template.claims.iter().map(|claim| mount(claim, &template.name, ordinal)));
                pods.push(Expanded {
                    namespace: template.namespace.clone(),
                    name: format!("{}-{ordinal}", template.name),
                    kind: template.kind,
                    workload: template.name.clone(),
                    labels: labels.clone(),
                    lowered,
                });
            }
        }
        Ok((pods, workloads))
    }

    /// How many live pods there are per namespace, labels and owner.
    fn present(&self) -> BTreeMap<(u32, u32, u32), i64> {
        let mut present = BTreeMap::new();
        let live = |state| !matches!(state, PodState::Finished | PodState::Leaving | PodState::Daemon);
        for pod in self.pods.iter().filter(|pod| live(pod.state)) {
            *present.entry((pod.namespace, pod.labels, pod.owner)).or_default() += 1;
        }
        present
    }

    fn own(&self, template: &Template, present: &BTreeMap<(u32, u32, u32), i64>) -> i64 {
        let owned = |(namespace, labels, owner): &(u32, u32, u32)| {
            if **self.names.get(*namespace) != *template.namespace {
                return false;
            }
            let owner = self.owners.get(*owner);
            let direct = owner.kind == template.kind && owner.name == template.name;
            let through_job = template.kind == "CronJob"
                && owner.kind == "Job"
                && owner.name.strip_prefix(&template.name).is_some_and(|rest| rest.starts_with('-'));
            direct || through_job || selects(&template.selector, self.label_sets.get(*labels))
        };
        present.iter().filter(|(key, _)| owned(key)).map(|(_, count)| count).sum()
    }

    /// Whether the input has a workload that owns this one and stands for it.
    fn is_owned(&self, template: &Template) -> bool {
        self.templates.iter().any(|other| {
            other.namespace == template.namespace
                && template.owners.iter().any(|(kind, name)| kind == other.kind && *name == other.name)
        })
    }

    pub(super) fn replicas(&self, template: &Template) -> i32 {
        let by_autoscaler = || {
            let target = self.autoscalers.iter().find(|hpa| {
                let namespace = hpa.metadata.namespace.as_deref().unwrap_or("default");
                let reference = hpa.spec.as_ref().map(|spec| &spec.scale_target_ref);
                namespace == template.namespace
                    && reference.is_some_and(|r| r.kind == template.kind && r.name == template.name)
            });
            target.map(|hpa| hpa.spec.as_ref().and_then(|s| s.min_replicas).unwrap_or(1))
        };
        template.replicas.or_else(by_autoscaler).unwrap_or(1).max(0)
    }

    /// Lowers a template as admission would leave its pods.
    pub(super) fn lower_template(&self, template: &Template) -> Result<LoweredPod, ObjectError> {
        let object = || format!("{} {}/{}", template.kind, template.namespace, template.name);
        let mut spec = template.pod.spec.clone().unwrap_or_default();
        self.admit(&mut spec);
        let defaults = self.default_requests(&template.namespace).map_err(|e| e.of(object()))?;
        lower::pod::lower(&spec, &defaults).map_err(|e| e.under("spec.template").of(object()))
    }

    /// Fills in what priority and runtime classes say.
    fn admit(&self, spec: &mut PodSpec) {
        if spec.priority.is_none() {
            let named = spec.priority_class_name.as_ref().and_then(|name| self.priority_classes.get(name));
            let default = || self.priority_classes.values().find(|class| class.global_default == Some(true));
            let system = match spec.priority_class_name.as_deref() {
                Some("system-cluster-critical") => Some(2_000_000_000),
                Some("system-node-critical") => Some(2_000_001_000),
                _ => None,
            };
            spec.priority = system.or_else(|| named.or_else(default).map(|class| class.value));
        }
        if spec.overhead.is_none() {
            let class = spec.runtime_class_name.as_ref().and_then(|name| self.runtime_classes.get(name));
            spec.overhead = class.and_then(|c| c.overhead.as_ref()).and_then(|o| o.pod_fixed.clone());
        }
    }

    /// Requests that a namespace's LimitRanges give to containers without any.
    fn default_requests(&self, namespace: &str) -> Result<Resources, crate::error::FieldError> {
        let mut defaults = Resources::new();
        let ranges =
            self.limit_ranges.iter().filter(|r| r.metadata.namespace.as_deref().unwrap_or("default") == namespace);
        let items = ranges.filter_map(|r| r.spec.as_ref()).flat_map(|spec| &spec.limits);
        for item in items.filter(|item| item.type_ == "Container") {
            for list in [&item.default, &item.default_request].into_iter().flatten() {
                for (name, amount) in quantities(list, "spec.limits")?.iter() {
                    defaults.set(name.as_str(), amount);
                }
            }
        }
        Ok(defaults)
    }
}

/// The claim that a StatefulSet makes for one of its pods.
fn mount(claim: &PersistentVolumeClaim, workload: &str, ordinal: i64) -> Mount {
    Mount::Made {
        name: format!("{}-{workload}-{ordinal}", claim.metadata.name.as_deref().unwrap_or_default()),
        ephemeral: false,
        class: claim.spec.as_ref().and_then(|spec| spec.storage_class_name.clone()),
    }
}

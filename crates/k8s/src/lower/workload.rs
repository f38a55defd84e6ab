//! Workloads as the pods they would create.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

/// A workload, whatever its kind.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    pub(crate) kind: &'static str,
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// Pods it wants, `None` for its kind's default.
    pub(crate) replicas: Option<i32>,
    pub(crate) selector: LabelSelector,
    pub(crate) pod: PodTemplateSpec,
    /// Controllers above it, as kind and name: it is expanded by them.
    pub(crate) owners: Vec<(String, String)>,
    /// Claim templates of a StatefulSet.
    pub(crate) claims: Vec<PersistentVolumeClaim>,
}

fn template(
    kind: &'static str,
    metadata: &ObjectMeta,
    replicas: Option<i32>,
    selector: LabelSelector,
    pod: PodTemplateSpec,
) -> Template {
    Template {
        kind,
        namespace: metadata.namespace.clone().unwrap_or_else(|| "default".to_owned()),
        name: metadata.name.clone().unwrap_or_default(),
        replicas,
        selector,
        pod,
        owners: controllers(metadata),
        claims: Vec::new(),
    }
}

/// The controllers that own an object.
pub(crate) fn controllers(metadata: &ObjectMeta) -> Vec<(String, String)> {
    let owners = metadata.owner_references.iter().flatten();
    owners.filter(|o| o.controller == Some(true)).map(|o| (o.kind.clone(), o.name.clone())).collect()
}

pub(crate) fn deployment(object: &Deployment) -> Template {
    let spec = object.spec.clone().unwrap_or_default();
    template("Deployment", &object.metadata, spec.replicas, spec.selector, spec.template)
}

pub(crate) fn replica_set(object: &ReplicaSet) -> Template {
    let spec = object.spec.clone().unwrap_or_default();
    template("ReplicaSet", &object.metadata, spec.replicas, spec.selector, spec.template.unwrap_or_default())
}

pub(crate) fn stateful_set(object: &StatefulSet) -> Template {
    let spec = object.spec.clone().unwrap_or_default();
    let claims = spec.volume_claim_templates.unwrap_or_default();
    Template { claims, ..template("StatefulSet", &object.metadata, spec.replicas, spec.selector, spec.template) }
}

pub(crate) fn job(object: &Job) -> Template {
    let spec = object.spec.clone().unwrap_or_default();
    let done = object.status.as_ref().is_some_and(|s| s.completion_time.is_some());
    let suspended = spec.suspend == Some(true);
    // A job never runs more pods at once than it has left to complete.
    let parallelism = spec.parallelism.unwrap_or(1).min(spec.completions.unwrap_or(i32::MAX));
    let replicas = if done || suspended { 0 } else { parallelism };
    template("Job", &object.metadata, Some(replicas), spec.selector.unwrap_or_default(), spec.template)
}

pub(crate) fn cron_job(object: &CronJob) -> Template {
    let spec = object.spec.clone().unwrap_or_default();
    let job = spec.job_template.spec.unwrap_or_default();
    let parallelism = job.parallelism.unwrap_or(1).min(job.completions.unwrap_or(i32::MAX));
    let replicas = if spec.suspend == Some(true) { 0 } else { parallelism };
    template("CronJob", &object.metadata, Some(replicas), LabelSelector::default(), job.template)
}

pub(crate) fn daemon_set(object: &DaemonSet) -> Template {
    let spec = object.spec.clone().unwrap_or_default();
    template("DaemonSet", &object.metadata, None, spec.selector, spec.template)
}

/// Whether a label selector picks an object with these labels. An empty selector
/// picks nothing here: no workload owns everything.
pub(crate) fn selects(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let exact = selector.match_labels.iter().flatten();
    let expressions = selector.match_expressions.iter().flatten();
    let mut any = false;
    for (key, value) in exact {
        any = true;
        if labels.get(key) != Some(value) {
            return false;
        }
    }
    for e in expressions {
        any = true;
        let value = labels.get(&e.key);
        let listed = value.is_some_and(|v| e.values.iter().flatten().any(|known| known == v));
        let holds = match e.operator.as_str() {
            "In" => listed,
            "NotIn" => !listed,
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            _ => false,
        };
        if !holds {
            return false;
        }
    }
    any
}

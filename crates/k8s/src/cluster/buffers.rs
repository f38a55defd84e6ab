//! Headroom: a CapacityBuffer stands for pods that could come.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PodTemplateSpec;
use stowage_model::Resources;

use super::Cluster;
use super::expand::Expanded;
use crate::error::{FieldError, ObjectError};
use crate::lower::pod::LoweredPod;
use crate::lower::requests::quantities;
use crate::lower::workload::Template;
use crate::v1;

/// The strategy that keeps nodes for a buffer; others are not ours.
pub const ACTIVE: &str = "buffer.x-k8s.io/active-capacity";
/// Buffers make way for every pod.
const PRIORITY: i32 = i32::MIN;
const MOST: i64 = 100_000;

/// The kind of the pods that stand for headroom.
pub const BUFFER: &str = "CapacityBuffer";

impl Cluster {
    /// The pods that buffers keep room for.
    pub(super) fn headroom(&self) -> Result<Vec<Expanded>, ObjectError> {
        let mut pods = Vec::new();
        for buffer in self.buffers.iter().filter(|buffer| is_ours(buffer)) {
            let (namespace, name) = key(buffer);
            let (template, lowered, count) = self.resolve(buffer)?;
            let labels = template.pod.metadata.as_ref().and_then(|m| m.labels.clone()).unwrap_or_default();
            pods.extend((0..count).map(|number| Expanded {
                namespace: namespace.clone(),
                name: format!("{name}-buffer-{number}"),
                kind: BUFFER,
                workload: name.clone(),
                labels: labels.clone(),
                lowered: lowered.clone(),
            }));
        }
        Ok(pods)
    }

    /// How many pods each buffer has room for, or why that cannot be said; by
    /// namespace and name.
    pub fn headroom_by_buffer(&self) -> BTreeMap<(String, String), Result<i64, ObjectError>> {
        let ours = self.buffers.iter().filter(|buffer| is_ours(buffer));
        ours.map(|buffer| (key(buffer), self.resolve(buffer).map(|(_, _, count)| count))).collect()
    }

    fn resolve(&self, buffer: &v1::CapacityBuffer) -> Result<(Template, LoweredPod, i64), ObjectError> {
        let (namespace, name) = key(buffer);
        let object = format!("CapacityBuffer {namespace}/{name}");
        let (template, replicas) = self.buffered(buffer, &namespace).map_err(|e| e.of(object.clone()))?;
        let mut lowered = self.lower_template(&template)?;
        lowered.shape.priority = PRIORITY;
        let count = count(&buffer.spec, &lowered.shape.requests, replicas).map_err(|e| e.of(object))?;
        Ok((template, lowered, count))
    }

    /// What a buffer's pods are like, and how many the workload has.
    fn buffered(&self, buffer: &v1::CapacityBuffer, namespace: &str) -> Result<(Template, i32), FieldError> {
        let missing = |field: &str, what: String| {
            let message = format!("{what} is not in the input; add it, or leave the buffer out");
            FieldError::new(stowage_model::Code::InObject, field.to_owned(), message)
        };
        if let Some(reference) = &buffer.spec.scalable_ref {
            let found = self.templates.iter().find(|template| {
                template.namespace == namespace && template.kind == reference.kind && template.name == reference.name
            });
            let what = || format!("{} {namespace}/{}", reference.kind, reference.name);
            let template = found.ok_or_else(|| missing("spec.scalableRef", what()))?;
            return Ok((template.clone(), self.replicas(template)));
        }
        let name = buffer.spec.pod_template_ref.as_ref().map_or("", |reference| &reference.name);
        let key = (namespace.to_owned(), name.to_owned());
        let what = || format!("PodTemplate {namespace}/{name}");
        let template = self.pod_templates.get(&key).ok_or_else(|| missing("spec.podTemplateRef", what()))?;
        let pod: PodTemplateSpec = template.template.clone().unwrap_or_default();
        let template = Template {
            kind: "PodTemplate",
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            replicas: None,
            selector: Default::default(),
            pod,
            owners: Vec::new(),
            claims: Vec::new(),
        };
        Ok((template, 0))
    }
}

fn is_ours(buffer: &v1::CapacityBuffer) -> bool {
    buffer.spec.provisioning_strategy.as_deref().is_none_or(|strategy| strategy == ACTIVE)
}

fn key(buffer: &v1::CapacityBuffer) -> (String, String) {
    let meta = &buffer.metadata;
    (meta.namespace.clone().unwrap_or_else(|| "default".to_owned()), meta.name.clone().unwrap_or_default())
}

/// The larger of replicas and percentage, within the limits; with neither, as
/// many as the limits allow.
fn count(
    spec: &v1::capacity_buffer::CapacityBufferSpec,
    requests: &Resources,
    replicas: i32,
) -> Result<i64, FieldError> {
    let percentage = spec.percentage.filter(|_| replicas > 0).map(|percentage| {
        let share = i64::from(replicas) * i64::from(percentage.max(0));
        (share + 99) / 100
    });
    let wanted = spec.replicas.map(|count| i64::from(count.max(0))).max(percentage);
    let mut count = wanted;
    if let Some(limits) = &spec.limits {
        let limits = quantities(limits, "spec.limits")?;
        let asked = requests.iter().filter(|(name, amount)| *amount > 0 && limits.contains(name.as_str()));
        if let Some(fits) = asked.map(|(name, amount)| limits.get(name.as_str()) / amount).min() {
            count = Some(wanted.map_or(fits, |wanted| wanted.min(fits)));
        }
    }
    Ok(count.unwrap_or(0).min(MOST))
}

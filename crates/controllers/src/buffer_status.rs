//! What CapacityBuffers say of themselves: whether they can be read, and whether
//! the room that they keep is there.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use stowage_k8s::ObjectError;
use stowage_k8s::cluster::{ACTIVE, BUFFER};
use stowage_k8s::conditions::{self, Says};
use stowage_k8s::v1::CapacityBuffer;
use tracing::warn;

use crate::context::{Context, locked};
use crate::provisioner::feed;
use crate::provisioner::plan::Judged;
use crate::state::sorted;
use crate::view::View;

/// Whether every pod of a buffer has a place on a node that is there, by namespace
/// and name.
pub type Housed = BTreeMap<(String, String), bool>;

/// What a plan says of the buffers in it.
pub fn housed(judged: &Judged, view: &View) -> Housed {
    let problem = &judged.problem;
    let mut all = Housed::new();
    let mut note = |pod: u32, there: bool| {
        let workload = &problem.workloads[problem.pods[pod as usize].workload as usize];
        if &*workload.kind == BUFFER {
            let entry = all.entry((workload.namespace.to_string(), workload.name.to_string())).or_insert(true);
            *entry &= there;
        }
    };
    for binding in &judged.plan.existing {
        binding.pods.iter().for_each(|pod| note(*pod, view.nodes.contains_key(&binding.node)));
    }
    judged.plan.nodes.iter().flat_map(|node| &node.pods).for_each(|pod| note(*pod, false));
    judged.plan.unplaced.iter().for_each(|unplaced| note(unplaced.pod, false));
    all
}

/// The status that a buffer should have. `None` where it has it.
fn status(
    buffer: &CapacityBuffer,
    room: &Result<i64, ObjectError>,
    housed: Option<bool>,
    now: Timestamp,
) -> Option<Value> {
    let old = buffer.status.clone().unwrap_or_default();
    let mut all = old.conditions.clone().unwrap_or_default();
    let error = room.as_ref().err().map(ToString::to_string).unwrap_or_default();
    let resolved = match room {
        Ok(_) => says("ReadyForProvisioning", "True", "Resolved", ""),
        Err(refused) => {
            let reason = match refused.field.as_str() {
                "spec.scalableRef" => "ScalableRefNotFound",
                "spec.podTemplateRef" => "PodTemplateNotFound",
                _ => "ResolutionFailed",
            };
            says("ReadyForProvisioning", "False", reason, &error)
        }
    };
    let provisioned = match (room, housed) {
        (Err(_), _) => says("Provisioning", "False", "NotReadyForProvisioning", ""),
        (Ok(0), _) => says("Provisioning", "False", "BufferEmpty", "it stands for no pods"),
        (Ok(_), Some(true)) => says("Provisioning", "True", "FitsExistingCapacity", ""),
        (Ok(_), Some(false)) => {
            says("Provisioning", "False", "RequiresNewCapacity", "nodes are on their way, or wanted")
        }
        (Ok(_), None) => says("Provisioning", "Unknown", "AwaitingReconciliation", "no plan has counted it yet"),
    };
    let generation = buffer.metadata.generation;
    let mut changed = conditions::set(&mut all, &resolved, generation, now);
    changed |= conditions::set(&mut all, &provisioned, generation, now);
    let replicas = room.as_ref().ok().map(|count| i32::try_from(*count).unwrap_or(i32::MAX));
    changed |= old.replicas != replicas || old.pod_template_ref != buffer.spec.pod_template_ref;
    changed |= old.provisioning_strategy.as_deref() != Some(ACTIVE);
    changed.then(|| {
        json!({
            "metadata": { "resourceVersion": buffer.metadata.resource_version },
            "status": { "conditions": all, "replicas": replicas, "podTemplateRef": buffer.spec.pod_template_ref,
                "provisioningStrategy": ACTIVE },
        })
    })
}

fn says<'a>(kind: &'a str, status: &'a str, reason: &'a str, message: &'a str) -> Says<'a> {
    Says { kind, status, reason, message }
}

/// Runs until it is dropped.
pub async fn run(ctx: Arc<Context>) {
    let mut changes = ctx.state.changes();
    loop {
        if !ctx.state.buffers.is_empty() {
            look(&ctx).await;
        }
        crate::wait_for_change(&mut changes).await;
    }
}

async fn look(ctx: &Context) {
    let rooms = feed::buffers(&ctx.state).headroom_by_buffer();
    let housed = locked(&ctx.housed).clone();
    for buffer in sorted(&ctx.state.buffers) {
        let key = (buffer.namespace().unwrap_or_default(), buffer.name_any());
        let Some(patch) = rooms.get(&key).and_then(|room| {
            let housed = housed.get(&key).copied();
            status(&buffer, room, housed, ctx.clock.now())
        }) else {
            continue;
        };
        let api: Api<CapacityBuffer> = Api::namespaced(ctx.client.clone(), &key.0);
        match api.patch_status(&key.1, &PatchParams::default(), &Patch::Merge(&patch)).await {
            Ok(_) => {}
            // Somebody else wrote first, or it is gone: the next look tells.
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => {}
            Err(error) => warn!(capacity_buffer = ?key, %error, "its status was not written; it is tried again"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{at, read};
    use stowage_model::Code;

    fn said(room: Result<i64, ObjectError>, housed: Option<bool>) -> Vec<(String, String)> {
        let buffer = read::<CapacityBuffer>(json!({
            "apiVersion": "autoscaling.x-k8s.io/v1beta1", "kind": "CapacityBuffer",
            "metadata": { "name": "b", "namespace": "n" }, "spec": { "podTemplateRef": { "name": "t" }, "replicas": 2 },
        }));
        let patch = status(&buffer, &room, housed, at(1)).unwrap_or_default();
        let all = patch["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        all.iter().map(|c| (text(&c["status"]), text(&c["reason"]))).collect()
    }

    #[test]
    fn a_buffer_says_whether_it_can_be_read_and_whether_its_room_is_there() {
        let pair = |status: &str, reason: &str| (status.to_owned(), reason.to_owned());
        let resolved = || pair("True", "Resolved");
        assert_eq!(said(Ok(2), Some(true)), [resolved(), pair("True", "FitsExistingCapacity")]);
        assert_eq!(said(Ok(2), Some(false)), [resolved(), pair("False", "RequiresNewCapacity")]);
        assert_eq!(said(Ok(0), None), [resolved(), pair("False", "BufferEmpty")]);
        let missing = ObjectError {
            code: Code::InObject,
            object: "CapacityBuffer n/b".to_owned(),
            field: "spec.podTemplateRef".to_owned(),
            message: "is not there".to_owned(),
        };
        let not_ready = pair("False", "NotReadyForProvisioning");
        assert_eq!(said(Err(missing), None), [pair("False", "PodTemplateNotFound"), not_ready]);
    }
}

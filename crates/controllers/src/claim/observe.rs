//! What is known of a claim: the facts that a step is decided upon.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use stowage_k8s::pod::is_waiting;
use stowage_k8s::v1::NodeClaim;

use super::decide::{Facts, Memory};
use crate::context::Context;
use crate::state::sorted;
use crate::steering;
use crate::view::View;

/// Pods that are planned for a claim and have not come yet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Guests {
    pub(super) invited: usize,
    pub(super) uninvited: usize,
    /// When one last came to any node.
    pub(super) landed: Option<Timestamp>,
}

/// When a pod was last bound to a node that was held for it.
pub(super) fn last_landing(view: &View) -> Option<Timestamp> {
    let steered = view.pods.iter().filter(|pod| !is_waiting(pod) && steering::tolerated(pod).next().is_some());
    let bound = steered.filter_map(|pod| {
        let all = pod.status.as_ref()?.conditions.as_ref()?;
        let bound = all.iter().find(|condition| condition.type_ == "PodScheduled" && condition.status == "True")?;
        bound.last_transition_time.as_ref().map(|time| time.0)
    });
    bound.max()
}

/// By the claim's name.
pub(super) fn guests(ctx: &Context, view: &View) -> BTreeMap<String, Guests> {
    let nominated = ctx.nominations(view);
    let mut all: BTreeMap<String, Guests> = BTreeMap::new();
    for pod in &view.pods {
        let Some(name) = pod.metadata.uid.as_ref().and_then(|uid| nominated.get(uid)) else { continue };
        let token = view.claims.get(name).and_then(|claim| steering::token(claim));
        let guests = all.entry(name.clone()).or_default();
        match steering::tolerated(pod).any(|known| Some(known) == token) {
            true => guests.invited += 1,
            false => guests.uninvited += 1,
        }
    }
    all
}

pub(super) fn facts<'a>(
    ctx: &'a Context,
    view: &'a View,
    claim: &'a NodeClaim,
    guests: Guests,
    memory: Memory,
) -> Facts<'a> {
    let node: Option<&Node> = view.node_of(claim).map(|node| &**node);
    let name = node.and_then(|node| node.metadata.name.as_deref());
    let pods: Vec<&Pod> = name.into_iter().flat_map(|name| view.pods_on(name)).map(|pod| &**pod).collect();
    // Only asked for while it matters.
    let leaving = claim.metadata.deletion_timestamp.is_some();
    let attachments = name.filter(|_| leaving).map_or(0, |name| attached(ctx, name));
    Facts {
        claim,
        node,
        pods,
        attachments,
        invited: guests.invited,
        uninvited: guests.uninvited,
        landed: guests.landed,
        memory,
        now: ctx.clock.now(),
        timeouts: &ctx.settings.timeouts,
    }
}

/// Volumes that are attached to a node.
fn attached(ctx: &Context, node: &str) -> usize {
    sorted(&ctx.state.attachments).iter().filter(|attachment| attachment.spec.node_name == node).count()
}

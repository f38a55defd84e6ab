//! Beginning commands and taking their steps.

use std::collections::BTreeSet;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Node;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use stowage_disruption::Command;
use stowage_k8s::conditions::{self, Says};
use stowage_k8s::v1::NodeClaim;
use stowage_k8s::{names, node};
use stowage_model::Price;
use tracing::{info, warn};

use super::Answer;
use super::order::{Order, Step, order_of};
use crate::context::{Context, locked};
use crate::events::Saying;
use crate::provisioner::caps::Allowance;
use crate::provisioner::plan;
use crate::state::{leaving, shown};
use crate::view::{View, pool_of};

/// Begins what a decision says.
pub(super) async fn begin(ctx: &Context, view: &View, answer: &Answer) {
    let Answer { decision, fleet, .. } = answer;
    let spending: Price = fleet.problem.nodes.iter().filter_map(|node| node.price).sum();
    let mut allowance = Allowance::new(&ctx.settings.caps, fleet.problem.nodes.len(), spending, 0);
    let mut allowed: Vec<&Command> = Vec::new();
    for command in &decision.commands {
        let mut left = allowance;
        if command.launch.iter().any(|node| left.take(node.price).is_err()) {
            info!(remove = ?command.remove, "a cap keeps the replacements from being launched");
            continue;
        }
        allowance = left;
        allowed.push(command);
    }
    // All at once and first of all: pods of one node must not go to another that is
    // about to go.
    let going = allowed.iter().flat_map(|command| &command.remove);
    futures::stream::iter(going).for_each_concurrent(AT_ONCE, |node| shut_early(ctx, view, node)).await;
    futures::stream::iter(allowed)
        .for_each_concurrent(AT_ONCE, |command| async move {
            info!(
                reason = %command.reason(), remove = ?command.claims, launch = command.launch.len(),
                saving = %command.saving(), pods = command.moves.len(), "a command begins"
            );
            ctx.metrics.ordered(command);
            let begun = match command.launch.is_empty() {
                true => release(ctx, view, &command.claims, command.reason().as_str()).await,
                false => replace(ctx, view, answer, command).await,
            };
            if let Err(error) = begun {
                warn!(remove = ?command.claims, %error, "a command could not be begun; what was begun is taken back");
            }
        })
        .await;
}

/// Commands that are begun, or steps that are taken, side by side.
pub(super) const AT_ONCE: usize = 16;

/// Writes down what is to come, then creates it; shutting the old nodes and letting
/// them go follows from what is written.
async fn replace(ctx: &Context, view: &View, answer: &Answer, command: &Command) -> Result<(), kube::Error> {
    let problem = &answer.decision.what_if.problem;
    let mut news = Vec::new();
    for node in &command.launch {
        let pool = view.pools.get(&node.pool);
        let claim = pool.and_then(|pool| plan::claim_for(problem, &answer.gathered, node, pool, &ctx.suffix(), None));
        let Some(claim) = claim else {
            info!(node_pool = %node.pool, remove = ?command.remove, "the pool is gone, and the command with it");
            return Ok(());
        };
        news.push(claim);
    }
    order(ctx, view, command.reason().as_str(), &command.claims, news).await
}

/// Has `claims` replaced by `news`: what is to come is written down first.
pub(crate) async fn order(
    ctx: &Context,
    view: &View,
    reason: &str,
    claims: &[String],
    mut news: Vec<NodeClaim>,
) -> Result<(), kube::Error> {
    for claim in &mut news {
        let notes = claim.metadata.annotations.get_or_insert_default();
        notes.insert(names::REPLACES.to_owned(), claims.join(","));
    }
    let replacements: Vec<String> = news.iter().map(ResourceExt::name_any).collect();
    locked(&ctx.creating).extend(replacements.iter().cloned());
    let order = Order { reason: reason.to_owned(), since: ctx.clock.now(), replacements: replacements.clone() };
    let done = ordered(ctx, view, &order, claims, news).await;
    let mut creating = locked(&ctx.creating);
    replacements.iter().for_each(|name| {
        creating.remove(name);
    });
    done
}

async fn ordered(
    ctx: &Context,
    view: &View,
    order: &Order,
    claims: &[String],
    news: Vec<NodeClaim>,
) -> Result<(), kube::Error> {
    let api: Api<NodeClaim> = Api::all(ctx.client.clone());
    let text = serde_json::to_string(order).unwrap_or_default();
    for name in claims {
        let Some(claim) = view.claims.get(name) else { continue };
        as_it_is(&api, claim, |claim| {
            let patch = json!({ "metadata": {
                "annotations": { names::REPLACED_BY: text }, "resourceVersion": claim.metadata.resource_version } });
            let api = api.clone();
            async move { api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.map(|_| ()) }
        })
        .await?;
    }
    for claim in news {
        let name = claim.name_any();
        api.create(&PostParams::default(), &claim).await?;
        ctx.metrics.created(pool_of(&claim).unwrap_or_default());
        info!(node_claim = %name, "a replacement is created");
    }
    // Until the watch shows them, they would be taken for gone.
    shown(&ctx.state, &order.replacements).await;
    Ok(())
}

/// Takes one step of a command that has begun. Returns whether it was taken.
pub(super) async fn take(ctx: &Context, view: &View, step: Step) -> bool {
    let done = match &step {
        Step::Shut(node) => taint(ctx, view, node, true).await,
        Step::Open(node) => taint(ctx, view, node, false).await,
        Step::Release(claims, reason) => release(ctx, view, claims, reason).await,
        Step::TakeBack(claims, why) => take_back(ctx, view, claims, why).await,
    };
    match &done {
        Ok(()) => info!(?step, "disruption"),
        // Somebody else wrote first, or it is gone: the next look tells.
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => {}
        Err(error) => warn!(?step, %error, "a step of a command is tried again"),
    }
    done.is_ok()
}

/// Shuts a node before its command is begun. Should that not come to pass, the next look
/// opens it again; should this fail, it is shut when its command says so.
async fn shut_early(ctx: &Context, view: &View, name: &str) {
    let Some(known) = view.nodes.get(name) else { return };
    let api: Api<Node> = Api::all(ctx.client.clone());
    let mut node = (**known).clone();
    for _ in 0..MOST_READS {
        let patch = node::shut(&node, true);
        match api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await {
            Err(kube::Error::Api(status)) if status.code == 409 => match api.get(name).await {
                Ok(now) => node = now,
                Err(_) => return,
            },
            _ => return,
        }
    }
}

async fn taint(ctx: &Context, view: &View, name: &str, shut: bool) -> Result<(), kube::Error> {
    let Some(node) = view.nodes.get(name) else { return Ok(()) };
    let api: Api<Node> = Api::all(ctx.client.clone());
    let patch = node::shut(node, shut);
    api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.map(|_| ())
}

/// How often a claim is read afresh because somebody wrote in between.
const MOST_READS: usize = 5;

/// Writes to a claim as it is. Much is written to claims while pods move about; what
/// was decided holds as long as it is the same claim under the same order, stays, and is
/// not protected.
async fn as_it_is<F: Future<Output = Result<(), kube::Error>>>(
    api: &Api<NodeClaim>,
    claim: &NodeClaim,
    write: impl Fn(NodeClaim) -> F,
) -> Result<(), kube::Error> {
    let mut now = claim.clone();
    for _ in 0..MOST_READS {
        let conflict = match write(now.clone()).await {
            Err(kube::Error::Api(status)) if status.code == 409 => kube::Error::Api(status),
            done => return done,
        };
        now = api.get(&claim.name_any()).await?;
        let protected = now.annotations().get(names::DO_NOT_DISRUPT).is_some_and(|value| value == "true");
        let order = |claim: &NodeClaim| claim.annotations().get(names::REPLACED_BY).cloned();
        let same = now.uid() == claim.uid() && order(&now) == order(claim);
        if !same || protected || now.metadata.deletion_timestamp.is_some() {
            return Err(conflict);
        }
    }
    write(now).await
}

/// Lets claims go: their nodes are drained.
pub(crate) async fn release(ctx: &Context, view: &View, claims: &[String], reason: &str) -> Result<(), kube::Error> {
    let api: Api<NodeClaim> = Api::all(ctx.client.clone());
    for name in claims {
        let Some(claim) = view.claims.get(name) else { continue };
        as_it_is(&api, claim, |claim| {
            let (patch, api) = (disrupted(&claim, reason, ctx.clock.now()), api.clone());
            async move {
                let mut version = claim.metadata.resource_version.clone();
                if let Some(patch) = patch {
                    let written = api.patch_status(name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
                    version = written.metadata.resource_version;
                }
                let same = Preconditions { uid: claim.uid(), resource_version: version };
                api.delete(name, &DeleteParams::default().preconditions(same)).await.map(|_| ())
            }
        })
        .await?;
        ctx.metrics.disrupted(&reason.to_lowercase(), pool_of(claim).unwrap_or_default());
        let note = format!("Disrupting NodeClaim: {reason}");
        let saying = Saying { warning: false, reason: "DisruptionLaunching", action: "Disrupt", note };
        ctx.events.tell(&**claim, saying).await;
    }
    // Their nodes would be taken for shut without a reason before.
    leaving(&ctx.state, claims).await;
    Ok(())
}

/// The condition that says why a claim goes.
fn disrupted(claim: &NodeClaim, reason: &str, now: jiff::Timestamp) -> Option<Value> {
    let mut all = claim.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    let says = Says { kind: "DisruptionReason", status: "True", reason, message: reason };
    let changed = conditions::set(&mut all, &says, claim.metadata.generation, now);
    changed.then(|| {
        json!({ "metadata": { "resourceVersion": claim.metadata.resource_version }, "status": { "conditions": all } })
    })
}

/// Everything stays as it was; nodes are opened by the next look. Replacements that
/// did come are nodes like others, and go when they are not needed.
async fn take_back(ctx: &Context, view: &View, claims: &[String], why: &str) -> Result<(), kube::Error> {
    let api: Api<NodeClaim> = Api::all(ctx.client.clone());
    let mut seen = BTreeSet::new();
    for name in claims {
        let Some(claim) = view.claims.get(name) else { continue };
        let patch = json!({ "metadata": {
            "annotations": { names::REPLACED_BY: null }, "resourceVersion": claim.metadata.resource_version } });
        api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
        let note = format!("its replacement is given up: {why}");
        let saying = Saying { warning: true, reason: "DisruptionBlocked", action: "Disrupt", note };
        ctx.events.tell(&**claim, saying).await;
        if let Some(order) = order_of(claim).filter(|order| seen.insert(order.clone())) {
            ctx.metrics.taken_back(&order.reason);
        }
    }
    Ok(())
}

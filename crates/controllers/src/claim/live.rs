//! The loop over claims: look, decide, make one call, look again.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, EvictParams, Patch, PatchParams, Preconditions};
use kube::{Api, ResourceExt};
use stowage_cloud::provider::{Instance, LaunchRequest, NodeTaint, ProviderError};
use stowage_k8s::names;
use stowage_k8s::v1::NodeClaim;
use stowage_model::labels;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{info, warn};

use super::decide::{Call, Facts, Memory, Verdict, Write, decide};
use super::observe::{Guests, facts, guests, last_landing};
use super::{launch, settle, terminate};
use crate::context::{Context, locked};
use crate::events::Saying;
use crate::provisioner;
use crate::view::{View, pool_of};

/// Claims that are acted upon at the same time.
const AT_ONCE: usize = 32;
/// A step is not repeated sooner unless its claim or node changed.
const REST: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_CALL: Duration = Duration::from_secs(90);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What this process knows of one claim.
#[derive(Clone, Debug, Default)]
struct Record {
    memory: Memory,
    /// Not before then, unless the claim changed since.
    rest: Option<(Instant, String)>,
    pause: Option<Duration>,
}

/// How a call went.
enum Went {
    /// As it should.
    Well,
    /// The provider has no instance of the claim left.
    Ended,
    /// Somebody else wrote first: look again.
    Outdated,
    /// Not: try again later.
    Wrong(String),
}

/// Runs until it is dropped.
pub async fn run(ctx: Arc<Context>) {
    let mut records: BTreeMap<String, Record> = BTreeMap::new();
    let mut busy: BTreeSet<String> = BTreeSet::new();
    let mut tasks: JoinSet<(String, &'static str, String, Went)> = JoinSet::new();
    let mut changes = ctx.state.changes();
    loop {
        let view = ctx.state.view();
        let guests = guests(&ctx, &view);
        let landed = last_landing(&view);
        let uids: BTreeSet<&str> = view.claims.values().filter_map(|claim| claim.metadata.uid.as_deref()).collect();
        records.retain(|uid, _| busy.contains(uid) || uids.contains(uid.as_str()));
        let mut soonest = Duration::from_secs(5);
        for claim in view.claims.values() {
            let uid = claim.uid().unwrap_or_default();
            if busy.contains(&uid) || tasks.len() >= AT_ONCE {
                continue;
            }
            let record = records.entry(uid.clone()).or_default();
            let now = Instant::now();
            if let Some((until, version)) = &record.rest
                && *until > now
                && (*version == version_of(&view, claim) || record.pause.is_some())
            {
                soonest = soonest.min(*until - now);
                continue;
            }
            let mut guests = guests.get(&claim.name_any()).copied().unwrap_or_default();
            guests.landed = landed;
            let facts = facts(&ctx, &view, claim, guests, record.memory);
            match decide(&facts) {
                Verdict::Wait(time) => soonest = soonest.min(time),
                Verdict::Do { step, call } => {
                    busy.insert(uid.clone());
                    let (ctx, view, claim) = (ctx.clone(), view.clone(), claim.clone());
                    let memory = record.memory;
                    tasks.spawn(async move {
                        let version = version_of(&view, &claim);
                        let acting = AssertUnwindSafe(act(&ctx, &view, &claim, step, call, memory)).catch_unwind();
                        // A call that hangs is given up; what it did is found in the facts.
                        let went = match tokio::time::timeout(LONGEST_CALL, acting).await {
                            Ok(Ok(went)) => went,
                            Ok(Err(_)) => Went::Wrong(format!("{step} panicked")),
                            Err(_) => Went::Wrong(format!("{step}: no answer")),
                        };
                        if matches!(went, Went::Well) {
                            note(&ctx, pool_of(&claim).unwrap_or_default(), step);
                        }
                        (uid, step, version, went)
                    });
                }
            }
        }
        tokio::select! {
            Some(done) = tasks.join_next() => {
                let mut finished = vec![done];
                while let Some(more) = tasks.try_join_next() {
                    finished.push(more);
                }
                for (uid, step, version, went) in finished.into_iter().flatten() {
                    busy.remove(&uid);
                    let record = records.entry(uid).or_default();
                    settle(record, step, version, went);
                }
            }
            _ = changes.changed() => {}
            () = tokio::time::sleep(soonest.max(Duration::from_millis(20))) => {}
        }
    }
}

/// What a decision was made upon: the claim and its node, as they were.
fn version_of(view: &View, claim: &NodeClaim) -> String {
    let node = view.node_of(claim).and_then(|node| node.metadata.resource_version.as_deref());
    format!("{} {}", claim.metadata.resource_version.as_deref().unwrap_or_default(), node.unwrap_or_default())
}

/// What follows from how a call went. A call that changed the claim is not
/// repeated until the change is seen, or a while has passed.
fn settle(record: &mut Record, step: &'static str, version: String, went: Went) {
    let now = Instant::now();
    match went {
        Went::Well => {
            record.pause = None;
            record.rest = Some((now + REST, version));
        }
        Went::Ended => {
            record.memory.ended = true;
            (record.pause, record.rest) = (None, None);
        }
        Went::Outdated => {
            record.pause = None;
            record.rest = Some((now + Duration::from_millis(200), version));
        }
        Went::Wrong(why) => {
            let pause = record.pause.map_or(FIRST_PAUSE, |pause| (pause * 2).min(LONGEST_PAUSE));
            warn!(step, %why, ?pause, "a step of a claim is tried again later");
            record.pause = Some(pause);
            record.rest = Some((now + pause, version));
        }
    }
}

async fn act(ctx: &Context, view: &View, claim: &NodeClaim, step: &'static str, call: Call, memory: Memory) -> Went {
    let name = claim.name_any();
    if ctx.settings.dry_run {
        return Went::Wrong(format!("dry run: would {step}"));
    }
    info!(node_claim = %name, step, "claim");
    ctx.metrics.step(step);
    let claims: Api<NodeClaim> = Api::all(ctx.client.clone());
    let nodes: Api<Node> = Api::all(ctx.client.clone());
    match call {
        Call::Patch(patch) => write(ctx, &name, patch).await,
        Call::DeleteNode(node) => told(nodes.delete(&node, &DeleteParams::default()).await),
        Call::DeleteClaim(reason) => delete(ctx, &claims, claim, reason).await,
        Call::Launch(attempt) => launch_it(ctx, view, claim, attempt, memory).await,
        Call::EndInstance => end(ctx, claim).await,
        Call::Evict(pods) => evict(ctx, claim, &pods).await,
        Call::Force(pods) => {
            for (namespace, pod, grace) in pods {
                let params = DeleteParams::default().grace_period(u32::try_from(grace).unwrap_or(1));
                let api: Api<Pod> = Api::namespaced(ctx.client.clone(), &namespace);
                if let Went::Wrong(why) = told(api.delete(&pod, &params).await) {
                    return Went::Wrong(why);
                }
            }
            Went::Well
        }
    }
}

/// Counts steps that say what became of a node.
fn note(ctx: &Context, pool: &str, step: &str) {
    let registered = |joined| locked(&ctx.registrations).entry(pool.to_owned()).or_default().note(joined);
    match step {
        settle::JOINED => {
            registered(true);
            ctx.metrics.joined(pool);
        }
        settle::GIVEN_UP => registered(false),
        terminate::GONE => ctx.metrics.gone(pool),
        _ => {}
    }
}

async fn write(ctx: &Context, claim: &str, patch: Write) -> Went {
    let (claims, plain) = (Api::<NodeClaim>::all(ctx.client.clone()), PatchParams::default());
    match patch {
        Write::Claim(patch) => told(claims.patch(claim, &plain, &Patch::Merge(&patch)).await),
        Write::Status(patch) => told(claims.patch_status(claim, &plain, &Patch::Merge(&patch)).await),
        Write::Node(node, patch) => {
            let nodes: Api<Node> = Api::all(ctx.client.clone());
            told(nodes.patch(&node, &plain, &Patch::Merge(&patch)).await)
        }
    }
}

/// What an answer of the API server means. An object that is gone needs nothing
/// more, and one that somebody else changed is looked at again.
fn told<T>(answer: Result<T, kube::Error>) -> Went {
    match answer {
        Ok(_) => Went::Well,
        Err(kube::Error::Api(status)) if status.code == 404 => Went::Well,
        Err(kube::Error::Api(status)) if status.code == 409 => Went::Outdated,
        Err(error) => Went::Wrong(error.to_string()),
    }
}

async fn delete(ctx: &Context, api: &Api<NodeClaim>, claim: &NodeClaim, reason: &'static str) -> Went {
    ctx.metrics.disrupted(reason, claim.labels().get(labels::NODEPOOL).map_or("", String::as_str));
    let same = Preconditions { uid: claim.uid(), resource_version: None };
    told(api.delete(&claim.name_any(), &DeleteParams::default().preconditions(same)).await)
}

async fn evict(ctx: &Context, claim: &NodeClaim, pods: &[(String, String)]) -> Went {
    for (namespace, name) in pods {
        let api: Api<Pod> = Api::namespaced(ctx.client.clone(), namespace);
        match api.evict(name, &EvictParams::default()).await {
            Ok(_) => ctx.metrics.evicted(200),
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(kube::Error::Api(status)) => {
                // 429 is a budget's no, for now; the others go on.
                ctx.metrics.evicted(status.code);
                let note = format!("pod {namespace}/{name} cannot be evicted now: {}", status.message);
                let saying = Saying { warning: true, reason: "FailedDraining", action: "Drain", note };
                ctx.events.tell(claim, saying).await;
            }
            Err(error) => return Went::Wrong(error.to_string()),
        }
    }
    Went::Well
}

async fn launch_it(ctx: &Context, view: &View, claim: &NodeClaim, attempt: u32, memory: Memory) -> Went {
    let request = match request(ctx, view, claim, attempt) {
        Ok(request) => request,
        Err(why) => return Went::Wrong(why),
    };
    let answer = match request.candidates.is_empty() {
        // Nothing that was planned for is left to try.
        true => Err(ProviderError::InsufficientCapacity(Vec::new())),
        false => ctx.provider.create(&request).await,
    };
    let claims: Api<NodeClaim> = Api::all(ctx.client.clone());
    let facts = facts(ctx, view, claim, Guests::default(), memory);
    ctx.metrics.provider("Create", answer.as_ref().err().map(ProviderError::label));
    match answer {
        Ok(instance) => publish(ctx, &claims, &facts, &instance).await,
        Err(ProviderError::InsufficientCapacity(sold)) => {
            let now = Instant::now();
            let note = format!("none of {} offers has capacity now; pods are planned again without them", sold.len());
            locked(&ctx.sold_out).extend(sold.into_iter().map(|offer| (offer, now)));
            ctx.stirred.notify_one();
            let saying = Saying { warning: true, reason: "InsufficientCapacityError", action: "Launch", note };
            ctx.events.tell(claim, saying).await;
            delete(ctx, &claims, claim, "InsufficientCapacity").await
        }
        Err(ProviderError::TokenUsed) => {
            write(ctx, &claim.name_any(), launch::intent(&facts, attempt.saturating_add(1))).await
        }
        Err(error) => {
            warn!(node_claim = %claim.name_any(), %error, "a launch failed");
            if let Some(call) = launch::failed(&facts, &error) {
                // The launch is tried again whether or not this is known.
                let _ = write(ctx, &claim.name_any(), call).await;
            }
            Went::Wrong(error.to_string())
        }
    }
}

/// Writes down what was launched: labels first, so that the status, which ends
/// the stage, comes last.
async fn publish(ctx: &Context, claims: &Api<NodeClaim>, facts: &Facts<'_>, instance: &Instance) -> Went {
    let name = facts.claim.name_any();
    let labelled =
        claims.patch(&name, &PatchParams::default(), &Patch::Merge(&launch::launched_labels(instance))).await;
    let fresh = match labelled {
        Ok(fresh) => fresh,
        Err(error) => return told::<NodeClaim>(Err(error)),
    };
    info!(node_claim = %name, provider_id = %instance.provider_id, instance_type = %instance.launched.instance_type,
        zone = %instance.launched.zone, capacity_type = %instance.launched.capacity_type, "launched");
    ctx.metrics.launched();
    let facts = Facts { claim: &fresh, ..facts.clone() };
    match launch::launched(&facts, instance) {
        Some(status) => write(ctx, &name, status).await,
        None => Went::Well,
    }
}

fn request(ctx: &Context, view: &View, claim: &NodeClaim, attempt: u32) -> Result<LaunchRequest, String> {
    let gathered = provisioner::machines(ctx, view)?;
    let own = claim.labels();
    let pool_name = own.get(labels::NODEPOOL).cloned().unwrap_or_default();
    let pool = gathered.pool(&pool_name).ok_or_else(|| format!("NodePool {pool_name} is not there, or not ready"))?;
    let candidates = gathered.candidates(claim, pool, &ctx.unavailable())?;
    let taint = |taint: &k8s_openapi::api::core::v1::Taint| NodeTaint {
        key: taint.key.clone(),
        value: taint.value.clone().unwrap_or_default(),
        effect: taint.effect.clone(),
    };
    let unregistered =
        NodeTaint { key: names::UNREGISTERED_TAINT.to_owned(), value: String::new(), effect: "NoExecute".to_owned() };
    let taints = claim.spec.taints.iter().flatten().chain(claim.spec.startup_taints.iter().flatten()).map(taint);
    Ok(LaunchRequest {
        token: launch::token(&ctx.settings.cluster, &claim.uid().unwrap_or_default(), attempt),
        claim_uid: claim.uid().unwrap_or_default(),
        claim: claim.name_any(),
        node_pool: pool_name,
        candidates,
        labels: own.clone(),
        taints: taints.chain([unregistered]).collect(),
    })
}

/// Ends the claim's instance, found by identity or, where that was never written
/// down, by tag.
async fn end(ctx: &Context, claim: &NodeClaim) -> Went {
    let known = claim.status.as_ref().and_then(|status| status.provider_id.clone());
    let ids = match known {
        Some(id) => vec![id],
        None => match ctx.provider.list().await {
            Ok(all) => {
                let uid = claim.uid().unwrap_or_default();
                all.into_iter().filter(|i| i.claim_uid == uid).map(|i| i.provider_id).collect()
            }
            Err(error) => return Went::Wrong(error.to_string()),
        },
    };
    let mut left = false;
    for id in ids {
        let answer = ctx.provider.delete(&id).await;
        ctx.metrics.provider("Delete", answer.as_ref().err().map(ProviderError::label));
        match answer {
            Ok(()) => left = true,
            Err(ProviderError::NotFound) => {}
            Err(error) => return Went::Wrong(error.to_string()),
        }
    }
    if left { Went::Well } else { Went::Ended }
}

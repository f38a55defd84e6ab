//! Pending pods become NodeClaims: gather, plan, judge, create, let pods in.

pub mod caps;
pub mod feed;
pub mod plan;
mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;
use kube::{Api, ResourceExt};
use stowage_k8s::ObjectError;
use stowage_k8s::cluster::{Cluster, Settings as Question};
use stowage_k8s::pod::is_waiting;
use stowage_k8s::v1::NodeClaim;
use stowage_model::{Price, labels};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::batch::{Turn, Window};
use crate::buffer_status;
use crate::context::{Context, locked};
use crate::deadline::Deadline;
use crate::machines::Gathered;
use crate::provisioner::caps::{Allowance, Lately};
use crate::provisioner::feed::{feed, is_provisionable};
use crate::provisioner::plan::{Creation, Judged};
use crate::steering::{self, History, Place};
use crate::view::View;

/// Between two tries to give static pools what they owe.
const STANDING_PERIOD: Duration = Duration::from_secs(5);

/// Runs until it is dropped.
pub async fn run(ctx: Arc<Context>) {
    let mut window = Window::new(ctx.settings.rhythm);
    let mut lately = Lately::default();
    let mut history = History::default();
    let mut number = 0;
    let mut standing: Option<Instant> = None;
    let mut changes = ctx.state.changes();
    loop {
        let view = ctx.state.view();
        let nominated = nominations(&ctx, &view);
        let mut waiting = waiting(&ctx, &view, &nominated);
        // Whether there is room for buffers only a plan can tell: they wait always.
        let buffers = crate::state::sorted(&ctx.state.buffers);
        waiting.extend(
            buffers.iter().filter_map(|buffer| Some(format!("{} {:?}", buffer.uid()?, buffer.metadata.generation))),
        );
        ctx.metrics.waiting(waiting.len());
        // Static pools are not tried again at once where they could not be served.
        let rested = standing.is_none_or(|at| Instant::now().duration_since(at) >= STANDING_PERIOD);
        let launches = !ctx.settings.dry_run && !ctx.settings.frozen;
        let owed = launches && rested && !feed::owed(&ctx.state, &view).is_empty();
        let turn = if owed { Turn::Close } else { window.look(&waiting, Instant::now()) };
        let until = match turn {
            Turn::Close => {
                number += 1;
                if let Err(why) = pass(&ctx, &view, &nominated, (&mut lately, &mut history), number).await {
                    warn!(%why, "a pass gave no plan; it is tried again");
                    ctx.metrics.failed_pass();
                }
                if owed {
                    standing = Some(Instant::now());
                }
                None
            }
            Turn::Wait(until) => Some(until),
            Turn::Idle => None,
        };
        // A burst of changes is looked at once.
        tokio::time::sleep(Duration::from_millis(20)).await;
        tokio::select! {
            _ = changes.changed() => {}
            () = ctx.stirred.notified() => window.stir(),
            () = tokio::time::sleep_until(until.unwrap_or_else(|| Instant::now() + Duration::from_secs(5))) => {}
        }
    }
}

fn nominations(ctx: &Context, view: &View) -> BTreeMap<String, String> {
    let mut planned = locked(&ctx.planned);
    let live: BTreeSet<&str> =
        view.pods.iter().filter(|pod| is_waiting(pod)).filter_map(|pod| pod.metadata.uid.as_deref()).collect();
    for (uid, place) in planned.iter().filter(|(uid, _)| !live.contains(uid.as_str())) {
        let pod = view.pods.iter().find(|pod| pod.metadata.uid.as_ref() == Some(uid));
        let bound = pod.and_then(|pod| pod.spec.as_ref()?.node_name.clone());
        let wanted = view.claims.get(&place.claim).and_then(|claim| view.node_of(claim)?.metadata.name.clone());
        if let Some(bound) = bound {
            ctx.metrics.landed(wanted.as_ref() == Some(&bound));
        }
    }
    // A pass ends when its claims are seen, so a claim that is not there is gone.
    planned.retain(|uid, place| {
        live.contains(uid.as_str()) && view.claims.get(&place.claim).is_some_and(|claim| steering::expects(claim))
    });
    drop(planned);
    ctx.nominations(view)
}

/// Pods that a plan is wanted for, by UID.
fn waiting(ctx: &Context, view: &View, nominated: &BTreeMap<String, String>) -> BTreeSet<String> {
    let now = ctx.clock.now();
    let moving = feed::moving(&ctx.state, view, now);
    let wanted = |pod: &&Arc<Pod>| is_provisionable(pod, ctx.settings.new_pod_age, now);
    let uids = view.pods.iter().filter(wanted).filter_map(|pod| pod.metadata.uid.clone()).chain(moving);
    uids.filter(|uid| !nominated.contains_key(uid)).collect()
}

/// The pools and their types as they are now.
pub fn machines(ctx: &Context, view: &View) -> Result<Arc<Gathered>, String> {
    let fed = feed::configuration(&ctx.state, view);
    ctx.catalogue.gather(&fed.version, &fed.cluster)
}

/// Asks something of the cluster as it is. Objects that planning refuses are left out,
/// one by one, and nothing else is.
pub fn asked<T>(
    ctx: &Context,
    view: &View,
    nominated: &BTreeMap<String, String>,
    ask: impl Fn(&Cluster, Question<'_>) -> Result<T, ObjectError>,
) -> Result<(T, Arc<Gathered>), String> {
    let mut without = BTreeSet::new();
    loop {
        let fed = feed(&ctx.state, view, nominated, &without, ctx.settings.new_pod_age, ctx.clock.now());
        for line in &fed.refused {
            warn!(object = %line, "left out");
        }
        let gathered = ctx.catalogue.gather(&fed.version, &fed.cluster)?;
        let price_of = |node: &stowage_model::Node| ctx.catalogue.price_of(node);
        match ask(&fed.cluster, plan::question(&gathered, &ctx.unavailable(), &ctx.settings, &price_of)) {
            Ok(answer) => return Ok((answer, gathered)),
            Err(error) => {
                warn!(%error, "left out");
                if !without.insert(error.object.clone()) {
                    return Err(error.to_string());
                }
            }
        }
    }
}

async fn pass(
    ctx: &Arc<Context>,
    view: &View,
    nominated: &BTreeMap<String, String>,
    (lately, history): (&mut Lately, &mut History),
    number: u64,
) -> Result<(), String> {
    let started = Instant::now();
    let (assembled, gathered) = asked(ctx, view, nominated, |cluster, question| cluster.problem(question))?;
    for (why, (count, example)) in &assembled.notes.left_out {
        info!(pass = number, count, %example, "pods left out: {why}");
    }
    let mut problem = assembled.problem;
    plan::choose(&mut problem, &ctx.settings);
    let spending: Price = problem.nodes.iter().filter(|node| plan::is_managed(node)).filter_map(|n| n.price).sum();
    let nodes = problem.nodes.len();
    let settings = ctx.settings.clone();
    let deadline = Deadline(started + settings.plan_time);
    let solved = tokio::task::spawn_blocking(move || plan::solve(problem, &settings, &deadline));
    let judged = solved.await.map_err(|error| error.to_string())??;
    let mut allowance = Allowance::new(&ctx.settings.caps, nodes, spending, lately.count(Instant::now()));
    *locked(&ctx.accounted) = view.leaving().into_iter().map(str::to_owned).collect();
    *locked(&ctx.housed) = buffer_status::housed(&judged, view);
    let owed = feed::owed(&ctx.state, view);
    let standing = plan::standing(&gathered, &owed, &view.pools, &mut allowance, || ctx.suffix());
    let (creations, capped) =
        plan::creations(&judged, &gathered, &view.pools, &ctx.settings, &mut allowance, || ctx.suffix());
    report::report(ctx, &judged, number, started, &creations, &capped);
    report::say(ctx, view, &judged, &creations, &capped);
    if ctx.settings.dry_run || ctx.settings.frozen {
        info!(pass = number, "nothing is launched: dry run, or frozen");
        return Ok(());
    }
    let all: Vec<Creation> = standing.into_iter().chain(creations).collect();
    let created = create(ctx, all, lately).await;
    remember(ctx, view, &judged, &created, number);
    regret(ctx, view, &judged, &created, history);
    // The next pass counts what was created.
    let names: Vec<String> = created.iter().map(|creation| creation.claim.name_any()).collect();
    crate::state::shown(&ctx.state, &names).await;
    Ok(())
}

/// Creates claims; those that could not be created are left to the next pass.
async fn create(ctx: &Context, creations: Vec<Creation>, lately: &mut Lately) -> Vec<Creation> {
    let api: Api<NodeClaim> = Api::all(ctx.client.clone());
    let mut calls = futures::stream::FuturesOrdered::new();
    for creation in creations {
        let api = api.clone();
        calls.push_back(async move {
            let answer = api.create(&PostParams::default(), &creation.claim).await;
            (creation, answer)
        });
    }
    let mut created = Vec::new();
    while let Some((creation, answer)) = futures::StreamExt::next(&mut calls).await {
        match answer {
            Ok(claim) => {
                let pool = claim.labels().get(labels::NODEPOOL).cloned().unwrap_or_default();
                info!(node_claim = %claim.name_any(), node_pool = %pool, pods = creation.pods.len(), price = %creation.price, "claim created");
                ctx.metrics.created(&pool);
                lately.note(Instant::now());
                created.push(creation);
            }
            Err(error) => {
                warn!(node_claim = %creation.claim.name_any(), %error, "a claim was not created");
            }
        }
    }
    created
}

/// Counts what was bought for pods that had a place before.
fn regret(ctx: &Context, view: &View, judged: &Judged, created: &[Creation], history: &mut History) {
    let by_name = report::by_name(view);
    let waiting = |pod: &&&Pod| is_waiting(pod);
    history.keep(&by_name.values().filter(waiting).filter_map(|pod| pod.metadata.uid.as_deref()).collect());
    for creation in created {
        let pods = creation.pods.iter().filter_map(|pod| {
            let pod = by_name.get(&judged.problem.pods[*pod as usize].to_string())?;
            is_waiting(pod).then_some(pod.metadata.uid.as_deref()).flatten()
        });
        let price = creation.price.dollars();
        ctx.metrics.ordered_for_pods(price, price * history.note(pods));
    }
}

/// Remembers who goes where until it can be read from the objects.
fn remember(ctx: &Context, view: &View, judged: &Judged, created: &[Creation], number: u64) {
    let by_name = report::by_name(view);
    let wave: BTreeMap<u32, usize> = judged
        .waves
        .iter()
        .enumerate()
        .flat_map(|(index, pods)| pods.iter().map(move |pod| (*pod, index + 1)))
        .collect();
    let mut expected = BTreeSet::new();
    let uid_of = |pod: u32| {
        let pod = by_name.get(&judged.problem.pods[pod as usize].to_string())?;
        is_waiting(pod).then(|| pod.metadata.uid.clone())?
    };
    let mut planned = locked(&ctx.planned);
    let mut note = |pods: &[u32], claim: &str, token: Option<&str>| {
        for pod in pods {
            let Some(uid) = uid_of(*pod) else {
                expected.insert(claim.to_owned());
                continue;
            };
            let place = Place {
                claim: claim.to_owned(),
                token: token.map(str::to_owned),
                wave: wave.get(pod).copied().unwrap_or(0),
                plan: number,
                invited: false,
            };
            planned.insert(uid, place);
        }
    };
    for creation in created {
        note(&creation.pods, &creation.claim.name_any(), creation.token.as_deref());
    }
    let mut expected_elsewhere = Vec::new();
    // Room on nodes that are there, or on their way.
    for binding in &judged.plan.existing {
        let of_node = view.claims.values().find(|claim| {
            let node = view.node_of(claim).and_then(|node| node.metadata.name.as_deref());
            claim.metadata.name.as_deref() == Some(&binding.node) || node == Some(&binding.node)
        });
        if let Some(claim) = of_node.filter(|claim| steering::expects(claim)) {
            note(&binding.pods, &claim.name_any(), steering::token(claim));
        } else if let Some(claim) = of_node
            && binding.pods.iter().any(|pod| uid_of(*pod).is_none())
        {
            expected_elsewhere.push(claim.name_any());
        }
    }
    drop(planned);
    expected.extend(expected_elsewhere);
    *locked(&ctx.expected) = expected;
}

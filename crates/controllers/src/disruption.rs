//! Gives up nodes that are empty, have drifted, or cost more than their pods need.
//!
//! A decision over the whole cluster stands for a while before anything is done
//! about it; what still holds then is ordered, many commands at once. New nodes come
//! before old ones go, and no pod is evicted before its place is ready.

pub(crate) mod act;
pub mod order;
mod rebalance;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube::ResourceExt;
use stowage_disruption::{Block, Command, Decision, Reason, Rebalanced, Rules, Stay, confirm, decide};
use stowage_k8s::cluster::{Blockers, FleetSettings};
use stowage_model::{Fleet, Rebalancing};
use stowage_solver::Options;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::context::{Context, locked};
use crate::deadline::Deadline;
use crate::events::Saying;
use crate::machines::Gathered;
use crate::provisioner::{self, plan};
use crate::view::View;

/// What disruption may do, and when.
#[derive(Clone, Debug)]
pub struct Disruption {
    /// Whether nodes are given up at all.
    pub enabled: bool,
    /// Between two decisions, if nothing changes.
    pub period: Duration,
    /// How long a decision must stand before it is carried out.
    pub validation: Duration,
    /// What disruption is worth.
    pub rules: Rules,
    /// Whose rules hold nodes.
    pub blockers: Blockers,
    /// What is done about pods that are badly placed though their nodes stay.
    pub rebalancing: Option<Rebalancing>,
    /// Between two rebalancings.
    pub rebalance_period: Duration,
}

impl Default for Disruption {
    fn default() -> Self {
        Self {
            enabled: true,
            period: Duration::from_secs(10),
            validation: Duration::from_secs(5),
            rules: Rules::default(),
            blockers: Blockers::default(),
            rebalancing: None,
            rebalance_period: Duration::from_secs(300),
        }
    }
}

/// What a decision chose: sets of nodes, and pods on nodes that stay.
#[derive(Default)]
struct Chosen {
    sets: Vec<Set>,
    moved: BTreeSet<rebalance::Moved>,
}

/// The nodes of one command, and why each goes.
type Set = Vec<(Reason, String)>;

/// Runs until it is dropped.
pub async fn run(ctx: Arc<Context>) {
    let mut changes = ctx.state.changes();
    let mut proposal: Option<(Instant, Chosen)> = None;
    let mut last: Option<Instant> = None;
    let mut rebalanced: Option<Instant> = None;
    loop {
        let view = ctx.state.view();
        let busy = carry_on(&ctx, &view).await;
        let settings = &ctx.settings.disruption;
        let due = last.is_none_or(|at| at.elapsed() >= settings.period);
        match proposal.take() {
            // A command that has only just begun is seen before the next is decided.
            Some((_, chosen)) if busy && !chosen.moved.is_empty() => rebalanced = None,
            _ if busy => {}
            Some((at, chosen)) if at.elapsed() < settings.validation => proposal = Some((at, chosen)),
            Some((_, Chosen { sets, moved })) => {
                if let Some(answer) = ask(&ctx, &view, Some(sets), !moved.is_empty()).await {
                    act::begin(&ctx, &view, &answer).await;
                    rebalance::begin(&ctx, &view, &answer, &moved).await;
                }
            }
            None if due && settings.enabled => {
                last = Some(Instant::now());
                let rebalances = rebalanced.is_none_or(|at| at.elapsed() >= settings.rebalance_period);
                if rebalances {
                    rebalanced = last;
                }
                if let Some(answer) = ask(&ctx, &view, None, rebalances).await {
                    explain(&ctx, &view, &answer.decision).await;
                    ctx.metrics.decided(&answer.decision);
                    let set = |c: &Command| c.reasons.iter().copied().zip(c.remove.iter().cloned()).collect();
                    let sets: Vec<Set> = answer.decision.commands.iter().map(set).collect();
                    let moved = rebalance::moved(&answer);
                    let acts = !ctx.settings.dry_run && !ctx.settings.frozen;
                    let some = !sets.is_empty() || !moved.is_empty();
                    proposal = (acts && some).then(|| (Instant::now(), Chosen { sets, moved }));
                }
            }
            None => {}
        }
        // Sooner than the period where something may have changed what can be done.
        if proposal.is_none()
            && last.is_some_and(|at| at.elapsed() >= Duration::from_secs(2))
            && changes.has_changed().unwrap_or(false)
        {
            last = None;
        }
        crate::wait_for_change(&mut changes).await;
    }
}

/// Takes the next step of every command that has begun. Returns whether there was one.
async fn carry_on(ctx: &Context, view: &View) -> bool {
    let creating = locked(&ctx.creating).clone();
    let steps = order::steps(view, &creating, ctx.clock.now());
    if !ctx.settings.dry_run {
        rebalance::open(ctx, view).await;
    }
    if ctx.settings.dry_run || steps.is_empty() {
        return false;
    }
    let taken = futures::stream::iter(steps).map(|step| act::take(ctx, view, step)).buffer_unordered(act::AT_ONCE);
    taken.fold(false, async |moved, taken| moved | taken).await
}

/// A decision, with what it was made upon.
struct Answer {
    decision: Decision,
    rebalanced: Rebalanced,
    fleet: Fleet,
    gathered: Arc<Gathered>,
}

/// Asks about the cluster as it is: everything, or whether some sets still hold; and
/// which pods are to move, if it `rebalances`.
async fn ask(ctx: &Context, view: &View, sets: Option<Vec<Set>>, rebalances: bool) -> Option<Answer> {
    let (fleet, gathered) = match fleet(ctx, view, rebalances) {
        Ok(known) => known,
        Err(why) => {
            warn!(%why, "nothing is disrupted before this is mended");
            return None;
        }
    };
    let settings = ctx.settings.clone();
    let now = ctx.clock.now().as_second();
    let started = Instant::now();
    let solved = tokio::task::spawn_blocking(move || {
        let options = Options { threads: settings.threads, ..settings.disruption.rules.options.clone() };
        let rules = Rules { options, ..settings.disruption.rules.clone() };
        let watch = Deadline(started + settings.plan_time);
        let decided = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let decision = match &sets {
                Some(sets) => confirm(&fleet, &rules, now, &watch, sets),
                None => decide(&fleet, &rules, now, &watch),
            };
            let rebalanced = stowage_disruption::rebalance(&fleet, &decision, &rules.options, now, &watch);
            (decision, rebalanced)
        }));
        decided.map(|(decision, rebalanced)| (decision, rebalanced, fleet))
    });
    let Ok(Ok((decision, rebalanced, fleet))) = solved.await else {
        warn!("the search for a cheaper arrangement panicked; please report it with a snapshot");
        return None;
    };
    ctx.metrics.decision_took(started.elapsed().as_secs_f64());
    // The judge looks at every decision: one that breaks a rule is none.
    if let Some(fault) = fault(&decision, &rebalanced) {
        warn!(%fault, "a decision breaks a rule and is dropped; please report it with a snapshot");
        return None;
    }
    Some(Answer { decision, rebalanced, fleet, gathered })
}

/// What the judge says.
fn fault(decision: &Decision, rebalanced: &Rebalanced) -> Option<stowage_verify::Violation> {
    let questions = rebalanced.questions(decision);
    questions.flat_map(|(problem, plan)| stowage_verify::check_plan(problem, plan)).next()
}

/// The cluster as disruption sees it, and what it could launch.
pub(crate) fn fleet(ctx: &Context, view: &View, rebalances: bool) -> Result<(Fleet, Arc<Gathered>), String> {
    let nominated = ctx.nominations(view);
    let mut expected: BTreeSet<String> = nominated.values().cloned().collect();
    // What the last plan expected is of no account once nobody is moved any more.
    if !view.leaving().is_empty() || !ctx.state.buffers.is_empty() {
        expected.extend(locked(&ctx.expected).iter().cloned());
    }
    expected.extend(order::awaited(view));
    let (now, blockers) = (ctx.clock.now(), ctx.settings.disruption.blockers);
    let rebalancing = ctx.settings.disruption.rebalancing.as_ref().filter(|_| rebalances);
    let ((mut fleet, _), gathered) = provisioner::asked(ctx, view, &nominated, |cluster, question| {
        cluster.fleet(FleetSettings { question, blockers, now, nominated: &expected, rebalancing })
    })?;
    plan::choose(&mut fleet.problem, &ctx.settings);
    for pool in stowage_disruption::budget::unreadable(&fleet) {
        debug!(node_pool = %pool, "a budget cannot be read: none of its nodes goes");
    }
    Ok((fleet, gathered))
}

/// Events that one decision writes at most; the others have their turn with the next.
const MOST_SAID: usize = 50;

/// Tells each node that stays why.
async fn explain(ctx: &Context, view: &View, decision: &Decision) {
    let claims: BTreeMap<String, &Arc<stowage_k8s::v1::NodeClaim>> =
        view.claims.values().filter_map(|claim| Some((view.node_of(claim)?.name_any(), claim))).collect();
    let mut said = 0;
    for (node, stay) in &decision.stay {
        let (Some(object), Some(note)) = (view.nodes.get(node), worth_saying(stay)) else { continue };
        let saying = Saying { warning: false, reason: "Unconsolidatable", action: "Consolidate", note };
        said += usize::from(ctx.events.tell(&**object, saying.clone()).await);
        if let Some(claim) = claims.get(node) {
            said += usize::from(ctx.events.tell(&***claim, saying).await);
        }
        if said >= MOST_SAID {
            break;
        }
    }
    if !decision.commands.is_empty() {
        info!(
            commands = decision.commands.len(),
            price = %decision.price,
            after = %decision.after,
            floor = %decision.floor,
            "nodes can be given up"
        );
    }
}

/// A reason in words that do not change from minute to minute. What passes by itself
/// is not said.
fn worth_saying(stay: &Stay) -> Option<String> {
    match stay {
        Stay::Blocked(Block::Deleting | Block::NotInitialized | Block::Nominated | Block::Busy(_)) | Stay::Expected => {
            None
        }
        Stay::Price { .. } => Some("its pods, and moving them, would cost more than the node".to_owned()),
        Stay::NotFound(_) => Some("no cheaper arrangement was found".to_owned()),
        Stay::TooLittle(_) => Some("it would save too little".to_owned()),
        Stay::FewAlternatives(_) => Some("too few spot types would be cheaper".to_owned()),
        other => Some(other.to_string()),
    }
}

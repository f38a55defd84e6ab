//! Gives up nodes that are empty, have drifted, or cost more than their pods need.
//!
//! A decision over the whole cluster stands for a while before anything is done
//! about it; what still holds then is ordered, many commands at once. New nodes come
//! before old ones go, and no pod is evicted before its place is ready.

mod act;
pub mod order;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use stowage_disruption::{Block, Command, Decision, Reason, Rules, Stay, confirm, decide};
use stowage_k8s::cluster::{Blockers, FleetSettings};
use stowage_model::{End, Fleet};
use stowage_solver::{Monitor, Options};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::context::{Context, locked};
use crate::events::Saying;
use crate::provisioner::{feed, plan};
use crate::steering;
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
}

impl Default for Disruption {
    fn default() -> Self {
        Self {
            enabled: true,
            period: Duration::from_secs(10),
            validation: Duration::from_secs(5),
            rules: Rules::default(),
            blockers: Blockers::default(),
        }
    }
}

/// Sets of nodes that a decision chose, and when.
type Proposal = (Instant, Vec<Set>);

/// The nodes of one command, and why each goes.
type Set = Vec<(Reason, String)>;

/// Runs until it is dropped.
pub async fn run(ctx: Arc<Context>) {
    let mut changes = ctx.state.changes();
    let mut proposal: Option<Proposal> = None;
    let mut last: Option<Instant> = None;
    loop {
        let view = View::take(&ctx.state);
        let busy = carry_on(&ctx, &view).await;
        let chosen = &ctx.settings.disruption;
        let due = last.is_none_or(|at| at.elapsed() >= chosen.period);
        match proposal.take() {
            // A command that has only just begun is seen before the next is decided.
            _ if busy => {}
            Some((at, sets)) if at.elapsed() < chosen.validation => proposal = Some((at, sets)),
            Some((_, sets)) => {
                if let Some((decision, fleet)) = ask(&ctx, &view, Some(sets)).await {
                    act::begin(&ctx, &view, &fleet, decision).await;
                }
            }
            None if due && chosen.enabled => {
                last = Some(Instant::now());
                if let Some((decision, _)) = ask(&ctx, &view, None).await {
                    explain(&ctx, &view, &decision).await;
                    ctx.metrics.decided(&decision);
                    let set = |c: &Command| c.reasons.iter().copied().zip(c.remove.iter().cloned()).collect();
                    let sets: Vec<Set> = decision.commands.iter().map(set).collect();
                    let acts = !ctx.settings.dry_run && !ctx.settings.frozen;
                    proposal = (acts && !sets.is_empty()).then(|| (Instant::now(), sets));
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
    if ctx.settings.dry_run || steps.is_empty() {
        return false;
    }
    let mut moved = false;
    for step in steps {
        moved |= act::take(ctx, view, step).await;
    }
    moved
}

/// Asks about the cluster as it is: everything, or whether some sets still hold.
async fn ask(ctx: &Context, view: &View, sets: Option<Vec<Set>>) -> Option<(Decision, Fleet)> {
    let fleet = match fleet(ctx, view) {
        Ok(fleet) => fleet,
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
        let decided = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| match &sets {
            Some(sets) => confirm(&fleet, &rules, now, &watch, sets),
            None => decide(&fleet, &rules, now, &watch),
        }));
        decided.map(|decision| (decision, fleet))
    });
    let Ok(Ok((decision, fleet))) = solved.await else {
        warn!("the search for a cheaper arrangement panicked; please report it with a snapshot");
        return None;
    };
    ctx.metrics.decision_took(started.elapsed().as_secs_f64());
    // The judge looks at every decision: one that breaks a rule is none.
    let faults = stowage_verify::check_plan(&decision.what_if.problem, &decision.plan);
    if let Some(fault) = faults.first() {
        warn!(%fault, "a decision breaks a rule and is dropped; please report it with a snapshot");
        return None;
    }
    Some((decision, fleet))
}

struct Deadline(Instant);

impl Monitor for Deadline {
    fn stop(&self) -> Option<End> {
        (Instant::now() >= self.0).then_some(End::TimeLimit)
    }
}

/// The cluster as disruption sees it. Objects that planning refuses are left out, one
/// by one.
fn fleet(ctx: &Context, view: &View) -> Result<Fleet, String> {
    let nominated = {
        let planned = locked(&ctx.planned);
        steering::nominations(view.pods.iter().map(|pod| &**pod), &view.claim_refs(), &planned)
    };
    let mut expected: BTreeSet<String> = nominated.values().cloned().collect();
    // What the last plan expected is of no account once nobody is moved any more.
    if !view.leaving().is_empty() || !crate::state::sorted(&ctx.state.buffers).is_empty() {
        expected.extend(locked(&ctx.expected).iter().cloned());
    }
    expected.extend(order::awaited(view));
    let now = ctx.clock.now();
    let mut without = BTreeSet::new();
    loop {
        let fed = feed::feed(&ctx.state, view, &nominated, &without, ctx.settings.new_pod_age, now);
        let gathered = ctx.catalogue.gather(&fed.version, &fed.cluster)?;
        let price_of = |node: &stowage_model::Node| ctx.catalogue.price_of(node);
        let question = plan::question(&gathered, &ctx.unavailable(), &ctx.settings, &price_of);
        let blockers = ctx.settings.disruption.blockers;
        match fed.cluster.fleet(FleetSettings { question, blockers, now, nominated: &expected }) {
            Ok((mut fleet, _)) => {
                plan::choose(&mut fleet.problem, &ctx.settings);
                for pool in stowage_disruption::budget::unreadable(&fleet) {
                    debug!(node_pool = %pool, "a budget cannot be read: none of its nodes goes");
                }
                return Ok(fleet);
            }
            Err(error) if without.insert(error.object.clone()) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
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

//! One pass, without any I/O: an index becomes a judged plan, the claims to
//! create and what is to be said about each pod.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use stowage_k8s::cluster::{Replan, Settings as Question};
use stowage_k8s::v1::{NodeClaim, NodePool};
use stowage_k8s::{drift, names, raise};
use stowage_model::{NewNode, Node, Plan, Price, Problem, Resources, labels};
use stowage_solver::{Algorithm, Monitor, Options};

use super::caps::Allowance;
use crate::machines::Gathered;
use crate::settings::Settings;

/// A plan that was judged.
pub struct Judged {
    /// What was asked.
    pub problem: Problem,
    /// The answer.
    pub plan: Plan,
    /// Pods that must wait for others, by wave.
    pub waves: Vec<Vec<u32>>,
    /// Whether the optimiser's answer was dropped for the baseline.
    pub fallback: bool,
}

/// A claim to create, with the pods that it is for.
pub struct Creation {
    /// The claim.
    pub claim: NodeClaim,
    /// What its node is held with, if it is held.
    pub token: Option<String>,
    /// Its pods, as indices into the problem.
    pub pods: Vec<u32>,
    /// What it costs.
    pub price: Price,
}

/// What is asked of a live cluster.
pub fn question<'a>(
    gathered: &Gathered,
    unavailable: &[stowage_cloud::provider::SoldOut],
    settings: &Settings,
    price_of: &'a dyn Fn(&Node) -> Option<Price>,
) -> Question<'a> {
    Question {
        replan: Replan::Pending,
        pools: gathered.pools.clone(),
        type_sets: gathered.available(unavailable),
        promised: Vec::new(),
        default_daemons: Vec::new(),
        expendable_below: settings.expendable_below,
        expand: false,
        price_of,
        lifted: &|_| false,
        wanted: &|_, _| true,
    }
}

/// What the user chose about preferences.
pub fn choose(problem: &mut Problem, settings: &Settings) {
    problem.preferences = settings.preferences;
    problem.min_values = settings.min_values;
}

/// Solves, and has the answer judged. An answer that breaks a rule is dropped for
/// the baseline's; a baseline that breaks one is no answer.
pub fn solve(problem: Problem, settings: &Settings, monitor: &dyn Monitor) -> Result<Judged, String> {
    let options = Options { threads: settings.threads, ..Options::default() };
    let mut faults = Vec::new();
    for algorithm in [Algorithm::Optimise, Algorithm::FirstFit] {
        let options = Options { algorithm, ..options.clone() };
        let solved = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut outcome = stowage_solver::solve(&problem, &options, monitor);
            let broken = stowage_verify::check_plan(&problem, &outcome.plan);
            outcome.settle(|plan| stowage_verify::check_bound(&problem, plan).is_empty());
            (outcome.plan, broken)
        }));
        match solved {
            Ok((plan, broken)) if broken.is_empty() => {
                let waves = stowage_solver::replay::turns(&problem, &plan);
                let fallback = algorithm == Algorithm::FirstFit;
                return Ok(Judged { problem, plan, waves, fallback });
            }
            Ok((_, broken)) => faults.extend(broken.first().map(ToString::to_string)),
            Err(_) => faults.push("the search panicked".to_owned()),
        }
    }
    Err(faults.join("; "))
}

/// The claims of a plan, in its order, as far as `allowance` goes. Returns
/// also why nodes were left out.
pub fn creations(
    judged: &Judged,
    gathered: &Gathered,
    pools: &BTreeMap<String, std::sync::Arc<NodePool>>,
    settings: &Settings,
    allowance: &mut Allowance,
    mut suffix: impl FnMut() -> String,
) -> (Vec<Creation>, BTreeSet<&'static str>) {
    let mut all = Vec::new();
    let mut capped = BTreeSet::new();
    for node in &judged.plan.nodes {
        if let Err(why) = allowance.take(node.price) {
            capped.insert(why);
            continue;
        }
        let Some(object) = pools.get(&node.pool) else { continue };
        let steerable = settings.steering && !node.pods.is_empty() && !needs_agents(&judged.problem, &node.pods);
        let end = suffix();
        let token = steerable.then(|| end.clone());
        let Some(claim) = claim_for(&judged.problem, gathered, node, object, &end, token.as_deref()) else { continue };
        all.push(Creation { claim, token, pods: node.pods.clone(), price: node.price });
    }
    (all, capped)
}

/// Pods that need a driver or a device plugin to run on the node first, whose
/// pods may not tolerate a held node.
fn needs_agents(problem: &Problem, pods: &[u32]) -> bool {
    pods.iter().map(|pod| &problem.shapes[problem.pods[*pod as usize].shape as usize]).any(|shape| {
        let extended = shape.requests.iter().any(|(name, amount)| amount > 0 && name.as_str().contains('/'));
        extended || !shape.volumes.is_empty()
    })
}

/// The claim for a planned node of a pool.
pub fn claim_for(
    problem: &Problem,
    gathered: &Gathered,
    node: &NewNode,
    pool: &NodePool,
    end: &str,
    token: Option<&str>,
) -> Option<NodeClaim> {
    let claim = raise::node_claim(problem, node)?;
    let types = gathered.pool(&node.pool).and_then(|pool| gathered.type_sets.get(pool.type_set));
    let own = types.and_then(|types| types.iter().find(|t| *t.name == *node.instance_type));
    let allocatable = own.map(|t| t.allocatable.clone()).unwrap_or_default();
    Some(finished(claim, pool, end, token, &allocatable, node.price))
}

/// A claim with everything that the API server is to keep of it.
fn finished(
    mut claim: NodeClaim,
    pool: &NodePool,
    end: &str,
    token: Option<&str>,
    allocatable: &Resources,
    price: Price,
) -> NodeClaim {
    let name = pool.metadata.name.clone().unwrap_or_default();
    let quantities = raise::quantities(allocatable);
    let meta = &mut claim.metadata;
    meta.generate_name = None;
    meta.name = Some(format!("{name}-{end}"));
    meta.finalizers = Some(vec![names::TERMINATION_FINALIZER.to_owned()]);
    let notes = meta.annotations.get_or_insert_default();
    notes.insert(names::POOL_HASH.to_owned(), drift::hash(pool));
    notes.insert(names::POOL_HASH_VERSION.to_owned(), names::HASH_VERSION.to_owned());
    notes.insert(names::LAUNCH_ATTEMPT.to_owned(), "1".to_owned());
    notes.insert(names::EXPECTED_ALLOCATABLE.to_owned(), json!(quantities).to_string());
    notes.insert(names::EXPECTED_PRICE.to_owned(), dollars(price));
    let owner = json!({
        "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "name": name, "uid": pool.metadata.uid,
        "blockOwnerDeletion": true,
    });
    meta.owner_references = serde_json::from_value(json!([owner])).ok();
    if let Some(token) = token {
        claim.spec.startup_taints.get_or_insert_default().push(k8s_openapi::api::core::v1::Taint {
            key: names::RESERVED_TAINT.to_owned(),
            value: Some(token.to_owned()),
            effect: "NoSchedule".to_owned(),
            time_added: None,
        });
    }
    claim
}

/// A price to the last digit.
fn dollars(price: Price) -> String {
    format!("{}.{:09}", price.nanos() / 1_000_000_000, price.nanos() % 1_000_000_000)
}

/// The claims that static pools owe.
pub fn standing(
    gathered: &Gathered,
    owed: &BTreeMap<String, usize>,
    pools: &BTreeMap<String, std::sync::Arc<NodePool>>,
    allowance: &mut Allowance,
    mut suffix: impl FnMut() -> String,
) -> Vec<Creation> {
    let mut all = Vec::new();
    for pool in &gathered.standing {
        let missing = owed.get(&*pool.name).copied().unwrap_or(0);
        let Some(object) = pools.get(&pool.name) else { continue };
        for _ in 0..missing {
            let Some(creation) = standing_one(gathered, object, allowance, &mut suffix) else { break };
            all.push(creation);
        }
    }
    all
}

/// One more node of a static pool, if the caps allow it.
pub fn standing_one(
    gathered: &Gathered,
    object: &NodePool,
    allowance: &mut Allowance,
    suffix: impl FnOnce() -> String,
) -> Option<Creation> {
    let pool = gathered.standing.iter().find(|pool| object.metadata.name.as_ref() == Some(&pool.name))?;
    let (node, allocatable) = raise::cheapest(pool, gathered.type_sets.get(pool.type_set)?)?;
    allowance.take(node.price).ok()?;
    let claim = raise::claim_of(pool, &node, &Resources::new());
    let claim = finished(claim, object, &suffix(), None, &allocatable, node.price);
    Some(Creation { claim, token: None, pods: Vec::new(), price: node.price })
}

/// Whether a node is ours.
pub fn is_managed(node: &Node) -> bool {
    node.labels.contains_key(labels::NODEPOOL)
}

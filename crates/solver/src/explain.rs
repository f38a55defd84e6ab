//! Why a pod is where it is, or nowhere.

pub mod choice;
pub mod conflict;

use std::collections::BTreeMap;

use stowage_model::resources::humanize;
use stowage_model::{Code, NewNode, NodePool, PodShape, Problem, Reason, Requirements, ResourceName, Resources};

use crate::filters::{self, Misfit, Place};
use crate::launches::Launch;
use crate::topology::state::Refusal;

/// How far pods of one shape get with one pool.
#[derive(Clone, Debug)]
pub struct PoolReport {
    /// The pool.
    pub pool: String,
    /// Distinct types that the pool admits at all.
    pub types: usize,
    /// Types left after each rule, in the order of the rules.
    pub left: Vec<(&'static str, usize)>,
    /// The cheapest type that would hold the pod, and its price.
    pub cheapest: Option<(String, stowage_model::Price)>,
    /// Why nothing is left, where nothing is.
    pub reason: Option<Reason>,
}

/// Runs one shape through the rules, pool by pool.
pub fn pools(problem: &Problem, launches: &[Launch], shape: &PodShape) -> Vec<PoolReport> {
    (0..problem.pools.len()).map(|pool| report(problem, launches, shape, pool)).collect()
}

fn report(problem: &Problem, launches: &[Launch], shape: &PodShape, pool: usize) -> PoolReport {
    let name = problem.pools[pool].name.clone();
    let mut candidates: Vec<&Launch> = launches.iter().filter(|launch| launch.pool == pool).collect();
    let mut report =
        PoolReport { pool: name, types: distinct(&candidates), left: Vec::new(), cheapest: None, reason: None };
    if candidates.is_empty() {
        report.reason = Some(no_types(&report.pool));
    }
    for filter in filters::ORDER {
        let verdict = |launch: &&Launch| filter.admit(shape, &Place::Launch(launch.labels(problem), &launch.free));
        let passed: Vec<&Launch> = candidates.iter().copied().filter(|launch| verdict(launch).is_ok()).collect();
        if passed.is_empty() && report.reason.is_none() {
            let misfits = candidates.iter().filter_map(|launch| verdict(launch).err().map(|m| (*launch, m)));
            report.reason = nearest(problem, shape, &report.pool, misfits.collect());
        }
        candidates = passed;
        report.left.push((filter.name(), distinct(&candidates)));
    }
    report.cheapest = candidates
        .iter()
        .map(|launch| (launch.offering(problem).price, launch.instance_type(problem).name.to_string()))
        .min()
        .map(|(price, name)| (name, price));
    report
}

fn distinct(launches: &[&Launch]) -> usize {
    let mut types: Vec<usize> = launches.iter().map(|launch| launch.instance_type).collect();
    types.sort_unstable();
    types.dedup();
    types.len()
}

fn no_types(pool: &str) -> Reason {
    Reason {
        code: Code::NoTypes,
        scope: Some(pool.to_owned()),
        message: format!(
            "the requirements of pool {pool} admit no instance type in the chosen zones and capacity types"
        ),
    }
}

/// The most useful of many misfits: for resources the launch that comes closest,
/// else the subject that most launches share.
fn nearest(problem: &Problem, shape: &PodShape, pool: &str, misfits: Vec<(&Launch, Misfit)>) -> Option<Reason> {
    let reason = |code, message| Some(Reason { code, scope: Some(pool.to_owned()), message });
    let (_, first) = misfits.first()?;
    if first.code == Code::Resource {
        return reason(Code::Resource, resource_message(problem, shape, pool, &misfits));
    }
    let mut subjects: BTreeMap<&str, (usize, &Misfit)> = BTreeMap::new();
    for (_, misfit) in &misfits {
        subjects.entry(&misfit.subject).or_insert((0, misfit)).0 += 1;
    }
    let (_, (_, misfit)) = subjects.iter().max_by_key(|(_, (count, _))| *count)?;
    let remedy = match misfit.code {
        Code::Taint => format!("{}; tolerate it, or use a pool without it", misfit.detail),
        _ => format!("{}; change the pod, or widen {} of pool {pool}", misfit.detail, misfit.subject),
    };
    reason(misfit.code, remedy)
}

/// "asks 3 nvidia.com/gpu; the largest allowed type has 1 (g5.xlarge)".
fn resource_message(problem: &Problem, shape: &PodShape, pool: &str, misfits: &[(&Launch, Misfit)]) -> String {
    // The launch that lacks the fewest resources, then the least of the last one.
    let lacking = |launch: &Launch| {
        shape.requests.iter().filter(|(name, asked)| *asked > 0 && *asked > launch.free.get(name.as_str())).count()
    };
    let Some(fewest) = misfits.iter().map(|(launch, _)| lacking(launch)).min() else { return String::new() };
    let near: Vec<&Launch> = misfits.iter().map(|(launch, _)| *launch).filter(|l| lacking(l) == fewest).collect();
    let mut lines = Vec::new();
    for (name, asked) in shape.requests.iter().filter(|(_, asked)| *asked > 0) {
        let Some(most) = near.iter().max_by_key(|launch| launch.free.get(name.as_str())) else { continue };
        let there = most.free.get(name.as_str());
        if there >= asked {
            continue;
        }
        let kind = most.instance_type(problem);
        let who = if there > 0 { format!(" ({})", kind.name) } else { String::new() };
        lines.push(format!(
            "asks {} {name}; the largest allowed type has {}{who}",
            humanize(name.as_str(), asked),
            humanize(name.as_str(), there.max(0)),
        ));
    }
    if lines.is_empty() {
        lines.extend(
            misfits.first().map(|(_, misfit)| format!("no allowed type has all it asks for: {}", misfit.detail)),
        );
    }
    format!("{}; {}", lines.join("; "), widening(pool, shape, &near))
}

/// Which requirement of the pool to widen for the resource that is short.
fn widening(pool: &str, shape: &PodShape, near: &[&Launch]) -> String {
    let short = shape
        .requests
        .iter()
        .find(|(name, asked)| *asked > 0 && near.iter().all(|launch| launch.free.get(name.as_str()) < *asked));
    let key = match short.map(|(name, _)| name.as_str()) {
        Some(ResourceName::CPU) => "karpenter.k8s.aws/instance-cpu",
        Some(ResourceName::MEMORY) => "karpenter.k8s.aws/instance-memory",
        Some(name) if name.ends_with("/gpu") => "karpenter.k8s.aws/instance-gpu-count",
        Some(name) if name.starts_with("aws.amazon.com/neuron") => "karpenter.k8s.aws/instance-accelerator-count",
        Some(ResourceName::EPHEMERAL_STORAGE) => {
            return format!("enlarge the root volume in the NodeClass of pool {pool}");
        }
        _ => return format!("widen the instance requirements of pool {pool}"),
    };
    format!("widen requirement {key} of pool {pool}")
}

/// Why pods of `shape` have no place, one reason per pool and one for existing
/// nodes. `planned` tells what limits are used for.
pub fn refusals(problem: &Problem, launches: &[Launch], shape: u32, planned: &[NewNode]) -> Vec<Reason> {
    let data = &problem.shapes[shape as usize];
    let mut reasons: Vec<Reason> = Vec::new();
    for report in pools(problem, launches, data) {
        match report.reason {
            Some(reason) => reasons.push(reason),
            None => reasons.push(limit_reason(problem, launches, data, &report.pool, planned)),
        }
    }
    if problem.pools.is_empty() {
        reasons.push(Reason {
            code: Code::NoPool,
            scope: None,
            message: "there is no NodePool to launch from; add one".to_owned(),
        });
    }
    reasons.extend(node_reason(problem, data));
    reasons
}

/// Why other pods keep a pod out.
pub(crate) fn related(problem: &Problem, refusal: Refusal) -> Reason {
    let group = |group: u32| {
        let group = &problem.groups[group as usize];
        format!("{} by {}", selector_text(&group.selector), group.key)
    };
    let (code, message) = match refusal {
        Refusal::HostPort => (Code::HostPort, "its host port is taken on every node it could be on".to_owned()),
        Refusal::AntiAffinity(g) => {
            (Code::PodAntiAffinity, format!("its anti-affinity to pods with {} leaves no domain free", group(g)))
        }
        Refusal::KeptOut(g) => {
            (Code::PodAntiAffinity, format!("the anti-affinity of other pods to {} keeps it out everywhere", group(g)))
        }
        Refusal::Affinity(g) => (
            Code::PodAffinity,
            format!("must be near pods with {}, and none is anywhere that a node could still be launched", group(g)),
        ),
        Refusal::Spread(g) => {
            (Code::Spread, format!("its spread over pods with {} allows no domain that is open to it", group(g)))
        }
    };
    Reason { code, scope: None, message: format!("{message}; {}", code.remedy()) }
}

fn selector_text(selector: &Requirements) -> String {
    let parts: Vec<String> = selector
        .iter()
        .flat_map(|(key, requirement)| {
            requirement.spelled().into_iter().map(move |(operator, values)| match (operator, values.as_slice()) {
                ("In", [value]) => format!("{key}={value}"),
                _ if values.is_empty() => format!("{key} {operator}"),
                _ => format!("{key} {operator} ({})", values.join(", ")),
            })
        })
        .collect();
    if parts.is_empty() { "any labels".to_owned() } else { parts.join(", ") }
}

/// A pool that would hold the pod: its limits are in the way, or the search was.
fn limit_reason(problem: &Problem, launches: &[Launch], shape: &PodShape, pool: &str, planned: &[NewNode]) -> Reason {
    let scope = Some(pool.to_owned());
    let effort = Reason {
        code: Code::Effort,
        scope: scope.clone(),
        message: format!("pool {pool} would hold it, but the search ended first; use more effort or time"),
    };
    let Some((index, data)) = problem.pools.iter().enumerate().find(|(_, p)| p.name == pool) else { return effort };
    let Some(rest) = limits_left(problem, data, planned) else { return effort };
    let fits = |launch: &&Launch| {
        launch.pool == index && filters::admit(shape, &Place::Launch(launch.labels(problem), &launch.free)).is_ok()
    };
    let smallest = launches.iter().filter(fits).map(|launch| counted(&launch.instance_type(problem).capacity, &rest));
    let shortages = smallest.filter_map(|needed| {
        needed.first_shortage(&rest).map(|(name, asked, there)| (asked - there, name.clone(), asked, there))
    });
    match shortages.min() {
        None => effort,
        Some((_, name, asked, there)) => Reason {
            code: Code::Limit,
            scope,
            message: format!(
                "pool {pool} has {} {name} of its limits left; the smallest node that would hold the pod counts {}; raise spec.limits.{name}",
                humanize(name.as_str(), there.max(0)),
                humanize(name.as_str(), asked),
            ),
        },
    }
}

/// What a pool's limits leave beside `planned` nodes.
fn limits_left(problem: &Problem, pool: &NodePool, planned: &[NewNode]) -> Option<Resources> {
    let mut rest = problem.remaining_limits(pool)?;
    for node in planned.iter().filter(|node| node.pool == pool.name) {
        let kind = problem.type_sets[pool.type_set].iter().find(|kind| *kind.name == *node.instance_type);
        if let Some(kind) = kind {
            rest.subtract(&counted(&kind.capacity, &rest));
        }
    }
    Some(rest)
}

/// What one node counts against the limits named in `limits`.
fn counted(capacity: &Resources, limits: &Resources) -> Resources {
    limits
        .iter()
        .map(|(name, _)| {
            let amount = if name.as_str() == ResourceName::NODES { 1 } else { capacity.get(name.as_str()) };
            (name.as_str().to_owned(), amount)
        })
        .collect()
}

fn node_reason(problem: &Problem, shape: &PodShape) -> Option<Reason> {
    let nodes: Vec<_> = problem.nodes.iter().filter(|node| node.schedulable).collect();
    if nodes.is_empty() {
        return None;
    }
    let verdicts: Vec<_> = nodes
        .iter()
        .filter_map(|node| {
            let free = node.free();
            filters::admit(shape, &Place::Node(node, &free)).err().map(|misfit| (node, misfit))
        })
        .collect();
    let room = verdicts.iter().find(|(_, misfit)| misfit.code == Code::Resource);
    let (node, misfit) = room.or(verdicts.first())?;
    let message = match misfit.code {
        Code::Resource => format!("none of {} existing nodes has room; {}: {}", nodes.len(), node.name, misfit.detail),
        _ => format!("none of {} existing nodes admits it; {}: {}", nodes.len(), node.name, misfit.detail),
    };
    Some(Reason { code: Code::NodeFull, scope: None, message })
}

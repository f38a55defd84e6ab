//! Which rules together keep a pod from every place, none of them to spare, and
//! the place that came nearest.

use std::collections::{BTreeMap, BTreeSet};

use stowage_model::resources::humanize;
use stowage_model::taint::untolerated;
use stowage_model::{Code, NewNode, PodShape, Price, Problem, ResourceName, Resources, UnsupportedRule};

use super::{counted, limits_left};
use crate::filters::Place;
use crate::launches::Launch;

/// A rule of one pod, as far as it speaks about one thing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// Its code.
    pub code: Code,
    /// What it is about: a taint, a label key, a resource.
    pub subject: String,
}

/// A place that a pod nearly fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nearest {
    /// Its pool; absent for an existing node.
    pub pool: Option<String>,
    /// The instance type, or the node's name.
    pub name: String,
    /// What would have to change, all of it.
    pub changes: Vec<String>,
}

/// Why a pod fits nowhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conflict {
    /// Rules that leave no place together, and each of which they need for it.
    pub rules: Vec<Rule>,
    /// Those of them without which the pod would have a place at once.
    pub enough: Vec<Rule>,
    /// Where the fewest rules are in the way.
    pub nearest: Option<Nearest>,
}

impl Conflict {
    /// The rules as a user reads them.
    pub fn lines(&self) -> Vec<String> {
        let line = |rule: &Rule| {
            let enough = if self.enough.contains(rule) { " (dropping it is enough)" } else { "" };
            format!("{} {}{enough}", rule.code, rule.subject)
        };
        self.rules.iter().map(line).collect()
    }
}

impl Nearest {
    /// The place and what it would take, as a user reads them.
    pub fn line(&self) -> String {
        let place = self
            .pool
            .as_ref()
            .map_or_else(|| format!("node {}", self.name), |pool| format!("pool {pool} with {}", self.name));
        format!("{place}: {}", self.changes.join(", and "))
    }
}

/// What is in the way at one place, each with the change that would remove it.
type Obstacles = BTreeMap<Rule, String>;

/// Looks at every place for pods of `shape`. `planned` uses up limits.
pub fn conflict(problem: &Problem, launches: &[Launch], shape: &PodShape, planned: &[NewNode]) -> Conflict {
    let rest: Vec<Option<Resources>> = problem.pools.iter().map(|pool| limits_left(problem, pool, planned)).collect();
    // Places with the same obstacles are one.
    let mut distinct: BTreeSet<BTreeSet<Rule>> = BTreeSet::new();
    let mut nearest: Option<((usize, i128, Price), Nearest)> = None;
    let mut add = |obstacles: Obstacles, lack: i128, price: Price, pool: Option<&str>, name: &str| {
        let rank = (obstacles.len(), lack, price);
        if nearest.as_ref().is_none_or(|(known, _)| rank < *known) {
            let changes = obstacles.values().cloned().collect();
            let place = Nearest { pool: pool.map(str::to_owned), name: name.to_owned(), changes };
            nearest = Some((rank, place));
        }
        distinct.insert(obstacles.into_keys().collect());
    };
    for launch in launches {
        let place = Place::Launch(launch.labels(problem), &launch.free);
        let pool = launch.pool(problem);
        let mut obstacles = obstacles(shape, &place);
        if let Some(rest) = &rest[launch.pool] {
            let needed = counted(&launch.instance_type(problem).capacity, rest);
            for (name, needed) in needed.iter().filter(|(name, needed)| *needed > rest.get(name.as_str())) {
                let more = needed - rest.get(name.as_str());
                let change =
                    format!("raise spec.limits.{name} of pool {} by {}", pool.name, humanize(name.as_str(), more));
                obstacles.insert(Rule { code: Code::Limit, subject: format!("{} {name}", pool.name) }, change);
            }
        }
        let lack = lack(shape, &launch.free);
        add(obstacles, lack, launch.offering(problem).price, Some(&pool.name), &launch.instance_type(problem).name);
    }
    for node in problem.nodes.iter().filter(|node| node.schedulable) {
        let free = node.free();
        add(obstacles(shape, &Place::Node(node, &free)), lack(shape, &free), Price::ZERO, None, &node.name);
    }
    // Where nothing is in the way, other pods are: that is not told here.
    if distinct.iter().any(BTreeSet::is_empty) {
        return Conflict::default();
    }
    // What is alone in the way somewhere is in every such set of rules.
    let alone = distinct.iter().filter(|place| place.len() == 1).flatten().cloned().collect();
    Conflict { rules: minimal(&distinct), enough: alone, nearest: nearest.map(|(_, place)| place) }
}

/// How much of what the pod asks for is not there, in thousandths summed over
/// resources.
fn lack(shape: &PodShape, free: &Resources) -> i128 {
    let asked = shape.requests.iter().filter(|(_, asked)| *asked > 0);
    let short = asked.map(|(name, asked)| (asked - free.get(name.as_str()).clamp(0, asked), asked));
    short.map(|(short, asked)| i128::from(short) * 1000 / i128::from(asked)).sum()
}

/// A set of rules that meets every place's obstacles and none of which can be
/// spared: what the pod could change most easily is spared last.
fn minimal(places: &BTreeSet<BTreeSet<Rule>>) -> Vec<Rule> {
    let mut kept: BTreeSet<&Rule> = places.iter().flatten().collect();
    let all: Vec<&Rule> = kept.iter().copied().collect();
    // Rules that fewer places know are spared first.
    let mut order: Vec<(usize, &Rule)> =
        all.into_iter().map(|rule| (places.iter().filter(|place| place.contains(rule)).count(), rule)).collect();
    order.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| b.1.cmp(a.1)));
    for (_, rule) in order {
        kept.remove(rule);
        if !places.iter().all(|place| place.iter().any(|rule| kept.contains(rule))) {
            kept.insert(rule);
        }
    }
    kept.into_iter().cloned().collect()
}

/// Every rule that keeps `shape` from a place, not only the first.
fn obstacles(shape: &PodShape, place: &Place<'_>) -> Obstacles {
    let mut found = Obstacles::new();
    let mut add = |code, subject: &str, change: String| {
        found.insert(Rule { code, subject: subject.to_owned() }, change);
    };
    if shape.unsupported.contains(&UnsupportedRule::ResourceClaims) {
        add(Code::ResourceClaims, "spec.resourceClaims", "use extended resources instead".to_owned());
    }
    for fault in &shape.faults {
        add(Code::VolumeClaim, "spec.volumes", format!("mend {fault}"));
    }
    for taint in untolerated(place.taints(), &shape.tolerations) {
        add(Code::Taint, &taint.to_string(), format!("tolerate {taint}"));
    }
    for (key, requirement) in shape.selector.iter().filter(|(key, r)| !r.admits(place.label(key))) {
        add(Code::Selector, key, format!("drop nodeSelector {key} {requirement}, or let the pool have it"));
    }
    let matches = |terms: &[stowage_model::NodeTerm]| terms.iter().any(|term| term.matches(|key| place.label(key)));
    if let Some(terms) = shape.affinity.as_ref().filter(|terms| !matches(terms)) {
        let missed = terms.iter().find_map(|term| term.0.first_refused(|key| place.label(key)));
        let text = missed.map_or_else(String::new, |(key, requirement)| format!(" ({key} {requirement})"));
        add(Code::Affinity, "required node affinity", format!("widen the required node affinity{text}"));
    }
    for terms in shape.volumes.iter().filter(|terms| !matches(terms)) {
        let missed = terms.iter().find_map(|term| term.0.first_refused(|key| place.label(key)));
        let text = missed.map_or_else(String::new, |(key, requirement)| format!(" with {key} {requirement}"));
        add(Code::VolumeZone, "volumes", format!("let nodes be launched{text}, where its volume is"));
    }
    let free = place.free();
    for (name, asked) in shape.requests.iter().filter(|(name, asked)| *asked > 0 && *asked > free.get(name.as_str())) {
        let there = free.get(name.as_str()).max(0);
        let change = match (place, name.as_str()) {
            (Place::Node(..), ResourceName::PODS) => "free a pod's place".to_owned(),
            (Place::Node(..), _) => {
                format!("free {} {name}", humanize(name.as_str(), asked - there))
            }
            (Place::Launch(..), _) => format!("ask for at most {} {name}", humanize(name.as_str(), there)),
        };
        add(Code::Resource, name.as_str(), change);
    }
    found
}

//! The independent judge of plans and certificates.
//!
//! It re-reads the problem's own pods, pools and types and knows nothing of
//! classes, offers or dominance; it is written naively, from Kubernetes' own
//! definitions, and shares no algorithm with the solver. An empty list of
//! violations means: every pod is where it may be, every price is the
//! catalogue's, and nothing cheaper than the bound exists.

mod complete;
mod facts;
mod purse;
mod rules;
mod search;
mod slots;
mod world;

use std::fmt;

use stowage_model::{Plan, Problem};

/// Something wrong with a plan.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// The rule that is broken.
    pub rule: &'static str,
    /// The pod, node or figure concerned.
    pub subject: String,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.rule, self.subject, self.message)
    }
}

/// One rule of the judge.
trait Rule {
    fn name(&self) -> &'static str;
    fn check(&self, problem: &Problem, plan: &Plan, found: &mut Vec<(String, String)>);
}

/// The rules about the plan itself, in the order they are judged.
const PLAN: &[&dyn Rule] = &[
    &rules::coverage::Coverage,
    &rules::launch::Launch,
    &rules::placement::Placement,
    &rules::capacity::Capacity,
    &rules::limits::Limits,
    &rules::weight::Weight,
    &rules::relations::Relations,
    &rules::unplaced::UnplacedPods,
];

/// Everything wrong with a plan, its bound included.
pub fn check(problem: &Problem, plan: &Plan) -> Vec<Violation> {
    let mut violations = check_plan(problem, plan);
    // A bound speaks about the pods placed: it means nothing for a broken plan.
    if violations.is_empty() {
        violations.extend(check_bound(problem, plan));
    }
    violations
}

/// Everything wrong with where the plan puts pods and what it says they cost.
pub fn check_plan(problem: &Problem, plan: &Plan) -> Vec<Violation> {
    let mut violations = Vec::new();
    for rule in PLAN {
        judge(*rule, problem, plan, &mut violations);
        // Later rules index by what coverage and launch have confirmed.
        if !violations.is_empty() {
            break;
        }
    }
    violations
}

/// Everything wrong with the plan's bound and certificate.
pub fn check_bound(problem: &Problem, plan: &Plan) -> Vec<Violation> {
    let mut violations = Vec::new();
    judge(&rules::bound::Bound, problem, plan, &mut violations);
    violations
}

fn judge(rule: &dyn Rule, problem: &Problem, plan: &Plan, violations: &mut Vec<Violation>) {
    let mut found = Vec::new();
    rule.check(problem, plan, &mut found);
    violations.extend(found.into_iter().map(|(subject, message)| Violation { rule: rule.name(), subject, message }));
}

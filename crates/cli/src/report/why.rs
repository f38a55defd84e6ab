//! Why pods are nowhere, and why nodes are of their type, as plain data.

use std::collections::BTreeMap;

use serde::Serialize;
use stowage_model::{NewNode, Plan, Price, Problem, Unplaced};
use stowage_solver::explain::choice::{Choice, Choices};
use stowage_solver::explain::conflict::{Conflict, conflict};
use stowage_solver::launches::{Launch, launches};

/// The reason for one pool, or for everywhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReasonView {
    pub(crate) code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) node_pool: Option<String>,
    pub(crate) message: String,
}

/// A pod without a place.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UnplacedView {
    pub(crate) pod: String,
    pub(crate) reasons: Vec<ReasonView>,
    /// Rules that leave no place together, none of which could be spared.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) blocked_by: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) nearest: Option<NearestView>,
}

/// The place that came nearest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NearestView {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) node_pool: Option<String>,
    /// Instance type, or the name of an existing node.
    pub(crate) name: String,
    /// What would place the pod there, all of it.
    pub(crate) changes: Vec<String>,
    #[serde(skip)]
    pub(crate) line: String,
}

/// Every pod without a place.
pub(crate) fn unplaced(problem: &Problem, plan: &Plan) -> Vec<UnplacedView> {
    if plan.unplaced.is_empty() {
        return Vec::new();
    }
    let all = launches(problem);
    let mut known: BTreeMap<u32, Conflict> = BTreeMap::new();
    let view = |unplaced: &Unplaced| {
        let pod = &problem.pods[unplaced.pod as usize];
        let conflict = known.entry(pod.shape).or_insert_with(|| of_shape(problem, &all, plan, pod.shape));
        let reasons = unplaced.reasons.iter().map(|reason| ReasonView {
            code: reason.code.as_str(),
            node_pool: reason.scope.clone(),
            message: reason.message.clone(),
        });
        let nearest = conflict.nearest.as_ref().map(|nearest| NearestView {
            node_pool: nearest.pool.clone(),
            name: nearest.name.clone(),
            changes: nearest.changes.clone(),
            line: nearest.line(),
        });
        UnplacedView { pod: pod.to_string(), reasons: reasons.collect(), blocked_by: conflict.lines(), nearest }
    };
    plan.unplaced.iter().map(view).collect()
}

fn of_shape(problem: &Problem, all: &[Launch], plan: &Plan, shape: u32) -> Conflict {
    conflict(problem, all, &problem.shapes[shape as usize], &plan.nodes)
}

/// What stands beside the type that was chosen for a node.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ChoiceView {
    /// The next cheaper type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cheaper: Option<CheaperView>,
    /// What the node would cost without its type, on the cheapest other one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) instead: Option<InsteadView>,
}

/// A type that is too small.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CheaperView {
    pub(crate) instance_type: String,
    pub(crate) hourly_price: f64,
    pub(crate) lacks: String,
}

/// A type that would do as well.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InsteadView {
    pub(crate) instance_type: String,
    pub(crate) hourly_price: f64,
}

impl ChoiceView {
    pub(crate) fn of(choices: &Choices<'_>, node: &NewNode) -> Self {
        let dollars = |price: Price| price.dollars();
        let Choice { cheaper, instead } = choices.of(node);
        Self {
            cheaper: cheaper.map(|(instance_type, price, lacks)| CheaperView {
                instance_type,
                hourly_price: dollars(price),
                lacks,
            }),
            instead: instead.map(|(instance_type, price)| InsteadView { instance_type, hourly_price: dollars(price) }),
        }
    }

    /// As one line.
    pub(crate) fn line(&self) -> String {
        let cheaper = self.cheaper.as_ref().map_or_else(
            || "no type is cheaper".to_owned(),
            |c| format!("the next cheaper, {} at ${}/h, lacks {}", c.instance_type, c.hourly_price, c.lacks),
        );
        let instead = self.instead.as_ref().map_or_else(
            || "no other type would do".to_owned(),
            |i| format!("else {} at ${}/h", i.instance_type, i.hourly_price),
        );
        format!("{cheaper}; {instead}")
    }
}

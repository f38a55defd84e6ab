//! Commands that are being carried out, read from the objects: a crash loses none.
//!
//! The claims that go carry [`names::REPLACED_BY`] from before anything is launched
//! for them, with the names of the claims that come. The claims that come carry
//! [`names::REPLACES`]. What to do next follows from who is there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use serde::{Deserialize, Serialize};
use stowage_k8s::node::is_shut;
use stowage_k8s::v1::NodeClaim;
use stowage_k8s::{duration, names};

use crate::interruption::mark_of;
use crate::view::{View, is};

/// What a claim that is being replaced carries.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Order {
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// The claims that come.
    pub replacements: Vec<String>,
}

/// A command given up if its replacements take longer.
const LONGEST: Duration = Duration::from_secs(600);

/// The next thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Let no more pods onto this node.
    Shut(String),
    /// The replacements are there: let these claims go, for this reason.
    Release(Vec<String>, String),
    /// It cannot be carried out: these claims stay.
    TakeBack(Vec<String>, &'static str),
    /// A node that is shut and has no reason to be: let pods onto it again.
    Open(String),
}

/// The order that a claim carries.
pub fn order_of(claim: &NodeClaim) -> Option<Order> {
    claim.annotations().get(names::REPLACED_BY).and_then(|text| serde_json::from_str(text).ok())
}

/// Claims that are held for the pods of others, which are there still.
pub fn awaited(view: &View) -> BTreeSet<String> {
    let replaces = |claim: &NodeClaim| {
        let olds = claim.annotations().get(names::REPLACES)?;
        Some(olds.split(',').any(|old| view.claims.contains_key(old)))
    };
    view.claims.iter().filter(|(_, claim)| replaces(claim) == Some(true)).map(|(name, _)| name.clone()).collect()
}

/// What to do now, for every command at once. `creating` are claims that this
/// process is about to create.
pub fn steps(view: &View, creating: &BTreeSet<String>, now: Timestamp) -> Vec<Step> {
    let mut orders: BTreeMap<Order, Vec<&str>> = BTreeMap::new();
    let mut all = Vec::new();
    for (name, claim) in &view.claims {
        let leaving = claim.metadata.deletion_timestamp.is_some();
        let node = view.node_of(claim);
        match order_of(claim) {
            Some(order) if !leaving => {
                orders.entry(order).or_default().push(name);
                all.extend(node.filter(|node| !is_shut(node)).map(|node| Step::Shut(node.name_any())));
            }
            // Interrupted ones stay shut.
            None if !leaving && mark_of(claim).is_none() => {
                all.extend(node.filter(|node| is_shut(node)).map(|node| Step::Open(node.name_any())))
            }
            _ => {}
        }
    }
    for (order, claims) in orders {
        let claims: Vec<String> = claims.into_iter().map(str::to_owned).collect();
        let news: Vec<Option<&NodeClaim>> =
            order.replacements.iter().map(|name| view.claims.get(name).map(|claim| &**claim)).collect();
        let ending = |claim: &&NodeClaim| claim.metadata.deletion_timestamp.is_some();
        let begun = order.replacements.iter().any(|name| creating.contains(name));
        if begun {
            continue;
        }
        if news.iter().any(|claim| claim.is_none() || claim.as_ref().is_some_and(ending)) {
            all.push(Step::TakeBack(claims, "a replacement is gone"));
        } else if news.iter().flatten().all(|claim| is(claim, "Initialized")) {
            all.push(Step::Release(claims, order.reason));
        } else if duration::since(order.since, now) >= LONGEST {
            all.push(Step::TakeBack(claims, "the replacements took too long"));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{at, read};
    use k8s_openapi::api::core::v1::Node;
    use serde_json::{Value, json};

    /// An old claim with its node, and perhaps a new one.
    fn view(order: bool, shut: bool, new: Option<(bool, bool)>) -> View {
        let order_text = json!({ "reason": "Underutilized", "since": at(0), "replacements": ["new"] }).to_string();
        let claim = |name: &str, notes: Value, initialized: bool, ending: bool| {
            let status = if initialized { "True" } else { "Unknown" };
            let mut object = json!({
                "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "metadata": { "name": name, "annotations": notes },
                "spec": { "requirements": [], "nodeClassRef": { "group": "g", "kind": "k", "name": "n" } },
                "status": { "providerID": format!("id-{name}"), "conditions": [{ "type": "Initialized", "status": status,
                    "reason": "r", "message": "", "lastTransitionTime": at(0) }] },
            });
            if ending {
                object["metadata"]["deletionTimestamp"] = json!(at(1));
            }
            (name.to_owned(), read::<NodeClaim>(object))
        };
        let notes = if order { json!({ names::REPLACED_BY: order_text }) } else { json!({}) };
        let mut claims = BTreeMap::from([claim("old", notes, true, false)]);
        if let Some((initialized, ending)) = new {
            claims.extend([claim("new", json!({ names::REPLACES: "old" }), initialized, ending)]);
        }
        let taints = if shut { json!([{ "key": names::DISRUPTED_TAINT, "effect": "NoSchedule" }]) } else { json!([]) };
        let node = read::<Node>(json!({
            "metadata": { "name": "node-old" }, "spec": { "providerID": "id-old", "taints": taints },
        }));
        View::new(claims, BTreeMap::new(), BTreeMap::from([("node-old".to_owned(), node)]), Vec::new())
    }

    #[test]
    fn a_command_goes_from_shut_to_release_and_back_where_it_fails() {
        let none = BTreeSet::new();
        let next = |view: View, second| steps(&view, &none, at(second));
        let old = || vec!["old".to_owned()];
        let release = Step::Release(old(), "Underutilized".to_owned());
        assert_eq!(next(view(true, false, Some((false, false))), 1), [Step::Shut("node-old".to_owned())]);
        assert_eq!(next(view(true, true, Some((false, false))), 1), []);
        assert_eq!(next(view(true, true, Some((true, false))), 1), [release]);
        assert_eq!(next(view(true, true, None), 1), [Step::TakeBack(old(), "a replacement is gone")]);
        assert_eq!(next(view(true, true, Some((true, true))), 1), [Step::TakeBack(old(), "a replacement is gone")]);
        let late = Step::TakeBack(old(), "the replacements took too long");
        assert_eq!(next(view(true, true, Some((false, false))), 600), [late]);
        let creating = BTreeSet::from(["new".to_owned()]);
        assert_eq!(steps(&view(true, true, None), &creating, at(1)), []);
        assert_eq!(next(view(false, true, None), 1), [Step::Open("node-old".to_owned())]);
    }

    #[test]
    fn a_replacement_is_awaited_as_long_as_what_it_replaces_is_there() {
        assert_eq!(awaited(&view(true, true, Some((true, false)))), BTreeSet::from(["new".to_owned()]));
        let mut gone = view(true, true, Some((true, false)));
        gone.claims.remove("old");
        assert!(awaited(&gone).is_empty());
    }
}

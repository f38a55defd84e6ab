//! Pods that move though their nodes stay.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;
use stowage_disruption::Rebalanced;
use stowage_model::Fleet;

use super::count;

/// A pod that moves, or is taken away.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RelocationView {
    pub(super) method: &'static str,
    profile: String,
    pub(super) pod: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
}

/// A pod that a method would move and that stays.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct KeptView {
    pub(super) method: &'static str,
    pod: String,
    why: String,
}

impl RelocationView {
    /// What becomes of it.
    pub(super) fn what(&self) -> String {
        match (&self.from, &self.to) {
            (Some(from), Some(to)) if from == to => format!("{}: made anew on {to}", self.pod),
            (Some(from), Some(to)) => format!("{}: {from} → {to}", self.pod),
            _ => format!("{}: has failed and is taken away", self.pod),
        }
    }
}

impl KeptView {
    /// That it stays, and why.
    pub(super) fn what(&self) -> String {
        format!("{} stays: {}", self.pod, self.why)
    }
}

pub(super) fn relocations(fleet: &Fleet, rebalanced: &Rebalanced) -> Vec<RelocationView> {
    let moved = rebalanced.relocations.iter().map(|one| RelocationView {
        method: one.method,
        profile: one.profile.clone(),
        pod: fleet.problem.pods[one.pod as usize].to_string(),
        from: Some(one.from.clone()),
        to: Some(one.to.clone()),
    });
    let gone = rebalanced.removals.iter().map(|one| RelocationView {
        method: one.method,
        profile: one.profile.clone(),
        pod: format!("{}/{}", one.namespace, one.name),
        from: None,
        to: None,
    });
    moved.chain(gone).collect()
}

pub(super) fn kept(rebalanced: &Rebalanced) -> Vec<KeptView> {
    let view = |kept: &stowage_disruption::rebalance::Kept| KeptView {
        method: kept.method,
        pod: kept.pod.clone(),
        why: kept.why.to_string(),
    };
    rebalanced.kept.iter().map(view).collect()
}

/// By method, what moves and what would.
pub(super) fn text(text: &mut String, moved: &[RelocationView], kept: &[KeptView], most: usize) {
    let mut methods: BTreeMap<&str, Vec<&RelocationView>> = BTreeMap::new();
    moved.iter().for_each(|one| methods.entry(one.method).or_default().push(one));
    for (method, moved) in methods {
        let _ = writeln!(text, "  {method}: {}", count(moved.len(), "pod"));
        for one in moved.iter().take(most) {
            let _ = writeln!(text, "    {}", one.what());
        }
        super::text::rest(text, moved.len(), most);
    }
    let mut reasons: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    kept.iter().for_each(|one| reasons.entry((one.method, &one.why)).or_default().push(&one.pod));
    for ((method, why), pods) in reasons {
        let named = match pods.as_slice() {
            [one] => (*one).to_owned(),
            all => format!("{} and {} more", all[0], all.len() - 1),
        };
        let _ = writeln!(text, "  {method} leaves {named}: {why}");
    }
}

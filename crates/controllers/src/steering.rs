//! Making a plan come true.
//!
//! A new node is held by a taint of its own, and the pods that were planned for
//! it are given a toleration for it: nobody else can go there, so the order in
//! which the scheduler looks at pods decides nothing. Where rules between pods
//! need an order, pods are let in wave by wave. docs/steering.md has the
//! measurements behind this.
//!
//! Who is planned where can be read from pods and claims, so a restart forgets
//! only pods that were not let in yet; those are planned again.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Pod, Toleration};
use serde_json::{Value, json};
use stowage_k8s::names;
use stowage_k8s::pod::is_waiting;
use stowage_k8s::v1::NodeClaim;

/// Where a pod was planned to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The claim's name.
    pub claim: String,
    /// What the claim's node is held with, if it is held.
    pub token: Option<String>,
    /// Pods of earlier waves of the same plan must be on their nodes first.
    pub wave: usize,
    /// Which plan.
    pub plan: u64,
    /// Whether the pod may go there by now.
    pub invited: bool,
}

/// Pods that had a place in some plan, by UID: what is bought for one of them again is
/// what it costs that plans do not come true.
#[derive(Clone, Debug, Default)]
pub struct History(BTreeSet<String>);

impl History {
    /// Takes down a new node's pods. Returns the share of them that had a place before.
    pub fn note<'a>(&mut self, pods: impl Iterator<Item = &'a str>) -> f64 {
        let (mut all, mut again) = (0_u32, 0_u32);
        for uid in pods {
            all += 1;
            again += u32::from(!self.0.insert(uid.to_owned()));
        }
        if all == 0 { 0.0 } else { f64::from(again) / f64::from(all) }
    }

    /// Forgets pods that wait no more.
    pub fn keep(&mut self, live: &BTreeSet<&str>) {
        self.0.retain(|uid| live.contains(uid.as_str()));
    }
}

/// Pods by UID.
pub type Planned = BTreeMap<String, Place>;

/// The token that a claim's node is held with.
pub fn token(claim: &NodeClaim) -> Option<&str> {
    let taints = claim.spec.startup_taints.iter().flatten();
    taints.into_iter().find(|taint| taint.key == names::RESERVED_TAINT)?.value.as_deref()
}

/// The tokens that a pod tolerates.
pub fn tolerated(pod: &Pod) -> impl Iterator<Item = &str> {
    let all = pod.spec.iter().flat_map(|spec| spec.tolerations.iter().flatten());
    all.filter(|t| t.key.as_deref() == Some(names::RESERVED_TAINT)).filter_map(|t| t.value.as_deref())
}

/// Whether a claim can still expect pods: it is neither ready nor on its way out.
pub fn expects(claim: &NodeClaim) -> bool {
    let conditions = claim.status.as_ref().and_then(|status| status.conditions.as_ref());
    claim.metadata.deletion_timestamp.is_none() && !stowage_k8s::conditions::is_true(conditions, "Initialized")
}

/// The claim that each waiting pod is planned for, by the pod's UID.
pub fn nominations<'a>(
    pods: impl Iterator<Item = &'a Pod>,
    claims: &'a BTreeMap<String, &'a NodeClaim>,
    planned: &Planned,
) -> BTreeMap<String, String> {
    let held: BTreeMap<&str, &str> = claims
        .iter()
        .filter(|(_, claim)| expects(claim))
        .filter_map(|(name, claim)| Some((token(claim)?, name.as_str())))
        .collect();
    let mut all = BTreeMap::new();
    for pod in pods.filter(|pod| is_waiting(pod)) {
        let Some(uid) = pod.metadata.uid.clone() else { continue };
        let remembered = planned.get(&uid).map(|place| place.claim.as_str());
        let remembered = remembered.filter(|name| claims.get(*name).is_none_or(|claim| expects(claim)));
        let written = tolerated(pod).filter_map(|token| held.get(token).copied()).last();
        if let Some(claim) = remembered.or(written) {
            all.insert(uid, claim.to_owned());
        }
    }
    all
}

/// Pods that may be let in now: those whose node is there, and whose plan has no
/// waiting pod of an earlier wave. A pod that is let in before its node is there
/// makes the scheduler try, fail, and wait longer each time.
pub fn due(planned: &Planned, waiting: &BTreeSet<&str>, joined: &BTreeSet<&str>) -> Vec<String> {
    let mut first: BTreeMap<u64, usize> = BTreeMap::new();
    for (_, place) in planned.iter().filter(|(uid, _)| waiting.contains(uid.as_str())) {
        let wave = first.entry(place.plan).or_insert(place.wave);
        *wave = place.wave.min(*wave);
    }
    planned
        .iter()
        .filter(|(uid, place)| !place.invited && place.token.is_some() && waiting.contains(uid.as_str()))
        .filter(|(_, place)| first.get(&place.plan) == Some(&place.wave) && joined.contains(place.claim.as_str()))
        .map(|(uid, _)| uid.clone())
        .collect()
}

/// The patch that lets a pod onto the held node. The API allows tolerations to be
/// added to a pod that exists, and nothing else, so the list is written whole.
pub fn invitation(pod: &Pod, token: &str) -> Value {
    let mut all: Vec<Toleration> = pod.spec.as_ref().and_then(|spec| spec.tolerations.clone()).unwrap_or_default();
    all.push(Toleration {
        key: Some(names::RESERVED_TAINT.to_owned()),
        operator: Some("Equal".to_owned()),
        value: Some(token.to_owned()),
        effect: Some("NoSchedule".to_owned()),
        ..Toleration::default()
    });
    json!({
        "metadata": { "uid": pod.metadata.uid, "resourceVersion": pod.metadata.resource_version },
        "spec": { "tolerations": all },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(plan: u64, wave: usize, invited: bool) -> Place {
        Place { claim: "c".to_owned(), token: Some("t".to_owned()), wave, plan, invited }
    }

    #[test]
    fn waves_of_one_plan_follow_each_other_and_plans_do_not_wait_for_others() {
        let planned: Planned = [
            ("a".to_owned(), place(1, 0, true)),
            ("b".to_owned(), place(1, 1, false)),
            ("c".to_owned(), place(2, 0, false)),
        ]
        .into();
        let joined = BTreeSet::from(["c"]);
        assert_eq!(due(&planned, &["a", "b", "c"].into(), &joined), ["c"]);
        assert_eq!(due(&planned, &["b", "c"].into(), &joined), ["b", "c"]);
        assert!(due(&planned, &BTreeSet::new(), &joined).is_empty());
        assert!(due(&planned, &["b", "c"].into(), &BTreeSet::new()).is_empty());
    }

    #[test]
    fn nominations_can_be_read_from_what_is_written() {
        let claim: NodeClaim = serde_json::from_value(json!({
            "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "metadata": { "name": "web-1" },
            "spec": {
                "requirements": [], "nodeClassRef": { "group": "g", "kind": "k", "name": "n" },
                "startupTaints": [{ "key": names::RESERVED_TAINT, "value": "abc", "effect": "NoSchedule" }],
            },
        }))
        .unwrap_or_default();
        let pod: Pod = serde_json::from_value(json!({
            "metadata": { "name": "p", "namespace": "default", "uid": "u" }, "spec": { "containers": [] },
        }))
        .unwrap_or_default();
        let mut invited = pod.clone();
        let patch = invitation(&pod, "abc");
        invited.spec =
            serde_json::from_value(json!({ "containers": [], "tolerations": patch["spec"]["tolerations"] })).ok();
        let claims = BTreeMap::from([("web-1".to_owned(), &claim)]);
        let none = Planned::new();
        assert!(nominations([&pod].into_iter(), &claims, &none).is_empty());
        let found = nominations([&invited].into_iter(), &claims, &none);
        assert_eq!(found.get("u").map(String::as_str), Some("web-1"));
    }
}

//! What protects a pod from being moved, as far as the pod itself says.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Volume};
use stowage_model::fleet::EVICTION;

use crate::{duration, names};

/// Until when a pod asked to be left alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum LeftAlone {
    #[default]
    No,
    Until(Timestamp),
    Forever,
}

impl LeftAlone {
    pub(super) fn at(self, now: Timestamp) -> bool {
        match self {
            Self::No => false,
            Self::Until(end) => now < end,
            Self::Forever => true,
        }
    }
}

/// Protection of one pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Guard {
    pub(super) left_alone: LeftAlone,
    /// What its eviction costs.
    pub(super) cost: i64,
    /// cluster-autoscaler's annotation.
    pub(super) safe_to_evict: Option<bool>,
    /// Whether it has files on its node that go with it.
    pub(super) local_storage: bool,
    /// Whether it is ready, which budgets may care about.
    pub(super) healthy: bool,
}

const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
const SAFE_TO_EVICT: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict";
const SAFE_VOLUMES: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes";

impl Guard {
    pub(super) fn of(pod: &Pod) -> Self {
        let note = |key: &str| pod.metadata.annotations.as_ref().and_then(|all| all.get(key)).map(String::as_str);
        let started = pod.status.as_ref().and_then(|status| status.start_time.as_ref()).map(|time| time.0);
        let left_alone = match note(names::DO_NOT_DISRUPT) {
            Some("true") => LeftAlone::Forever,
            Some(text) => match (duration::span(text), started) {
                (Some(span), Some(started)) => LeftAlone::Until(started.saturating_add(span).unwrap_or(Timestamp::MAX)),
                // It has not started: its time has not either.
                (Some(_), None) => LeftAlone::Forever,
                (None, _) => LeftAlone::No,
            },
            None => LeftAlone::No,
        };
        let safe: Vec<&str> =
            note(SAFE_VOLUMES).map(|text| text.split(',').map(str::trim).collect()).unwrap_or_default();
        let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_ref());
        let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
        Self {
            left_alone,
            cost: cost(note(DELETION_COST).and_then(|text| text.parse().ok()).unwrap_or(0), priority(pod)),
            safe_to_evict: note(SAFE_TO_EVICT).and_then(|text| text.parse().ok()),
            local_storage: volumes.into_iter().flatten().any(|v| is_local(v) && !safe.contains(&v.name.as_str())),
            healthy: conditions.into_iter().flatten().any(|c| c.type_ == "Ready" && c.status == "True"),
        }
    }
}

pub(super) fn priority(pod: &Pod) -> i32 {
    pod.spec.as_ref().and_then(|spec| spec.priority).unwrap_or(0)
}

pub(super) fn is_local(volume: &Volume) -> bool {
    let on_disk = |medium: Option<&str>| medium != Some("Memory");
    volume.host_path.is_some() || volume.empty_dir.as_ref().is_some_and(|dir| on_disk(dir.medium.as_deref()))
}

/// Karpenter's formula: 1 + deletion cost ÷ 2^27 + priority ÷ 2^25, within ±10.
fn cost(deletion_cost: i32, priority: i32) -> i64 {
    let part = |value: i32, bits: u32| i64::from(value) * EVICTION / (1 << bits);
    (EVICTION + part(deletion_cost, 27) + part(priority, 25)).clamp(-10 * EVICTION, 10 * EVICTION)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn guard(pod: Value) -> Guard {
        Guard::of(&serde_json::from_value(pod).unwrap_or_default())
    }

    #[test]
    fn eviction_costs_follow_deletion_cost_and_priority_within_bounds() {
        assert_eq!(cost(0, 0), EVICTION);
        assert_eq!(cost(1 << 27, 0), 2 * EVICTION);
        assert_eq!(cost(0, -(1 << 25)), 0);
        assert_eq!(cost(i32::MAX, i32::MAX), 10 * EVICTION);
        assert!(cost(i32::MIN, i32::MIN) < 0);
    }

    #[test]
    fn a_pod_says_itself_what_protects_it() {
        let note = |value: &str| {
            json!({ "metadata": { "annotations": { names::DO_NOT_DISRUPT: value } },
            "status": { "startTime": "1970-01-01T00:00:10Z" } })
        };
        assert_eq!(guard(note("true")).left_alone, LeftAlone::Forever);
        assert_eq!(guard(note("soon")).left_alone, LeftAlone::No);
        let until = Timestamp::from_second(70).unwrap_or_default();
        assert_eq!(guard(note("1m")).left_alone, LeftAlone::Until(until));
        let disk = |medium: Value| {
            guard(json!({ "spec": { "containers": [], "volumes": [
            { "name": "scratch", "emptyDir": { "medium": medium } }] } }))
            .local_storage
        };
        assert!(disk(Value::Null) && !disk(json!("Memory")));
    }
}

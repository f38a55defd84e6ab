//! Each method with its arguments.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use stowage_model::rebalancing::{Method, PERCENT, Scope, TaintName, Thresholds, Utilization};

use super::arguments;
use super::lower::{At, field, read, refuse};
use crate::error::FieldError;
use crate::lower::topology::label_selector;

fn scope(
    at: At<'_>,
    namespaces: arguments::Namespaces,
    labels: Option<&LabelSelector>,
    name: &str,
) -> Result<Scope, FieldError> {
    if !namespaces.include.is_empty() && !namespaces.exclude.is_empty() {
        return refuse(at, name, "has both include and exclude; keep one of them");
    }
    let labels = labels.map(|selector| label_selector(selector, &field(at, "labelSelector"))).transpose()?;
    Ok(Scope {
        include: Some(namespaces.include).filter(|include| !include.is_empty()),
        exclude: namespaces.exclude,
        labels: labels.unwrap_or_default(),
    })
}

pub(super) fn method(name: &str, at: At<'_>) -> Result<(Scope, Method), FieldError> {
    let scoped = |namespaces, labels: Option<LabelSelector>| scope(at, namespaces, labels.as_ref(), "namespaces");
    Ok(match name {
        "RemoveDuplicates" => {
            let args: arguments::Duplicates = read(at)?;
            (scoped(args.namespaces, None)?, Method::Duplicates { spared_kinds: args.exclude_owner_kinds })
        }
        "RemovePodsViolatingInterPodAntiAffinity" => {
            let args: arguments::Selection = read(at)?;
            (scoped(args.namespaces, args.label_selector)?, Method::AntiAffinity)
        }
        "RemovePodsViolatingNodeAffinity" => {
            let args: arguments::NodeAffinity = read(at)?;
            let kinds =
                ["requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution"];
            let of = &args.node_affinity_type;
            if of.is_empty() || of.iter().any(|kind| !kinds.contains(&kind.as_str())) {
                return refuse(at, "nodeAffinityType", format!("must list {} or {}", kinds[0], kinds[1]));
            }
            let method = Method::NodeAffinity { required: of.contains(kinds[0]), preferred: of.contains(kinds[1]) };
            (scoped(args.namespaces, args.label_selector)?, method)
        }
        "RemovePodsViolatingNodeTaints" => {
            let args: arguments::NodeTaints = read(at)?;
            if !args.included_taints.is_empty() && !args.excluded_taints.is_empty() {
                return refuse(at, "includedTaints", "and excludedTaints exclude each other; keep one of them");
            }
            let method = Method::NodeTaints {
                advice: args.include_prefer_no_schedule,
                included: args.included_taints.iter().map(|text| taint_name(text)).collect(),
                excluded: args.excluded_taints.iter().map(|text| taint_name(text)).collect(),
            };
            (scoped(args.namespaces, args.label_selector)?, method)
        }
        "RemovePodsViolatingTopologySpreadConstraint" => {
            let args: arguments::TopologySpread = read(at)?;
            if let Some(other) = args.constraints.iter().find(|c| *c != "DoNotSchedule" && *c != "ScheduleAnyway") {
                return refuse(at, "constraints", format!("{other:?} is neither DoNotSchedule nor ScheduleAnyway"));
            }
            let hard = args.constraints.is_empty() || args.constraints.contains("DoNotSchedule");
            let method = Method::TopologySpread { hard, soft: args.constraints.contains("ScheduleAnyway") };
            (scoped(args.namespaces, args.label_selector)?, method)
        }
        "RemovePodsHavingTooManyRestarts" => {
            let args: arguments::TooManyRestarts = read(at)?;
            if args.pod_restart_threshold == 0 {
                return refuse(at, "podRestartThreshold", "must be 1 or more");
            }
            let method = Method::TooManyRestarts {
                threshold: args.pod_restart_threshold,
                init: args.including_init_containers,
                states: args.states,
            };
            (scoped(args.namespaces, args.label_selector)?, method)
        }
        "PodLifeTime" => {
            let args: arguments::PodLifeTime = read(at)?;
            let Some(seconds) = args.max_pod_life_time_seconds else {
                return refuse(at, "maxPodLifeTimeSeconds", "is missing; say how old pods may become");
            };
            let method = Method::PodLifeTime {
                seconds,
                init: args.including_init_containers,
                states: args.states,
                kinds: args.owner_kinds.include,
            };
            (scoped(args.namespaces, args.label_selector)?, method)
        }
        "RemoveFailedPods" => {
            let args: arguments::FailedPods = read(at)?;
            let method = Method::FailedPods {
                seconds: args.min_pod_lifetime_seconds.unwrap_or(3_600),
                reasons: args.reasons,
                exit_codes: args.exit_codes,
                init: args.including_init_containers,
                spared_kinds: args.exclude_owner_kinds,
            };
            (scoped(args.namespaces, args.label_selector)?, method)
        }
        "LowNodeUtilization" => low(at)?,
        _ => high(at)?,
    })
}

fn low(at: At<'_>) -> Result<(Scope, Method), FieldError> {
    let args: arguments::LowUtilization = read(at)?;
    let low = thresholds(at, "thresholds", &args.thresholds)?;
    let high = thresholds(at, "targetThresholds", &args.target_thresholds)?;
    if !low.keys().eq(high.keys()) {
        return refuse(at, "targetThresholds", "must name the same resources as thresholds");
    }
    if let Some((name, _)) =
        low.iter().zip(high.values()).find(|((_, low), high)| !args.use_deviation_thresholds && low > high)
    {
        return refuse(at, "targetThresholds", format!("{} is below its threshold", name.0));
    }
    let scope = scope(at, args.evictable_namespaces, None, "evictableNamespaces")?;
    let method = Utilization {
        low,
        high,
        deviation: args.use_deviation_thresholds,
        more_than: args.number_of_nodes,
        most_per_node: args.eviction_limits.node,
    };
    Ok((scope, Method::LowNodeUtilization(method)))
}

fn high(at: At<'_>) -> Result<(Scope, Method), FieldError> {
    let args: arguments::HighUtilization = read(at)?;
    let thresholds = thresholds(at, "thresholds", &args.thresholds)?;
    if let Some(other) = args.eviction_modes.iter().find(|mode| *mode != "OnlyThresholdingResources") {
        return refuse(at, "evictionModes", format!("{other:?} is not OnlyThresholdingResources"));
    }
    let only_thresholding = !args.eviction_modes.is_empty();
    let scope = scope(at, args.evictable_namespaces, None, "evictableNamespaces")?;
    Ok((scope, Method::HighNodeUtilization { thresholds, only_thresholding }))
}

fn thresholds(at: At<'_>, name: &str, percent: &BTreeMap<String, f64>) -> Result<Thresholds, FieldError> {
    if percent.is_empty() {
        return refuse(at, name, "is missing; give a percentage per resource, such as cpu: 20");
    }
    if let Some((resource, _)) = percent.iter().find(|(_, share)| !(0.0..=100.0).contains(*share)) {
        return refuse(at, &format!("{name}.{resource}"), "is not a percentage from 0 to 100");
    }
    Ok(percent.iter().map(|(resource, share)| (resource.clone(), (share * PERCENT as f64).round() as i64)).collect())
}

fn taint_name(text: &str) -> TaintName {
    match text.split_once('=') {
        Some((key, value)) => TaintName { key: key.to_owned(), value: Some(value.to_owned()) },
        None => TaintName { key: text.to_owned(), value: None },
    }
}

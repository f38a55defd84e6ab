//! From the policy file to methods.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::de::DeserializeOwned;
use serde_json::Value;
use stowage_model::rebalancing::{Evictor, Rebalancing, Step};
use stowage_model::{Code, Operator, Requirement, Requirements};

use super::methods::method;
use super::{DeschedulerPolicy, Profile, arguments};
use crate::duration;
use crate::error::{FieldError, ObjectError};
use crate::lower::topology::label_selector;

const EVICTOR: &str = "DefaultEvictor";
/// Each method, and whether it comes after all that only deschedule.
const METHODS: [(&str, bool); 10] = [
    ("RemovePodsViolatingNodeTaints", false),
    ("RemovePodsViolatingNodeAffinity", false),
    ("RemovePodsViolatingInterPodAntiAffinity", false),
    ("RemovePodsHavingTooManyRestarts", false),
    ("PodLifeTime", false),
    ("RemoveFailedPods", false),
    ("RemoveDuplicates", true),
    ("RemovePodsViolatingTopologySpreadConstraint", true),
    ("LowNodeUtilization", true),
    ("HighNodeUtilization", true),
];

impl DeschedulerPolicy {
    /// The methods that it asks for, in the order in which they are used.
    pub fn rebalancing(&self) -> Result<Rebalancing, ObjectError> {
        self.lower().map_err(|error| error.of("DeschedulerPolicy"))
    }

    fn lower(&self) -> Result<Rebalancing, FieldError> {
        if self.api_version != "descheduler/v1alpha2" {
            let message = format!("{:?} is not read; write the policy as descheduler/v1alpha2", self.api_version);
            return Err(FieldError::new(Code::InObject, "apiVersion", message));
        }
        let mut rebalancing = Rebalancing {
            nodes: self.node_selector.as_deref().map_or_else(|| Ok(Requirements::new()), text_selector)?,
            most_per_node: self.max_no_of_pods_to_evict_per_node,
            most_per_namespace: self.max_no_of_pods_to_evict_per_namespace,
            most: self.max_no_of_pods_to_evict_total,
            grace_seconds: self.grace_period_seconds,
            ..Rebalancing::default()
        };
        let mut steps: Vec<(bool, Step)> = Vec::new();
        for (index, profile) in self.profiles.iter().enumerate() {
            let own = profile_steps(profile).map_err(|error| error.under(&format!("profiles[{index}]")))?;
            steps.extend(own);
        }
        // Stable: within both groups the file's order holds.
        steps.sort_by_key(|(balances, _)| *balances);
        rebalancing.steps = steps.into_iter().map(|(_, step)| step).collect();
        rebalancing.notes = notes(&rebalancing.steps);
        Ok(rebalancing)
    }
}

/// What works against consolidation.
fn notes(steps: &[Step]) -> Vec<String> {
    let has = |name: &str| steps.iter().any(|step| step.method.name() == name);
    let low = has("LowNodeUtilization");
    let notes = [
        (
            low && has("HighNodeUtilization"),
            "LowNodeUtilization and HighNodeUtilization undo each other; keep one of them",
        ),
        (
            low,
            "LowNodeUtilization spreads what consolidation packs; keep its thresholds far apart, or pools at consolidationPolicy WhenEmpty",
        ),
        (
            has("HighNodeUtilization"),
            "HighNodeUtilization empties nodes without looking at prices, which consolidation does with them",
        ),
    ];
    notes.into_iter().filter(|(is, _)| *is).map(|(_, note)| note.to_owned()).collect()
}

fn profile_steps(profile: &Profile) -> Result<Vec<(bool, Step)>, FieldError> {
    let plugins = &profile.plugins;
    for (name, set) in [
        ("presort", &plugins.presort),
        ("sort", &plugins.sort),
        ("filter", &plugins.filter),
        ("preEvictionFilter", &plugins.pre_eviction_filter),
    ] {
        if let Some(other) = set.enabled.iter().find(|plugin| *plugin != EVICTOR) {
            let message = format!("{other:?} is not known; only {EVICTOR} decides which pods may go");
            return Err(FieldError::new(Code::InObject, format!("plugins.{name}.enabled"), message));
        }
    }
    let configured = profile.plugin_config.iter().enumerate();
    let mut arguments: BTreeMap<&str, (String, &Value)> = BTreeMap::new();
    for (index, config) in configured {
        let at = format!("pluginConfig[{index}]");
        if config.name != EVICTOR && !METHODS.iter().any(|(name, _)| *name == config.name) {
            return Err(unknown(&format!("{at}.name"), &config.name));
        }
        if arguments.insert(&config.name, (format!("{at}.args"), &config.args)).is_some() {
            let message = format!("{} is configured twice; keep one of the two", config.name);
            return Err(FieldError::new(Code::InObject, format!("{at}.name"), message));
        }
    }
    let evictor = evictor(arguments.get(EVICTOR))?;
    let mut steps = Vec::new();
    for (point, balances, set) in [("deschedule", false, &plugins.deschedule), ("balance", true, &plugins.balance)] {
        for (index, name) in set.enabled.iter().enumerate() {
            let at = format!("plugins.{point}.enabled[{index}]");
            match METHODS.iter().find(|(known, _)| known == name) {
                None => return Err(unknown(&at, name)),
                Some((_, is)) if *is != balances => {
                    let message = format!("{name} belongs under {}", if *is { "balance" } else { "deschedule" });
                    return Err(FieldError::new(Code::InObject, at, message));
                }
                Some(_) if set.disabled.iter().any(|off| off == name || off == "*") => {}
                Some(_) => {
                    let (scope, method) = method(name, arguments.get(name.as_str()))?;
                    let step = Step { profile: profile.name.clone(), evictor: evictor.clone(), scope, method };
                    steps.push((balances, step));
                }
            }
        }
    }
    Ok(steps)
}

fn unknown(at: &str, name: &str) -> FieldError {
    let known: Vec<&str> = METHODS.iter().map(|(name, _)| *name).collect();
    FieldError::new(Code::InObject, at, format!("{name:?} is not known; known are {}", known.join(", ")))
}

pub(super) type At<'a> = Option<&'a (String, &'a Value)>;

pub(super) fn read<T: DeserializeOwned + Default>(at: At<'_>) -> Result<T, FieldError> {
    let Some((field, value)) = at.filter(|(_, value)| !value.is_null()) else { return Ok(T::default()) };
    serde_path_to_error::deserialize((*value).clone()).map_err(|error| {
        let path = error.path().to_string();
        let inner = if path == "." { field.clone() } else { format!("{field}.{path}") };
        FieldError::new(Code::InObject, inner, error.into_inner().to_string())
    })
}

pub(super) fn field(at: At<'_>, name: &str) -> String {
    at.map_or_else(|| name.to_owned(), |(field, _)| format!("{field}.{name}"))
}

pub(super) fn refuse<T>(at: At<'_>, name: &str, message: impl Into<String>) -> Result<T, FieldError> {
    Err(FieldError::new(Code::InObject, field(at, name), message))
}

fn evictor(at: At<'_>) -> Result<Evictor, FieldError> {
    let args: arguments::Evictor = read(at)?;
    let protections = &args.pod_protections;
    let known = |list: &BTreeSet<String>, all: &[&str], name: &str| match list.iter().find(|p| !all.contains(&&***p)) {
        None => Ok(()),
        Some(other) => {
            refuse(at, &format!("podProtections.{name}"), format!("{other:?} is none of {}", all.join(", ")))
        }
    };
    known(
        &protections.default_disabled,
        &["PodsWithLocalStorage", "SystemCriticalPods", "FailedBarePods"],
        "defaultDisabled",
    )?;
    known(&protections.extra_enabled, &["PodsWithPVC", "PodsWithoutPDB", "PodsWithResourceClaims"], "extraEnabled")?;
    let off = |name: &str| protections.default_disabled.contains(name);
    let on = |name: &str| protections.extra_enabled.contains(name);
    let threshold = args.priority_threshold.clone().unwrap_or_default();
    let priority_below = match (threshold.value, threshold.name.as_deref()) {
        (value, None) => value,
        (None, Some("system-cluster-critical")) => Some(2_000_000_000),
        (None, Some("system-node-critical")) => Some(2_000_001_000),
        _ => return refuse(at, "priorityThreshold", "write the class's priority as value"),
    };
    let heeds_preference = match args.no_eviction_policy.as_deref() {
        None | Some("Preferred") => false,
        Some("Mandatory") => true,
        Some(other) => return refuse(at, "noEvictionPolicy", format!("{other:?} is neither Preferred nor Mandatory")),
    };
    let min_age = match args.min_pod_age.as_deref().map(duration::span) {
        None => 0,
        Some(Some(span)) => span.as_secs(),
        Some(None) => return refuse(at, "minPodAge", "is not a duration such as 10m"),
    };
    let selector = |selector: &Option<LabelSelector>, name: &str| {
        selector.as_ref().map(|selector| label_selector(selector, &field(at, name))).transpose()
    };
    Ok(Evictor {
        local_storage: args.evict_local_storage_pods || off("PodsWithLocalStorage"),
        system_critical: args.evict_system_critical_pods || off("SystemCriticalPods"),
        failed_bare: args.evict_failed_bare_pods || off("FailedBarePods"),
        spares_volume_claims: args.ignore_pvc_pods || on("PodsWithPVC"),
        spares_device_claims: on("PodsWithResourceClaims"),
        spares_unbudgeted: args.ignore_pods_without_pdb || on("PodsWithoutPDB"),
        heeds_preference,
        priority_below,
        labels: selector(&args.label_selector, "labelSelector")?.unwrap_or_default(),
        namespace_labels: selector(&args.namespace_label_selector, "namespaceLabelSelector")?,
        namespaces: BTreeSet::new(),
        min_replicas: args.min_replicas,
        min_age,
    })
}

/// `a=b,c!=d,e,!f`; sets are not read.
fn text_selector(text: &str) -> Result<Requirements, FieldError> {
    let mut all = Requirements::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let of = |operator, values: Vec<String>| Requirement::new(operator, values);
        let (key, requirement) = match (part.split_once("!="), part.split_once("=")) {
            (Some((key, value)), _) => (key, of(Operator::NotIn, vec![value.trim().to_owned()])),
            (None, Some((key, value))) => {
                (key, of(Operator::In, vec![value.trim_start_matches('=').trim().to_owned()]))
            }
            (None, None) => match part.strip_prefix('!') {
                Some(key) => (key, of(Operator::DoesNotExist, Vec::new())),
                None => (part, of(Operator::Exists, Vec::new())),
            },
        };
        match requirement {
            Some(requirement) if !key.contains([' ', '(']) => all.add(key.trim(), requirement),
            _ => {
                let message = format!("{part:?} is not read; write it as key=value, key!=value, key or !key");
                return Err(FieldError::new(Code::InObject, "nodeSelector", message));
            }
        }
    }
    Ok(all)
}

//! Spread constraints, pod affinity and preferences, as far as the pod alone
//! tells: which pods are meant is known once all namespaces and labels are.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{NodeAffinity, PodAffinityTerm, PodSpec, TopologySpreadConstraint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use stowage_model::{Code, Group, HostPort, Operator, PreferredNode, Requirement, Requirements, labels};

use super::selector;
use crate::error::FieldError;

/// Pods that a rule means, before namespaces are looked up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Selection {
    key: String,
    namespaces: Vec<String>,
    namespace_selector: Option<Requirements>,
    /// Absent: no pod.
    selector: Option<Requirements>,
    /// Labels whose value must be, or must not be, that of the pod itself.
    same: Vec<String>,
    other: Vec<String>,
}

/// A spread constraint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spread {
    pub(crate) selection: Selection,
    /// The constraint, but for its group.
    pub(crate) rule: stowage_model::Spread,
}

/// A term of pod affinity or anti-affinity.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Term {
    pub(crate) selection: Selection,
    pub(crate) weight: Option<i32>,
}

/// What relates a pod to others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Relations {
    pub(crate) spread: Vec<Spread>,
    pub(crate) affinity: Vec<Term>,
    pub(crate) anti_affinity: Vec<Term>,
}

impl Relations {
    /// Every selection of pods.
    pub(crate) fn selections(&self) -> impl Iterator<Item = &Selection> {
        let terms = self.affinity.iter().chain(&self.anti_affinity).map(|term| &term.selection);
        self.spread.iter().map(|spread| &spread.selection).chain(terms)
    }
}

impl Selection {
    /// The group, for a pod of `namespace` with `own` labels; `None` where no pod
    /// can be meant. `namespaces` are all that are known, with their labels.
    pub(crate) fn group(
        &self,
        namespace: &str,
        own: &BTreeMap<String, String>,
        namespaces: &BTreeMap<String, BTreeMap<String, String>>,
    ) -> Option<Group> {
        let mut selector = self.selector.clone()?;
        for key in &self.same {
            if let Some(value) = own.get(key) {
                selector.add(key, Requirement::exactly(value));
            }
        }
        for key in &self.other {
            if let Some(value) = own.get(key) {
                selector.add(key, Requirement::new(Operator::NotIn, [value.as_str()])?);
            }
        }
        let mut among: BTreeSet<String> = self.namespaces.iter().cloned().collect();
        match &self.namespace_selector {
            Some(all) if all.is_empty() => {
                return Some(Group { key: self.key.clone(), namespaces: None, selector });
            }
            Some(chosen) => among.extend(
                namespaces
                    .iter()
                    .filter(|(_, own)| chosen.admit(|key| own.get(key).map(String::as_str)))
                    .map(|(name, _)| name.clone()),
            ),
            None if among.is_empty() => {
                among.insert(namespace.to_owned());
            }
            None => {}
        }
        Some(Group { key: self.key.clone(), namespaces: Some(among), selector })
    }
}

/// Lowers all relations of a pod.
pub(crate) fn relations(spec: &PodSpec) -> Result<Relations, FieldError> {
    let mut relations = Relations {
        spread: constraints(
            spec.topology_spread_constraints.as_deref().unwrap_or_default(),
            "spec.topologySpreadConstraints",
        )?,
        ..Relations::default()
    };
    let Some(affinity) = &spec.affinity else { return Ok(relations) };
    if let Some(near) = &affinity.pod_affinity {
        const FIELD: &str = "spec.affinity.podAffinity";
        let preferred = near.preferred_during_scheduling_ignored_during_execution.iter().flatten();
        let preferred = preferred.map(|p| (&p.pod_affinity_term, Some(p.weight)));
        let required = near.required_during_scheduling_ignored_during_execution.iter().flatten().map(|t| (t, None));
        relations.affinity = terms(required.chain(preferred), FIELD)?;
    }
    if let Some(apart) = &affinity.pod_anti_affinity {
        const FIELD: &str = "spec.affinity.podAntiAffinity";
        let preferred = apart.preferred_during_scheduling_ignored_during_execution.iter().flatten();
        let preferred = preferred.map(|p| (&p.pod_affinity_term, Some(p.weight)));
        let required = apart.required_during_scheduling_ignored_during_execution.iter().flatten().map(|t| (t, None));
        relations.anti_affinity = terms(required.chain(preferred), FIELD)?;
    }
    Ok(relations)
}

fn terms<'a>(
    all: impl Iterator<Item = (&'a PodAffinityTerm, Option<i32>)>,
    field: &str,
) -> Result<Vec<Term>, FieldError> {
    all.map(|(term, weight)| {
        let namespace_selector =
            term.namespace_selector.as_ref().map(|s| label_selector(s, &format!("{field}.namespaceSelector")));
        let selection = Selection {
            key: topology_key(&term.topology_key, field)?,
            namespaces: term.namespaces.clone().unwrap_or_default(),
            namespace_selector: namespace_selector.transpose()?,
            selector: selector_of(term.label_selector.as_ref(), field)?,
            same: term.match_label_keys.clone().unwrap_or_default(),
            other: term.mismatch_label_keys.clone().unwrap_or_default(),
        };
        Ok(Term { selection, weight })
    })
    .collect()
}

fn topology_key(key: &str, field: &str) -> Result<String, FieldError> {
    if key.is_empty() {
        let message = "is empty; name a node label such as topology.kubernetes.io/zone";
        return Err(FieldError::new(Code::InObject, format!("{field}.topologyKey"), message));
    }
    Ok(labels::normalized(key).to_owned())
}

impl Spread {
    /// The same, counting the pods that `selector` picks.
    pub(crate) fn selecting(mut self, selector: &Requirements) -> Self {
        self.selection.selector = Some(selector.clone());
        self
    }
}

/// Lowers spread constraints; `list` names their field in errors.
pub(crate) fn constraints(constraints: &[TopologySpreadConstraint], list: &str) -> Result<Vec<Spread>, FieldError> {
    constraints
        .iter()
        .enumerate()
        .map(|(index, constraint)| {
            let field = format!("{list}[{index}]");
            let refuse = |name: &str, message: &str| {
                Err(FieldError::new(Code::InObject, format!("{field}.{name}"), message.to_owned()))
            };
            let Ok(max_skew @ 1..) = u32::try_from(constraint.max_skew) else {
                return refuse("maxSkew", "must be at least 1");
            };
            let Ok(min_domains @ 1..) = u32::try_from(constraint.min_domains.unwrap_or(1)) else {
                return refuse("minDomains", "must be at least 1");
            };
            let hard = match constraint.when_unsatisfiable.as_str() {
                "DoNotSchedule" => true,
                "ScheduleAnyway" => false,
                _ => return refuse("whenUnsatisfiable", "must be DoNotSchedule or ScheduleAnyway"),
            };
            let rule = stowage_model::Spread {
                group: 0,
                max_skew,
                min_domains,
                honor_affinity: constraint.node_affinity_policy.as_deref() != Some("Ignore"),
                honor_taints: constraint.node_taints_policy.as_deref() == Some("Honor"),
                hard,
            };
            let selection = Selection {
                key: topology_key(&constraint.topology_key, &field)?,
                selector: selector_of(constraint.label_selector.as_ref(), &field)?,
                same: constraint.match_label_keys.clone().unwrap_or_default(),
                ..Selection::default()
            };
            Ok(Spread { selection, rule })
        })
        .collect()
}

fn selector_of(selector: Option<&LabelSelector>, field: &str) -> Result<Option<Requirements>, FieldError> {
    selector.map(|s| label_selector(s, &format!("{field}.labelSelector"))).transpose()
}

/// A label selector; an empty one picks everything.
pub(crate) fn label_selector(selector: &LabelSelector, field: &str) -> Result<Requirements, FieldError> {
    let mut requirements = Requirements::new();
    for (key, value) in selector.match_labels.iter().flatten() {
        requirements.add(key, Requirement::exactly(value));
    }
    for (index, e) in selector.match_expressions.iter().flatten().enumerate() {
        let at = format!("{field}.matchExpressions[{index}]");
        if !matches!(e.operator.as_str(), "In" | "NotIn" | "Exists" | "DoesNotExist") {
            let message = format!("operator {:?} is none of In, NotIn, Exists, DoesNotExist", e.operator);
            return Err(FieldError::new(Code::InObject, at, message));
        }
        let values = e.values.clone().unwrap_or_default();
        requirements.add(&e.key, selector::requirement(&e.operator, &values, &at, false)?);
    }
    Ok(requirements)
}

/// Node affinity that is only preferred, heaviest first.
pub(crate) fn preferred(affinity: Option<&NodeAffinity>) -> Result<Vec<PreferredNode>, FieldError> {
    const FIELD: &str = "spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution";
    let list = affinity.and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_ref());
    let mut preferred: Vec<PreferredNode> = list
        .into_iter()
        .flatten()
        .enumerate()
        .map(|(index, p)| {
            let term = selector::term(&p.preference, &format!("{FIELD}[{index}].preference"))?;
            Ok(PreferredNode { weight: p.weight, term })
        })
        .collect::<Result<_, _>>()?;
    preferred.retain(|preferred| !preferred.term.0.is_empty());
    preferred.sort_by(|a, b| b.weight.cmp(&a.weight).then_with(|| a.term.cmp(&b.term)));
    Ok(preferred)
}

/// Ports of the node that the pod takes.
pub(crate) fn ports(spec: &PodSpec) -> Vec<HostPort> {
    let sidecars = spec.init_containers.iter().flatten().filter(|c| c.restart_policy.as_deref() == Some("Always"));
    let declared = spec.containers.iter().chain(sidecars).flat_map(|c| c.ports.iter().flatten());
    let mut ports: Vec<HostPort> = declared
        .filter_map(|port| {
            let number = match port.host_port {
                Some(number) => number,
                None if spec.host_network == Some(true) => port.container_port,
                None => return None,
            };
            let everywhere = |ip: &String| ip.is_empty() || ip == "0.0.0.0" || ip == "::";
            let ip = port.host_ip.clone().filter(|ip| !everywhere(ip)).unwrap_or_default();
            let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
            (number > 0).then_some(HostPort { port: number, protocol, ip })
        })
        .collect();
    ports.sort();
    ports.dedup();
    ports
}

//! Which pods the rules of pods mean: selections become groups, and pods learn
//! which groups count them.

use std::collections::{BTreeMap, BTreeSet};

use stowage_model::{Group, PodTerm, Spread, Topology};

use super::Cluster;
use super::default_spread::DefaultSpread;
use super::expand::Expanded;
use crate::error::ObjectError;
use crate::lower::topology::{Relations, Selection, Term};

type Labels = BTreeMap<String, String>;

/// Every group that some pod's rule names, in canonical order.
pub(super) struct Groups {
    all: Vec<Group>,
    namespaces: BTreeMap<String, Labels>,
    defaults: DefaultSpread,
}

impl Groups {
    pub(super) fn gather(cluster: &Cluster, expanded: &[Expanded]) -> Result<Self, ObjectError> {
        let defaults = DefaultSpread::gather(cluster)?;
        let namespaces = namespaces(cluster, expanded);
        let mut found: BTreeSet<Group> = BTreeSet::new();
        let mut add = |relations: &Relations, namespace: &str, labels: &Labels| {
            found.extend(relations.selections().filter_map(|s| s.group(namespace, labels, &namespaces)));
            if relations.spread.is_empty() {
                let defaults = defaults.of(namespace, labels);
                found.extend(defaults.iter().filter_map(|s| s.selection.group(namespace, labels, &namespaces)));
            }
        };
        let kinds: BTreeSet<(u32, u32, u32)> =
            cluster.pods.iter().map(|pod| (pod.shape, pod.namespace, pod.labels)).collect();
        for (shape, namespace, labels) in kinds {
            let relations = &cluster.shapes.get(shape).relations;
            add(relations, cluster.names.get(namespace), cluster.label_sets.get(labels));
        }
        for pod in expanded {
            add(&pod.lowered.relations, &pod.namespace, &pod.labels);
        }
        Ok(Self { all: found.into_iter().collect(), namespaces, defaults })
    }

    pub(super) fn into_list(self) -> Vec<Group> {
        self.all
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Groups that count pods of `namespace` with `labels`.
    pub(super) fn members(&self, namespace: &str, labels: &Labels) -> Vec<u32> {
        (0_u32..).zip(&self.all).filter(|(_, group)| group.counts(namespace, labels)).map(|(index, _)| index).collect()
    }

    /// What relates a pod to others. A rule that can mean no pod is met by
    /// nobody: an affinity to it by none, spread and anti-affinity by all.
    pub(super) fn topology(&self, relations: &Relations, namespace: &str, labels: &Labels) -> Topology {
        let index = |selection: &Selection| {
            let group = selection.group(namespace, labels, &self.namespaces)?;
            self.all.binary_search(&group).ok().map(|index| index as u32)
        };
        let terms = |list: &[Term]| {
            let mut terms: Vec<PodTerm> = list
                .iter()
                .filter_map(|term| Some(PodTerm { group: index(&term.selection)?, weight: term.weight }))
                .collect();
            terms.sort();
            terms.dedup();
            terms
        };
        let spread = |spread: &crate::lower::topology::Spread| {
            Some(Spread { group: index(&spread.selection)?, ..spread.rule.clone() })
        };
        let defaults = if relations.spread.is_empty() { self.defaults.of(namespace, labels) } else { Vec::new() };
        let mut spread: Vec<Spread> = relations.spread.iter().chain(&defaults).filter_map(spread).collect();
        spread.sort();
        spread.dedup();
        Topology {
            member: self.members(namespace, labels),
            spread,
            affinity: terms(&relations.affinity),
            anti_affinity: terms(&relations.anti_affinity),
            shared: Vec::new(),
        }
    }

    /// Groups whose pods a running pod keeps away.
    pub(super) fn repelled(&self, relations: &Relations, namespace: &str, labels: &Labels) -> Vec<u32> {
        Topology::required(&self.topology(relations, namespace, labels).anti_affinity).collect()
    }
}

/// All namespaces that are known, with their labels; each has its name as one.
fn namespaces(cluster: &Cluster, expanded: &[Expanded]) -> BTreeMap<String, Labels> {
    let mut namespaces: BTreeMap<String, Labels> = cluster.namespaces.clone();
    let of_pods = cluster.pods.iter().map(|pod| pod.namespace).collect::<BTreeSet<u32>>();
    let named = of_pods.into_iter().map(|n| cluster.names.get(n).to_string());
    for name in named.chain(expanded.iter().map(|pod| pod.namespace.clone())) {
        namespaces.entry(name).or_default();
    }
    for (name, labels) in &mut namespaces {
        labels.insert("kubernetes.io/metadata.name".to_owned(), name.clone());
    }
    namespaces
}

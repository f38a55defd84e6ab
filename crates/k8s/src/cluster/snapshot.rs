//! From the index to a problem.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use stowage_model::{
    Code, Daemon, InstanceType, Node, NodePool, NodeTerm, PodShape, Price, Problem, Requirements, ResourceName,
    Resources, Statement, UnsupportedRule, labels,
};

use super::Cluster;
use super::attachments::{self, Attachments};
use super::intake::Builder;
use super::pods::{PodRecord, PodState};
use super::topology::Groups;
use crate::error::ObjectError;
use crate::lower;

/// Which bound pods are planned afresh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Replan {
    /// `All` where the input holds no node, else `Pending`.
    #[default]
    Auto,
    /// Only pods without a node.
    Pending,
    /// Also pods whose node is not in the input.
    All,
}

/// What the caller decides.
pub struct Settings<'a> {
    /// Which bound pods are planned afresh.
    pub replan: Replan,
    /// Pools to launch from, each with its type set.
    pub pools: Vec<NodePool>,
    /// Instance types per type set.
    pub type_sets: Vec<Vec<InstanceType>>,
    /// Nodes that static pools owe.
    pub promised: Vec<Node>,
    /// DaemonSets to assume where the input has none.
    pub default_daemons: Vec<Daemon>,
    /// Pending pods of lower priority are not planned for.
    pub expendable_below: Option<i32>,
    /// Whether workloads without their pods stand for them. In a live cluster the
    /// pods that are wanted are there.
    pub expand: bool,
    /// What an existing node costs.
    pub price_of: &'a dyn Fn(&Node) -> Option<Price>,
    /// Whether running pods on this node are planned afresh too, without being
    /// counted on it. The answer says where they are.
    pub lifted: &'a dyn Fn(&str) -> bool,
    /// Whether a pod belongs to the question, by namespace and labels.
    pub wanted: &'a dyn Fn(&str, &BTreeMap<String, String>) -> bool,
}

/// What was noticed on the way.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    /// Pods left out, by why, with an example.
    pub left_out: BTreeMap<&'static str, (usize, String)>,
    /// Pods that carry a rule which is not planned for, with an example.
    pub unsupported: BTreeMap<UnsupportedRule, (usize, String)>,
    /// Workloads that were expanded to pods, and the pods.
    pub expanded: (usize, usize),
    /// Pods on existing nodes.
    pub bound: usize,
    /// Whether bound pods without their node were planned afresh.
    pub replanned: usize,
    /// Where DaemonSets come from.
    pub daemons: &'static str,
    /// Claims without a node that do not say how large they will be.
    pub unsized_claims: Vec<String>,
}

/// A running pod that is planned afresh.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lifted {
    /// Its namespace and name.
    pub pod: (Arc<str>, Box<str>),
    /// Its node.
    pub node: String,
    /// Its place in the index.
    pub(super) record: usize,
}

/// A problem and what was noticed while stating it.
pub struct Assembled {
    /// The problem.
    pub problem: Problem,
    /// Running pods that were lifted off their nodes.
    pub lifted: Vec<Lifted>,
    /// What was noticed.
    pub notes: Notes,
}

impl Cluster {
    /// States the problem that the cluster poses.
    pub fn problem(&self, settings: Settings<'_>) -> Result<Assembled, ObjectError> {
        self.refuse_twins()?;
        let mut notes = Notes::default();
        let (daemons, source) = self.daemons(&settings)?;
        notes.daemons = source;
        let mut nodes = self.lower_nodes(&mut notes)?;
        for node in &settings.promised {
            nodes.entry(node.name.clone()).or_insert_with(|| node.clone());
        }
        let (mut expanded, workloads) = if settings.expand { self.expand()? } else { Default::default() };
        notes.expanded = (workloads, expanded.len());
        expanded.extend(self.headroom()?);
        let attachments = Attachments::gather(self, &expanded, &settings.type_sets);
        let mut builder = Builder::new(Groups::gather(self, &expanded)?, attachments);
        self.take_pods(&settings, &mut nodes, &mut builder, &mut notes)?;
        self.take_workloads(&settings, expanded, &mut builder, &mut notes)?;
        self.reserve_for_daemons(&mut nodes, &daemons);
        let shapes = builder.shapes.into_values();
        let mut type_sets = settings.type_sets;
        attachments::provide(self, &shapes, &builder.pods, &mut nodes, &mut type_sets);
        let nodes = nodes
            .into_values()
            .map(|mut node| {
                node.price = node.price.or_else(|| (settings.price_of)(&node));
                node
            })
            .collect();
        let problem = Problem::new(Statement {
            shapes,
            workloads: builder.workloads.into_values(),
            pods: builder.pods,
            nodes,
            pools: settings.pools,
            type_sets,
            daemons,
            groups: builder.groups.into_list(),
        })?;
        Ok(Assembled { problem, lifted: builder.lifted, notes })
    }

    /// Pods are too many to remember each name on arrival, so twins are found here.
    fn refuse_twins(&self) -> Result<(), ObjectError> {
        let mut seen: HashSet<(u32, &str)> = HashSet::with_capacity(self.pods.len());
        match self.pods.iter().find(|pod| !seen.insert((pod.namespace, &pod.name))) {
            None => Ok(()),
            Some(pod) => Err(ObjectError {
                code: Code::InDuplicate,
                object: format!("Pod {}", self.full_name(pod)),
                field: "metadata.name".to_owned(),
                message: "is in the input twice; remove one of the two".to_owned(),
            }),
        }
    }

    pub(super) fn full_name(&self, pod: &PodRecord) -> String {
        format!("{}/{}", self.names.get(pod.namespace), pod.name)
    }

    fn lower_nodes(&self, notes: &mut Notes) -> Result<BTreeMap<String, Node>, ObjectError> {
        let mut nodes = BTreeMap::new();
        for (name, object) in &self.nodes {
            let own = object.metadata.labels.as_ref();
            let pool = own.and_then(|l| l.get(labels::NODEPOOL)).and_then(|pool| self.pools.get(pool));
            let startup = pool.map_or(&[][..], |pool| &pool.startup_taints);
            let node = lower::node::lower(object, startup).map_err(|e| e.of(format!("Node {name}")))?;
            nodes.insert(name.clone(), node);
        }
        for (name, claim) in &self.claims {
            let joined = claim.status.as_ref().and_then(|s| s.node_name.as_ref());
            let provider = claim.status.as_ref().and_then(|s| s.provider_id.as_ref());
            let same = |node: &k8s_openapi::api::core::v1::Node| {
                let id = node.spec.as_ref().and_then(|s| s.provider_id.as_ref());
                provider.is_some() && id == provider
            };
            if joined.is_some_and(|node| self.nodes.contains_key(node)) || self.nodes.values().any(same) {
                continue;
            }
            match lower::node::lower_claim(claim).map_err(|e| e.of(format!("NodeClaim {name}")))? {
                Some(mut node) => {
                    node.name = joined.cloned().unwrap_or_else(|| name.clone());
                    nodes.insert(node.name.clone(), node);
                }
                None => notes.unsized_claims.push(name.clone()),
            }
        }
        Ok(nodes)
    }

    /// The DaemonSets, and where they come from.
    fn daemons(&self, settings: &Settings<'_>) -> Result<(Vec<Daemon>, &'static str), ObjectError> {
        if !self.daemon_sets.is_empty() {
            let all: Result<Vec<Daemon>, ObjectError> = self
                .daemon_sets
                .iter()
                .map(|set| {
                    let shape = self.lower_template(set)?.shape;
                    Ok(Daemon { name: format!("{}/{}", set.namespace, set.name), shape })
                })
                .collect();
            return Ok((all?, "from the input"));
        }
        let mut inferred: BTreeMap<String, PodShape> = BTreeMap::new();
        for pod in self.pods.iter().filter(|pod| pod.state == PodState::Daemon) {
            let name = format!("{}/{}", self.names.get(pod.namespace), self.owners.get(pod.owner).name);
            let shape = unpinned(&self.shapes.get(pod.shape).shape);
            let known = inferred.entry(name).or_insert_with(|| shape.clone());
            // Of several revisions the largest is the safe one.
            known.requests.raise_to(&shape.requests);
        }
        if inferred.is_empty() {
            return Ok((settings.default_daemons.clone(), "assumed"));
        }
        let daemons = inferred.into_iter().map(|(name, shape)| Daemon { name, shape }).collect();
        Ok((daemons, "inferred from their pods"))
    }

    /// Keeps room on existing nodes for DaemonSet pods that have not come yet.
    fn reserve_for_daemons(&self, nodes: &mut BTreeMap<String, Node>, daemons: &[Daemon]) {
        let mut there: HashSet<(String, String)> = HashSet::new();
        for pod in self.pods.iter().filter(|pod| pod.state == PodState::Daemon) {
            if let Some(node) = pod.node {
                let name = format!("{}/{}", self.names.get(pod.namespace), self.owners.get(pod.owner).name);
                there.insert((self.names.get(node).to_string(), name));
            }
        }
        for node in nodes.values_mut() {
            let mut reserved = Resources::new();
            for daemon in daemons {
                let missing = !there.contains(&(node.name.clone(), daemon.name.clone()));
                if missing && daemon.runs_on(|key| node.label(key), &node.taints) {
                    reserved.add(&daemon.shape.requests);
                }
            }
            node.reserved = reserved;
        }
    }
}

/// A DaemonSet pod's shape without the pin to its own node.
fn unpinned(shape: &PodShape) -> PodShape {
    let mut shape = shape.clone();
    shape.requests.set(ResourceName::PODS, 1);
    if let Some(terms) = &mut shape.affinity {
        for term in terms.iter_mut() {
            let mut rest = Requirements::new();
            for (key, requirement) in term.0.iter().filter(|(key, _)| *key != labels::NODE_NAME_FIELD) {
                rest.add(key, requirement.clone());
            }
            *term = NodeTerm(rest);
        }
        if terms.iter().any(|term| term.0.is_empty()) {
            shape.affinity = None;
        }
    }
    shape
}

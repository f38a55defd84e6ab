//! From the index to a problem.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use stowage_model::{
    Code, Daemon, InstanceType, Node, NodePool, NodeTerm, Pod, PodShape, Price, Problem, Requirements, ResourceName,
    Resources, UnsupportedRule, Workload, labels,
};

use super::Cluster;
use super::pods::{PodRecord, PodState};
use crate::error::ObjectError;
use crate::intern::Interner;
use crate::lower;
use crate::lower::pod::LoweredPod;
use crate::lower::volumes::Reach;

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
    /// DaemonSets to assume where the input has none.
    pub default_daemons: Vec<Daemon>,
    /// What an existing node costs.
    pub price_of: &'a dyn Fn(&Node) -> Option<Price>,
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
    /// Kinds that are read but not planned for, and how many.
    pub unused_kinds: BTreeMap<&'static str, usize>,
    /// Static NodePools, which launch nothing for pods.
    pub static_pools: Vec<String>,
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

/// A problem and what was noticed while stating it.
pub struct Assembled {
    /// The problem.
    pub problem: Problem,
    /// What was noticed.
    pub notes: Notes,
}

impl Cluster {
    /// States the problem that the cluster poses.
    pub fn problem(&self, settings: Settings<'_>) -> Result<Assembled, ObjectError> {
        self.refuse_twins()?;
        let mut notes = Notes {
            unused_kinds: self.unused.clone(),
            static_pools: self.static_pools.iter().cloned().collect(),
            ..Notes::default()
        };
        let (daemons, source) = self.daemons(&settings)?;
        notes.daemons = source;
        let mut nodes = self.lower_nodes(&mut notes)?;
        let mut builder = Builder::default();
        self.take_pods(&settings, &mut nodes, &mut builder, &mut notes)?;
        self.take_workloads(&settings, &mut builder, &mut notes)?;
        self.reserve_for_daemons(&mut nodes, &daemons);
        let nodes = nodes
            .into_values()
            .map(|mut node| {
                node.price = (settings.price_of)(&node);
                node
            })
            .collect();
        let problem = Problem::new(
            builder.shapes.into_values(),
            builder.workloads.into_values(),
            builder.pods,
            nodes,
            settings.pools,
            settings.type_sets,
            daemons,
        )?;
        Ok(Assembled { problem, notes })
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

    fn full_name(&self, pod: &PodRecord) -> String {
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

    fn take_pods(
        &self,
        settings: &Settings<'_>,
        nodes: &mut BTreeMap<String, Node>,
        builder: &mut Builder,
        notes: &mut Notes,
    ) -> Result<(), ObjectError> {
        let replan_all = match settings.replan {
            Replan::All => true,
            Replan::Pending => false,
            Replan::Auto => self.nodes.is_empty() && self.claims.is_empty(),
        };
        for pod in &self.pods {
            let node = pod.node.and_then(|node| nodes.get_mut(&**self.names.get(node)));
            let leave_out = |notes: &mut Notes, why: &'static str| {
                let entry = notes.left_out.entry(why).or_insert_with(|| (0, self.full_name(pod)));
                entry.0 += 1;
            };
            match (pod.state, node) {
                (PodState::Bound | PodState::Leaving | PodState::Daemon | PodState::Mirror, Some(node)) => {
                    node.used.add(&self.shapes.get(pod.shape).shape.requests);
                    node.pods += 1;
                    notes.bound += 1;
                }
                (PodState::Daemon | PodState::Mirror | PodState::Leaving | PodState::Finished, None) => {}
                (PodState::Gated, _) => leave_out(notes, "has scheduling gates"),
                (PodState::OtherScheduler, _) => leave_out(notes, "is for another scheduler"),
                (PodState::Bound, None) if !replan_all => leave_out(notes, "runs on a node that is not in the input"),
                (PodState::Finished, Some(_)) => {}
                (PodState::Bound | PodState::Pending, _) => {
                    let namespace = self.names.get(pod.namespace);
                    if !(settings.wanted)(namespace, self.label_sets.get(pod.labels)) {
                        continue;
                    }
                    notes.replanned += usize::from(pod.state == PodState::Bound);
                    let owner = self.owners.get(pod.owner);
                    let workload = workload(namespace, &owner.kind, &owner.name);
                    let lowered = Lowered::Indexed(pod.shape);
                    self.plan(builder, notes, namespace.clone(), pod.name.clone(), workload, lowered)?;
                }
            }
        }
        Ok(())
    }

    fn take_workloads(
        &self,
        settings: &Settings<'_>,
        builder: &mut Builder,
        notes: &mut Notes,
    ) -> Result<(), ObjectError> {
        let (expanded, workloads) = self.expand()?;
        notes.expanded = (workloads, expanded.len());
        let empty = BTreeMap::new();
        for pod in expanded {
            if !(settings.wanted)(&pod.namespace, &empty) {
                continue;
            }
            let namespace: Arc<str> = pod.namespace.as_str().into();
            let workload =
                Workload { namespace: namespace.clone(), kind: pod.kind.into(), name: pod.workload.as_str().into() };
            self.plan(builder, notes, namespace, pod.name.into(), workload, Lowered::Own(pod.lowered))?;
        }
        Ok(())
    }

    /// Adds a pod to be planned.
    fn plan(
        &self,
        builder: &mut Builder,
        notes: &mut Notes,
        namespace: Arc<str>,
        name: Box<str>,
        workload: Workload,
        lowered: Lowered,
    ) -> Result<(), ObjectError> {
        let shape = match lowered {
            Lowered::Indexed(index) => {
                // Claims are named per namespace; without any, one answer serves all.
                let data = self.shapes.get(index);
                match builder.known.get(&index) {
                    Some(shape) if data.claims.is_empty() => *shape,
                    _ => {
                        let shape = builder.shapes.index(self.with_volumes(data, &namespace, &name)?);
                        builder.known.insert(index, shape);
                        shape
                    }
                }
            }
            Lowered::Own(data) => builder.shapes.index(self.with_volumes(&data, &namespace, &name)?),
        };
        for rule in &builder.shapes.get(shape).unsupported {
            let entry = notes.unsupported.entry(*rule).or_insert_with(|| (0, format!("{namespace}/{name}")));
            entry.0 += 1;
        }
        let workload = builder.workloads.index(workload);
        builder.pods.push(Pod { namespace, name, shape, workload });
        Ok(())
    }

    /// The shape with what the pod's claims say about nodes.
    fn with_volumes(&self, lowered: &LoweredPod, namespace: &str, pod: &str) -> Result<PodShape, ObjectError> {
        let mut shape = lowered.shape.clone();
        for claim in &lowered.claims {
            let reach = self
                .storage
                .reach(namespace, claim)
                .map_err(|e| e.of(format!("volume of claim {namespace}/{claim} of Pod {namespace}/{pod}")))?;
            match reach {
                Reach::Terms(terms) => shape.volumes.push(terms),
                Reach::Anywhere => {}
                Reach::Unknown => shape.unsupported.push(UnsupportedRule::UnboundVolume),
            }
        }
        shape.volumes.sort();
        shape.volumes.dedup();
        shape.unsupported.sort();
        shape.unsupported.dedup();
        Ok(shape)
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

/// A lowered pod, kept in the index or made just now.
enum Lowered {
    Indexed(u32),
    Own(LoweredPod),
}

#[derive(Default)]
struct Builder {
    shapes: Interner<PodShape>,
    workloads: Interner<Workload>,
    pods: Vec<Pod>,
    /// Shape by index of the lowered pod.
    known: HashMap<u32, u32>,
}

/// The workload for the cost report: a ReplicaSet's hash suffix names a revision,
/// so its Deployment's name is shown.
fn workload(namespace: &Arc<str>, kind: &str, name: &str) -> Workload {
    let deployment = name.rsplit_once('-').filter(|(_, hash)| {
        (5..=10).contains(&hash.len()) && hash.bytes().all(|b| b"bcdfghjklmnpqrstvwxz2456789".contains(&b))
    });
    let (kind, name) = match (kind, deployment) {
        ("ReplicaSet", Some((name, _))) => ("Deployment", name),
        ("", _) => ("Pod", ""),
        other => (other.0, name),
    };
    Workload { namespace: namespace.clone(), kind: kind.into(), name: name.into() }
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

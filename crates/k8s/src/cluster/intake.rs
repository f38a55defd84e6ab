//! Which pods are planned, which occupy a node, and what shape each has.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use stowage_model::{Node, Pod, PodShape, UnsupportedRule, Workload};

use super::Cluster;
use super::attachments::Attachments;
use super::buffers::BUFFER;
use super::expand::Expanded;
use super::pods::{PodRecord, PodState};
use super::snapshot::{Lifted, Notes, Replan, Settings};
use super::topology::Groups;
use crate::error::ObjectError;
use crate::intern::Interner;
use crate::lower::pod::LoweredPod;
use crate::lower::volumes::Mount;

const EXPENDABLE: &str = "has a priority below the cut-off";

impl Cluster {
    pub(super) fn take_pods(
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
        for (record, pod) in self.pods.iter().enumerate() {
            let node = pod.node.and_then(|node| nodes.get_mut(&**self.names.get(node)));
            let leave_out = |notes: &mut Notes, why: &'static str| {
                let entry = notes.left_out.entry(why).or_insert_with(|| (0, self.full_name(pod)));
                entry.0 += 1;
            };
            match (pod.state, node) {
                (PodState::Bound, Some(node)) if (settings.lifted)(&node.name) => {
                    let namespace = self.names.get(pod.namespace).clone();
                    let owner = self.owners.get(pod.owner);
                    let workload = workload(&namespace, &owner.kind, &owner.name);
                    let (key, node) = ((namespace.clone(), pod.name.clone()), node.name.clone());
                    builder.lifted.push(Lifted { pod: key, node, record });
                    let lowered = Lowered::Indexed(pod.shape, pod.labels);
                    self.plan(builder, notes, namespace, pod.name.clone(), workload, lowered)?;
                }
                (PodState::Bound | PodState::Leaving | PodState::Daemon | PodState::Mirror, Some(node)) => {
                    self.occupy(node, pod, builder)?;
                    notes.bound += 1;
                }
                (PodState::Daemon | PodState::Mirror | PodState::Leaving | PodState::Finished, None) => {}
                (PodState::Nominated, Some(node)) => {
                    self.occupy(node, pod, builder)?;
                    leave_out(notes, "is nominated to a node that makes room for it");
                }
                (PodState::Gated, _) => leave_out(notes, "has scheduling gates"),
                (PodState::OtherScheduler, _) => leave_out(notes, "is for another scheduler"),
                (PodState::Bound, None) if !replan_all => leave_out(notes, "runs on a node that is not in the input"),
                (PodState::Finished, Some(_)) => {}
                (PodState::Pending | PodState::Nominated, _)
                    if settings
                        .expendable_below
                        .is_some_and(|least| self.shapes.get(pod.shape).shape.priority < least) =>
                {
                    leave_out(notes, EXPENDABLE);
                }
                (PodState::Bound | PodState::Pending | PodState::Nominated, _) => {
                    let namespace = self.names.get(pod.namespace);
                    if !(settings.wanted)(namespace, self.label_sets.get(pod.labels)) {
                        continue;
                    }
                    notes.replanned += usize::from(pod.state == PodState::Bound);
                    let owner = self.owners.get(pod.owner);
                    let workload = workload(namespace, &owner.kind, &owner.name);
                    let lowered = Lowered::Indexed(pod.shape, pod.labels);
                    self.plan(builder, notes, namespace.clone(), pod.name.clone(), workload, lowered)?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn take_workloads(
        &self,
        settings: &Settings<'_>,
        expanded: Vec<Expanded>,
        builder: &mut Builder,
        notes: &mut Notes,
    ) -> Result<(), ObjectError> {
        let empty = BTreeMap::new();
        for pod in expanded {
            if !(settings.wanted)(&pod.namespace, &empty) {
                continue;
            }
            // Headroom is wanted whatever its priority.
            if pod.kind != BUFFER && settings.expendable_below.is_some_and(|least| pod.lowered.shape.priority < least) {
                let example = format!("{}/{}", pod.namespace, pod.name);
                notes.left_out.entry(EXPENDABLE).or_insert((0, example)).0 += 1;
                continue;
            }
            let namespace: Arc<str> = pod.namespace.as_str().into();
            let workload =
                Workload { namespace: namespace.clone(), kind: pod.kind.into(), name: pod.workload.as_str().into() };
            self.plan(
                builder,
                notes,
                namespace,
                pod.name.into(),
                workload,
                Lowered::Own(Box::new(pod.lowered), pod.labels),
            )?;
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
            Lowered::Indexed(index, labels) => {
                let data = self.shapes.get(index);
                // What names other objects means something else in each namespace
                // and with each set of labels; without any, one answer serves all.
                let place = self.names.indexed(&namespace).unwrap_or(u32::MAX);
                if data.claims.iter().any(Mount::is_ephemeral) {
                    self.shape(builder, data, &namespace, self.label_sets.get(labels), &name)?
                } else {
                    let key = match (data.claims.is_empty(), builder.groups.is_empty()) {
                        (true, true) => (index, u32::MAX, u32::MAX),
                        (false, true) => (index, place, u32::MAX),
                        (_, false) => (index, place, labels),
                    };
                    match builder.known.get(&key) {
                        Some(shape) => *shape,
                        None => {
                            let shape = self.shape(builder, data, &namespace, self.label_sets.get(labels), &name)?;
                            builder.known.insert(key, shape);
                            shape
                        }
                    }
                }
            }
            Lowered::Own(data, labels) => self.shape(builder, &data, &namespace, &labels, &name)?,
        };
        for rule in &builder.shapes.get(shape).unsupported {
            let entry = notes.unsupported.entry(*rule).or_insert_with(|| (0, format!("{namespace}/{name}")));
            entry.0 += 1;
        }
        let workload = builder.workloads.index(workload);
        builder.pods.push(Pod { namespace, name, shape, workload });
        Ok(())
    }

    /// The index of the shape of a pod.
    fn shape(
        &self,
        builder: &mut Builder,
        lowered: &LoweredPod,
        namespace: &str,
        labels: &BTreeMap<String, String>,
        pod: &str,
    ) -> Result<u32, ObjectError> {
        let mut shape = lowered.shape.clone();
        shape.topology = builder.groups.topology(&lowered.relations, namespace, labels);
        self.add_volumes(&mut shape, lowered, namespace, pod, &builder.attachments)?;
        Ok(builder.shapes.index(shape))
    }

    /// Counts a bound pod on its node.
    fn occupy(&self, node: &mut Node, pod: &PodRecord, builder: &Builder) -> Result<(), ObjectError> {
        let groups = &builder.groups;
        let lowered = self.shapes.get(pod.shape);
        node.used.add(&lowered.shape.requests);
        node.pods += 1;
        node.ports.extend(lowered.shape.ports.iter().cloned());
        let (namespace, labels) = (self.names.get(pod.namespace), self.label_sets.get(pod.labels));
        // Pods on their way out are not spread any more.
        if pod.state != PodState::Leaving {
            for group in groups.members(namespace, labels) {
                *node.members.entry(group).or_default() += 1;
            }
        }
        for group in groups.repelled(&lowered.relations, namespace, labels) {
            *node.repels.entry(group).or_default() += 1;
        }
        if !lowered.claims.is_empty() {
            let mut shape = PodShape::default();
            self.add_volumes(&mut shape, lowered, namespace, &pod.name, &builder.attachments)?;
            // Nothing else of the shape is set: what it asks for are attachments.
            node.used.add(&shape.requests);
            node.attach(&shape.topology.shared);
        }
        Ok(())
    }

    /// Adds to a shape what the pod's claims say about nodes.
    fn add_volumes(
        &self,
        shape: &mut PodShape,
        lowered: &LoweredPod,
        namespace: &str,
        pod: &str,
        attachments: &Attachments,
    ) -> Result<(), ObjectError> {
        for mount in &lowered.claims {
            let claim = mount.claim(pod);
            let reach = self
                .storage
                .reach(namespace, pod, mount)
                .map_err(|e| e.of(format!("volume of claim {namespace}/{claim} of Pod {namespace}/{pod}")))?;
            if let Some(driver) = &reach.driver {
                attachments.count(namespace, &claim, driver, shape);
            }
            if !reach.terms.is_empty() {
                shape.volumes.push(reach.terms);
            }
            shape.faults.extend(reach.fault);
            if reach.unknown {
                shape.unsupported.push(UnsupportedRule::UnboundVolume);
            }
        }
        shape.volumes.sort();
        shape.volumes.dedup();
        shape.faults.sort();
        shape.faults.dedup();
        shape.unsupported.sort();
        shape.unsupported.dedup();
        shape.topology.shared.sort();
        Ok(())
    }
}

/// A lowered pod, kept in the index or made just now.
enum Lowered {
    /// Index of the lowered pod, and of its labels.
    Indexed(u32, u32),
    Own(Box<LoweredPod>, BTreeMap<String, String>),
}

pub(super) struct Builder {
    pub(super) shapes: Interner<PodShape>,
    pub(super) workloads: Interner<Workload>,
    pub(super) pods: Vec<Pod>,
    pub(super) groups: Groups,
    pub(super) lifted: Vec<Lifted>,
    attachments: Attachments,
    /// Shape by lowered pod, and by namespace and labels where they matter.
    known: HashMap<(u32, u32, u32), u32>,
}

impl Builder {
    pub(super) fn new(groups: Groups, attachments: Attachments) -> Self {
        Self {
            shapes: Interner::default(),
            workloads: Interner::default(),
            pods: Vec::new(),
            groups,
            lifted: Vec::new(),
            attachments,
            known: HashMap::new(),
        }
    }
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

//! The index of everything that planning knows about a cluster.
//!
//! A plain struct: objects go in one by one through [`Cluster::apply`], whoever
//! feeds it, and a [`Problem`](stowage_model::Problem) comes out. Pods are
//! lowered as they arrive, so that a hundred thousand of them stay small.

mod attachments;
mod buffers;
mod default_spread;
mod expand;
mod fleet;
mod guard;
mod intake;
mod life;
mod pods;
mod snapshot;
mod topology;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{LimitRange, Node, PodTemplate};
use k8s_openapi::api::node::v1::RuntimeClass;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::scheduling::v1::PriorityClass;
use k8s_openapi::api::storage::v1::CSINodeDriver;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use stowage_model::life::{Condition, Kin};
use stowage_model::{Code, NodePool, Rebalancing, ResourceName};

use crate::error::ObjectError;
use crate::intern::Interner;
use crate::lower::overlay::Overlay;
use crate::lower::volumes::Storage;
use crate::lower::workload::{self, Template};
use crate::lower::{self};
use crate::object::Object;
use crate::v1;

pub use buffers::{ACTIVE, BUFFER};
pub use fleet::{Blockers, FleetSettings};
pub use pods::PodState;
pub use snapshot::{Assembled, Notes, Replan, Settings};

use guard::Guard;
use life::FailedRecord;
use pods::{Bare, PodRecord};

/// The most nodes that a static pool is taken to be waiting for.
const MOST_STATIC: usize = 100_000;

/// Everything that was applied.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    pods: Vec<PodRecord>,
    shapes: Interner<lower::pod::LoweredPod>,
    label_sets: Interner<Arc<BTreeMap<String, String>>>,
    names: Interner<Arc<str>>,
    owners: Interner<Bare>,
    guards: Interner<Guard>,
    kins: Interner<Arc<Kin>>,
    pod_conditions: Interner<Arc<Condition>>,
    failed: Vec<FailedRecord>,
    rebalancing: Option<Rebalancing>,
    nodes: BTreeMap<String, Node>,
    claims: BTreeMap<String, v1::NodeClaim>,
    /// As written, for what lowering leaves out.
    pool_objects: BTreeMap<String, v1::NodePool>,
    pod_budgets: BTreeMap<(String, String), PodDisruptionBudget>,
    pools: BTreeMap<String, NodePool>,
    /// Pools that keep so many nodes, whatever the pods are.
    static_pools: BTreeMap<String, (NodePool, i64)>,
    ec2_node_classes: BTreeMap<String, v1::Ec2NodeClass>,
    kwok_node_classes: BTreeSet<String>,
    templates: Vec<Template>,
    daemon_sets: Vec<Template>,
    autoscalers: Vec<HorizontalPodAutoscaler>,
    limit_ranges: Vec<LimitRange>,
    priority_classes: BTreeMap<String, PriorityClass>,
    runtime_classes: BTreeMap<String, RuntimeClass>,
    storage: Storage,
    /// What pods without spread constraints get.
    default_constraints: Vec<lower::topology::Spread>,
    /// By namespace, what Services select.
    services: BTreeMap<String, Vec<BTreeMap<String, String>>>,
    /// Per node, how many volumes each CSI driver attaches at most.
    attach_limits: BTreeMap<String, BTreeMap<String, i64>>,
    namespaces: BTreeMap<String, BTreeMap<String, String>>,
    overlays: Vec<Overlay>,
    buffers: Vec<v1::CapacityBuffer>,
    pod_templates: BTreeMap<(String, String), PodTemplate>,
    seen: BTreeSet<(&'static str, String, String)>,
}

impl Cluster {
    /// Adds an object. A second object of the same kind and name is refused.
    pub fn apply(&mut self, object: Object) -> Result<(), ObjectError> {
        match object {
            Object::Pod(pod) => self.apply_pod(&pod),
            Object::Node(node) => {
                let name = self.once("Node", &node.metadata)?.1;
                lower::node::lower(&node, &[]).map_err(|e| e.of(format!("Node {name}")))?;
                self.nodes.insert(name, *node);
                Ok(())
            }
            Object::NodePool(pool) => self.apply_pool(&pool),
            Object::NodeClaim(claim) => {
                let name = self.once("NodeClaim", &claim.metadata)?.1;
                lower::node::lower_claim(&claim).map_err(|e| e.of(format!("NodeClaim {name}")))?;
                self.claims.insert(name, *claim);
                Ok(())
            }
            Object::Ec2NodeClass(class) => {
                let name = self.once("EC2NodeClass", &class.metadata)?.1;
                self.ec2_node_classes.insert(name, *class);
                Ok(())
            }
            Object::KwokNodeClass(class) => {
                let name = self.once("KWOKNodeClass", &class.metadata)?.1;
                self.kwok_node_classes.insert(name);
                Ok(())
            }
            other => self.apply_rest(other),
        }
    }

    fn apply_pool(&mut self, pool: &v1::NodePool) -> Result<(), ObjectError> {
        let name = self.once("NodePool", &pool.metadata)?.1;
        let lowered = lower::node_pool::lower(pool).map_err(|e| e.of(format!("NodePool {name}")))?;
        self.pool_objects.insert(name.clone(), pool.clone());
        match pool.spec.replicas {
            Some(replicas) if replicas < 0 => {
                return Err(ObjectError {
                    code: Code::InPool,
                    object: format!("NodePool {name}"),
                    field: "spec.replicas".to_owned(),
                    message: format!("{replicas} is negative; write how many nodes the pool keeps"),
                });
            }
            Some(replicas) => {
                self.static_pools.insert(name, (lowered, replicas));
            }
            None => {
                self.pools.insert(name, lowered);
            }
        }
        Ok(())
    }

    fn apply_rest(&mut self, object: Object) -> Result<(), ObjectError> {
        match object {
            Object::Deployment(o) => self.apply_template(workload::deployment(&o)),
            Object::ReplicaSet(o) => self.apply_template(workload::replica_set(&o)),
            Object::StatefulSet(o) => self.apply_template(workload::stateful_set(&o)),
            Object::Job(o) => self.apply_template(workload::job(&o)),
            Object::CronJob(o) => self.apply_template(workload::cron_job(&o)),
            Object::DaemonSet(o) => {
                let template = workload::daemon_set(&o);
                self.remember("DaemonSet", &template.namespace, &template.name)?;
                self.daemon_sets.push(template);
                Ok(())
            }
            Object::HorizontalPodAutoscaler(o) => {
                self.once("HorizontalPodAutoscaler", &o.metadata)?;
                self.autoscalers.push(*o);
                Ok(())
            }
            Object::LimitRange(o) => {
                self.once("LimitRange", &o.metadata)?;
                self.limit_ranges.push(*o);
                Ok(())
            }
            Object::PriorityClass(o) => {
                let name = self.once("PriorityClass", &o.metadata)?.1;
                self.priority_classes.insert(name, *o);
                Ok(())
            }
            Object::RuntimeClass(o) => {
                let name = self.once("RuntimeClass", &o.metadata)?.1;
                self.runtime_classes.insert(name, *o);
                Ok(())
            }
            Object::PersistentVolume(o) => {
                let name = self.once("PersistentVolume", &o.metadata)?.1;
                self.storage.volumes.insert(name, *o);
                Ok(())
            }
            Object::PersistentVolumeClaim(o) => {
                let key = self.once("PersistentVolumeClaim", &o.metadata)?;
                self.storage.claims.insert(key, *o);
                Ok(())
            }
            Object::StorageClass(o) => {
                let name = self.once("StorageClass", &o.metadata)?.1;
                self.storage.classes.insert(name, *o);
                Ok(())
            }
            Object::CsiNode(o) => {
                let name = self.once("CSINode", &o.metadata)?.1;
                let limit = |driver: &CSINodeDriver| {
                    let count = driver.allocatable.as_ref().and_then(|a| a.count)?;
                    Some((driver.name.clone(), i64::from(count.max(0))))
                };
                self.attach_limits.insert(name, o.spec.drivers.iter().filter_map(limit).collect());
                Ok(())
            }
            Object::SchedulerConfiguration(o) => self.apply_scheduler_configuration(&o),
            Object::Service(o) => {
                let namespace = self.once("Service", &o.metadata)?.0;
                let selector = o.spec.and_then(|spec| spec.selector).filter(|selector| !selector.is_empty());
                self.services.entry(namespace).or_default().extend(selector);
                Ok(())
            }
            Object::Namespace(o) => {
                let name = self.once("Namespace", &o.metadata)?.1;
                self.namespaces.insert(name, o.metadata.labels.unwrap_or_default());
                Ok(())
            }
            Object::NodeOverlay(o) => {
                let name = self.once("NodeOverlay", &o.metadata)?.1;
                self.overlays.push(lower::overlay::lower(&o).map_err(|e| e.of(format!("NodeOverlay {name}")))?);
                Ok(())
            }
            Object::CapacityBuffer(o) => {
                self.once("CapacityBuffer", &o.metadata)?;
                self.buffers.push(*o);
                Ok(())
            }
            Object::PodDisruptionBudget(o) => {
                let key = self.once("PodDisruptionBudget", &o.metadata)?;
                self.pod_budgets.insert(key, *o);
                Ok(())
            }
            Object::DeschedulerPolicy(o) => {
                self.remember("DeschedulerPolicy", "", "")?;
                self.rebalancing = Some(o.rebalancing()?);
                Ok(())
            }
            Object::PodTemplate(o) => {
                let key = self.once("PodTemplate", &o.metadata)?;
                self.pod_templates.insert(key, *o);
                Ok(())
            }
            // Implied by other objects: nothing to plan from.
            _ => Ok(()),
        }
    }

    fn apply_template(&mut self, template: Template) -> Result<(), ObjectError> {
        self.remember(template.kind, &template.namespace, &template.name)?;
        self.templates.push(template);
        Ok(())
    }

    /// Namespace and name of an object that must not have come before.
    fn once(&mut self, kind: &'static str, metadata: &ObjectMeta) -> Result<(String, String), ObjectError> {
        let namespace = metadata.namespace.clone().unwrap_or_else(|| "default".to_owned());
        let name = metadata.name.clone().unwrap_or_default();
        self.remember(kind, &namespace, &name)?;
        Ok((namespace, name))
    }

    fn remember(&mut self, kind: &'static str, namespace: &str, name: &str) -> Result<(), ObjectError> {
        if self.seen.insert((kind, namespace.to_owned(), name.to_owned())) {
            return Ok(());
        }
        Err(ObjectError {
            code: Code::InDuplicate,
            object: format!("{kind} {namespace}/{name}"),
            field: "metadata.name".to_owned(),
            message: "is in the input twice; remove one of the two".to_owned(),
        })
    }

    /// What a DeschedulerPolicy in the input asks for.
    pub fn rebalancing(&self) -> Option<&Rebalancing> {
        self.rebalancing.as_ref()
    }

    /// The pools that nodes can be launched from.
    pub fn pools(&self) -> impl Iterator<Item = &NodePool> {
        self.pools.values()
    }

    /// Static pools, and how many of their nodes are still to come.
    pub fn static_pools(&self) -> impl Iterator<Item = (&NodePool, usize)> {
        self.static_pools.values().map(|(pool, replicas)| {
            let most = pool.limits.as_ref().filter(|limits| limits.contains(ResourceName::NODES));
            let wanted = most.map_or(*replicas, |limits| limits.get(ResourceName::NODES).min(*replicas));
            let owned = |meta: &ObjectMeta| {
                let named = meta.labels.as_ref().and_then(|l| l.get(stowage_model::labels::NODEPOOL));
                meta.deletion_timestamp.is_none() && named == Some(&pool.name)
            };
            let claims = self.claims.values().filter(|claim| owned(&claim.metadata)).count();
            let nodes = self.nodes.values().filter(|node| owned(&node.metadata)).count();
            let there = i64::try_from(claims.max(nodes)).unwrap_or(i64::MAX);
            (pool, usize::try_from(wanted.saturating_sub(there)).unwrap_or(0).min(MOST_STATIC))
        })
    }

    /// Corrections of the catalogue.
    pub fn overlays(&self) -> &[Overlay] {
        &self.overlays
    }

    /// Whether the input has any NodePool, static ones included.
    pub fn has_pools(&self) -> bool {
        !self.pools.is_empty() || !self.static_pools.is_empty()
    }

    /// An EC2NodeClass by name.
    pub fn ec2_node_class(&self, name: &str) -> Option<&v1::Ec2NodeClass> {
        self.ec2_node_classes.get(name)
    }

    /// Whether a KWOKNodeClass of this name is there.
    pub fn has_kwok_node_class(&self, name: &str) -> bool {
        self.kwok_node_classes.contains(name)
    }

    /// Whether there are DaemonSets, or pods of any.
    pub fn knows_daemons(&self) -> bool {
        !self.daemon_sets.is_empty() || self.pods.iter().any(|pod| pod.state == PodState::Daemon)
    }

    /// Whether nothing was applied that could be planned or planned upon.
    pub fn is_empty(&self) -> bool {
        self.pods.is_empty() && self.templates.is_empty() && self.daemon_sets.is_empty() && self.nodes.is_empty()
    }

    /// Extended resources that pods ask for, for finding machines that have them.
    pub fn extended_resources(&self) -> BTreeSet<String> {
        let templates = self.templates.iter().filter_map(|t| t.pod.spec.as_ref());
        let of_templates = templates
            .filter_map(|spec| lower::pod::lower(spec, &stowage_model::Resources::new()).ok())
            .map(|lowered| lowered.shape.requests);
        let used: BTreeSet<u32> = self.pods.iter().map(|pod| pod.shape).collect();
        let of_pods = used.into_iter().map(|shape| self.shapes.get(shape).shape.requests.clone());
        let asked = |requests: stowage_model::Resources| {
            let names = requests.iter().filter(|(name, amount)| *amount > 0 && name.as_str().contains('/'));
            names.map(|(name, _)| name.to_string()).collect::<Vec<_>>()
        };
        of_pods.chain(of_templates).flat_map(asked).collect()
    }
}

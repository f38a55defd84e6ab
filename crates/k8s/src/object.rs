//! One Kubernetes object of a kind that planning reads.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{
    LimitRange, Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, PodTemplate, Service,
};
use k8s_openapi::api::node::v1::RuntimeClass;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::scheduling::v1::PriorityClass;
use k8s_openapi::api::storage::v1::{CSINode, StorageClass};
use serde::Deserialize;
use stowage_model::Code;

use crate::descheduler::DeschedulerPolicy;
use crate::error::ObjectError;
use crate::scheduler_configuration::KubeSchedulerConfiguration;
use crate::v1;

/// What every object says of itself.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Header {
    /// API group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Name and namespace.
    pub metadata: Identity,
}

/// Name and namespace.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Identity {
    /// Name.
    pub name: Option<String>,
    /// Namespace, for kinds that have one.
    pub namespace: Option<String>,
}

impl Header {
    /// API group, empty for the core.
    pub fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }

    /// Kind, namespace and name, as errors show them.
    pub fn describe(&self) -> String {
        let kind = if self.kind.is_empty() { "object" } else { &self.kind };
        match (&self.metadata.namespace, &self.metadata.name) {
            (Some(namespace), Some(name)) => format!("{kind} {namespace}/{name}"),
            (None, Some(name)) => format!("{kind} {name}"),
            (_, None) => format!("{kind} without a name"),
        }
    }
}

macro_rules! objects {
    ($($variant:ident($type:ty) = $group:literal, $kind:literal;)*) => {
        /// An object of a kind that planning reads.
        #[derive(Clone, Debug)]
        #[allow(missing_docs, reason = "the Kubernetes API's own names")]
        pub enum Object { $($variant(Box<$type>),)* }

        impl Object {
            /// Reads an object. `None`: a kind that planning does not know.
            pub fn parse(header: &Header, json: &str) -> Result<Option<Self>, ObjectError> {
                match (header.group(), header.kind.as_str()) {
                    $(($group, $kind) => Ok(Some(Self::$variant(Box::new(read::<$type>(header, json)?)))),)*
                    _ => Ok(None),
                }
            }

            /// The kinds that planning reads, as group and kind.
            pub const KINDS: &'static [(&'static str, &'static str)] = &[$(($group, $kind),)*];
        }
    };
}

objects! {
    Pod(Pod) = "", "Pod";
    Node(Node) = "", "Node";
    Namespace(Namespace) = "", "Namespace";
    PodTemplate(PodTemplate) = "", "PodTemplate";
    LimitRange(LimitRange) = "", "LimitRange";
    Service(Service) = "", "Service";
    PersistentVolume(PersistentVolume) = "", "PersistentVolume";
    PersistentVolumeClaim(PersistentVolumeClaim) = "", "PersistentVolumeClaim";
    Deployment(Deployment) = "apps", "Deployment";
    ReplicaSet(ReplicaSet) = "apps", "ReplicaSet";
    StatefulSet(StatefulSet) = "apps", "StatefulSet";
    DaemonSet(DaemonSet) = "apps", "DaemonSet";
    Job(Job) = "batch", "Job";
    CronJob(CronJob) = "batch", "CronJob";
    HorizontalPodAutoscaler(HorizontalPodAutoscaler) = "autoscaling", "HorizontalPodAutoscaler";
    PodDisruptionBudget(PodDisruptionBudget) = "policy", "PodDisruptionBudget";
    PriorityClass(PriorityClass) = "scheduling.k8s.io", "PriorityClass";
    RuntimeClass(RuntimeClass) = "node.k8s.io", "RuntimeClass";
    StorageClass(StorageClass) = "storage.k8s.io", "StorageClass";
    CsiNode(CSINode) = "storage.k8s.io", "CSINode";
    NodePool(v1::NodePool) = "karpenter.sh", "NodePool";
    NodeClaim(v1::NodeClaim) = "karpenter.sh", "NodeClaim";
    NodeOverlay(v1::NodeOverlay) = "karpenter.sh", "NodeOverlay";
    Ec2NodeClass(v1::Ec2NodeClass) = "karpenter.k8s.aws", "EC2NodeClass";
    KwokNodeClass(v1::KwokNodeClass) = "karpenter.kwok.sh", "KWOKNodeClass";
    SchedulerConfiguration(KubeSchedulerConfiguration) = "kubescheduler.config.k8s.io", "KubeSchedulerConfiguration";
    DeschedulerPolicy(DeschedulerPolicy) = "descheduler", "DeschedulerPolicy";
    CapacityBuffer(v1::CapacityBuffer) = "autoscaling.x-k8s.io", "CapacityBuffer";
}

/// Reads JSON and names the field that is wrong.
fn read<T: for<'de> Deserialize<'de>>(header: &Header, json: &str) -> Result<T, ObjectError> {
    let refuse = |field: String, message: String| ObjectError {
        code: Code::InObject,
        object: header.describe(),
        field,
        message,
    };
    // A configuration file is the only one of its kind.
    let named = !["KubeSchedulerConfiguration", "DeschedulerPolicy"].contains(&header.kind.as_str());
    if named && header.metadata.name.as_deref().is_none_or(str::is_empty) {
        return Err(refuse("metadata.name".to_owned(), "is missing; give the object a name".to_owned()));
    }
    serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(json)).map_err(|error| {
        let path = error.path().to_string();
        let text = error.into_inner().to_string();
        // Positions within one object of a larger file would mislead.
        let text = text.split(" at line ").next().unwrap_or_default().to_owned();
        refuse(if path == "." { String::new() } else { path }, text)
    })
}

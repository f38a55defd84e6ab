//! KWOKNodeClass: simulated nodes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// KWOKNodeClassSpec is the desired state of a KWOKNodeClass.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "karpenter.kwok.sh",
    version = "v1alpha1",
    kind = "KWOKNodeClass",
    root = "KwokNodeClass",
    plural = "kwoknodeclasses",
    category = "karpenter",
    status = "KwokNodeClassStatus",
    derive = "Default",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub struct KwokNodeClassSpec {
    /// How long a simulated node takes to join.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_registration_delay: Option<String>,
}

/// KWOKNodeClassStatus is the observed state of a KWOKNodeClass.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KwokNodeClassStatus {
    /// Conditions of the class; it is ready from the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Vec<Condition>>,
}

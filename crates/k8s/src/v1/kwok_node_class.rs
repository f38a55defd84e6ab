//! KWOKNodeClass: simulated nodes.

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
    derive = "Default",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub struct KwokNodeClassSpec {
    /// How long a simulated node takes to join.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_registration_delay: Option<String>,
}

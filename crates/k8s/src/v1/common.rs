//! Fields that several kinds share.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A requirement on a node label.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SelectorRequirement {
    /// The label's key.
    pub key: String,
    /// How the label relates to the values: In, NotIn, Exists, DoesNotExist, Gt, Lt, Gte or Lte.
    pub operator: String,
    /// The values. Numeric operators take exactly one integer; Exists and DoesNotExist take none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<String>>,
    /// How many distinct values of this label must stay possible (1 to 50).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_values: Option<i32>,
}

/// The NodeClass that configures a node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NodeClassReference {
    /// API group of the NodeClass.
    pub group: String,
    /// Kind of the NodeClass.
    pub kind: String,
    /// Name of the NodeClass.
    pub name: String,
}

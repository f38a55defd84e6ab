//! The port to whoever sells machines. Two rules hold for every implementation:
//! a launch that is repeated with the same token gives the same instance, and
//! every instance says in its tags whose it is, from its first moment.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use stowage_model::CapacityType;

/// A call on its way.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, ProviderError>> + Send + 'a>>;

/// Who sells machines.
pub trait CloudProvider: Send + Sync {
    /// Launches one instance of the first candidate that is to be had.
    fn create<'a>(&'a self, request: &'a LaunchRequest) -> Answer<'a, Instance>;
    /// Ends an instance. `NotFound` once it is gone for good.
    fn delete<'a>(&'a self, provider_id: &'a str) -> Answer<'a, ()>;
    /// One instance; `NotFound` once it is gone for good.
    fn get<'a>(&'a self, provider_id: &'a str) -> Answer<'a, Instance>;
    /// Every instance of this cluster that is not gone.
    fn list(&self) -> Answer<'_, Vec<Instance>>;
    /// Instances that are about to be taken away.
    fn notices(&self) -> Answer<'_, Vec<Notice>>;
    /// Instances that would be launched otherwise by now, by identity, with the reason
    /// in one word, such as `AMIDrift`.
    fn drift(&self) -> Answer<'_, BTreeMap<String, String>>;
}

/// An instance is about to be taken away.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// The instance.
    pub provider_id: String,
    /// Why, in one word, such as `SpotInterrupted`.
    pub reason: String,
    /// When it is gone.
    pub ends: Timestamp,
}

/// One instance, asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LaunchRequest {
    /// The same for every repetition of this launch, across restarts.
    pub token: String,
    /// UID of the NodeClaim that it is for.
    pub claim_uid: String,
    /// Name of the NodeClaim.
    pub claim: String,
    /// Name of the NodePool.
    pub node_pool: String,
    /// What may be launched, in the order of preference.
    pub candidates: Vec<Candidate>,
    /// Labels that the node registers with.
    pub labels: BTreeMap<String, String>,
    /// Taints that the node registers with.
    pub taints: Vec<NodeTaint>,
}

/// A type, where it runs and how it is bought.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// Name of the type.
    pub instance_type: String,
    /// Zone.
    pub zone: String,
    /// How it is bought.
    pub capacity_type: CapacityType,
    /// Labels of such a node.
    pub labels: BTreeMap<String, String>,
    /// What the machine has, as quantities.
    pub capacity: BTreeMap<String, String>,
    /// What pods and DaemonSets can have of it.
    pub allocatable: BTreeMap<String, String>,
}

/// A taint as the API spells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeTaint {
    /// Key.
    pub key: String,
    /// Value, often empty.
    #[serde(default)]
    pub value: String,
    /// NoSchedule, PreferNoSchedule or NoExecute.
    pub effect: String,
}

/// An instance that is there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Instance {
    /// Its identity, as in the node's `spec.providerID`.
    pub provider_id: String,
    /// UID of the NodeClaim that it was launched for.
    pub claim_uid: String,
    /// Name of that NodeClaim.
    pub claim: String,
    /// The image it runs.
    pub image: String,
    /// What was launched of the candidates.
    pub launched: Candidate,
    /// When.
    pub created: Timestamp,
    /// Whether it is on its way out.
    pub terminating: bool,
}

/// An offer that is sold out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SoldOut {
    /// Name of the type.
    pub instance_type: String,
    /// Zone.
    pub zone: String,
    /// How it was to be bought.
    pub capacity_type: CapacityType,
}

/// Why a call gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase", tag = "reason", content = "detail")]
pub enum ProviderError {
    /// None of the candidates is to be had.
    #[error("insufficient capacity in {} offers", .0.len())]
    InsufficientCapacity(Vec<SoldOut>),
    /// No such instance, or not any more.
    #[error("no such instance")]
    NotFound,
    /// Too many calls; nothing was done.
    #[error("too many calls")]
    Throttled,
    /// The token was used for another request, or its instance is gone.
    #[error("the token was used before")]
    TokenUsed,
    /// The request can never be met as it is.
    #[error("{0}")]
    Invalid(String),
    /// Nobody knows whether anything was done.
    #[error("no answer: {0}")]
    NoAnswer(String),
}

impl ProviderError {
    /// As metrics and conditions name it.
    pub fn label(&self) -> &'static str {
        match self {
            Self::InsufficientCapacity(_) => "InsufficientCapacity",
            Self::NotFound => "NotFound",
            Self::Throttled => "Throttled",
            Self::TokenUsed => "TokenUsed",
            Self::Invalid(_) => "Invalid",
            Self::NoAnswer(_) => "NoAnswer",
        }
    }
}

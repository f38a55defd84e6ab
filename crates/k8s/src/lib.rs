//! Kubernetes objects in, model values out, NodeClaims back.
//!
//! The custom resources are Karpenter's v1 API, group and names unchanged.
//! Objects are lowered to `stowage-model` values here and nowhere else; one
//! [`cluster::Cluster`] index is fed by files and by watches.

pub mod cluster;
pub mod conditions;
pub mod descheduler;
pub mod drift;
pub mod duration;
pub mod error;
pub mod intern;
pub mod lower;
pub mod names;
pub mod node;
pub mod object;
pub mod pod;
pub mod pod_budget;
pub mod pool;
pub mod raise;
pub mod scheduler_configuration;
pub mod v1;

pub use cluster::{Cluster, Settings};
pub use error::ObjectError;
pub use object::Object;

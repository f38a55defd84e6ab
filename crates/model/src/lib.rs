//! The values that everything else talks in: resources, prices, requirements,
//! pods, nodes, pools, instance types, the [`Problem`] and the [`Plan`].
//!
//! Nothing here reads a file, a clock or a network, and nothing here knows the
//! Kubernetes API's wire types: `stowage-k8s` lowers those into these values
//! once, at the edge.

pub mod certificate;
pub mod codes;
pub mod digest;
pub mod fleet;
pub mod instance_type;
pub mod labels;
pub mod launch;
pub mod life;
pub mod node;
pub mod node_pool;
pub mod plan;
pub mod pod;
pub mod price;
pub mod problem;
pub mod quantity;
pub mod rebalancing;
pub mod requirement;
pub mod requirements;
pub mod resources;
pub mod taint;
pub mod topology;
pub mod volume;

pub use certificate::{Certificate, CertificateKind, ResourcePrices, UNITS_PER_NANO, Unit};
pub use codes::{Code, Reason};
pub use digest::Digest;
pub use fleet::{Care, Fleet, Machine};
pub use instance_type::{CapacityType, InstanceType, Offering, Reservation};
pub use launch::{LaunchLabels, Variant};
pub use life::{Failed, Life};
pub use node::Node;
pub use node_pool::{NodeClassRef, NodePool};
pub use plan::{Binding, End, NewNode, Plan, Unplaced};
pub use pod::{Daemon, NodeTerm, Pod, PodShape, UnsupportedRule, Workload};
pub use price::Price;
pub use problem::{MinValues, Preferences, Problem, ProblemError, Statement};
pub use rebalancing::Rebalancing;
pub use requirement::{Operator, Requirement};
pub use requirements::Requirements;
pub use resources::{ResourceName, Resources};
pub use taint::{Effect, Taint, Toleration};
pub use topology::{Group, HostPort, PodTerm, PreferredNode, Spread, Topology};
pub use volume::{SharedVolume, VolumeFault};

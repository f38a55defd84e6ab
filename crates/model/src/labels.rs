//! Label keys with a meaning of their own.

/// The node's zone.
pub const ZONE: &str = "topology.kubernetes.io/zone";
/// The node's region.
pub const REGION: &str = "topology.kubernetes.io/region";
/// The zone's account-independent id.
pub const ZONE_ID: &str = "topology.k8s.aws/zone-id";
/// The instance type's name.
pub const INSTANCE_TYPE: &str = "node.kubernetes.io/instance-type";
/// The CPU architecture.
pub const ARCH: &str = "kubernetes.io/arch";
/// The operating system.
pub const OS: &str = "kubernetes.io/os";
/// The node's own name.
pub const HOSTNAME: &str = "kubernetes.io/hostname";
/// spot, on-demand or reserved.
pub const CAPACITY_TYPE: &str = "karpenter.sh/capacity-type";
/// The capacity reservation that a node was launched into.
pub const RESERVATION_ID: &str = "karpenter.k8s.aws/capacity-reservation-id";
/// The NodePool that owns a node.
pub const NODEPOOL: &str = "karpenter.sh/nodepool";
/// Set once a node has everything that was promised.
pub const INITIALIZED: &str = "karpenter.sh/initialized";
/// Set once a node has joined.
pub const REGISTERED: &str = "karpenter.sh/registered";
/// Karpenter's AWS label group.
pub const AWS_GROUP: &str = "karpenter.k8s.aws/";
/// The kwok provider's label group.
pub const KWOK_GROUP: &str = "karpenter.kwok.sh/";
/// Stands for the node's name field in `matchFields`; not a legal label key, so
/// it never meets one.
pub const NODE_NAME_FIELD: &str = "field:metadata.name";

const ALIASES: [(&str, &str); 5] = [
    ("failure-domain.beta.kubernetes.io/zone", ZONE),
    ("failure-domain.beta.kubernetes.io/region", REGION),
    ("beta.kubernetes.io/arch", ARCH),
    ("beta.kubernetes.io/os", OS),
    ("beta.kubernetes.io/instance-type", INSTANCE_TYPE),
];

/// The present name of a key that has an older one.
pub fn normalized(key: &str) -> &str {
    ALIASES.iter().find(|(old, _)| *old == key).map_or(key, |(_, new)| new)
}

/// Whether the instance type, the offering or the node's life decide this label,
/// so that a NodePool can narrow it but never invent its value.
pub fn is_provided(key: &str) -> bool {
    matches!(
        key,
        ZONE | REGION
            | ZONE_ID
            | INSTANCE_TYPE
            | ARCH
            | OS
            | HOSTNAME
            | CAPACITY_TYPE
            | NODEPOOL
            | INITIALIZED
            | REGISTERED
            | NODE_NAME_FIELD
            | "node.kubernetes.io/windows-build"
    ) || key.starts_with(AWS_GROUP)
        || key.starts_with(KWOK_GROUP)
}

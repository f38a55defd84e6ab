//! Annotations, finalizers and taints that controllers agree on. Karpenter's are
//! unchanged; our own live under `stowage.sh/`.

/// Holds a claim and its node until the instance is gone.
pub const TERMINATION_FINALIZER: &str = "karpenter.sh/termination";
/// Put on a node that is on its way out.
pub const DISRUPTED_TAINT: &str = "karpenter.sh/disrupted";
/// On a node from its first moment until it is registered.
pub const UNREGISTERED_TAINT: &str = "karpenter.sh/unregistered";
/// Pods and nodes that nobody may disrupt; pods may write a duration.
pub const DO_NOT_DISRUPT: &str = "karpenter.sh/do-not-disrupt";
/// Taints of such a node are not brought in line with its claim.
pub const DO_NOT_SYNC_TAINTS: &str = "karpenter.sh/do-not-sync-taints";
/// Keeps load balancers off a node that drains.
pub const EXCLUDE_BALANCERS: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
/// When a terminating node's last pods are forced off.
pub const TERMINATION_TIMESTAMP: &str = "karpenter.sh/nodeclaim-termination-timestamp";
/// Hash of the pool's template when a node was made.
pub const POOL_HASH: &str = "karpenter.sh/nodepool-hash";
/// How that hash is computed.
pub const POOL_HASH_VERSION: &str = "karpenter.sh/nodepool-hash-version";
/// Our way to compute it.
pub const HASH_VERSION: &str = "stowage-v1";
/// How often a launch was begun for a claim: written before the call.
pub const LAUNCH_ATTEMPT: &str = "stowage.sh/launch-attempt";
/// What a node that is not launched yet will offer pods, as JSON.
pub const EXPECTED_ALLOCATABLE: &str = "stowage.sh/expected-allocatable";
/// What a planned node costs per hour, in dollars.
pub const EXPECTED_PRICE: &str = "stowage.sh/expected-price";
/// Holds a new node for the pods that were planned for it.
pub const RESERVED_TAINT: &str = "stowage.sh/reserved";
/// A NodePool that launches nothing and disrupts nothing while this is `true`.
pub const FROZEN: &str = "stowage.sh/frozen";

/// Taints that a node loses by itself while it starts.
pub const EPHEMERAL_TAINTS: [&str; 4] = [
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
    "node.cloudprovider.kubernetes.io/uninitialized",
    UNREGISTERED_TAINT,
];
/// The same, by prefix.
pub const READINESS_TAINTS: &str = "readiness.k8s.io/";
/// On a NodePool: how long before they expire its nodes are replaced, replacements
/// first and within budgets; without it they expire as they are.
pub const REPLACE_BEFORE_EXPIRY: &str = "stowage.sh/replace-before-expiry";
/// On a claim that is being replaced: why, since when, and by which claims, as JSON.
pub const REPLACED_BY: &str = "stowage.sh/replaced-by";
/// On a claim that replaces others: their names.
pub const REPLACES: &str = "stowage.sh/replaces";
/// On a claim whose instance is about to be taken away: when.
pub const INTERRUPTED: &str = "stowage.sh/interrupted";
/// On a node that pods were moved from: takes no others for a while.
pub const REBALANCED_TAINT: &str = "stowage.sh/rebalanced";
/// On the same node: until when.
pub const REBALANCED_UNTIL: &str = "stowage.sh/rebalanced-until";

//! What a NodePool says about its disruption, read alike by everybody.

use std::time::Duration;

use crate::v1::NodePool;
use crate::{duration, names};

/// Whether somebody froze the pool.
pub fn is_frozen(pool: &NodePool) -> bool {
    pool.metadata.annotations.as_ref().and_then(|all| all.get(names::FROZEN)).is_some_and(|value| value == "true")
}

/// How long a node must be quiet before it is consolidated. `None`: never.
pub fn consolidate_after(pool: &NodePool) -> Option<Duration> {
    let text = pool.spec.disruption.as_ref().and_then(|disruption| disruption.consolidate_after.as_deref());
    duration::span(text.unwrap_or("0s"))
}

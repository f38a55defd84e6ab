//! What the API server checks of a NodeClaim.

use serde_json::json;

use super::shared::{DURATION, DURATION_OR_NEVER, class, requirements, taints};
use super::{Row, cel, set};

pub(super) fn rows() -> Vec<Row> {
    let mut all = requirements("spec.requirements");
    all.extend(taints("spec.taints"));
    all.extend(taints("spec.startupTaints"));
    all.extend(class("spec.nodeClassRef"));
    all.extend([
        cel("spec", "self == oldSelf", "spec is immutable"),
        set("spec.expireAfter", "pattern", json!(DURATION_OR_NEVER)),
        set("spec.expireAfter", "default", json!("720h")),
        set("spec.terminationGracePeriod", "pattern", json!(DURATION)),
    ]);
    all
}

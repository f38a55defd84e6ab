//! NodePools: what may be launched.

use std::collections::BTreeMap;

use crate::requirements::Requirements;
use crate::resources::Resources;
use crate::taint::Taint;

/// Which NodeClass configures a pool's nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeClassRef {
    /// API group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
}

/// A pool of nodes that can be launched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodePool {
    /// Its name.
    pub name: String,
    /// Pools of higher weight go first.
    pub weight: i32,
    /// What its nodes must satisfy; template labels are in here too.
    pub requirements: Requirements,
    /// Labels put on its nodes.
    pub labels: BTreeMap<String, String>,
    /// Annotations put on its nodes.
    pub annotations: BTreeMap<String, String>,
    /// Taints its nodes keep.
    pub taints: Vec<Taint>,
    /// Taints its nodes lose once ready.
    pub startup_taints: Vec<Taint>,
    /// The most its nodes may have together, `nodes` among it.
    pub limits: Option<Resources>,
    /// The class of its nodes.
    pub node_class: NodeClassRef,
    /// When its nodes expire, as written.
    pub expire_after: Option<String>,
    /// How long its nodes may drain, as written.
    pub termination_grace_period: Option<String>,
    /// Which of the problem's type sets it launches from.
    pub type_set: usize,
}

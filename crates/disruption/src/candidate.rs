//! Which nodes may go now. The rules are in one list; the first that objects says
//! why a node stays.

use std::fmt;

use stowage_model::fleet::{Consolidation, Fleet, Hold, Machine, Policy};

/// Why a node is disrupted, as budgets and metrics spell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Nothing on it would have to move.
    Empty,
    /// It is not what its pool says any more.
    Drifted,
    /// Its pods cost less elsewhere.
    Underutilized,
    /// It stays, and some of its pods move.
    Rebalanced,
}

impl Reason {
    /// As budgets spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Drifted => "Drifted",
            Self::Underutilized => "Underutilized",
            // Not among the reasons that budgets can name: those for all count.
            Self::Rebalanced => "Rebalanced",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The rule that keeps a node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Block {
    /// It is on its way out already.
    Deleting,
    /// It has not become ready for the first time.
    NotInitialized,
    /// Pods are expected on it.
    Nominated,
    /// Its pool is not there.
    NoPool(String),
    /// Its pool is frozen.
    Frozen,
    /// Its pool keeps a fixed number of nodes.
    Static,
    /// The object of this kind asks not to be disrupted.
    Protected(&'static str),
    /// This pod cannot be moved.
    Pod(String, Hold),
    /// Nobody knows what it costs.
    NoPrice,
    /// Its pool consolidates empty nodes only.
    WhenEmpty,
    /// Its pool never consolidates.
    Never,
    /// Pods came or went lately; so many seconds are left.
    Busy(u64),
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deleting => f.write_str("it is being deleted"),
            Self::NotInitialized => f.write_str("it is not initialized"),
            Self::Nominated => f.write_str("pods are expected on it"),
            Self::NoPool(name) => write!(f, "its NodePool {name:?} is not there"),
            Self::Frozen => f.write_str("its NodePool is frozen"),
            Self::Static => f.write_str("its NodePool keeps a fixed number of nodes"),
            Self::Protected(kind) => write!(f, "its {kind} has karpenter.sh/do-not-disrupt"),
            Self::Pod(pod, hold) => write!(f, "pod {pod} {}", hold.as_str()),
            Self::NoPrice => f.write_str("the catalogue does not know what it costs"),
            Self::WhenEmpty => f.write_str("its NodePool consolidates empty nodes only"),
            Self::Never => f.write_str("its NodePool has consolidateAfter: Never"),
            Self::Busy(left) => write!(f, "its pods changed lately; consolidateAfter ends in {left} s"),
        }
    }
}

/// One node, with what the rules look at.
pub(crate) struct Look<'a> {
    pub(crate) fleet: &'a Fleet,
    pub(crate) machine: &'a Machine,
    pub(crate) node: usize,
    /// Its pods, as indices.
    pub(crate) pods: &'a [u32],
    pub(crate) now: i64,
}

type Rule = fn(&Look<'_>) -> Option<Block>;

/// Whatever the reason.
const ALWAYS: [Rule; 6] = [deleting, not_initialized, nominated, no_pool, protected, fixed_pods];
/// Also, where the node could stay.
const CONSOLIDATION: [Rule; 4] = [is_static, pods, quiet, no_price];

/// Why a node cannot be disrupted for a reason, if so.
pub(crate) fn block(look: &Look<'_>, reason: Reason) -> Option<Block> {
    if let Some(block) = ALWAYS.iter().find_map(|rule| rule(look)) {
        return Some(block);
    }
    match reason {
        Reason::Drifted => is_static(look).or_else(|| if look.machine.forceful { None } else { pods(look) }),
        Reason::Rebalanced => None,
        Reason::Empty => [is_static, quiet].iter().find_map(|rule| rule(look)),
        Reason::Underutilized => CONSOLIDATION.iter().find_map(|rule| rule(look)).or_else(|| only_empty(look)),
    }
}

/// Whether a drifted node of a static pool may be replaced by another of its pool.
pub(crate) fn renewable(look: &Look<'_>) -> bool {
    let held = !look.machine.forceful && pods(look).is_some();
    is_static(look).is_some() && !held && ALWAYS.iter().all(|rule| rule(look).is_none())
}

impl Look<'_> {
    fn policy(&self) -> Option<&Policy> {
        self.fleet.policies.get(&self.machine.pool)
    }
}

fn deleting(look: &Look<'_>) -> Option<Block> {
    look.machine.deleting.then_some(Block::Deleting)
}

fn not_initialized(look: &Look<'_>) -> Option<Block> {
    (!look.machine.initialized).then_some(Block::NotInitialized)
}

fn nominated(look: &Look<'_>) -> Option<Block> {
    look.machine.nominated.then_some(Block::Nominated)
}

fn no_pool(look: &Look<'_>) -> Option<Block> {
    match look.policy() {
        None => Some(Block::NoPool(look.machine.pool.clone())),
        Some(policy) => policy.frozen.then_some(Block::Frozen),
    }
}

fn protected(look: &Look<'_>) -> Option<Block> {
    look.machine.protected.map(Block::Protected)
}

fn fixed_pods(look: &Look<'_>) -> Option<Block> {
    let (pod, hold) = look.machine.held_by.clone()?;
    (!look.machine.forceful || look.machine.drifted.is_none()).then_some(Block::Pod(pod, hold))
}

fn is_static(look: &Look<'_>) -> Option<Block> {
    look.policy().is_some_and(|policy| policy.is_static).then_some(Block::Static)
}

fn pods(look: &Look<'_>) -> Option<Block> {
    look.pods.iter().find_map(|pod| {
        let hold = look.fleet.care[*pod as usize].hold?;
        Some(Block::Pod(look.fleet.problem.pods[*pod as usize].to_string(), hold))
    })
}

/// consolidateAfter.
fn quiet(look: &Look<'_>) -> Option<Block> {
    let Some(after) = look.policy()?.after else { return Some(Block::Never) };
    let since = look.machine.quiet_since?;
    let passed = u64::try_from(look.now - since).unwrap_or(0);
    (passed < after).then(|| Block::Busy(after - passed))
}

fn no_price(look: &Look<'_>) -> Option<Block> {
    look.fleet.problem.nodes[look.node].price.is_none().then_some(Block::NoPrice)
}

fn only_empty(look: &Look<'_>) -> Option<Block> {
    (look.policy()?.consolidation == Consolidation::WhenEmpty).then_some(Block::WhenEmpty)
}

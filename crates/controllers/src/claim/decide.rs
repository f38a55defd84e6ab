//! The next step of a claim, from the facts alone.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::{Value, json};
use stowage_k8s::conditions::{self, Says};
use stowage_k8s::duration;
use stowage_k8s::v1::NodeClaim;

use super::{launch, settle, terminate};

/// Everything that a decision may look at.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The claim.
    pub claim: &'a NodeClaim,
    /// Its node, once it has joined.
    pub node: Option<&'a Node>,
    /// Pods on the node.
    pub pods: Vec<&'a Pod>,
    /// How many volumes are attached to the node.
    pub attachments: usize,
    /// Pods that may go to the held node and have not yet.
    pub invited: usize,
    /// Pods that were planned for it and may not go there yet.
    pub uninvited: usize,
    /// When a pod last came to a node that was held for it, whichever.
    pub landed: Option<Timestamp>,
    /// What this process remembers.
    pub memory: Memory,
    /// Now.
    pub now: Timestamp,
    /// How long things may take.
    pub timeouts: &'a Timeouts,
}

/// What this process remembers of a claim. Losing it costs a repeated question,
/// never an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The provider says that no instance of this claim is left.
    pub ended: bool,
}

/// How long things may take.
#[derive(Clone, Debug)]
pub struct Timeouts {
    /// From creation until an instance is launched.
    pub launch: Duration,
    /// From launch until the node registers.
    pub registration: Duration,
    /// How long a node that is otherwise ready is held for its pods while none comes
    /// anywhere; the scheduler may be busy with others.
    pub hold: Duration,
    /// How long at most.
    pub longest_hold: Duration,
    /// How long a drain lasts at least, so that endpoints can follow.
    pub drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            launch: Duration::from_secs(5 * 60),
            registration: Duration::from_secs(15 * 60),
            hold: Duration::from_secs(15),
            longest_hold: Duration::from_secs(90),
            drain: Duration::from_secs(5),
        }
    }
}

/// A merge patch of some object.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// The claim.
    Claim(Value),
    /// The claim's status.
    Status(Value),
    /// A node.
    Node(String, Value),
}

impl From<Write> for Call {
    fn from(patch: Write) -> Self {
        Self::Patch(patch)
    }
}

/// One external call.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// A merge patch.
    Patch(Write),
    /// Launch, as attempt number so-and-so.
    Launch(u32),
    /// Evict pods, by namespace and name.
    Evict(Vec<(String, String)>),
    /// Delete pods with a grace period in seconds, budgets or not.
    Force(Vec<(String, String, i64)>),
    /// End the instance, or find it by its tag and end it.
    EndInstance,
    /// Delete the node object.
    DeleteNode(String),
    /// Delete the claim, for a reason.
    DeleteClaim(&'static str),
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Make this call; the name is for logs.
    Do {
        /// What the step is called.
        step: &'static str,
        /// The call.
        call: Call,
    },
    /// Nothing, until something changes or so much time has passed.
    Wait(Duration),
}

/// Long enough to be woken by a change instead.
pub(crate) const LONG: Duration = Duration::from_secs(60);
/// The interval of questions that nothing wakes us for.
pub(crate) const SOON: Duration = Duration::from_secs(1);

/// The rules, in order; the first that has something to do or to wait for decides.
const ORDER: [fn(&Facts<'_>) -> Option<Verdict>; 7] = [
    terminate::terminate,
    launch::finalizer,
    launch::expire,
    launch::launch,
    settle::register,
    settle::initialize,
    settle::node_deleted,
];

/// The next step.
pub fn decide(facts: &Facts<'_>) -> Verdict {
    ORDER.iter().find_map(|rule| rule(facts)).unwrap_or(Verdict::Wait(LONG))
}

impl Facts<'_> {
    pub(crate) fn conditions(&self) -> Option<&Vec<Condition>> {
        self.claim.status.as_ref().and_then(|status| status.conditions.as_ref())
    }

    pub(crate) fn is(&self, kind: &str) -> bool {
        conditions::is_true(self.conditions(), kind)
    }

    pub(crate) fn since(&self, then: Option<Timestamp>) -> Duration {
        then.map_or(Duration::ZERO, |then| duration::since(then, self.now))
    }

    pub(crate) fn annotation(&self, key: &str) -> Option<&str> {
        self.claim.metadata.annotations.as_ref().and_then(|all| all.get(key)).map(String::as_str)
    }

    /// A patch of the claim that holds only if nobody else wrote in between.
    pub(crate) fn guarded(&self, mut patch: Value) -> Value {
        patch["metadata"]["resourceVersion"] = json!(self.claim.metadata.resource_version);
        patch
    }

    /// A status with these conditions set. `None` where it says so already.
    pub(crate) fn publish(&self, says: &[Says<'_>], mut more: Value) -> Option<Write> {
        let mut all = self.conditions().cloned().unwrap_or_default();
        let generation = self.claim.metadata.generation;
        let mut changed = false;
        for one in says {
            changed |= conditions::set(&mut all, one, generation, self.now);
        }
        conditions::summarize(&mut all, &READY, generation, self.now);
        if !changed && more.as_object().is_none_or(serde_json::Map::is_empty) {
            return None;
        }
        more["conditions"] = json!(all);
        Some(Write::Status(self.guarded(json!({ "status": more }))))
    }
}

/// What `Ready` stands for.
pub(crate) const READY: [&str; 3] = ["Launched", "Registered", "Initialized"];

pub(crate) fn step(step: &'static str, call: impl Into<Call>) -> Verdict {
    Verdict::Do { step, call: call.into() }
}

//! What a user chooses for the controller.

use std::time::Duration;

use stowage_model::{MinValues, Preferences};

use crate::batch::Rhythm;
use crate::claim::Timeouts;
use crate::disruption::Disruption;
use crate::lease::Terms;

/// Settings of one controller.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Names the cluster towards the provider: part of every token.
    pub cluster: String,
    /// When pending pods are planned.
    pub rhythm: Rhythm,
    /// What is done about preferences.
    pub preferences: Preferences,
    /// What is done where `minValues` cannot be met.
    pub min_values: MinValues,
    /// Pods of lower priority get no nodes.
    pub expendable_below: Option<i32>,
    /// Pods younger than this are not planned yet.
    pub new_pod_age: Duration,
    /// How long one plan may be searched for.
    pub plan_time: Duration,
    /// Threads of the search.
    pub threads: usize,
    /// Whether new nodes are held for the pods that were planned for them.
    pub steering: bool,
    /// Decide and report, but launch and disrupt nothing.
    pub dry_run: bool,
    /// Like `dry_run`, for new nodes and voluntary disruption only: what has begun is finished.
    pub frozen: bool,
    /// Bounds on what may be launched.
    pub caps: Caps,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// What disruption may do.
    pub disruption: Disruption,
    /// How long a node may be unwell before it is replaced; for ever without.
    pub repair: Option<Duration>,
    /// Where the lease is, and under which name.
    pub lease: Option<(String, String)>,
    /// Timing of the election.
    pub terms: Terms,
    /// Name of this process among candidates.
    pub identity: String,
    /// Instances without a claim are ended when they are older than this.
    pub orphan_age: Duration,
    /// How long an offer that was sold out is left alone.
    pub sold_out: Duration,
}

/// Bounds on what may be launched.
#[derive(Clone, Copy, Debug, Default)]
pub struct Caps {
    /// Nodes in the cluster, all of them.
    pub nodes: Option<usize>,
    /// NodeClaims created per minute.
    pub per_minute: Option<usize>,
    /// Nano-dollars per hour that managed nodes may cost together.
    pub hourly: Option<i64>,
}

impl Default for Settings {
    fn default() -> Self {
        let second = Duration::from_secs(1);
        Self {
            cluster: "default".to_owned(),
            rhythm: Rhythm { idle: second, most: second * 10, retry: second * 10 },
            preferences: Preferences::Respect,
            min_values: MinValues::Strict,
            expendable_below: None,
            new_pod_age: Duration::ZERO,
            plan_time: second * 30,
            threads: 1,
            steering: true,
            dry_run: false,
            frozen: false,
            caps: Caps::default(),
            timeouts: Timeouts::default(),
            disruption: Disruption::default(),
            repair: None,
            lease: None,
            terms: Terms::default(),
            identity: "stowage".to_owned(),
            orphan_age: second * 30,
            sold_out: second * 180,
        }
    }
}

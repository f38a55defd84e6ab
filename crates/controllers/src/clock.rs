//! The time of day as an argument. Waiting is by tokio's own instants, which a test
//! can pause.

use std::time::Duration;

use jiff::Timestamp;

/// Tells the time that objects carry.
pub trait Clock: Send + Sync {
    /// The time of day.
    fn now(&self) -> Timestamp;
}

/// The machine's own clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// How long after `then` it is; nothing where `then` is yet to come.
pub fn since(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or_default()
}

//! Time as an argument.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

/// Tells the time. `now` is for what objects carry; `instant` is for waiting, and
/// never goes back.
pub trait Clock: Send + Sync {
    /// The time of day.
    fn now(&self) -> Timestamp;
    /// A local point in time.
    fn instant(&self) -> Instant {
        Instant::now()
    }
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

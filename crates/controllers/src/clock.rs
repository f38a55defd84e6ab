//! The time of day as an argument. Waiting is by tokio's own instants, which a test
//! can pause.

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

//! Stops a search that takes too long.

use stowage_model::End;
use stowage_solver::Monitor;
use tokio::time::Instant;

/// Ends the search at a point in time.
pub(crate) struct Deadline(pub(crate) Instant);

impl Monitor for Deadline {
    fn stop(&self) -> Option<End> {
        (Instant::now() >= self.0).then_some(End::TimeLimit)
    }
}

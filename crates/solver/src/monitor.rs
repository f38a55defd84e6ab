//! How the outside watches a search and stops it. The search itself has no
//! clock and no terminal.

use stowage_model::{End, Price};

/// Watches a search. Called from several threads.
pub trait Monitor: Sync {
    /// A reason to stop now, if there is one. Asked between steps.
    fn stop(&self) -> Option<End> {
        None
    }

    /// What the search is doing and how far it is.
    fn progress(&self, _stage: &str, _incumbent: Option<Price>, _bound: Price) {}
}

/// Watches nothing and never stops.
pub struct Unwatched;

impl Monitor for Unwatched {}

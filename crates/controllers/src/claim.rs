//! A NodeClaim's life: launched, registered, initialized, drained, gone.
//!
//! Each turn looks at the facts, decides on at most one external call, makes it,
//! and looks again. Deciding is pure ([`decide`]); whatever a crash leaves half
//! done is found in the facts.

pub mod decide;
pub mod drain;
mod launch;
pub mod live;
mod observe;
mod settle;
mod terminate;
#[cfg(test)]
mod tests;

pub(crate) use decide::READY;
pub use decide::{Call, Facts, Memory, Timeouts, Verdict, decide};

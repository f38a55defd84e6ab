//! What integration tests and the commands that record their answers share.

pub mod cases;
pub mod control_plane;
pub mod live;
pub mod nodes;
pub mod peer;
pub mod planner;
pub mod scenarios;
pub mod stage;

/// Anything that goes wrong.
pub type Failure = Box<dyn std::error::Error>;

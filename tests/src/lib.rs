//! What integration tests and the commands that record their answers share.

pub mod cases;
pub mod control_plane;

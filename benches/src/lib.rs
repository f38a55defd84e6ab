//! Inputs and measuring that the comparisons share.

pub mod catalogs;
pub mod cluster;
pub mod curve;
pub mod evictions;
pub mod pods;
pub mod related;
pub mod run;

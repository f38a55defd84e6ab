//! The binary as its users meet it.

mod bad_input;
mod capacity;
mod catalog;
mod check;
mod consolidate;
mod determinism;
mod differential;
mod explain;
mod generated;
mod harness;
mod plan;
mod rebalance;
mod relations;
mod replay;
mod tidy;
mod volumes;

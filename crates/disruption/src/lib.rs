//! Which nodes to give up, replaced by which, and why the others stay.
//!
//! ```text
//! Fleet ─ candidate   what may go now, or the rule that keeps it
//!       ├ budget      how many of each pool, and for which reason
//!       ├ what_if     the fleet without some nodes, as a packing problem
//!       ├ search      the set of nodes whose removal is worth most
//!       ├ command     independent moves: delete, or replace m by n
//!       ├ stay        why each other node stays, in dollars
//!       ├ rebalance   pods that move though their nodes stay
//!       └ static_drift  what static pools renew one for one
//! ```
//!
//! Every command lowers a potential, so commands alone never bring a state back:
//! first the number of nodes that are not what their pool says, then the price per
//! hour. Pure: the time is an argument.

pub mod apply;
mod baseline;
mod bound;
pub mod budget;
pub mod candidate;
pub mod command;
mod decide;
pub mod rebalance;
mod search;
mod static_drift;
pub mod stay;
mod what_if;

pub use candidate::{Block, Reason};
pub use command::Command;
pub use decide::{Decision, Rules, confirm, decide};
pub use rebalance::{Rebalanced, rebalance};
pub use static_drift::static_drift;
pub use stay::Stay;
pub use what_if::WhatIf;

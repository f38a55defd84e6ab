//! Rules that relate pods to other pods, brought into a form that packing knows.
//!
//! ```text
//! relax    what pods would like, level by level
//! state    the scheduler's view, one pod at a time: the only judge here
//! assign   who goes to which zone (or other wide domain), in an order that holds
//! slots    what one node takes of a group or a port, as a resource
//! seating  packed counts to kinds of pods
//! settle   each of them replayed through the state
//! finish   whoever has no place yet, one by one, under every rule
//! ```
//!
//! Packing sees pins and slots only, which make most plans right; what they
//! cannot say is decided by the state at the end.

pub(crate) mod assign;
pub(crate) mod demand;
pub(crate) mod finish;
pub(crate) mod relax;
pub(crate) mod seating;
pub(crate) mod settle;
pub(crate) mod slots;
pub(crate) mod state;

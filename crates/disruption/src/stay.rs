//! Why a node stays.

use std::fmt;

use stowage_model::Price;

use crate::budget::Short;
use crate::candidate::{Block, Reason};
use crate::decide::Desk;
use crate::search;

/// The reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stay {
    /// A rule keeps it.
    Blocked(Block),
    /// Waiting pods will have it.
    Expected,
    /// Its pool's budget for this reason is used up.
    Budget(Reason),
    /// This PodDisruptionBudget is used up.
    PodBudget(String),
    /// One decision gives up no more nodes.
    Most,
    /// Its pods have no other place.
    NoPlace,
    /// By the values that prove the floor, its pods are worth so much, and moving them
    /// so much more, which together is more than it costs by the last.
    Price {
        /// What its pods cost where everything is packed as cheaply as can be.
        worth: Price,
        /// What moving them is worth.
        moving: Price,
        /// How much too cheap the node is to be given up.
        short: Price,
    },
    /// No cheaper arrangement was found, though this much might be saved.
    NotFound(Price),
    /// It would be replaced by a spot node with too few alternatives: so many.
    FewAlternatives(usize),
    /// Spot nodes are not replaced by spot nodes.
    SpotToSpot,
    /// What is saved is too little for what is disrupted, by the policy Balanced.
    Unbalanced,
    /// It would save less than what counts.
    TooLittle(Price),
}

impl fmt::Display for Stay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blocked(block) => block.fmt(f),
            Self::Expected => f.write_str("waiting pods will have it"),
            Self::Budget(reason) => write!(f, "its NodePool's budget for {reason} is used up"),
            Self::PodBudget(name) => write!(f, "PodDisruptionBudget {name} is used up"),
            Self::Most => f.write_str("one decision gives up no more nodes than were asked for"),
            Self::NoPlace => f.write_str("its pods have no other place"),
            Self::Price { worth, moving, short } => {
                write!(
                    f,
                    "it earns its price: its pods are worth {worth}/h at the cheapest packing, and moving them counts as \
                     {moving}/h: {short}/h short"
                )
            }
            Self::NotFound(most) => {
                write!(f, "no cheaper arrangement was found; by what its pods are worth, {most}/h might be saved")
            }
            Self::FewAlternatives(count) => {
                write!(f, "only {count} spot types would be cheaper, so its replacement would not last")
            }
            Self::SpotToSpot => f.write_str("spot nodes are not replaced by spot nodes unless asked"),
            Self::Unbalanced => f.write_str("what it saves is too little for what it disrupts (policy Balanced)"),
            Self::TooLittle(saving) => write!(f, "it would save only {saving}/h"),
        }
    }
}

/// What was short.
pub(crate) fn shortage(desk: &Desk<'_>, short: Short, reason: Reason) -> Stay {
    match short {
        Short::Nodes => Stay::Budget(reason),
        Short::Pods(index) => Stay::PodBudget(desk.fleet.pod_budgets[index as usize].name.clone()),
    }
}

/// What prices say of a node that could go and does not.
pub(crate) fn price(desk: &Desk<'_>, node: u32, values: &[f64]) -> Stay {
    let worth = search::worth(desk, node, values) as i64;
    let moving = desk.disruption_price(node);
    let short = worth.saturating_add(moving).saturating_sub(desk.price(node));
    if short > 0 {
        Stay::Price {
            worth: Price::from_nanos(worth),
            moving: Price::from_nanos(moving),
            short: Price::from_nanos(short),
        }
    } else {
        Stay::NotFound(Price::from_nanos(-short))
    }
}

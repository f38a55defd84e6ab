//! The answer: which pods go on which nodes.

use std::collections::BTreeMap;
use std::fmt;

use crate::certificate::Certificate;
use crate::codes::Reason;
use crate::instance_type::CapacityType;
use crate::price::Price;

/// A node to launch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NewNode {
    /// The pool it comes from.
    pub pool: String,
    /// The type it was packed for.
    pub instance_type: String,
    /// Its zone.
    pub zone: String,
    /// How it is bought.
    pub capacity_type: CapacityType,
    /// The capacity reservation that it is launched into.
    pub reservation: Option<String>,
    /// Its operating system.
    pub os: String,
    /// Values for labels that the pool leaves open.
    pub labels: BTreeMap<String, String>,
    /// What it costs.
    pub price: Price,
    /// Its pods, as indices into the problem, ascending.
    pub pods: Vec<u32>,
    /// Other types that would hold the same pods, cheapest first.
    pub alternatives: Vec<String>,
}

/// Pods that go to a node that exists.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Binding {
    /// The node's name.
    pub node: String,
    /// Its new pods, as indices into the problem, ascending.
    pub pods: Vec<u32>,
}

/// A pod that goes nowhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unplaced {
    /// Index into the problem.
    pub pod: u32,
    /// Why, one per pool, and one for existing nodes.
    pub reasons: Vec<Reason>,
}

/// Why the search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// Nothing cheaper exists.
    Optimal,
    /// The gap asked for was reached.
    WithinGap,
    /// All the work the effort allows was done.
    EffortSpent,
    /// The clock said stop.
    TimeLimit,
    /// The user said stop.
    Interrupted,
}

impl End {
    /// As JSON spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Optimal => "optimal",
            Self::WithinGap => "withinGap",
            Self::EffortSpent => "effortSpent",
            Self::TimeLimit => "timeLimit",
            Self::Interrupted => "interrupted",
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A complete answer to a problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Nodes to launch, in a fixed order.
    pub nodes: Vec<NewNode>,
    /// Pods for existing nodes, by node name.
    pub existing: Vec<Binding>,
    /// Pods without a place, by index.
    pub unplaced: Vec<Unplaced>,
    /// Placed pods in an order in which each finds its rules met; empty where
    /// every order will do.
    pub order: Vec<u32>,
    /// The least that any new nodes for the placed pods can cost.
    pub bound: Price,
    /// Why that is so.
    pub certificate: Certificate,
    /// Why the search ended.
    pub end: End,
}

impl Plan {
    /// What the new nodes cost together.
    pub fn price(&self) -> Price {
        self.nodes.iter().map(|node| node.price).sum()
    }

    /// How far the price can be from the cheapest: (price − bound) ÷ bound in
    /// millionths, rounded up. `None` when the bound is zero.
    pub fn gap_millionths(&self) -> Option<i64> {
        let bound = i128::from(self.bound.nanos());
        if bound <= 0 {
            return None;
        }
        let over = (i128::from(self.price().nanos()) - bound).max(0) * 1_000_000;
        i64::try_from((over + bound - 1) / bound).ok()
    }
}

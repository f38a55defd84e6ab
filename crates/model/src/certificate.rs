//! The proof of a lower bound, small enough to check by hand-written integers.
//!
//! Linear programming duality: give every pod shape a value v, and let u be the
//! most pods of a shape that one node can take. If on every launch (capacity W,
//! price p) and for some prices λ ≥ 0 of its resources
//!
//! ```text
//! λ·W + Σ u·max(0, v − λ·a) ≤ p        (a: what the shape asks for)
//! ```
//!
//! then no node holds pods worth more than it costs, so any plan costs at least
//! the sum of its pods' values, less what existing nodes can hold for nothing.
//! Where no λ shows it, the checker searches the node's fillings itself.

use std::collections::BTreeMap;
use std::fmt;

use crate::resources::ResourceName;

/// 10⁻²¹ dollars per hour, in 128 bits: prices per byte need the digits.
pub type Unit = i128;

/// How many of the certificate's units a nano-dollar has.
pub const UNITS_PER_NANO: Unit = 1_000_000_000_000;

/// How a bound was found, which says how it is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CertificateKind {
    /// Values from a fluid relaxation: λ alone shows every launch.
    Fluid,
    /// Values from column generation: some launches need a search of fillings.
    Columns,
    /// The plan itself is the bound: a complete search found nothing cheaper.
    Exact,
}

impl CertificateKind {
    /// As a plan file spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fluid => "fluid",
            Self::Columns => "columns",
            Self::Exact => "exact",
        }
    }

    /// The kind that is spelled `text`.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Fluid, Self::Columns, Self::Exact].into_iter().find(|k| k.as_str() == text)
    }
}

impl fmt::Display for CertificateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Prices of resources, per base unit.
pub type ResourcePrices = BTreeMap<ResourceName, Unit>;

/// The proof of a bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// How the bound was found.
    pub kind: CertificateKind,
    /// The value of a pod of each shape, in the problem's order of shapes.
    pub values: Vec<Unit>,
    /// Resource prices to try on each launch and each existing node.
    pub prices: Vec<ResourcePrices>,
    /// Rules that the bound leaves out; leaving one out only lowers it.
    pub relaxed: Vec<String>,
}

impl Certificate {
    /// That a plan costs at least nothing.
    pub fn nothing(shapes: usize) -> Self {
        Self { kind: CertificateKind::Fluid, values: vec![0; shapes], prices: Vec::new(), relaxed: Vec::new() }
    }
}

//! Instance types and where, how and for how much they are sold.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::price::Price;
use crate::resources::Resources;

/// How capacity is bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CapacityType {
    /// Paid for already, limited in number.
    Reserved,
    /// Spare capacity that can be taken back.
    Spot,
    /// Capacity at list price.
    OnDemand,
}

impl CapacityType {
    /// As the label spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Spot => "spot",
            Self::OnDemand => "on-demand",
        }
    }

    /// The capacity type that is spelled `text`.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Reserved, Self::Spot, Self::OnDemand].into_iter().find(|c| c.as_str() == text)
    }
}

impl fmt::Display for CapacityType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Capacity that is paid for already: so many instances, used or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// Its identity.
    pub id: Arc<str>,
    /// How many instances it has free.
    pub count: u32,
    /// What such an instance would cost without it.
    pub list_price: Price,
}

/// One way to buy an instance type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offering {
    /// The zone's name.
    pub zone: Arc<str>,
    /// The zone's account-independent id, where known.
    pub zone_id: Option<Arc<str>>,
    /// How it is bought.
    pub capacity_type: CapacityType,
    /// What it costs.
    pub price: Price,
    /// The reservation that it is bought from.
    pub reservation: Option<Reservation>,
}

/// A size of machine that a cloud sells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceType {
    /// Its name, such as `m7i.large`.
    pub name: Arc<str>,
    /// The labels a node of this type carries, beside those of its offering.
    pub labels: Arc<BTreeMap<String, String>>,
    /// The operating systems it can be launched with.
    pub operating_systems: Vec<Arc<str>>,
    /// What the node reports as capacity; NodePool limits count this.
    pub capacity: Resources,
    /// What pods can have.
    pub allocatable: Resources,
    /// Where and how it is sold.
    pub offerings: Vec<Offering>,
}

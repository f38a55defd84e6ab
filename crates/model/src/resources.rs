//! Amounts of named resources as exact integers.
//!
//! CPU is counted in millicores, everything else in its own base unit (bytes,
//! pieces), which is how kube-scheduler compares them.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The name of a resource, such as `cpu` or `nvidia.com/gpu`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ResourceName(Arc<str>);

impl ResourceName {
    /// CPU, in millicores.
    pub const CPU: &'static str = "cpu";
    /// Memory, in bytes.
    pub const MEMORY: &'static str = "memory";
    /// Ephemeral storage, in bytes.
    pub const EPHEMERAL_STORAGE: &'static str = "ephemeral-storage";
    /// Pods, in pieces.
    pub const PODS: &'static str = "pods";
    /// The pseudo resource of NodePool limits that counts nodes.
    pub const NODES: &'static str = "nodes";

    /// The name as Kubernetes writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether an amount of this resource is a number of bytes.
    pub fn is_bytes(&self) -> bool {
        matches!(self.as_str(), Self::MEMORY | Self::EPHEMERAL_STORAGE) || self.as_str().starts_with("hugepages-")
    }
}

impl From<&str> for ResourceName {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl Borrow<str> for ResourceName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Amounts by resource. A resource that is absent counts as zero.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Resources(BTreeMap<ResourceName, i64>);

impl Resources {
    /// No resources.
    pub fn new() -> Self {
        Self::default()
    }

    /// The amount of `name`, zero when absent.
    pub fn get(&self, name: &str) -> i64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// Whether `name` was given at all, be it as zero.
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Sets the amount of `name`.
    pub fn set(&mut self, name: &str, amount: i64) {
        if let Some(slot) = self.0.get_mut(name) {
            *slot = amount;
        } else {
            self.0.insert(name.into(), amount);
        }
    }

    /// The same amounts with `name` set.
    #[must_use]
    pub fn with(mut self, name: &str, amount: i64) -> Self {
        self.set(name, amount);
        self
    }

    /// Amounts in name order.
    pub fn iter(&self) -> impl Iterator<Item = (&ResourceName, i64)> {
        self.0.iter().map(|(name, amount)| (name, *amount))
    }

    /// Whether no resource is named.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds `other`, saturating: input quantities are range-checked long before
    /// a sum of them could reach the end of the type.
    pub fn add(&mut self, other: &Self) {
        for (name, amount) in other.iter() {
            let sum = self.get(name.as_str()).saturating_add(amount);
            self.set(name.as_str(), sum);
        }
    }

    /// Subtracts `other`, saturating; amounts may become negative.
    pub fn subtract(&mut self, other: &Self) {
        for (name, amount) in other.iter() {
            let rest = self.get(name.as_str()).saturating_sub(amount);
            self.set(name.as_str(), rest);
        }
    }

    /// Raises each amount to that of `other` where that is larger.
    pub fn raise_to(&mut self, other: &Self) {
        for (name, amount) in other.iter() {
            let most = self.get(name.as_str()).max(amount);
            self.set(name.as_str(), most);
        }
    }

    /// `self` times `count`, saturating.
    #[must_use]
    pub fn times(&self, count: i64) -> Self {
        Self(self.0.iter().map(|(n, a)| (n.clone(), a.saturating_mul(count))).collect())
    }

    /// Whether every positive amount of `self` is there in `free`.
    pub fn fits(&self, free: &Self) -> bool {
        self.first_shortage(free).is_none()
    }

    /// The first resource, in name order, that `free` has too little of.
    pub fn first_shortage(&self, free: &Self) -> Option<(&ResourceName, i64, i64)> {
        self.iter().find_map(|(name, asked)| {
            let there = free.get(name.as_str());
            (asked > 0 && asked > there).then_some((name, asked, there))
        })
    }
}

impl<N: AsRef<str>> FromIterator<(N, i64)> for Resources {
    fn from_iter<I: IntoIterator<Item = (N, i64)>>(amounts: I) -> Self {
        Self(amounts.into_iter().map(|(n, a)| (n.as_ref().into(), a)).collect())
    }
}

/// An amount in the unit a reader expects: `1500m`, `7.5Gi`, `3`.
pub fn humanize(name: &str, amount: i64) -> String {
    if name == ResourceName::CPU {
        return if amount % 1000 == 0 { format!("{}", amount / 1000) } else { format!("{amount}m") };
    }
    if !ResourceName::from(name).is_bytes() {
        return amount.to_string();
    }
    const UNITS: [(&str, i64); 4] = [("Ti", 1 << 40), ("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)];
    for (suffix, unit) in UNITS {
        if amount.abs() >= unit {
            let tenths = (i128::from(amount) * 10 + i128::from(unit) / 2) / i128::from(unit);
            return if tenths % 10 == 0 {
                format!("{}{suffix}", tenths / 10)
            } else {
                format!("{}.{}{suffix}", tenths / 10, (tenths % 10).abs())
            };
        }
    }
    amount.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amounts(pairs: &[(&str, i64)]) -> Resources {
        pairs.iter().copied().collect()
    }

    #[test]
    fn a_missing_resource_is_zero_and_a_zero_request_fits_anywhere() {
        let free = amounts(&[("cpu", 100)]);
        assert!(amounts(&[("cpu", 100), ("nvidia.com/gpu", 0)]).fits(&free));
        let asked = amounts(&[("nvidia.com/gpu", 1)]);
        assert_eq!(asked.first_shortage(&free), Some((&"nvidia.com/gpu".into(), 1, 0)));
    }

    #[test]
    fn a_negative_rest_never_admits() {
        let mut free = amounts(&[("cpu", 100)]);
        free.subtract(&amounts(&[("cpu", 150)]));
        assert_eq!(free.get("cpu"), -50);
        assert!(!amounts(&[("cpu", 1)]).fits(&free));
        assert!(amounts(&[("cpu", 0)]).fits(&free));
    }

    #[test]
    fn amounts_read_as_people_write_them() {
        for (name, amount, text) in [
            ("cpu", 2000, "2"),
            ("cpu", 150, "150m"),
            ("memory", 7 << 30, "7Gi"),
            ("memory", 1536 << 20, "1.5Gi"),
            ("memory", 12, "12"),
            ("nvidia.com/gpu", 8, "8"),
        ] {
            assert_eq!(humanize(name, amount), text);
        }
    }
}

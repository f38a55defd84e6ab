//! Requirements on several labels, all of which must hold.

use std::collections::BTreeMap;

use crate::requirement::Requirement;

/// A conjunction of requirements, one per label key.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Requirements(BTreeMap<String, Requirement>);

impl Requirements {
    /// No requirement: everything is admitted.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a requirement; one on the same key is narrowed.
    pub fn add(&mut self, key: &str, requirement: Requirement) {
        let narrowed = match self.0.get(key) {
            Some(there) => there.intersect(&requirement),
            None => requirement,
        };
        self.0.insert(key.to_owned(), narrowed);
    }

    /// Adds all of `other`.
    pub fn add_all(&mut self, other: &Self) {
        for (key, requirement) in other.iter() {
            self.add(key, requirement.clone());
        }
    }

    /// The requirement on `key`.
    pub fn get(&self, key: &str) -> Option<&Requirement> {
        self.0.get(key)
    }

    /// Requirements in key order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Requirement)> {
        self.0.iter().map(|(key, requirement)| (key.as_str(), requirement))
    }

    /// Whether nothing is required.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first key, in order, whose requirement refuses what `label` says.
    pub fn first_refused<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> Option<(&str, &Requirement)> {
        self.iter().find(|(key, requirement)| !requirement.admits(label(key)))
    }

    /// Whether `label` satisfies every requirement.
    pub fn admit<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.first_refused(label).is_none()
    }

    /// The first key on which nothing can ever be admitted.
    pub fn contradiction(&self) -> Option<&str> {
        self.iter().find(|(_, requirement)| requirement.is_empty()).map(|(key, _)| key)
    }
}

//! The labels a node would have if it were launched.

use std::collections::{BTreeMap, BTreeSet};

use crate::instance_type::{InstanceType, Offering};
use crate::labels;
use crate::node::Node;
use crate::node_pool::NodePool;

/// Stands for the name of a node that does not exist yet: no selector can name
/// it, and every selector can rule it in by exclusion.
const UNNAMED: &str = "(new node)";

/// Values chosen for the labels that a NodePool leaves open.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Variant {
    /// Chosen value by key; an open key that is not here stays off the node.
    pub labels: BTreeMap<String, String>,
}

/// The labels of one launch: this pool, this variant, this type, this offering.
#[derive(Clone, Copy, Debug)]
pub struct LaunchLabels<'a> {
    /// The pool that owns the node.
    pub pool: &'a NodePool,
    /// Choices for the pool's open labels.
    pub variant: &'a Variant,
    /// The machine.
    pub instance_type: &'a InstanceType,
    /// Its operating system.
    pub os: &'a str,
    /// How and where it is bought.
    pub offering: &'a Offering,
}

impl<'a> LaunchLabels<'a> {
    /// The value of label `key`, or `None` where the node will not carry it.
    pub fn get(&self, key: &str) -> Option<&'a str> {
        match key {
            labels::ZONE => Some(&self.offering.zone),
            labels::ZONE_ID => self.offering.zone_id.as_deref(),
            labels::CAPACITY_TYPE => Some(self.offering.capacity_type.as_str()),
            labels::RESERVATION_ID => self.offering.reservation.as_ref().map(|reservation| &*reservation.id),
            labels::OS => Some(self.os),
            labels::NODEPOOL => Some(&self.pool.name),
            labels::INSTANCE_TYPE => Some(&self.instance_type.name),
            labels::HOSTNAME | labels::NODE_NAME_FIELD => Some(UNNAMED),
            labels::INITIALIZED | labels::REGISTERED => Some("true"),
            _ => self
                .instance_type
                .labels
                .get(key)
                .or_else(|| self.variant.labels.get(key))
                .or_else(|| self.pool.labels.get(key))
                .map(String::as_str),
        }
    }

    /// The node that the launch becomes.
    pub fn node(&self, name: String) -> Node {
        let mut own: BTreeMap<String, String> = self.pool.labels.clone();
        own.extend(self.variant.labels.clone());
        own.extend((*self.instance_type.labels).clone());
        let keys = [
            labels::ZONE,
            labels::ZONE_ID,
            labels::CAPACITY_TYPE,
            labels::RESERVATION_ID,
            labels::OS,
            labels::NODEPOOL,
            labels::INSTANCE_TYPE,
        ];
        own.extend(keys.into_iter().filter_map(|key| Some((key.to_owned(), self.get(key)?.to_owned()))));
        own.insert(labels::HOSTNAME.to_owned(), name.clone());
        Node {
            name,
            labels: own,
            taints: self.pool.taints.clone(),
            capacity: self.instance_type.capacity.clone(),
            allocatable: self.instance_type.allocatable.clone(),
            price: Some(self.offering.price),
            schedulable: true,
            ..Node::default()
        }
    }

    /// Whether the pool's own requirements admit this launch.
    pub fn admitted_by_pool(&self) -> bool {
        self.pool.requirements.admit(|key| self.get(key))
    }
}

/// A pool's open labels left as they are.
static UNVARIED: Variant = Variant { labels: BTreeMap::new() };

/// The cheapest launch that a pool's requirements admit, whatever pods there are;
/// what is reserved is left to pods.
pub fn cheapest<'a>(pool: &'a NodePool, types: &'a [InstanceType]) -> Option<LaunchLabels<'a>> {
    let mut best: Option<LaunchLabels<'a>> = None;
    for instance_type in types {
        for os in &instance_type.operating_systems {
            for offering in instance_type.offerings.iter().filter(|offering| offering.reservation.is_none()) {
                let labels = LaunchLabels { pool, variant: &UNVARIED, instance_type, os, offering };
                let cheaper = best.is_none_or(|best| offering.price < best.offering.price);
                if cheaper && labels.admitted_by_pool() {
                    best = Some(labels);
                }
            }
        }
    }
    best
}

/// Every choice for a pool's open labels that can matter to somebody who
/// mentions the values in `mentioned`: each mentioned value that the pool
/// admits, one that nobody mentions, and absence. `None` when there are more
/// than `most` combinations.
pub fn variants(pool: &NodePool, mentioned: &BTreeMap<String, BTreeSet<String>>, most: usize) -> Option<Vec<Variant>> {
    let mut choices: Vec<(String, Vec<Option<String>>)> = Vec::new();
    for (key, requirement) in pool.requirements.iter() {
        if labels::is_provided(key) || pool.labels.contains_key(key) {
            continue;
        }
        let mut values: Vec<Option<String>> = Vec::new();
        if let Some(named) = mentioned.get(key) {
            values.extend(named.iter().filter(|v| requirement.admits(Some(v))).cloned().map(Some));
            let mut others = requirement.clone();
            if let Some(refused) = crate::Requirement::new(crate::Operator::NotIn, named.iter().cloned()) {
                others = others.intersect(&refused);
            }
            values.extend(others.any_value().map(Some));
        } else if requirement.needs_presence() {
            values.extend(requirement.any_value().map(Some));
        }
        if !requirement.needs_presence() {
            values.push(None);
        }
        choices.push((key.to_owned(), values));
    }
    let combinations = choices.iter().try_fold(1_usize, |n, (_, values)| n.checked_mul(values.len()))?;
    (combinations <= most)
        .then(|| product(&choices).into_iter().map(|labels| Variant { labels: labels.into_iter().collect() }).collect())
}

/// The Cartesian product of the choices; a value of `None` leaves its key out.
fn product(choices: &[(String, Vec<Option<String>>)]) -> Vec<Vec<(String, String)>> {
    choices.iter().fold(vec![Vec::new()], |done, (key, values)| {
        done.iter()
            .flat_map(|chosen| {
                values.iter().map(move |value| {
                    let mut next = chosen.clone();
                    next.extend(value.iter().map(|v| (key.clone(), v.clone())));
                    next
                })
            })
            .collect()
    })
}

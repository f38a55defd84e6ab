//! Why a planned node is of its type.

use std::collections::BTreeMap;

use stowage_model::resources::humanize;
use stowage_model::{NewNode, Price, Problem, Resources};

use crate::launches::{Launch, launches};

/// What stands beside the type that was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The next cheaper type, its price, and what it lacks for the node's pods.
    pub cheaper: Option<(String, Price, String)>,
    /// The cheapest other type that would hold the pods, and its price: what the
    /// node would cost, were its type not there.
    pub instead: Option<(String, Price)>,
}

/// Launches that differ in their type only, cheapest first.
type Ladder<'a> = Vec<(Price, &'a str, Launch)>;

/// What the launches of one ladder share: pool, zone, capacity type, system, open
/// labels.
type Rail = (String, String, &'static str, String, BTreeMap<String, String>);

/// Answers for any node of a plan.
pub struct Choices<'a> {
    problem: &'a Problem,
    ladders: BTreeMap<Rail, Ladder<'a>>,
}

impl<'a> Choices<'a> {
    /// Prepares for a problem.
    pub fn new(problem: &'a Problem) -> Self {
        let mut ladders: BTreeMap<Rail, Ladder<'a>> = BTreeMap::new();
        for launch in launches(problem) {
            let labels = launch.labels(problem);
            if labels.offering.reservation.is_some() {
                continue;
            }
            let key = (
                labels.pool.name.clone(),
                labels.offering.zone.to_string(),
                labels.offering.capacity_type.as_str(),
                labels.os.to_owned(),
                labels.variant.labels.clone(),
            );
            let price = labels.offering.price;
            ladders.entry(key).or_default().push((price, &labels.instance_type.name, launch));
        }
        for ladder in ladders.values_mut() {
            ladder.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)));
        }
        Self { problem, ladders }
    }

    /// What stands beside the type of `node`.
    pub fn of(&self, node: &NewNode) -> Choice {
        let key =
            (node.pool.clone(), node.zone.clone(), node.capacity_type.as_str(), node.os.clone(), node.labels.clone());
        let ladder = self.ladders.get(&key).map_or(&[][..], Vec::as_slice);
        let mut load = Resources::new();
        for pod in &node.pods {
            load.add(&self.problem.shapes[self.problem.pods[*pod as usize].shape as usize].requests);
        }
        let below = ladder.partition_point(|(price, _, _)| *price < node.price);
        let cheaper = ladder[..below].last().map(|(price, name, launch)| {
            let lacks: Vec<String> = load
                .iter()
                .filter(|(resource, asked)| *asked > launch.free.get(resource.as_str()))
                .map(|(resource, asked)| {
                    let short = asked - launch.free.get(resource.as_str()).max(0);
                    format!("{} {resource}", humanize(resource.as_str(), short))
                })
                .collect();
            let lacks = if lacks.is_empty() { "labels that its pods need".to_owned() } else { lacks.join(" and ") };
            ((*name).to_owned(), *price, lacks)
        });
        let instead = ladder[below..]
            .iter()
            .find(|(_, name, launch)| **name != *node.instance_type && load.fits(&launch.free))
            .map(|(price, name, _)| ((*name).to_owned(), *price));
        Choice { cheaper, instead }
    }
}

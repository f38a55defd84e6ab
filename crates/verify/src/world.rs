//! Who runs where, seen pod by pod: what the rules between pods say about the
//! next one. Written from the API reference, not from the solver.

use std::collections::{BTreeMap, BTreeSet};

use stowage_model::{HostPort, LaunchLabels, PodShape, Problem, Spread, Taint, labels};

use crate::facts;

/// The labels of a place.
type Label<'a> = Box<dyn Fn(&str) -> Option<String> + 'a>;

/// A place that a pod can be at.
pub(crate) struct Site<'a> {
    /// Per group of the problem, the value of its topology key.
    values: Vec<Option<String>>,
    ports: Vec<HostPort>,
    label: Label<'a>,
    taints: &'a [Taint],
}

/// A spread constraint with the nodes that count for it.
struct Watch {
    by_value: BTreeMap<String, u32>,
    /// How many domains have how many pods.
    levels: BTreeMap<u32, u32>,
    sites: Vec<bool>,
}

impl Watch {
    fn new(domains: Vec<String>, sites: Vec<bool>) -> Self {
        let by_value: BTreeMap<String, u32> = domains.into_iter().map(|value| (value, 0)).collect();
        let levels = BTreeMap::from([(0, by_value.len() as u32)]);
        Self { by_value, levels, sites }
    }

    fn add(&mut self, value: &str, count: u32) {
        let Some(held) = self.by_value.get_mut(value) else { return };
        if let Some(domains) = self.levels.get_mut(held) {
            *domains -= 1;
            if *domains == 0 {
                self.levels.remove(held);
            }
        }
        *held += count;
        *self.levels.entry(*held).or_default() += 1;
    }

    fn least(&self) -> u32 {
        self.levels.keys().next().copied().unwrap_or(0)
    }
}

pub(crate) struct World<'a> {
    problem: &'a Problem,
    /// The label keys that some pod mentions.
    keys: BTreeSet<String>,
    sites: Vec<Site<'a>>,
    /// Per group: pods that it counts, and pods that keep it away, by value.
    matching: Vec<BTreeMap<String, u32>>,
    away: Vec<BTreeMap<String, u32>>,
    watches: Vec<Watch>,
    /// The watch of each constraint, by shape and place in its list.
    watch_of: BTreeMap<(u32, usize), usize>,
    /// The watches of each group.
    of_group: Vec<Vec<usize>>,
    /// Launches whose values count as domains though no node has them.
    possible: Vec<Site<'a>>,
}

impl<'a> World<'a> {
    pub(crate) fn new(problem: &'a Problem) -> Self {
        let none = || vec![BTreeMap::new(); problem.groups.len()];
        let mentioned = problem.shapes.iter().flat_map(PodShape::requirement_sets);
        let keys = mentioned.flat_map(|set| set.iter().map(|(key, _)| key.to_owned()).collect::<Vec<_>>());
        let mut world = Self {
            problem,
            keys: keys.chain(problem.groups.iter().map(|group| group.key.clone())).collect(),
            sites: Vec::new(),
            matching: none(),
            away: none(),
            watches: Vec::new(),
            watch_of: BTreeMap::new(),
            of_group: Vec::new(),
            possible: Vec::new(),
        };
        for node in &problem.nodes {
            let label = |key: &str| node.label(key).map(str::to_owned);
            let site = world.site(&format!("node {}", node.name), label, &node.taints, node.ports.clone());
            world.sites.push(site);
        }
        world
    }

    fn site(
        &self,
        name: &str,
        label: impl Fn(&str) -> Option<String> + 'a,
        taints: &'a [Taint],
        ports: Vec<HostPort>,
    ) -> Site<'a> {
        let value = |key: &String| if key == labels::HOSTNAME { Some(name.to_owned()) } else { label(key) };
        let values = self.problem.groups.iter().map(|group| value(&group.key)).collect();
        Site { values, ports, label: Box::new(label), taints }
    }

    /// The labels of a launch that some pod mentions.
    pub(crate) fn mentioned(&self, labels: LaunchLabels<'_>) -> BTreeMap<String, String> {
        self.keys.iter().filter_map(|key| Some((key.clone(), labels.get(key)?.to_owned()))).collect()
    }

    /// A node that `labels` describe; DaemonSets there hold their ports.
    pub(crate) fn launched(&self, name: &str, labels: LaunchLabels<'_>, taints: &'a [Taint]) -> Site<'a> {
        let own = self.mentioned(labels);
        let running = self.problem.daemons.iter().filter(|daemon| !daemon.shape.ports.is_empty());
        let running = running.filter(|daemon| {
            facts::tolerates(&daemon.shape, taints) && facts::labels_admit(&daemon.shape, &|key| labels.get(key))
        });
        let ports = running.flat_map(|daemon| daemon.shape.ports.iter().cloned()).collect();
        self.site(name, move |key| own.get(key).cloned(), taints, ports)
    }

    /// Adds a node; returns its index.
    pub(crate) fn build(&mut self, site: Site<'a>) -> usize {
        self.sites.push(site);
        self.sites.len() - 1
    }

    /// Counts what a launch could add as domains.
    pub(crate) fn could_build(&mut self, site: Site<'a>) {
        self.possible.push(site);
    }

    /// All nodes are there: pods that run already are counted.
    pub(crate) fn open(&mut self) {
        let none = || vec![BTreeMap::new(); self.problem.groups.len()];
        (self.matching, self.away) = (none(), none());
        self.of_group = vec![Vec::new(); self.problem.groups.len()];
        // Constraints that count the same pods on the same nodes share a watch.
        let mut alike: BTreeMap<_, usize> = BTreeMap::new();
        for shape in 0..self.problem.shapes.len() as u32 {
            let data = &self.problem.shapes[shape as usize];
            for (at, spread) in data.topology.spread.iter().enumerate() {
                let filter = spread.honor_affinity.then_some((&data.selector, &data.affinity));
                let tolerated = spread.honor_taints.then_some(&data.tolerations);
                let known = *alike.entry((spread.group, filter, tolerated)).or_insert(self.watches.len());
                self.watch_of.insert((shape, at), known);
                if known < self.watches.len() {
                    continue;
                }
                let sites: Vec<bool> = self.sites.iter().map(|site| counts(data, spread, site)).collect();
                let group = spread.group as usize;
                let here = self.sites.iter().zip(&sites).filter(|(_, counted)| **counted).map(|(site, _)| site);
                let possible = self.possible.iter().filter(|site| counts(data, spread, site));
                let domains: Vec<String> = here.chain(possible).filter_map(|site| site.values[group].clone()).collect();
                let watch = Watch::new(domains, sites);
                self.of_group[group].push(self.watches.len());
                self.watches.push(watch);
            }
        }
        for (index, node) in self.problem.nodes.iter().enumerate() {
            for (group, count) in &node.members {
                self.count(*group, index, *count);
            }
            for (group, count) in &node.repels {
                if let Some(value) = &self.sites[index].values[*group as usize] {
                    *self.away[*group as usize].entry(value.clone()).or_default() += count;
                }
            }
        }
    }

    fn count(&mut self, group: u32, site: usize, count: u32) {
        let Some(value) = self.sites[site].values[group as usize].clone().filter(|_| count > 0) else { return };
        *self.matching[group as usize].entry(value.clone()).or_default() += count;
        for watch in &self.of_group[group as usize] {
            let watch = &mut self.watches[*watch];
            if watch.sites[site] {
                watch.add(&value, count);
            }
        }
    }

    /// Puts a pod on a node.
    pub(crate) fn place(&mut self, shape: u32, site: usize) {
        let data = &self.problem.shapes[shape as usize];
        for group in &data.topology.member {
            self.count(*group, site, 1);
        }
        for term in data.topology.anti_affinity.iter().filter(|term| term.weight.is_none()) {
            if let Some(value) = self.sites[site].values[term.group as usize].clone() {
                *self.away[term.group as usize].entry(value).or_default() += 1;
            }
        }
        self.sites[site].ports.extend(data.ports.iter().cloned());
    }

    /// Whether a pod may come to a node now.
    pub(crate) fn admits(&self, shape: u32, site: usize) -> Result<(), String> {
        self.admits_at(shape, &self.sites[site])
    }

    /// Whether a pod may come to a place, be it a node or not.
    pub(crate) fn admits_at(&self, shape: u32, site: &Site<'_>) -> Result<(), String> {
        let data = &self.problem.shapes[shape as usize];
        let topology = &data.topology;
        for port in &data.ports {
            if site.ports.iter().any(|held| held.conflicts(port)) {
                return Err(format!("host port {} is taken", port.port));
            }
        }
        let there = |counts: &[BTreeMap<String, u32>], group: u32| {
            let value = site.values[group as usize].as_ref();
            value.and_then(|value| counts[group as usize].get(value)).copied().unwrap_or(0)
        };
        for term in topology.anti_affinity.iter().filter(|term| term.weight.is_none()) {
            if there(&self.matching, term.group) > 0 {
                return Err(format!("its anti-affinity to group {} is broken", term.group));
            }
        }
        for group in &topology.member {
            if there(&self.away, *group) > 0 {
                return Err(format!("another pod's anti-affinity to group {group} is broken"));
            }
        }
        let required: Vec<u32> =
            topology.affinity.iter().filter(|term| term.weight.is_none()).map(|term| term.group).collect();
        let nobody = |group: &u32| self.matching[*group as usize].is_empty();
        let starts = required.iter().all(|group| nobody(group) && topology.member.contains(group));
        for group in &required {
            if site.values[*group as usize].is_none() || !starts && there(&self.matching, *group) == 0 {
                return Err(format!("no pod of group {group} is there"));
            }
        }
        for (at, spread) in topology.spread.iter().enumerate().filter(|(_, spread)| spread.hard) {
            self.even(shape, at, spread, site)?;
        }
        Ok(())
    }

    fn even(&self, shape: u32, at: usize, spread: &Spread, site: &Site<'_>) -> Result<(), String> {
        let data = &self.problem.shapes[shape as usize];
        let Some(value) = &site.values[spread.group as usize] else {
            return Err(format!("the node has no {}", self.problem.groups[spread.group as usize].key));
        };
        let Some(watch) = self.watch_of.get(&(shape, at)).map(|watch| &self.watches[*watch]) else { return Ok(()) };
        let after = watch.by_value.get(value).copied().unwrap_or(0) + u32::from(data.topology.in_group(spread.group));
        let enough = watch.by_value.len() as u32 >= spread.min_domains;
        let least = if enough { watch.least() } else { 0 };
        // A node that does not exist yet would be a new, empty domain.
        let least = if watch.by_value.contains_key(value) { least } else { 0 };
        if after > spread.max_skew + least {
            return Err(format!(
                "its spread of group {} allows {}, not {after}",
                spread.group,
                spread.max_skew + least
            ));
        }
        Ok(())
    }
}

fn counts(data: &PodShape, spread: &Spread, site: &Site<'_>) -> bool {
    let admitted = || {
        let alternatives = data.affinity.as_ref();
        let held: BTreeMap<String, String> = data
            .requirement_sets()
            .flat_map(|set| set.iter().map(|(key, _)| key.to_owned()).collect::<Vec<_>>())
            .filter_map(|key| (site.label)(&key).map(|value| (key, value)))
            .collect();
        let label = |key: &str| held.get(key).map(String::as_str);
        data.selector.admit(label) && alternatives.is_none_or(|terms| terms.iter().any(|term| term.matches(label)))
    };
    (!spread.honor_affinity || admitted()) && (!spread.honor_taints || facts::tolerates(data, site.taints))
}

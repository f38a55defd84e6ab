//! Every way to launch a node: pool × open labels × type × system × offering.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use stowage_model::{InstanceType, LaunchLabels, NodePool, Offering, PodShape, Problem, Resources};

/// One way to launch a node, by index into the problem.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Pool.
    pub pool: usize,
    /// Variant of the pool's open labels.
    pub variant: usize,
    /// Type, in the pool's type set.
    pub instance_type: usize,
    /// Operating system of the type.
    pub os: usize,
    /// Offering of the type.
    pub offering: usize,
    /// What pods can have beside the DaemonSets that would run there.
    pub free: Arc<Resources>,
}

impl Launch {
    /// The pool.
    pub fn pool<'a>(&self, problem: &'a Problem) -> &'a NodePool {
        &problem.pools[self.pool]
    }

    /// The instance type.
    pub fn instance_type<'a>(&self, problem: &'a Problem) -> &'a InstanceType {
        &problem.type_sets[self.pool(problem).type_set][self.instance_type]
    }

    /// The offering.
    pub fn offering<'a>(&self, problem: &'a Problem) -> &'a Offering {
        &self.instance_type(problem).offerings[self.offering]
    }

    /// The labels of the node.
    pub fn labels<'a>(&self, problem: &'a Problem) -> LaunchLabels<'a> {
        let instance_type = self.instance_type(problem);
        LaunchLabels {
            pool: self.pool(problem),
            variant: &problem.variants(self.pool)[self.variant],
            instance_type,
            os: &instance_type.operating_systems[self.os],
            offering: &instance_type.offerings[self.offering],
        }
    }
}

/// All launches that the pools' requirements admit, in a fixed order.
pub fn launches(problem: &Problem) -> Vec<Launch> {
    let mut overheads = Overheads::default();
    let mut all = Vec::new();
    for (pool_index, pool) in problem.pools.iter().enumerate() {
        for (type_index, instance_type) in problem.type_sets[pool.type_set].iter().enumerate() {
            for variant in 0..problem.variants(pool_index).len() {
                for os in 0..instance_type.operating_systems.len() {
                    for offering in 0..instance_type.offerings.len() {
                        let mut launch = Launch {
                            pool: pool_index,
                            variant,
                            instance_type: type_index,
                            os,
                            offering,
                            free: overheads.nothing.clone(),
                        };
                        let labels = launch.labels(problem);
                        if labels.admitted_by_pool() {
                            launch.free = overheads.free(problem, &labels, type_index);
                            all.push(launch);
                        }
                    }
                }
            }
        }
    }
    all
}

/// Whether some pool asks for `minValues`.
pub(crate) fn asks_for_values(problem: &Problem) -> bool {
    problem.pools.iter().any(|pool| pool.requirements.iter().any(|(_, r)| r.min_values.is_some()))
}

/// The launches that enough others could stand in for: where a pool asks for
/// `minValues` of a key, a node's pods must fit on types with that many values.
/// What holds as much as the launch does certainly holds its pods.
pub(crate) fn flexible(problem: &Problem, all: &[Launch]) -> Vec<Launch> {
    // Launches of one type that leave pods the same are one row.
    let mut rows: BTreeMap<(usize, usize, *const Resources), Vec<&Launch>> = BTreeMap::new();
    for launch in all {
        rows.entry((launch.pool, launch.instance_type, Arc::as_ptr(&launch.free))).or_default().push(launch);
    }
    let enough = |launch: &Launch| {
        let asked = launch.pool(problem).requirements.iter().filter_map(|(key, r)| Some((key, r.min_values?)));
        asked.into_iter().all(|(key, least)| {
            let holding =
                rows.iter().filter(|((pool, ..), row)| *pool == launch.pool && launch.free.fits(&row[0].free));
            let values: BTreeSet<&str> =
                holding.flat_map(|(_, row)| row.iter().filter_map(|other| other.labels(problem).get(key))).collect();
            values.len() >= least as usize
        })
    };
    let mut kept: Vec<Launch> = rows.values().filter(|row| enough(row[0])).flatten().map(|l| (*l).clone()).collect();
    kept.sort_by_key(|launch| (launch.pool, launch.instance_type, launch.variant, launch.os, launch.offering));
    kept
}

/// What DaemonSets leave of each type, remembered by which of them run there.
#[derive(Default)]
struct Overheads {
    nothing: Arc<Resources>,
    known: HashMap<(usize, usize, Vec<bool>), Arc<Resources>>,
}

impl Overheads {
    fn free(&mut self, problem: &Problem, labels: &LaunchLabels<'_>, type_index: usize) -> Arc<Resources> {
        let running: Vec<bool> =
            problem.daemons.iter().map(|d| d.runs_on(|key| labels.get(key), &labels.pool.taints)).collect();
        let key = (labels.pool.type_set, type_index, running);
        if let Some(free) = self.known.get(&key) {
            return free.clone();
        }
        let mut free = labels.instance_type.allocatable.clone();
        for (daemon, _) in problem.daemons.iter().zip(&key.2).filter(|(_, runs)| **runs) {
            free.subtract(&daemon.shape.requests);
        }
        let free = Arc::new(free);
        self.known.insert(key, free.clone());
        free
    }
}

/// Groups launches that look alike to every pod: same pool, same values of the
/// labels that any of `shapes` mentions or that pods are counted by. Returns a
/// representative of each group and the group of each launch.
pub(crate) fn lookalikes<'s>(
    problem: &'s Problem,
    launches: &[Launch],
    shapes: impl IntoIterator<Item = &'s PodShape>,
) -> (Vec<usize>, Vec<usize>) {
    let mentioned = shapes.into_iter().flat_map(PodShape::requirement_sets).flat_map(|set| set.iter().map(|(k, _)| k));
    let mut keys: Vec<&str> = mentioned.chain(problem.groups.iter().map(|group| group.key.as_str())).collect();
    keys.sort_unstable();
    keys.dedup();
    let mut known: BTreeMap<(usize, Vec<Option<&str>>), usize> = BTreeMap::new();
    let mut representatives = Vec::new();
    let groups = launches
        .iter()
        .enumerate()
        .map(|(index, launch)| {
            let labels = launch.labels(problem);
            let facts = (launch.pool, keys.iter().map(|key| labels.get(key)).collect());
            *known.entry(facts).or_insert_with(|| {
                representatives.push(index);
                representatives.len() - 1
            })
        })
        .collect();
    (representatives, groups)
}

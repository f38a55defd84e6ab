//! The question: these pods, these nodes, these pools, these types.

use std::collections::{BTreeMap, BTreeSet};

use crate::codes::Code;
use crate::instance_type::InstanceType;
use crate::launch::{self, LaunchLabels, Variant};
use crate::node::Node;
use crate::node_pool::NodePool;
use crate::plan::NewNode;
use crate::pod::{Daemon, Pod, PodShape, Workload};
use crate::resources::{ResourceName, Resources};
use crate::topology::Group;

/// The most combinations of open label values that one pool may have.
const MOST_VARIANTS: usize = 256;
/// The most of one resource that all pods together may ask for. Keeps every sum
/// of the solver and the checker far from the end of its type.
const MOST_TOTAL: i128 = 1 << 60;

/// Why a problem cannot be stated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {object}: {message}")]
pub struct ProblemError {
    /// The code.
    pub code: Code,
    /// The object concerned.
    pub object: String,
    /// What is wrong with it.
    pub message: String,
}

/// What becomes of preferences.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preferences {
    /// They are met wherever the pod still finds a place.
    #[default]
    Respect,
    /// They are not looked at.
    Ignore,
}

/// What becomes of a NodePool's `minValues` that cannot be met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MinValues {
    /// Pods stay unplaced.
    #[default]
    Strict,
    /// Pods are placed all the same.
    BestEffort,
}

/// What a problem is stated from, in any order.
#[derive(Clone, Debug, Default)]
pub struct Statement {
    /// Distinct shapes of pods.
    pub shapes: Vec<PodShape>,
    /// Workloads, by index.
    pub workloads: Vec<Workload>,
    /// Pods to place.
    pub pods: Vec<Pod>,
    /// Nodes that exist.
    pub nodes: Vec<Node>,
    /// Pools to launch from.
    pub pools: Vec<NodePool>,
    /// Instance types as each pool's NodeClass configures them.
    pub type_sets: Vec<Vec<InstanceType>>,
    /// DaemonSets.
    pub daemons: Vec<Daemon>,
    /// Groups that rules count, by index.
    pub groups: Vec<Group>,
}

/// A packing problem. Its constructor is the only place that may refuse one:
/// everything behind it is total.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The distinct shapes of pods, in a canonical order.
    pub shapes: Vec<PodShape>,
    /// The workloads pods belong to.
    pub workloads: Vec<Workload>,
    /// Pods to place, by namespace and name.
    pub pods: Vec<Pod>,
    /// Nodes that exist, by name.
    pub nodes: Vec<Node>,
    /// Pools to launch from, heaviest first, then by name.
    pub pools: Vec<NodePool>,
    /// Instance types as each pool's NodeClass configures them.
    pub type_sets: Vec<Vec<InstanceType>>,
    /// DaemonSets.
    pub daemons: Vec<Daemon>,
    /// The groups that pods' rules count, by index.
    pub groups: Vec<Group>,
    /// Whether preferences count.
    pub preferences: Preferences,
    /// What becomes of `minValues` that cannot be met.
    pub min_values: MinValues,
    /// How many other types each new node must leave open.
    pub min_alternatives: usize,
    variants: Vec<Vec<Variant>>,
}

impl Problem {
    /// States a problem: brings everything into canonical order, so that the
    /// order of input never reaches the plan.
    pub fn new(statement: Statement) -> Result<Self, ProblemError> {
        let Statement { mut shapes, workloads, mut pods, mut nodes, mut pools, type_sets, mut daemons, groups } =
            statement;
        let mut order: Vec<u32> = (0..shapes.len() as u32).collect();
        order.sort_by(|a, b| shapes[*a as usize].cmp(&shapes[*b as usize]));
        let mut place = vec![0_u32; shapes.len()];
        for (new, old) in order.iter().enumerate() {
            place[*old as usize] = new as u32;
        }
        shapes.sort();
        for pod in &mut pods {
            pod.shape = place[pod.shape as usize];
        }
        pods.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        pools.sort_by(|a, b| b.weight.cmp(&a.weight).then_with(|| a.name.cmp(&b.name)));
        daemons.sort();
        let mut problem = Self {
            shapes,
            workloads,
            pods,
            nodes,
            pools,
            type_sets,
            daemons,
            groups,
            preferences: Preferences::default(),
            min_values: MinValues::default(),
            min_alternatives: 0,
            variants: Vec::new(),
        };
        problem.refuse_overflow()?;
        problem.variants = problem.all_variants()?;
        Ok(problem)
    }

    /// The same question with other pods and nodes, both in their order; the shapes,
    /// and what can be launched, stay.
    pub fn with(&self, pods: Vec<Pod>, nodes: Vec<Node>) -> Self {
        Self {
            pods,
            nodes,
            shapes: self.shapes.clone(),
            workloads: self.workloads.clone(),
            pools: self.pools.clone(),
            type_sets: self.type_sets.clone(),
            daemons: self.daemons.clone(),
            groups: self.groups.clone(),
            preferences: self.preferences,
            min_values: self.min_values,
            min_alternatives: self.min_alternatives,
            variants: self.variants.clone(),
        }
    }

    /// The launch that a planned node names.
    pub fn launch_of<'a>(&'a self, node: &'a NewNode, variant: &'a Variant) -> Option<LaunchLabels<'a>> {
        let pool = self.pools.iter().find(|pool| pool.name == node.pool)?;
        let types = self.type_sets.get(pool.type_set)?;
        let instance_type = types.iter().find(|kind| *kind.name == *node.instance_type)?;
        let offering = instance_type.offerings.iter().find(|offering| {
            let reservation = offering.reservation.as_ref().map(|reservation| &*reservation.id);
            *offering.zone == *node.zone
                && offering.capacity_type == node.capacity_type
                && reservation == node.reservation.as_deref()
        })?;
        Some(LaunchLabels { pool, variant, instance_type, os: &node.os, offering })
    }

    /// Choices for the open labels of a pool that some pod or DaemonSet can
    /// tell apart.
    pub fn variants(&self, pool: usize) -> &[Variant] {
        self.variants.get(pool).map_or(&[], Vec::as_slice)
    }

    /// How many pods each shape has.
    pub fn counts(&self) -> Vec<u32> {
        let mut counts = vec![0; self.shapes.len()];
        for pod in &self.pods {
            counts[pod.shape as usize] += 1;
        }
        counts
    }

    /// What the live nodes of a pool already use of its limits.
    pub fn pool_usage(&self, pool: &NodePool) -> Resources {
        let mut usage = Resources::new();
        for node in self.nodes.iter().filter(|node| node.pool() == Some(&pool.name)) {
            usage.add(&node.capacity);
            usage.add(&Resources::new().with(ResourceName::NODES, 1));
        }
        usage
    }

    /// What a pool's limits leave for new nodes; `None` where nothing is limited.
    pub fn remaining_limits(&self, pool: &NodePool) -> Option<Resources> {
        let limits = pool.limits.as_ref()?;
        let usage = self.pool_usage(pool);
        Some(limits.iter().map(|(name, most)| (name.as_str().to_owned(), most - usage.get(name.as_str()))).collect())
    }

    fn all_variants(&self) -> Result<Vec<Vec<Variant>>, ProblemError> {
        let mut mentioned: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let sets = self.shapes.iter().chain(self.daemons.iter().map(|d| &d.shape));
        for requirements in sets.flat_map(PodShape::requirement_sets) {
            for (key, requirement) in requirements.iter() {
                mentioned.entry(key.to_owned()).or_default().extend(requirement.named().map(str::to_owned));
            }
        }
        // Pods are counted by every value of a topology key that a pool lists.
        for group in &self.groups {
            let listed = self.pools.iter().filter_map(|pool| pool.requirements.get(&group.key));
            let values: BTreeSet<String> = listed.flat_map(|r| r.named().map(str::to_owned)).collect();
            mentioned.entry(group.key.clone()).or_default().extend(values);
        }
        let of_pool = |pool: &NodePool| {
            launch::variants(pool, &mentioned, MOST_VARIANTS).ok_or_else(|| ProblemError {
                code: Code::InPool,
                object: format!("NodePool {}", pool.name),
                message: format!(
                    "its open labels can be combined in more than {MOST_VARIANTS} ways that pods tell apart; \
                     list fewer values in spec.template.spec.requirements"
                ),
            })
        };
        self.pools.iter().map(of_pool).collect()
    }

    fn refuse_overflow(&self) -> Result<(), ProblemError> {
        let mut totals: BTreeMap<&str, i128> = BTreeMap::new();
        for (shape, count) in self.shapes.iter().zip(self.counts()) {
            for (name, amount) in shape.requests.iter() {
                *totals.entry(name.as_str()).or_default() += i128::from(amount) * i128::from(count.max(1));
            }
        }
        match totals.into_iter().find(|(_, total)| *total > MOST_TOTAL) {
            None => Ok(()),
            Some((name, total)) => Err(ProblemError {
                code: Code::InNumbers,
                object: "the pods".to_owned(),
                message: format!("together ask for {total} of {name}"),
            }),
        }
    }
}

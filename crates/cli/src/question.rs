//! From arguments to a problem: what `plan`, `check` and `explain` share.

use std::collections::{BTreeMap, BTreeSet};

use stowage_cloud::sizing::Sizing;
use stowage_k8s::cluster::{Notes, Replan, Settings};
use stowage_k8s::lower::overlay;
use stowage_model::{CapacityType, Code, Daemon, NodePool, Operator, Preferences, Problem, Requirement, labels};

use crate::args::{InputArgs, MachineArgs, PreferenceChoice, ReplanChoice};
use crate::catalog::{Catalog, sizing};
use crate::error::Failure;
use crate::input::{self, Input};
use crate::{assumptions, digest::Digest};

/// A problem with everything a report says about where it came from.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) problem: Problem,
    pub(crate) catalog: Catalog,
    pub(crate) assumptions: Vec<String>,
    pub(crate) warnings: Vec<String>,
    pub(crate) objects: usize,
    pub(crate) digest: Digest,
}

/// Reads the input and states the problem.
pub(crate) fn pose(args: &InputArgs, machines: &MachineArgs, min_alternatives: usize) -> Result<Question, Failure> {
    let input = input::read(&args.inputs, args.keep_going)?;
    let named = named_capacity_types(&input);
    let catalog = Catalog::load(machines, &named)?;
    let mut question = Notebook::default();
    question.skipped(&input);
    let (pools, type_sets) = pools(&input, &catalog, machines, &mut question)?;
    let default_daemons = daemons(args, &input, &catalog, &mut question)?;
    let selector = args.selector.as_deref().map(label_selector).transpose()?;
    let wanted = |namespace: &str, labels: &BTreeMap<String, String>| {
        args.namespace.as_deref().is_none_or(|n| n == namespace)
            && selector.as_ref().is_none_or(|pairs| pairs.iter().all(|(k, v)| labels.get(k) == Some(v)))
    };
    let assembled = input.cluster.problem(Settings {
        replan: match args.replan {
            ReplanChoice::Auto => Replan::Auto,
            ReplanChoice::Pending => Replan::Pending,
            ReplanChoice::All => Replan::All,
        },
        pools,
        type_sets,
        default_daemons,
        expendable_below: args.expendable_priority,
        price_of: &|node| catalog.price_of(node),
        wanted: &wanted,
    })?;
    let mut problem = assembled.problem;
    problem.min_alternatives = min_alternatives;
    problem.preferences = match args.preference_policy {
        PreferenceChoice::Respect => Preferences::Respect,
        PreferenceChoice::Ignore => Preferences::Ignore,
    };
    question.noted(&assembled.notes);
    Ok(Question {
        problem,
        catalog,
        assumptions: question.assumptions,
        warnings: question.warnings,
        objects: input.objects,
        digest: input.digest,
    })
}

#[derive(Default)]
struct Notebook {
    assumptions: Vec<String>,
    warnings: Vec<String>,
}

impl Notebook {
    fn skipped(&mut self, input: &Input) {
        if !input.skipped.is_empty() {
            let kinds: Vec<String> = input.skipped.iter().map(|(kind, n)| format!("{kind} ({n})")).collect();
            self.warnings.push(format!("kinds that planning does not read were skipped: {}", kinds.join(", ")));
        }
        self.warnings.extend(input.refused.iter().map(|line| format!("left out: {line}")));
    }

    fn noted(&mut self, notes: &Notes) {
        if notes.expanded.1 > 0 {
            let (workloads, pods) = notes.expanded;
            self.assumptions
                .push(format!("{workloads} workloads without their pods in the input stand for {pods} pods"));
        }
        if notes.replanned > 0 {
            self.assumptions.push(format!(
                "{} running pods are planned afresh, because their nodes are not in the input (--replan pending leaves them out)",
                notes.replanned
            ));
        }
        for (why, (count, example)) in &notes.left_out {
            self.warnings.push(format!("{count} pods left out, such as {example}: {why}"));
        }
        for (rule, (count, example)) in &notes.unsupported {
            self.warnings
                .push(format!("{count} pods carry {}, which is not planned for yet, such as {example}", rule.field()));
        }
        for pool in &notes.static_pools {
            self.warnings
                .push(format!("NodePool {pool} has replicas: its nodes are static, nothing is planned onto new ones"));
        }
        for claim in &notes.unsized_claims {
            self.warnings.push(format!("NodeClaim {claim} has no node and no status.allocatable: it is left out"));
        }
    }
}

/// Capacity types that the input's NodePools name outright.
fn named_capacity_types(input: &Input) -> BTreeSet<CapacityType> {
    let requirements = input.cluster.pools().filter_map(|pool| pool.requirements.get(labels::CAPACITY_TYPE));
    requirements.filter_map(Requirement::listed).flatten().filter_map(|v| CapacityType::parse(v)).collect()
}

/// Pools with their type sets: one set per distinct sizing.
fn pools(
    input: &Input,
    catalog: &Catalog,
    machines: &MachineArgs,
    notebook: &mut Notebook,
) -> Result<(Vec<NodePool>, Vec<Vec<stowage_model::InstanceType>>), Failure> {
    let mut pools: Vec<NodePool> = input.cluster.pools().cloned().collect();
    if !input.cluster.has_pools() {
        match catalog {
            Catalog::Aws(_) => {
                let extended = input.cluster.extended_resources();
                let (assumed, said) = assumptions::default_pools(&extended, &catalog.types(&Sizing::default()));
                pools = assumed;
                notebook.assumptions.extend(said);
                let kinds =
                    if machines.capacity_types.is_empty() { "on-demand only" } else { "the capacity types given" };
                notebook.assumptions.push(format!("{kinds}, region {}", machines.region));
            }
            Catalog::File { name, .. } => {
                pools.push(assumptions::open_pool());
                notebook
                    .assumptions
                    .push(format!("no NodePool given: one pool \"default\" admits every type of {name}"));
            }
        }
    }
    let mut sizings: Vec<Sizing> = Vec::new();
    let mut missing: BTreeSet<String> = BTreeSet::new();
    for pool in &mut pools {
        let mut own = Sizing::default();
        let reference = &pool.node_class;
        match reference.kind.as_str() {
            "EC2NodeClass" => match input.cluster.ec2_node_class(&reference.name) {
                Some(class) => {
                    own = sizing(class)?;
                    restrict_zones(pool, class)?;
                }
                None if input.cluster.has_pools() => {
                    missing.insert(format!("EC2NodeClass {}", reference.name));
                }
                None => {}
            },
            "KWOKNodeClass" if !input.cluster.has_kwok_node_class(&reference.name) => {
                missing.insert(format!("KWOKNodeClass {}", reference.name));
            }
            _ => {}
        }
        pool.type_set = sizings.iter().position(|known| *known == own).unwrap_or_else(|| {
            sizings.push(own);
            sizings.len() - 1
        });
    }
    for class in missing {
        notebook.warnings.push(format!("{class} is not in the input: defaults of its kind are assumed"));
    }
    let mut sets: Vec<_> = sizings.iter().map(|sizing| catalog.types(sizing)).collect();
    let overlays = input.cluster.overlays();
    if !overlays.is_empty() {
        // Overlays may name a pool, so each has types of its own.
        sets = pools.iter().map(|pool| overlay::apply(overlays, pool, &sets[pool.type_set])).collect();
        pools.iter_mut().enumerate().for_each(|(index, pool)| pool.type_set = index);
    }
    Ok((pools, sets))
}

/// A NodeClass that found its subnets launches in their zones only.
fn restrict_zones(pool: &mut NodePool, class: &stowage_k8s::v1::Ec2NodeClass) -> Result<(), Failure> {
    let subnets = class.status.as_ref().and_then(|status| status.subnets.as_ref());
    let zones: BTreeSet<&str> = subnets.into_iter().flatten().map(|subnet| subnet.zone.as_str()).collect();
    if let Some(requirement) = Requirement::new(Operator::In, zones) {
        pool.requirements.add(labels::ZONE, requirement);
    }
    match pool.requirements.contradiction() {
        None => Ok(()),
        Some(key) => {
            let message = format!(
                "requirements on {key} and the subnets of its NodeClass have nothing in common; widen one of them"
            );
            Err(Failure::input(Code::InPool, &format!("NodePool {}", pool.name), &message))
        }
    }
}

/// DaemonSets to assume where the input has none.
fn daemons(
    args: &InputArgs,
    input: &Input,
    catalog: &Catalog,
    notebook: &mut Notebook,
) -> Result<Vec<Daemon>, Failure> {
    if input.cluster.knows_daemons() {
        return Ok(Vec::new());
    }
    let default = if matches!(catalog, Catalog::Aws(_)) { "eks" } else { "none" };
    match args.daemonsets.as_deref().unwrap_or(default) {
        "none" => Ok(Vec::new()),
        "eks" => {
            let daemons = assumptions::eks_daemons();
            let names: Vec<&str> = daemons.iter().map(|d| d.name.trim_start_matches("kube-system/")).collect();
            notebook.assumptions.push(format!(
                "no DaemonSet given: each node runs the EKS add-ons {} (--daemonsets none or FILE changes that)",
                names.join(" and ")
            ));
            Ok(daemons)
        }
        file => {
            let own = input::read(&[file.into()], args.keep_going)?;
            let never = |_: &str, _: &BTreeMap<String, String>| false;
            let assembled = own.cluster.problem(Settings {
                expendable_below: None,
                replan: Replan::Auto,
                pools: Vec::new(),
                type_sets: Vec::new(),
                default_daemons: Vec::new(),
                price_of: &|_| None,
                wanted: &never,
            })?;
            notebook.assumptions.push(format!("DaemonSets are those of {file}"));
            Ok(assembled.problem.daemons)
        }
    }
}

fn label_selector(text: &str) -> Result<Vec<(String, String)>, Failure> {
    text.split(',')
        .map(|pair| {
            let (key, value) =
                pair.split_once('=').ok_or_else(|| Failure::usage(&format!("--selector {pair:?} is not key=value")))?;
            Ok((key.trim().to_owned(), value.trim_start_matches('=').trim().to_owned()))
        })
        .collect()
}

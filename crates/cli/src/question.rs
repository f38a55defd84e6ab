//! From arguments to a problem: what `plan`, `check` and `explain` share.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use stowage_k8s::cluster::{Blockers, FleetSettings, Notes, Replan, Settings};
use stowage_k8s::{Cluster, ObjectError};
use stowage_model::{
    CapacityType, Daemon, Digest, Fleet, MinValues, Preferences, Problem, Requirement, Statement, labels,
};

use crate::args::{InputArgs, MachineArgs, MinValuesChoice, PreferenceChoice, ReplanChoice};
use crate::assumptions;
use crate::catalog::Catalog;
use crate::error::Failure;
use crate::input::{self, Input};
use crate::pools::Pools;

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
    let (assembled, mut question) = ask(args, machines, |cluster, settings| {
        let assembled = cluster.problem(settings)?;
        Ok((assembled.problem, assembled.notes))
    })?;
    question.problem = assembled;
    question.problem.min_alternatives = min_alternatives;
    choose(&mut question.problem, args);
    Ok(question)
}

/// Reads the input and states what disruption decides upon.
pub(crate) fn pose_fleet(
    args: &InputArgs,
    machines: &MachineArgs,
    min_alternatives: usize,
    blockers: Blockers,
    now: Timestamp,
) -> Result<(Fleet, Question), Failure> {
    let nobody = BTreeSet::new();
    let (mut fleet, mut question) = ask(args, machines, |cluster, question| {
        cluster.fleet(FleetSettings { question, blockers, now, nominated: &nobody, rebalancing: None })
    })?;
    fleet.problem.min_alternatives = min_alternatives;
    choose(&mut fleet.problem, args);
    question.warnings.extend(fleet.rebalancing.iter().flat_map(|all| all.notes.iter().cloned()));
    // The catalogue's zones and prices are known: what they were taken for is told with them.
    question.problem = fleet.problem.with(Vec::new(), Vec::new());
    Ok((fleet, question))
}

fn choose(problem: &mut Problem, args: &InputArgs) {
    problem.preferences = match args.preference_policy {
        PreferenceChoice::Respect => Preferences::Respect,
        PreferenceChoice::Ignore => Preferences::Ignore,
    };
    problem.min_values = match args.min_values_policy {
        MinValuesChoice::Strict => MinValues::Strict,
        MinValuesChoice::BestEffort => MinValues::BestEffort,
    };
}

/// Reads the input and asks its cluster something. The question that comes back has
/// no problem yet.
fn ask<T>(
    args: &InputArgs,
    machines: &MachineArgs,
    of: impl FnOnce(&Cluster, Settings<'_>) -> Result<(T, Notes), ObjectError>,
) -> Result<(T, Question), Failure> {
    let input = input::read(&args.inputs, args.keep_going)?;
    let named = named_capacity_types(&input.cluster);
    let catalog = Catalog::load(machines, &named)?;
    let mut notebook = Notebook::default();
    notebook.skipped(&input);
    let gathered = Pools::gather(&input.cluster, &catalog, machines, &mut notebook)?;
    let promised = gathered.promised(&mut notebook);
    let Pools { pools, type_sets, .. } = gathered;
    let default_daemons = daemons(args, &input, &catalog, &mut notebook)?;
    let selector = args.selector.as_deref().map(label_selector).transpose()?;
    let wanted = |namespace: &str, labels: &BTreeMap<String, String>| {
        args.namespace.as_deref().is_none_or(|n| n == namespace)
            && selector.as_ref().is_none_or(|pairs| pairs.iter().all(|(k, v)| labels.get(k) == Some(v)))
    };
    let settings = Settings {
        replan: match args.replan {
            ReplanChoice::Auto => Replan::Auto,
            ReplanChoice::Pending => Replan::Pending,
            ReplanChoice::All => Replan::All,
        },
        pools,
        type_sets,
        promised,
        default_daemons,
        expendable_below: args.expendable_priority,
        expand: true,
        price_of: &|node| catalog.price_of(node),
        lifted: &|_| false,
        wanted: &wanted,
    };
    let (answer, notes) = of(&input.cluster, settings)?;
    notebook.noted(&notes);
    let question = Question {
        problem: Problem::new(Statement::default()).map_err(ObjectError::from)?,
        catalog,
        assumptions: notebook.assumptions,
        warnings: notebook.warnings,
        objects: input.objects,
        digest: input.digest,
    };
    Ok((answer, question))
}

#[derive(Default)]
pub(crate) struct Notebook {
    pub(crate) assumptions: Vec<String>,
    pub(crate) warnings: Vec<String>,
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
        for claim in &notes.unsized_claims {
            self.warnings.push(format!("NodeClaim {claim} has no node and no status.allocatable: it is left out"));
        }
    }
}

/// Capacity types that the input's NodePools name outright.
pub(crate) fn named_capacity_types(cluster: &Cluster) -> BTreeSet<CapacityType> {
    let requirements = cluster.pools().filter_map(|pool| pool.requirements.get(labels::CAPACITY_TYPE));
    requirements.filter_map(Requirement::listed).flatten().filter_map(|v| CapacityType::parse(v)).collect()
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
                promised: Vec::new(),
                default_daemons: Vec::new(),
                expand: true,
                price_of: &|_| None,
                lifted: &|_| false,
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

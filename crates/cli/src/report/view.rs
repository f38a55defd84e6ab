//! The answer as plain data; this is also the JSON document.
//!
//! `formatVersion` grows its minor when fields are added and its major when one
//! changes meaning.

use std::collections::BTreeMap;

use serde::Serialize;
use stowage_model::{CapacityType, InstanceType, NewNode, Plan, Price, Problem, Resources, Variant};

use stowage_solver::explain::choice::Choices;

use crate::args::{PlanArgs, Solver};
use crate::catalog::CatalogInfo;
use crate::question::Question;
use crate::replays::ReplayView;
use crate::report::why::{self, ChoiceView, UnplacedView};

pub(crate) const FORMAT_VERSION: &str = "1.0";

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct View {
    pub(crate) format_version: &'static str,
    pub(crate) tool: Tool,
    pub(crate) catalog: CatalogInfo,
    pub(crate) price_bases: BTreeMap<String, usize>,
    pub(crate) input: InputInfo,
    pub(crate) assumptions: Vec<String>,
    pub(crate) warnings: Vec<String>,
    pub(crate) summary: Summary,
    pub(crate) nodes: Vec<NodeView>,
    pub(crate) existing: Vec<ExistingView>,
    pub(crate) unplaced: Vec<UnplacedView>,
    /// Placed pods in an order in which each finds its rules met.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) order: Vec<String>,
    /// Placed pods that must wait for others, wave by wave, where pods are let to
    /// their nodes by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) waves: Vec<Vec<String>>,
    pub(crate) costs: Costs,
    /// How the plan fares with a scheduler, where that was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) replay: Vec<ReplayView>,
    pub(crate) certificate: CertificateView,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timings: Option<Timings>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    /// What solves linear programs in this build.
    pub(crate) lp_backend: &'static str,
}

#[derive(Debug, Serialize)]
pub(crate) struct InputInfo {
    pub(crate) objects: usize,
    pub(crate) digest: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Summary {
    pub(crate) pods: usize,
    pub(crate) placed: usize,
    pub(crate) unplaced: usize,
    pub(crate) new_nodes: usize,
    /// Existing nodes that get pods.
    pub(crate) existing_nodes: usize,
    /// Existing nodes in the input.
    pub(crate) cluster_nodes: usize,
    pub(crate) hourly_price: f64,
    pub(crate) monthly_price: f64,
    pub(crate) current_hourly_price: f64,
    pub(crate) total_hourly_price: f64,
    /// Existing nodes whose price the catalogue does not know.
    pub(crate) unpriced_nodes: usize,
    pub(crate) lower_bound: f64,
    pub(crate) gap: Option<f64>,
    pub(crate) end: &'static str,
    pub(crate) solver: &'static str,
    /// The fewest alternative types that any new node has.
    pub(crate) min_alternatives: Option<usize>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NodeView {
    pub(crate) node_pool: String,
    pub(crate) instance_type: String,
    pub(crate) zone: String,
    pub(crate) capacity_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reservation: Option<String>,
    pub(crate) os: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) hourly_price: f64,
    /// Share of each resource that pods and DaemonSets ask for.
    pub(crate) utilization: BTreeMap<String, f64>,
    pub(crate) alternatives: Vec<String>,
    /// Why it is of its type.
    pub(crate) why: ChoiceView,
    pub(crate) pods: Vec<String>,
    #[serde(skip)]
    pub(crate) fill: Vec<Fill>,
    #[serde(skip)]
    pub(crate) price: Price,
}

/// One resource of one node, for pictures.
#[derive(Clone, Debug)]
pub(crate) struct Fill {
    pub(crate) resource: String,
    pub(crate) daemons: f64,
    pub(crate) pods: f64,
    pub(crate) text: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct ExistingView {
    pub(crate) name: String,
    pub(crate) pods: Vec<String>,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Costs {
    pub(crate) namespaces: Vec<CostView>,
    pub(crate) workloads: Vec<CostView>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CostView {
    pub(crate) name: String,
    pub(crate) pods: usize,
    pub(crate) hourly_price: f64,
    pub(crate) monthly_price: f64,
}

#[derive(Debug, Serialize)]
pub(crate) struct CertificateView {
    pub(crate) kind: &'static str,
    /// Value of a pod of each shape, 10⁻²¹ dollars per hour.
    pub(crate) values: Vec<String>,
    /// Resource prices, 10⁻²¹ dollars per hour and unit.
    pub(crate) prices: Vec<BTreeMap<String, String>>,
    pub(crate) relaxed: Vec<String>,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Timings {
    pub(crate) read_seconds: f64,
    pub(crate) plan_seconds: f64,
}

impl View {
    pub(crate) fn new(question: &Question, plan: &Plan, args: &PlanArgs, timings: Option<Timings>) -> Self {
        let problem = &question.problem;
        let mut facts: BTreeMap<Launched<'_>, NodeFacts<'_>> = BTreeMap::new();
        let choices = Choices::new(problem);
        let nodes: Vec<NodeView> = plan
            .nodes
            .iter()
            .map(|node| {
                let key = (&*node.pool, &*node.instance_type, &*node.zone, node.capacity_type);
                let own = facts.entry(key).or_insert_with(|| NodeFacts::of(problem, node));
                node_view(problem, node, own, ChoiceView::of(&choices, node))
            })
            .collect();
        let solver = if args.search.solver == Solver::FirstFit { "first-fit" } else { "optimise" };
        Self {
            format_version: FORMAT_VERSION,
            tool: Tool { name: "stowage", version: env!("CARGO_PKG_VERSION"), lp_backend: stowage_solver::LP_BACKEND },
            catalog: question.catalog.describe(&args.machines),
            price_bases: question.catalog.price_bases(plan.nodes.iter().map(|n| n.instance_type.as_str())),
            input: InputInfo { objects: question.objects, digest: question.digest.to_string() },
            assumptions: question.assumptions.clone(),
            warnings: question.warnings.clone(),
            summary: summary(problem, plan, solver),
            costs: costs(problem, plan),
            replay: Vec::new(),
            existing: plan
                .existing
                .iter()
                .map(|binding| ExistingView { name: binding.node.clone(), pods: names(problem, &binding.pods) })
                .collect(),
            unplaced: why::unplaced(problem, plan),
            nodes,
            order: plan.order.iter().map(|pod| problem.pods[*pod as usize].to_string()).collect(),
            waves: stowage_solver::replay::turns(problem, plan).iter().map(|wave| names(problem, wave)).collect(),
            certificate: CertificateView {
                kind: plan.certificate.kind.as_str(),
                values: plan.certificate.values.iter().map(ToString::to_string).collect(),
                prices: plan
                    .certificate
                    .prices
                    .iter()
                    .map(|prices| prices.iter().map(|(name, price)| (name.to_string(), price.to_string())).collect())
                    .collect(),
                relaxed: plan.certificate.relaxed.clone(),
            },
            timings,
        }
    }
}

type Launched<'a> = (&'a str, &'a str, &'a str, CapacityType);

pub(crate) fn summary(problem: &Problem, plan: &Plan, solver: &'static str) -> Summary {
    let price = plan.price();
    let current: Price = problem.nodes.iter().filter_map(|node| node.price).sum();
    Summary {
        pods: problem.pods.len(),
        placed: problem.pods.len() - plan.unplaced.len(),
        unplaced: plan.unplaced.len(),
        new_nodes: plan.nodes.len(),
        existing_nodes: plan.existing.len(),
        cluster_nodes: problem.nodes.len(),
        hourly_price: price.dollars(),
        monthly_price: price.monthly().dollars(),
        current_hourly_price: current.dollars(),
        total_hourly_price: (price + current).dollars(),
        unpriced_nodes: problem.nodes.iter().filter(|node| node.price.is_none()).count(),
        lower_bound: plan.bound.dollars(),
        gap: plan.gap_millionths().map(|gap| gap as f64 / 1e6),
        end: plan.end.as_str(),
        solver,
        min_alternatives: plan.nodes.iter().map(|node| node.alternatives.len()).min(),
    }
}

fn names(problem: &Problem, pods: &[u32]) -> Vec<String> {
    pods.iter().map(|pod| problem.pods[*pod as usize].to_string()).collect()
}

/// What all nodes of one launch share.
struct NodeFacts<'a> {
    instance_type: Option<&'a InstanceType>,
    daemons: Resources,
}

impl<'a> NodeFacts<'a> {
    fn of(problem: &'a Problem, node: &NewNode) -> Self {
        let mut daemons = Resources::new();
        let variant = Variant { labels: node.labels.clone() };
        let launch = problem.launch_of(node, &variant);
        if let Some(labels) = launch {
            for daemon in problem.daemons.iter().filter(|d| d.runs_on(|key| labels.get(key), &labels.pool.taints)) {
                daemons.add(&daemon.shape.requests);
            }
        }
        let pool = problem.pools.iter().find(|pool| pool.name == node.pool);
        let types = pool.and_then(|pool| problem.type_sets.get(pool.type_set));
        let instance_type = types.and_then(|types| types.iter().find(|t| *t.name == *node.instance_type));
        Self { instance_type, daemons }
    }
}

fn node_view(problem: &Problem, node: &NewNode, facts: &NodeFacts<'_>, why: ChoiceView) -> NodeView {
    let mut load = Resources::new();
    for pod in &node.pods {
        load.add(&problem.shapes[problem.pods[*pod as usize].shape as usize].requests);
    }
    let empty = Resources::new();
    let allocatable = facts.instance_type.map_or(&empty, |t| &t.allocatable);
    let fill: Vec<Fill> = allocatable
        .iter()
        .filter(|(name, amount)| *amount > 0 && (load.get(name.as_str()) > 0 || *name.as_str() == *"memory"))
        .map(|(name, amount)| {
            let (own, daemons) = (load.get(name.as_str()), facts.daemons.get(name.as_str()));
            let human = |amount| stowage_model::resources::humanize(name.as_str(), amount);
            Fill {
                resource: name.to_string(),
                daemons: daemons as f64 / amount as f64,
                pods: own as f64 / amount as f64,
                text: format!("{} of {}", human(own + daemons), human(amount)),
            }
        })
        .collect();
    let share = |fill: &Fill| ((fill.daemons + fill.pods) * 10_000.0).round() / 10_000.0;
    NodeView {
        node_pool: node.pool.clone(),
        instance_type: node.instance_type.clone(),
        zone: node.zone.clone(),
        capacity_type: node.capacity_type.to_string(),
        reservation: node.reservation.clone(),
        os: node.os.clone(),
        labels: node.labels.clone(),
        hourly_price: node.price.dollars(),
        utilization: fill.iter().map(|f| (f.resource.clone(), share(f))).collect(),
        alternatives: node.alternatives.clone(),
        why,
        pods: names(problem, &node.pods),
        fill,
        price: node.price,
    }
}

/// A node's price is split among its pods, half by CPU and half by memory asked
/// for, so that the parts add up to the bill.
fn costs(problem: &Problem, plan: &Plan) -> Costs {
    let mut by_workload: BTreeMap<u32, (usize, f64)> = BTreeMap::new();
    for node in &plan.nodes {
        let requests = |pod: &u32| &problem.shapes[problem.pods[*pod as usize].shape as usize].requests;
        let total = |name: &str| node.pods.iter().map(|pod| requests(pod).get(name)).sum::<i64>() as f64;
        let (cpu, memory, pods) = (total("cpu"), total("memory"), node.pods.len() as f64);
        for pod in &node.pods {
            let part = |name: &str, all: f64| if all > 0.0 { requests(pod).get(name) as f64 / all } else { 1.0 / pods };
            let share = (part("cpu", cpu) + part("memory", memory)) / 2.0;
            let entry = by_workload.entry(problem.pods[*pod as usize].workload).or_default();
            entry.0 += 1;
            entry.1 += node.price.dollars() * share;
        }
    }
    let mut namespaces: BTreeMap<String, (usize, f64)> = BTreeMap::new();
    let mut workloads: BTreeMap<String, (usize, f64)> = BTreeMap::new();
    for (workload, (pods, price)) in by_workload {
        let workload = &problem.workloads[workload as usize];
        for (map, name) in [(&mut namespaces, workload.namespace.to_string()), (&mut workloads, workload.to_string())] {
            let entry = map.entry(name).or_default();
            entry.0 += pods;
            entry.1 += price;
        }
    }
    let views = |map: BTreeMap<String, (usize, f64)>| -> Vec<CostView> {
        let mut views: Vec<CostView> = map
            .into_iter()
            .map(|(name, (pods, price))| CostView {
                name,
                pods,
                hourly_price: (price * 1e6).round() / 1e6,
                monthly_price: (price * 730.0 * 1e2).round() / 1e2,
            })
            .collect();
        views.sort_by(|a, b| b.hourly_price.total_cmp(&a.hourly_price).then_with(|| a.name.cmp(&b.name)));
        views
    };
    Costs { namespaces: views(namespaces), workloads: views(workloads) }
}

//! Figures for Prometheus. Karpenter's names where the meaning is Karpenter's.

mod cluster;
mod disruption;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use stowage_disruption::{Command, Decision};

use crate::context::Context;
use crate::view::View;

/// One label, whatever its name.
type Labels = Vec<(String, String)>;

/// The labels of build information.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Build {
    version: String,
}

/// What came of one pass.
#[derive(Clone, Copy, Debug)]
pub struct Pass {
    /// How long it took.
    pub seconds: f64,
    /// New nodes, in dollars per hour.
    pub price: f64,
    /// The least they can cost.
    pub bound: f64,
    /// How far the price can be from the least, as a share.
    pub gap: Option<f64>,
    /// Pods without a place.
    pub unplaced: usize,
    /// Whether the baseline answered.
    pub fallback: bool,
    /// Why the search ended.
    pub end: &'static str,
}

/// All figures.
pub struct Metrics {
    registry: Registry,
    created: Family<Labels, Counter>,
    disrupted: Family<Labels, Counter>,
    launched: Counter,
    orphans: Counter,
    evictions: Family<Labels, Counter>,
    provider_errors: Family<Labels, Counter>,
    provider_calls: Family<Labels, Counter>,
    steps: Family<Labels, Counter>,
    scheduling: Histogram,
    queue: Gauge,
    unschedulable: Gauge,
    passes: Family<Labels, Counter>,
    failed_passes: Counter,
    price: Gauge<f64, AtomicU64>,
    bound: Gauge<f64, AtomicU64>,
    gap: Gauge<f64, AtomicU64>,
    landed: Family<Labels, Counter>,
    leading: Gauge,
    planned_price: Counter<f64, AtomicU64>,
    regret: Counter<f64, AtomicU64>,
    nodes_created: Family<Labels, Counter>,
    nodes_terminated: Family<Labels, Counter>,
    disruption: disruption::Disruption,
    cluster: cluster::Cluster,
}

fn labelled(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

impl Default for Metrics {
    fn default() -> Self {
        let mut all = Self {
            registry: Registry::default(),
            created: Family::default(),
            disrupted: Family::default(),
            launched: Counter::default(),
            orphans: Counter::default(),
            evictions: Family::default(),
            provider_errors: Family::default(),
            provider_calls: Family::default(),
            steps: Family::default(),
            scheduling: Histogram::new([0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0]),
            queue: Gauge::default(),
            unschedulable: Gauge::default(),
            passes: Family::default(),
            failed_passes: Counter::default(),
            price: Gauge::default(),
            bound: Gauge::default(),
            gap: Gauge::default(),
            landed: Family::default(),
            leading: Gauge::default(),
            planned_price: Counter::default(),
            regret: Counter::default(),
            nodes_created: Family::default(),
            nodes_terminated: Family::default(),
            disruption: disruption::Disruption::default(),
            cluster: cluster::Cluster::default(),
        };
        all.register();
        all
    }
}

impl Metrics {
    fn register(&mut self) {
        let r = &mut self.registry;
        r.register("karpenter_nodeclaims_created", "NodeClaims created, by reason and NodePool", self.created.clone());
        r.register(
            "karpenter_nodeclaims_disrupted",
            "NodeClaims deleted, by reason and NodePool",
            self.disrupted.clone(),
        );
        r.register("stowage_instances_launched", "Instances launched", self.launched.clone());
        r.register("stowage_orphans_ended", "Instances without a claim that were ended", self.orphans.clone());
        r.register(
            "karpenter_pods_eviction_requests",
            "Evictions asked for, by the answer's code",
            self.evictions.clone(),
        );
        r.register(
            "karpenter_cloudprovider_errors",
            "Calls of the provider that failed, by method and error",
            self.provider_errors.clone(),
        );
        r.register("stowage_provider_calls", "Calls of the provider, by method", self.provider_calls.clone());
        r.register("stowage_claim_steps", "Steps taken for NodeClaims, by step", self.steps.clone());
        r.register(
            "karpenter_scheduler_scheduling_duration_seconds",
            "Seconds from the closed batch to the judged plan",
            self.scheduling.clone(),
        );
        r.register("karpenter_scheduler_queue_depth", "Pods that wait to be planned", self.queue.clone());
        r.register(
            "karpenter_scheduler_unschedulable_pods_count",
            "Pods without a place in the last plan",
            self.unschedulable.clone(),
        );
        r.register("stowage_plans", "Plans, by why the search ended and who answered", self.passes.clone());
        r.register("stowage_plans_failed", "Passes that gave no plan", self.failed_passes.clone());
        r.register("stowage_plan_price_dollars_per_hour", "New nodes of the last plan", self.price.clone());
        r.register("stowage_plan_bound_dollars_per_hour", "The least that they can cost", self.bound.clone());
        r.register("stowage_plan_gap_ratio", "How far the last plan can be from the cheapest", self.gap.clone());
        r.register(
            "stowage_pods_landed",
            "Planned pods, by whether they came to the planned node",
            self.landed.clone(),
        );
        r.register("stowage_leading", "Whether this process leads", self.leading.clone());
        r.register(
            "stowage_planned_dollars_per_hour",
            "What the nodes that were ordered for pods cost, summed up",
            self.planned_price.clone(),
        );
        r.register(
            "stowage_regret_dollars_per_hour",
            "The part of it that went to pods with a place in an earlier plan: the plan did not come true",
            self.regret.clone(),
        );
        r.register("karpenter_nodes_created", "Nodes that joined, by NodePool", self.nodes_created.clone());
        r.register("karpenter_nodes_terminated", "Nodes that are gone, by NodePool", self.nodes_terminated.clone());
        self.disruption.register(r);
        self.cluster.register(r);
        let build = Family::<Build, Gauge>::default();
        build.get_or_create(&Build { version: env!("CARGO_PKG_VERSION").to_owned() }).set(1);
        r.register("karpenter_build_info", "What runs", build);
    }

    /// As Prometheus reads it.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if encode(&mut text, &self.registry).is_err() {
            let _ = writeln!(text, "# figures could not be written");
        }
        text
    }

    pub(crate) fn created(&self, pool: &str) {
        self.created.get_or_create(&labelled(&[("reason", "provisioned"), ("nodepool", pool)])).inc();
    }

    pub(crate) fn disrupted(&self, reason: &str, pool: &str) {
        self.disrupted.get_or_create(&labelled(&[("reason", reason), ("nodepool", pool)])).inc();
    }

    pub(crate) fn decided(&self, decision: &Decision) {
        self.disruption.decided(decision);
    }

    pub(crate) fn decision_took(&self, seconds: f64) {
        self.disruption.took(seconds);
    }

    pub(crate) fn ordered(&self, command: &Command) {
        self.disruption.ordered(command);
    }

    pub(crate) fn rebalanced(&self, method: &str, result: &str) {
        self.disruption.rebalanced(method, result);
    }

    pub(crate) fn taken_back(&self, reason: &str) {
        self.disruption.taken_back(reason);
    }

    pub(crate) fn launched(&self) {
        self.launched.inc();
    }

    pub(crate) fn orphan(&self) {
        self.orphans.inc();
    }

    pub(crate) fn evicted(&self, code: u16) {
        self.evictions.get_or_create(&labelled(&[("code", &code.to_string())])).inc();
    }

    pub(crate) fn provider(&self, method: &str, error: Option<&str>) {
        self.provider_calls.get_or_create(&labelled(&[("method", method)])).inc();
        if let Some(error) = error {
            self.provider_errors.get_or_create(&labelled(&[("method", method), ("error", error)])).inc();
        }
    }

    pub(crate) fn step(&self, step: &str) {
        self.steps.get_or_create(&labelled(&[("step", step)])).inc();
    }

    pub(crate) fn joined(&self, pool: &str) {
        self.nodes_created.get_or_create(&labelled(&[("nodepool", pool)])).inc();
    }

    pub(crate) fn gone(&self, pool: &str) {
        self.nodes_terminated.get_or_create(&labelled(&[("nodepool", pool)])).inc();
    }

    /// What was ordered, and how much of it for pods that had a place before.
    pub(crate) fn ordered_for_pods(&self, price: f64, again: f64) {
        self.planned_price.inc_by(price);
        self.regret.inc_by(again);
    }

    pub(crate) fn look(&self, view: &View, unstarted: &mut BTreeSet<String>) {
        self.cluster.look(view, unstarted);
    }

    pub(crate) fn waiting(&self, pods: usize) {
        self.queue.set(i64::try_from(pods).unwrap_or(i64::MAX));
    }

    pub(crate) fn failed_pass(&self) {
        self.failed_passes.inc();
    }

    pub(crate) fn landed(&self, planned: bool) {
        let place = if planned { "planned" } else { "elsewhere" };
        self.landed.get_or_create(&labelled(&[("node", place)])).inc();
    }

    pub(crate) fn leading(&self, leads: bool) {
        self.leading.set(i64::from(leads));
    }

    pub(crate) fn pass(&self, pass: &Pass) {
        self.scheduling.observe(pass.seconds);
        self.unschedulable.set(i64::try_from(pass.unplaced).unwrap_or(i64::MAX));
        let solver = if pass.fallback { "firstFit" } else { "optimiser" };
        self.passes.get_or_create(&labelled(&[("end", pass.end), ("solver", solver)])).inc();
        self.price.set(pass.price);
        self.bound.set(pass.bound);
        self.gap.set(pass.gap.unwrap_or(0.0));
    }
}

/// Between two looks at the cluster.
const PERIOD: Duration = Duration::from_secs(5);

/// Runs until it is dropped.
pub async fn run(ctx: Arc<Context>) {
    let mut unstarted = BTreeSet::new();
    loop {
        ctx.metrics.look(&ctx.state.view(), &mut unstarted);
        tokio::time::sleep(PERIOD).await;
    }
}

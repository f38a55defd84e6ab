//! Figures about disruption.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use stowage_disruption::{Command, Decision, Stay};

use super::{Labels, labelled};

/// The figures.
pub(super) struct Disruption {
    took: Histogram,
    decisions: Family<Labels, Counter>,
    failures: Family<Labels, Counter>,
    eligible: Family<Labels, Gauge>,
    staying: Family<Labels, Gauge>,
    rebalanced: Family<Labels, Counter>,
    price: Gauge<f64, AtomicU64>,
    after: Gauge<f64, AtomicU64>,
    floor: Gauge<f64, AtomicU64>,
}

impl Default for Disruption {
    fn default() -> Self {
        Self {
            took: Histogram::new([0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0]),
            decisions: Family::default(),
            failures: Family::default(),
            eligible: Family::default(),
            staying: Family::default(),
            rebalanced: Family::default(),
            price: Gauge::default(),
            after: Gauge::default(),
            floor: Gauge::default(),
        }
    }
}

impl Disruption {
    pub(super) fn register(&self, r: &mut Registry) {
        r.register(
            "karpenter_voluntary_disruption_decision_evaluation_duration_seconds",
            "How long one decision over the whole cluster took",
            self.took.clone(),
        );
        r.register(
            "karpenter_voluntary_disruption_decisions",
            "Commands begun, by what they do and why",
            self.decisions.clone(),
        );
        r.register(
            "karpenter_voluntary_disruption_queue_failures",
            "Commands taken back, by why they were begun",
            self.failures.clone(),
        );
        r.register(
            "karpenter_voluntary_disruption_eligible_nodes",
            "Nodes that the last decision gives up, by why",
            self.eligible.clone(),
        );
        r.register(
            "stowage_pods_rebalanced",
            "Pods moved off nodes that stay, by method and by how it went",
            self.rebalanced.clone(),
        );
        r.register("stowage_nodes_staying", "Nodes that stay, by what keeps them", self.staying.clone());
        r.register("stowage_nodes_price_dollars_per_hour", "What all nodes cost", self.price.clone());
        r.register(
            "stowage_nodes_price_after_dollars_per_hour",
            "What they cost once the last decision is carried out",
            self.after.clone(),
        );
        r.register(
            "stowage_nodes_floor_dollars_per_hour",
            "What they cost at least, whatever is moved",
            self.floor.clone(),
        );
    }

    pub(super) fn took(&self, seconds: f64) {
        self.took.observe(seconds);
    }

    pub(super) fn decided(&self, decision: &Decision) {
        self.price.set(decision.price.dollars());
        self.after.set(decision.after.dollars());
        self.floor.set(decision.floor.dollars());
        let mut eligible: BTreeMap<&str, i64> =
            ["Empty", "Drifted", "Underutilized"].into_iter().map(|reason| (reason, 0)).collect();
        for command in &decision.commands {
            *eligible.entry(command.reason().as_str()).or_default() += command.remove.len() as i64;
        }
        for (reason, count) in eligible {
            self.eligible.get_or_create(&labelled(&[("reason", reason)])).set(count);
        }
        let mut staying: BTreeMap<&str, i64> = KINDS.into_iter().map(|kind| (kind, 0)).collect();
        for stay in decision.stay.values() {
            *staying.entry(kind(stay)).or_default() += 1;
        }
        for (kind, count) in staying {
            self.staying.get_or_create(&labelled(&[("by", kind)])).set(count);
        }
    }

    pub(super) fn ordered(&self, command: &Command) {
        let decision = if command.launch.is_empty() { "delete" } else { "replace" };
        let labels = labelled(&[("decision", decision), ("reason", command.reason().as_str())]);
        self.decisions.get_or_create(&labels).inc();
    }

    pub(super) fn rebalanced(&self, method: &str, result: &str) {
        self.rebalanced.get_or_create(&labelled(&[("method", method), ("result", result)])).inc();
    }

    pub(super) fn taken_back(&self, reason: &str) {
        self.failures.get_or_create(&labelled(&[("reason", reason)])).inc();
    }
}

const KINDS: [&str; 5] = ["rule", "budget", "price", "robustness", "place"];

/// What keeps a node, in a word.
fn kind(stay: &Stay) -> &'static str {
    match stay {
        Stay::Blocked(_) | Stay::Expected => "rule",
        Stay::Budget(_) | Stay::PodBudget(_) | Stay::Most => "budget",
        Stay::NoPlace => "place",
        Stay::FewAlternatives(_) | Stay::SpotToSpot => "robustness",
        Stay::Price { .. } | Stay::NotFound(_) | Stay::Unbalanced | Stay::TooLittle(_) => "price",
    }
}

//! Reading a plan back from its JSON document.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use stowage_model::{
    Binding, CapacityType, Certificate, CertificateKind, Code, End, NewNode, Plan, Price, Problem, Reason, Unit,
    Unplaced,
};

/// The document, as far as it is judged.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PlanFile {
    pub(crate) format_version: String,
    pub(crate) summary: Totals,
    nodes: Vec<Node>,
    existing: Vec<Existing>,
    unplaced: Vec<Nowhere>,
    #[serde(default)]
    order: Vec<String>,
    certificate: Proof,
}

/// The figures that follow from the rest.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Totals {
    pub(crate) pods: usize,
    pub(crate) placed: usize,
    pub(crate) unplaced: usize,
    pub(crate) new_nodes: usize,
    pub(crate) existing_nodes: usize,
    pub(crate) hourly_price: serde_json::Number,
    pub(crate) lower_bound: serde_json::Number,
    pub(crate) gap: Option<f64>,
    pub(crate) end: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    node_pool: String,
    instance_type: String,
    zone: String,
    capacity_type: String,
    #[serde(default)]
    reservation: Option<String>,
    os: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    hourly_price: serde_json::Number,
    #[serde(default)]
    alternatives: Vec<String>,
    pods: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Existing {
    name: String,
    pods: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Nowhere {
    pod: String,
    reasons: Vec<Why>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Why {
    code: String,
    node_pool: Option<String>,
    message: String,
}

#[derive(Debug, Deserialize)]
struct Proof {
    kind: String,
    values: Vec<String>,
    prices: Vec<BTreeMap<String, String>>,
    relaxed: Vec<String>,
}

pub(crate) fn price(number: &serde_json::Number) -> Result<Price, String> {
    Price::parse(&number.to_string()).ok_or_else(|| format!("{number} is not a price"))
}

impl PlanFile {
    /// The plan, with names resolved against the problem. What cannot be
    /// resolved is reported, all of it.
    pub(crate) fn resolve(&self, problem: &Problem) -> Result<Plan, Vec<String>> {
        let names: HashMap<String, u32> =
            problem.pods.iter().enumerate().map(|(index, pod)| (pod.to_string(), index as u32)).collect();
        let mut faults: Vec<String> = Vec::new();
        let mut pod = |name: &String| {
            let found = names.get(name).copied();
            if found.is_none() {
                faults.push(format!("pod {name} is not in the input"));
            }
            found
        };
        let mut nodes = Vec::new();
        let mut problems = Vec::new();
        for node in &self.nodes {
            let pods = node.pods.iter().filter_map(&mut pod).collect();
            match (CapacityType::parse(&node.capacity_type), price(&node.hourly_price)) {
                (Some(capacity_type), Ok(price)) => nodes.push(NewNode {
                    pool: node.node_pool.clone(),
                    instance_type: node.instance_type.clone(),
                    zone: node.zone.clone(),
                    capacity_type,
                    reservation: node.reservation.clone(),
                    os: node.os.clone(),
                    labels: node.labels.clone(),
                    price,
                    pods,
                    alternatives: node.alternatives.clone(),
                }),
                (None, _) => problems.push(format!("{} is no capacity type", node.capacity_type)),
                (_, Err(message)) => problems.push(message),
            }
        }
        let existing = self
            .existing
            .iter()
            .map(|e| Binding { node: e.name.clone(), pods: e.pods.iter().filter_map(&mut pod).collect() })
            .collect();
        let mut unplaced = Vec::new();
        for nowhere in &self.unplaced {
            let reasons = nowhere.reasons.iter().filter_map(|why| {
                let code = Code::parse(&why.code);
                if code.is_none() {
                    problems.push(format!("{} is no code", why.code));
                }
                code.map(|code| Reason { code, scope: why.node_pool.clone(), message: why.message.clone() })
            });
            let reasons = reasons.collect();
            unplaced.extend(pod(&nowhere.pod).map(|pod| Unplaced { pod, reasons }));
        }
        let order = self.order.iter().filter_map(&mut pod).collect();
        faults.extend(problems);
        let certificate = self.certificate().map_err(|message| faults.push(message)).ok();
        let bound = price(&self.summary.lower_bound).map_err(|message| faults.push(message)).ok();
        match (certificate, bound) {
            (Some(certificate), Some(bound)) if faults.is_empty() => {
                Ok(Plan { nodes, existing, unplaced, order, bound, certificate, end: End::EffortSpent })
            }
            _ => Err(faults),
        }
    }

    fn certificate(&self) -> Result<Certificate, String> {
        let number = |text: &String| text.parse::<Unit>().map_err(|_| format!("certificate: {text} is not an integer"));
        let proof = &self.certificate;
        let kind =
            CertificateKind::parse(&proof.kind).ok_or_else(|| format!("certificate: {} is no kind", proof.kind))?;
        let prices = proof
            .prices
            .iter()
            .map(|prices| prices.iter().map(|(name, text)| Ok((name.as_str().into(), number(text)?))).collect())
            .collect::<Result<_, String>>()?;
        let values = proof.values.iter().map(number).collect::<Result<_, String>>()?;
        Ok(Certificate { kind, values, prices, relaxed: proof.relaxed.clone() })
    }
}

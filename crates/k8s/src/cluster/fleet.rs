//! From the index to what disruption decides upon.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use stowage_model::fleet::{Care, Fleet, Hold, Machine, PodBudget};
use stowage_model::{Life, Rebalancing, labels};

use super::pods::{PodRecord, PodState};
use super::snapshot::{Assembled, Notes};
use super::{Cluster, Settings};
use crate::error::ObjectError;
use crate::{conditions, drift, duration, lower, names, node, pod_budget, v1};

/// Whose rules say which pods hold a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Blockers {
    /// Karpenter's: annotations and PodDisruptionBudgets.
    #[default]
    Karpenter,
    /// Also cluster-autoscaler's: `safe-to-evict`, local storage, bare pods,
    /// kube-system without a PodDisruptionBudget.
    ClusterAutoscaler,
}

/// What the caller decides.
pub struct FleetSettings<'a> {
    /// As for a plan; which nodes are lifted is decided here.
    pub question: Settings<'a>,
    /// Whose rules hold nodes.
    pub blockers: Blockers,
    /// Now.
    pub now: Timestamp,
    /// Claims, by name, that pods are expected on.
    pub nominated: &'a BTreeSet<String>,
    /// What is done about pods that are badly placed; what the input says where absent.
    pub rebalancing: Option<&'a Rebalancing>,
}

impl Cluster {
    /// What disruption decides upon.
    pub fn fleet(&self, settings: FleetSettings<'_>) -> Result<(Fleet, Notes), ObjectError> {
        let FleetSettings { question, blockers, now, nominated, rebalancing } = settings;
        let rebalancing = rebalancing.or(self.rebalancing.as_ref()).map(|all| self.named(all));
        let claims = self.claims_by_node();
        let ours = |name: &str| claims.contains_key(name);
        let Assembled { problem, lifted, notes } = self.problem(Settings { lifted: &ours, ..question })?;
        let place: HashMap<&str, u32> =
            (0_u32..).zip(&problem.nodes).map(|(i, node)| (node.name.as_str(), i)).collect();
        let index: HashMap<(&str, &str), usize> =
            problem.pods.iter().enumerate().map(|(i, pod)| ((&*pod.namespace, &*pod.name), i)).collect();
        let mut homes = vec![None; problem.pods.len()];
        let mut care = vec![Care::default(); problem.pods.len()];
        let mut lives = if rebalancing.is_some() { vec![Life::default(); problem.pods.len()] } else { Vec::new() };
        let budgets = self.pod_budgets();
        for one in &lifted {
            let Some(pod) = index.get(&(&*one.pod.0, &*one.pod.1)) else { continue };
            homes[*pod] = place.get(one.node.as_str()).copied();
            let record = &self.pods[one.record];
            care[*pod] = self.care(record, &budgets, blockers, now);
            if let Some(life) = lives.get_mut(*pod) {
                *life = self.life(record);
            }
        }
        let held = self.held_by_fixed_pods(now);
        let machines = problem
            .nodes
            .iter()
            .map(|node| {
                let claim = claims.get(&node.name)?;
                let mut machine = self.machine(claim, &node.name, now);
                machine.nominated = nominated.contains(&machine.claim);
                machine.held_by = held.get(&node.name).cloned();
                Some(machine)
            })
            .collect();
        let policies =
            self.pool_objects.iter().map(|(name, pool)| (name.clone(), lower::disruption::policy(pool))).collect();
        let pod_budgets = budgets.iter().map(|(name, _, allowed)| PodBudget { name: name.clone(), allowed: *allowed });
        let failed = if rebalancing.is_some() { self.failed_pods(now) } else { Vec::new() };
        let pod_budgets = pod_budgets.collect();
        let fleet = Fleet { homes, care, machines, policies, pod_budgets, rebalancing, lives, failed, problem };
        Ok((fleet, notes))
    }

    /// Claims whose node is in the input, by the node's name. A node of a pool that
    /// has no claim in the input stands for one, so that a list of nodes is enough.
    fn claims_by_node(&self) -> BTreeMap<String, Option<&v1::NodeClaim>> {
        let mut all: BTreeMap<String, Option<&v1::NodeClaim>> = BTreeMap::new();
        let by_id: HashMap<&str, &v1::NodeClaim> = self
            .claims
            .values()
            .filter_map(|claim| Some((claim.status.as_ref()?.provider_id.as_deref()?, claim)))
            .collect();
        let by_name: HashMap<&str, &v1::NodeClaim> = self
            .claims
            .values()
            .filter_map(|claim| Some((claim.status.as_ref()?.node_name.as_deref()?, claim)))
            .collect();
        for (name, node) in &self.nodes {
            let id = node.spec.as_ref().and_then(|spec| spec.provider_id.as_deref());
            let claim = id.and_then(|id| by_id.get(id)).or_else(|| by_name.get(name.as_str())).copied();
            let managed = node.metadata.labels.as_ref().is_some_and(|own| own.contains_key(labels::NODEPOOL));
            if claim.is_some() || (managed && self.claims.is_empty()) {
                all.insert(name.clone(), claim);
            }
        }
        all
    }

    fn machine(&self, claim: &Option<&v1::NodeClaim>, name: &str, now: Timestamp) -> Machine {
        let node = self.nodes.get(name);
        let meta = node.map(|node| &node.metadata);
        let own = meta.and_then(|meta| meta.labels.as_ref());
        let pool = own.and_then(|own| own.get(labels::NODEPOOL)).cloned().unwrap_or_default();
        let spared = |all: Option<&BTreeMap<String, String>>| {
            all.and_then(|all| all.get(names::DO_NOT_DISRUPT)).is_some_and(|value| value == "true")
        };
        let status = claim.and_then(|claim| claim.status.as_ref());
        let said = status.and_then(|status| status.conditions.as_ref());
        let initialized = match claim {
            Some(_) => conditions::is_true(said, "Initialized"),
            None => true,
        };
        let created =
            claim.map_or(meta, |claim| Some(&claim.metadata)).and_then(|meta| meta.creation_timestamp.as_ref());
        let created = created.map_or(0, |time| time.0.as_second());
        let expire = claim.and_then(|claim| claim.spec.expire_after.as_deref()).and_then(duration::span);
        let since = status
            .and_then(|status| status.last_pod_event_time.as_ref())
            .map(|time| time.0)
            .max(conditions::find(said, "Initialized").map(|condition| condition.last_transition_time.0));
        let leaving = |meta: Option<&ObjectMeta>| meta.is_some_and(|meta| meta.deletion_timestamp.is_some());
        Machine {
            claim: claim.and_then(|claim| claim.metadata.name.clone()).unwrap_or_else(|| name.to_owned()),
            initialized,
            ready: claim.is_none() || node.is_some_and(node::is_ready),
            deleting: leaving(meta) || leaving(claim.map(|claim| &claim.metadata)) || node.is_some_and(node::is_shut),
            nominated: false,
            protected: if spared(meta.and_then(|meta| meta.annotations.as_ref())) {
                Some("Node")
            } else if spared(claim.and_then(|claim| claim.metadata.annotations.as_ref())) {
                Some("NodeClaim")
            } else {
                None
            },
            held_by: None,
            forceful: claim.is_some_and(|claim| claim.spec.termination_grace_period.is_some()),
            quiet_since: since.map(Timestamp::as_second).or(Some(created)),
            drifted: claim.and_then(|claim| {
                let pool = self.pool_objects.get(&pool)?;
                let expires = expire.map(|span| created.saturating_add_unsigned(span.as_secs()));
                if let Some(since) = expires.and_then(|at| due_before_expiry(pool, at, now)) {
                    return Some((since, "Expired".to_owned()));
                }
                let reason = drift::reason(claim, pool).or_else(|| drift::told(said))?;
                let since = conditions::find(said, "Drifted").filter(|condition| condition.status == "True");
                Some((since.map_or(now, |condition| condition.last_transition_time.0).as_second(), reason))
            }),
            pool,
        }
    }

    /// Nodes with a pod that would not have to move and yet asks not to be disrupted.
    fn held_by_fixed_pods(&self, now: Timestamp) -> BTreeMap<String, (String, Hold)> {
        let fixed = |pod: &&PodRecord| matches!(pod.state, PodState::Daemon | PodState::Mirror);
        let mut all = BTreeMap::new();
        for pod in self.pods.iter().filter(fixed) {
            if let Some(node) = pod.node.filter(|_| self.is_left_alone(pod, now)) {
                let entry = all.entry(self.names.get(node).to_string());
                entry.or_insert_with(|| (self.full_name(pod), Hold::DoNotDisrupt));
            }
        }
        all
    }

    fn is_left_alone(&self, pod: &PodRecord, now: Timestamp) -> bool {
        self.guards.get(pod.guard).left_alone.at(now)
    }

    fn care(&self, pod: &PodRecord, budgets: &[Covering<'_>], blockers: Blockers, now: Timestamp) -> Care {
        let guard = self.guards.get(pod.guard);
        let namespace = self.names.get(pod.namespace);
        let own = self.label_sets.get(pod.labels);
        let covering: Vec<u32> = (0_u32..)
            .zip(budgets)
            .filter(|(_, (_, budget, _))| pod_budget::covers(budget, namespace, own))
            // Such a budget lets pods go that are not ready.
            .filter(|(_, (_, budget, _))| guard.healthy || !pod_budget::always_allows_unhealthy(budget))
            .map(|(index, _)| index)
            .collect();
        let strict = blockers == Blockers::ClusterAutoscaler && guard.safe_to_evict != Some(true);
        let bare = self.owners.get(pod.owner).kind.is_empty();
        let hold = if self.is_left_alone(pod, now) {
            Some(Hold::DoNotDisrupt)
        } else if covering.len() > 1 {
            Some(Hold::TwoBudgets)
        } else if covering.iter().any(|index| budgets[*index as usize].2 == 0) {
            Some(Hold::NoBudget)
        } else if strict && guard.safe_to_evict == Some(false) {
            Some(Hold::NotSafeToEvict)
        } else if strict && guard.local_storage {
            Some(Hold::LocalStorage)
        } else if strict && bare {
            Some(Hold::Bare)
        } else if strict && &**namespace == "kube-system" && covering.is_empty() {
            Some(Hold::SystemPod)
        } else {
            None
        };
        Care { hold, cost: guard.cost, budgets: covering }
    }

    /// Budgets by name, with how many disruptions each allows now.
    fn pod_budgets(&self) -> Vec<Covering<'_>> {
        self.pod_budgets
            .iter()
            .map(|((namespace, name), budget)| {
                let covered = |pod: &&PodRecord| {
                    let (own, labels) = (self.names.get(pod.namespace), self.label_sets.get(pod.labels));
                    pod.state == PodState::Bound && pod_budget::covers(budget, own, labels)
                };
                let allowed = pod_budget::allowed(budget, || self.pods.iter().filter(covered).count());
                (format!("{namespace}/{name}"), budget, allowed)
            })
            .collect()
    }
}

/// Since when a node that expires is to be replaced, if its pool says so.
fn due_before_expiry(pool: &v1::NodePool, expires: i64, now: Timestamp) -> Option<i64> {
    let notes = pool.metadata.annotations.as_ref()?;
    let lead = duration::span(notes.get(names::REPLACE_BEFORE_EXPIRY)?)?;
    let due = expires.saturating_sub_unsigned(lead.as_secs());
    (now.as_second() >= due).then_some(due)
}

/// Name, object, and how many disruptions are allowed.
type Covering<'a> = (String, &'a PodDisruptionBudget, u32);

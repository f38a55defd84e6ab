//! A cloud that sells machines as EC2 does, without any: capacity pools that run
//! dry, calls that are throttled, starts and ends that take time, and launches
//! that a token makes repeatable.
//!
//! Pure: time is an argument, so that one and the same cloud serves a try-out on
//! a cluster, a test and a simulation.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use stowage_model::CapacityType;

use crate::provider::{Candidate, Instance, LaunchRequest, Notice, ProviderError, SoldOut};

/// How the cloud behaves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Behaviour {
    /// Milliseconds from launch until the node registers.
    pub boot_millis: i64,
    /// Milliseconds from termination until the instance is gone.
    pub end_millis: i64,
    /// Offers that have only so many instances.
    pub pools: Vec<Pool>,
    /// Launch calls that may come at once; 0 is no limit.
    pub burst: u32,
    /// Launch calls per second that refill the burst.
    pub calls_per_second: f64,
    /// Names of claims whose instances never register, by prefix.
    pub never_register: Vec<String>,
    /// Milliseconds after which a spot instance is told that it will be taken away; 0
    /// is never.
    pub spot_life_millis: i64,
    /// Milliseconds between that notice and the end.
    pub notice_millis: i64,
    /// What instances run.
    pub image: String,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            boot_millis: 2_000,
            end_millis: 1_000,
            pools: Vec::new(),
            burst: 0,
            calls_per_second: 2.0,
            never_register: Vec::new(),
            spot_life_millis: 0,
            notice_millis: 120_000,
            image: "simulated-1".to_owned(),
        }
    }
}

/// How many instances of an offer there are. What is absent matches everything.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pool {
    /// Name of the type.
    #[serde(default)]
    pub instance_type: Option<String>,
    /// Zone.
    #[serde(default)]
    pub zone: Option<String>,
    /// How it is bought.
    #[serde(default)]
    pub capacity_type: Option<CapacityType>,
    /// How many of them can run at once.
    pub count: usize,
}

impl Pool {
    fn holds(&self, candidate: &Candidate) -> bool {
        self.instance_type.as_ref().is_none_or(|name| *name == candidate.instance_type)
            && self.zone.as_ref().is_none_or(|zone| *zone == candidate.zone)
            && self.capacity_type.is_none_or(|kind| kind == candidate.capacity_type)
    }
}

/// The cloud's own books.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ledger {
    /// Launch calls, answered or not.
    pub calls: u64,
    /// Launch calls refused for coming too fast.
    pub throttled: u64,
    /// Launch calls that found no capacity.
    pub insufficient: u64,
    /// Instances ever launched.
    pub launched: u64,
    /// Instances that ended.
    pub ended: u64,
}

/// What is to be done at the cluster's side.
#[derive(Clone, Debug, PartialEq)]
pub enum Due {
    /// The instance is up: its kubelet registers the node.
    Register(Box<Instance>, Box<LaunchRequest>),
    /// The instance is gone, and its kubelet with it.
    Gone(String),
}

#[derive(Clone, Debug)]
struct Machine {
    instance: Instance,
    request: LaunchRequest,
    registered: bool,
    /// When it is taken away, as it was told.
    notice: Option<Timestamp>,
    ends: Option<Timestamp>,
}

/// The cloud.
#[derive(Clone, Debug)]
pub struct SimulatedCloud {
    behaviour: Behaviour,
    machines: BTreeMap<String, Machine>,
    /// Token to identity; outlives the instance.
    tokens: BTreeMap<String, String>,
    next: u64,
    bucket: f64,
    refilled: Option<Timestamp>,
    ledger: Ledger,
}

/// How identities begin.
pub const PROVIDER: &str = "simulated:///";

impl SimulatedCloud {
    /// A cloud without instances.
    pub fn new(behaviour: Behaviour) -> Self {
        Self {
            bucket: f64::from(behaviour.burst),
            behaviour,
            machines: BTreeMap::new(),
            tokens: BTreeMap::new(),
            next: 0,
            refilled: None,
            ledger: Ledger::default(),
        }
    }

    /// The cloud's own books.
    pub fn ledger(&self) -> Ledger {
        self.ledger
    }

    /// Launches the first candidate that is to be had.
    pub fn create(&mut self, request: &LaunchRequest, now: Timestamp) -> Result<Instance, ProviderError> {
        self.ledger.calls += 1;
        if !self.admitted(now) {
            self.ledger.throttled += 1;
            return Err(ProviderError::Throttled);
        }
        if let Some(id) = self.tokens.get(&request.token) {
            // A token stands for one request; its instance may have ended since.
            let known = self.machines.get(id).filter(|machine| machine.ends.is_none());
            let same = known.filter(|machine| machine.request == *request);
            return same.map(|machine| machine.instance.clone()).ok_or(ProviderError::TokenUsed);
        }
        if request.candidates.is_empty() {
            return Err(ProviderError::Invalid("no candidate is named".to_owned()));
        }
        let Some(candidate) = request.candidates.iter().find(|candidate| self.has(candidate)).cloned() else {
            self.ledger.insufficient += 1;
            let sold_out = request.candidates.iter().map(|candidate| SoldOut {
                instance_type: candidate.instance_type.clone(),
                zone: candidate.zone.clone(),
                capacity_type: candidate.capacity_type,
            });
            return Err(ProviderError::InsufficientCapacity(sold_out.collect()));
        };
        self.next += 1;
        self.ledger.launched += 1;
        let instance = Instance {
            provider_id: format!("{PROVIDER}{}/i-{:012x}", candidate.zone, self.next),
            claim_uid: request.claim_uid.clone(),
            claim: request.claim.clone(),
            image: self.behaviour.image.clone(),
            launched: candidate,
            created: now,
            terminating: false,
        };
        let (own, request) = (instance.clone(), request.clone());
        let machine = Machine { instance: own, request, registered: false, notice: None, ends: None };
        self.tokens.insert(machine.request.token.clone(), instance.provider_id.clone());
        self.machines.insert(instance.provider_id.clone(), machine);
        Ok(instance)
    }

    /// Ends an instance.
    pub fn delete(&mut self, id: &str, now: Timestamp) -> Result<(), ProviderError> {
        let machine = self.machines.get_mut(id).ok_or(ProviderError::NotFound)?;
        if machine.ends.is_none() {
            machine.ends = Some(later(now, self.behaviour.end_millis));
            machine.instance.terminating = true;
        }
        Ok(())
    }

    /// One instance.
    pub fn get(&self, id: &str) -> Result<Instance, ProviderError> {
        self.machines.get(id).map(|machine| machine.instance.clone()).ok_or(ProviderError::NotFound)
    }

    /// All instances.
    pub fn list(&self) -> Vec<Instance> {
        self.machines.values().map(|machine| machine.instance.clone()).collect()
    }

    /// Tells an instance that it will be taken away.
    pub fn interrupt(&mut self, id: &str, now: Timestamp) -> Result<(), ProviderError> {
        let machine = self.machines.get_mut(id).ok_or(ProviderError::NotFound)?;
        machine.notice.get_or_insert(later(now, self.behaviour.notice_millis));
        Ok(())
    }

    /// Instances that were told so and are there still.
    pub fn notices(&self) -> Vec<Notice> {
        let told = self.machines.values().filter(|machine| machine.ends.is_none());
        told.filter_map(|machine| {
            let (provider_id, reason) = (machine.instance.provider_id.clone(), "SpotInterrupted".to_owned());
            Some(Notice { provider_id, reason, ends: machine.notice? })
        })
        .collect()
    }

    /// From now on instances run another image.
    pub fn set_image(&mut self, image: String) {
        self.behaviour.image = image;
    }

    /// Instances that run another image than new ones do.
    pub fn drift(&self) -> BTreeMap<String, String> {
        let old = self.machines.values().filter(|machine| machine.instance.image != self.behaviour.image);
        old.map(|machine| (machine.instance.provider_id.clone(), "ImageDrift".to_owned())).collect()
    }

    /// Spot instances whose time has come are told, and those whose notice is over end.
    fn take_away(&mut self, now: Timestamp) {
        let Behaviour { spot_life_millis, notice_millis, end_millis, .. } = self.behaviour;
        for machine in self.machines.values_mut().filter(|machine| machine.ends.is_none()) {
            let spot = machine.instance.launched.capacity_type == CapacityType::Spot;
            let due = later(machine.instance.created, spot_life_millis);
            if spot && spot_life_millis > 0 && machine.notice.is_none() && due <= now {
                machine.notice = Some(later(due, notice_millis));
            }
            if machine.notice.is_some_and(|end| end <= now) {
                machine.ends = Some(later(now, end_millis));
                machine.instance.terminating = true;
            }
        }
    }

    /// What has come due since the last call.
    pub fn due(&mut self, now: Timestamp) -> Vec<Due> {
        self.take_away(now);
        let mut due = Vec::new();
        let gone: Vec<String> = self
            .machines
            .iter()
            .filter(|(_, machine)| machine.ends.is_some_and(|end| end <= now))
            .map(|(id, _)| id.clone())
            .collect();
        for id in gone {
            self.machines.remove(&id);
            self.ledger.ended += 1;
            due.push(Due::Gone(id));
        }
        for machine in self.machines.values_mut().filter(|machine| !machine.registered && machine.ends.is_none()) {
            let mute = self.behaviour.never_register.iter().any(|prefix| machine.instance.claim.starts_with(prefix));
            if !mute && later(machine.instance.created, self.behaviour.boot_millis) <= now {
                machine.registered = true;
                due.push(Due::Register(Box::new(machine.instance.clone()), Box::new(machine.request.clone())));
            }
        }
        due
    }

    /// A registration failed on its way: it comes due again.
    pub fn retry(&mut self, id: &str) {
        if let Some(machine) = self.machines.get_mut(id) {
            machine.registered = false;
        }
    }

    fn has(&self, candidate: &Candidate) -> bool {
        let running = |pool: &Pool| self.machines.values().filter(|m| pool.holds(&m.instance.launched)).count();
        self.behaviour.pools.iter().filter(|pool| pool.holds(candidate)).all(|pool| running(pool) < pool.count)
    }

    /// A token bucket, as EC2 has one per API.
    fn admitted(&mut self, now: Timestamp) -> bool {
        if self.behaviour.burst == 0 {
            return true;
        }
        let since = self.refilled.map_or(0.0, |last| now.duration_since(last).as_secs_f64().max(0.0));
        self.refilled = Some(now);
        self.bucket = (self.bucket + since * self.behaviour.calls_per_second).min(f64::from(self.behaviour.burst));
        if self.bucket < 1.0 {
            return false;
        }
        self.bucket -= 1.0;
        true
    }
}

fn later(time: Timestamp, millis: i64) -> Timestamp {
    time.checked_add(SignedDuration::from_millis(millis)).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap_or_default()
    }

    fn candidate(name: &str) -> Candidate {
        Candidate {
            instance_type: name.to_owned(),
            zone: "a".to_owned(),
            capacity_type: CapacityType::OnDemand,
            labels: BTreeMap::new(),
            capacity: BTreeMap::new(),
            allocatable: BTreeMap::new(),
        }
    }

    fn request(token: &str, types: &[&str]) -> LaunchRequest {
        LaunchRequest {
            token: token.to_owned(),
            claim_uid: format!("uid-{token}"),
            claim: format!("claim-{token}"),
            node_pool: "pool".to_owned(),
            candidates: types.iter().map(|name| candidate(name)).collect(),
            labels: BTreeMap::new(),
            taints: Vec::new(),
        }
    }

    #[test]
    fn a_repeated_launch_gives_the_same_instance_and_a_changed_one_is_refused() {
        let mut cloud = SimulatedCloud::new(Behaviour::default());
        let first = cloud.create(&request("t", &["m"]), at(0));
        assert!(first.is_ok());
        assert_eq!(cloud.create(&request("t", &["m"]), at(1)), first);
        assert_eq!(cloud.create(&request("t", &["c"]), at(1)), Err(ProviderError::TokenUsed));
        assert_eq!(cloud.ledger().launched, 1);
    }

    #[test]
    fn a_token_whose_instance_ended_launches_nothing() {
        let mut cloud = SimulatedCloud::new(Behaviour::default());
        let id = cloud.create(&request("t", &["m"]), at(0)).map(|i| i.provider_id).unwrap_or_default();
        assert_eq!(cloud.delete(&id, at(1)), Ok(()));
        assert_eq!(cloud.due(at(5)), vec![Due::Gone(id.clone())]);
        assert_eq!(cloud.delete(&id, at(6)), Err(ProviderError::NotFound));
        assert_eq!(cloud.create(&request("t", &["m"]), at(6)), Err(ProviderError::TokenUsed));
    }

    #[test]
    fn a_pool_that_is_dry_gives_the_next_candidate_then_nothing() {
        let pool = Pool { instance_type: Some("m".to_owned()), zone: None, capacity_type: None, count: 1 };
        let mut cloud = SimulatedCloud::new(Behaviour { pools: vec![pool], ..Behaviour::default() });
        let name = |answer: Result<Instance, ProviderError>| answer.map(|i| i.launched.instance_type);
        assert_eq!(name(cloud.create(&request("1", &["m", "c"]), at(0))), Ok("m".to_owned()));
        assert_eq!(name(cloud.create(&request("2", &["m", "c"]), at(0))), Ok("c".to_owned()));
        assert!(matches!(
            cloud.create(&request("3", &["m"]), at(0)),
            Err(ProviderError::InsufficientCapacity(sold)) if sold.len() == 1
        ));
    }

    #[test]
    fn calls_beyond_the_bucket_are_throttled_until_it_refills() {
        let behaviour = Behaviour { burst: 2, calls_per_second: 1.0, ..Behaviour::default() };
        let mut cloud = SimulatedCloud::new(behaviour);
        let went =
            |cloud: &mut SimulatedCloud, token: &str, second| cloud.create(&request(token, &["m"]), at(second)).is_ok();
        assert!(went(&mut cloud, "1", 0) && went(&mut cloud, "2", 0) && !went(&mut cloud, "3", 0));
        assert!(went(&mut cloud, "3", 1) && !went(&mut cloud, "4", 1));
    }

    #[test]
    fn a_spot_instance_is_told_before_it_is_taken_away() {
        let behaviour =
            Behaviour { spot_life_millis: 10_000, notice_millis: 5_000, end_millis: 0, ..Behaviour::default() };
        let mut cloud = SimulatedCloud::new(behaviour);
        let mut spot = request("s", &["m"]);
        spot.candidates.iter_mut().for_each(|candidate| candidate.capacity_type = CapacityType::Spot);
        assert!(cloud.create(&spot, at(0)).is_ok() && cloud.create(&request("o", &["m"]), at(0)).is_ok());
        cloud.due(at(9));
        assert_eq!(cloud.notices(), []);
        cloud.due(at(11));
        assert_eq!(cloud.notices().iter().map(|notice| notice.ends).collect::<Vec<_>>(), [at(15)]);
        cloud.due(at(15));
        assert_eq!((cloud.notices().len(), cloud.ledger().ended, cloud.list().len()), (0, 1, 1));
    }

    #[test]
    fn instances_of_an_older_image_have_drifted() {
        let mut cloud = SimulatedCloud::new(Behaviour::default());
        assert!(cloud.create(&request("1", &["m"]), at(0)).is_ok());
        assert!(cloud.drift().is_empty());
        cloud.set_image("simulated-2".to_owned());
        assert!(cloud.create(&request("2", &["m"]), at(0)).is_ok());
        assert_eq!(cloud.drift().into_values().collect::<Vec<_>>(), ["ImageDrift"]);
    }

    #[test]
    fn a_node_registers_once_after_its_boot() {
        let mut cloud = SimulatedCloud::new(Behaviour { boot_millis: 2_000, ..Behaviour::default() });
        assert!(cloud.create(&request("t", &["m"]), at(0)).is_ok());
        assert!(cloud.due(at(1)).is_empty());
        assert!(matches!(cloud.due(at(2)).as_slice(), [Due::Register(..)]));
        assert!(cloud.due(at(3)).is_empty());
    }
}

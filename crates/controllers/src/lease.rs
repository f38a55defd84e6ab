//! Who leads, by a Lease.
//!
//! Whether a lease has run out is judged by the local time since its record was
//! last seen to change, never by the time that somebody wrote into it; every
//! write names the resourceVersion that it replaces. Two leaders at once are
//! still possible for a moment, and must do no harm: claims are written
//! compare-and-swap and launches carry tokens.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use tokio::time::Instant;

/// Timing of an election.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// How long a record that does not change is respected.
    pub duration: Duration,
    /// A leader that could not renew for so long stops leading.
    pub renew_deadline: Duration,
    /// Between two tries.
    pub retry: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        let second = Duration::from_secs(1);
        Self { duration: second * 15, renew_deadline: second * 10, retry: second * 2 }
    }
}

/// What to write, if anything.
#[derive(Clone, Debug, PartialEq)]
pub enum Move {
    /// Somebody else leads.
    Follow,
    /// There is no lease yet.
    Create(Box<Lease>),
    /// Take or renew, provided that nobody else wrote in between.
    Replace(Box<Lease>),
}

/// One candidate's memory.
#[derive(Debug)]
pub struct Election {
    identity: String,
    terms: Terms,
    /// The record last seen, and since when it is what it is.
    seen: Option<(String, Instant)>,
    renewed: Option<Instant>,
}

impl Election {
    /// A candidate who does not lead.
    pub fn new(identity: String, terms: Terms) -> Self {
        Self { identity, terms, seen: None, renewed: None }
    }

    /// Whether this candidate may act: its last renewal is recent enough.
    pub fn leads(&self, now: Instant) -> bool {
        self.renewed.is_some_and(|at| now.duration_since(at) < self.terms.renew_deadline)
    }

    /// What follows from the lease as it is.
    pub fn consider(&mut self, lease: Option<&Lease>, name: &str, now: Instant, wall: Timestamp) -> Move {
        let Some(lease) = lease else {
            let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
            return Move::Create(Box::new(Lease { metadata, spec: Some(self.record(None, wall)) }));
        };
        let spec = lease.spec.clone().unwrap_or_default();
        let record = format!("{spec:?}");
        let since = match &self.seen {
            Some((known, since)) if *known == record => *since,
            _ => now,
        };
        self.seen = Some((record, since));
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        let theirs = spec.lease_duration_seconds.map_or(self.terms.duration, |s| Duration::from_secs(s.max(1) as u64));
        let held = !holder.is_empty() && holder != self.identity;
        if held && now.duration_since(since) < theirs {
            return Move::Follow;
        }
        let mut taken = lease.clone();
        taken.spec = Some(self.record(Some(&spec), wall));
        Move::Replace(Box::new(taken))
    }

    /// The write went through; `asked` is when it was sent.
    pub fn won(&mut self, asked: Instant) {
        self.renewed = Some(asked);
    }

    /// The record that lets go.
    pub fn released(&self, lease: &Lease, wall: Timestamp) -> Option<Lease> {
        let spec = lease.spec.as_ref()?;
        (spec.holder_identity.as_deref() == Some(self.identity.as_str())).then(|| {
            let spec = LeaseSpec {
                holder_identity: Some(String::new()),
                lease_duration_seconds: Some(1),
                renew_time: Some(MicroTime(wall)),
                ..spec.clone()
            };
            Lease { spec: Some(spec), ..lease.clone() }
        })
    }

    fn record(&self, last: Option<&LeaseSpec>, wall: Timestamp) -> LeaseSpec {
        let same = last.is_some_and(|last| last.holder_identity.as_deref() == Some(self.identity.as_str()));
        let kept = |last: &LeaseSpec| last.acquire_time.clone();
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(i32::try_from(self.terms.duration.as_secs()).unwrap_or(15)),
            acquire_time: last.filter(|_| same).and_then(kept).or(Some(MicroTime(wall))),
            renew_time: Some(MicroTime(wall)),
            lease_transitions: Some(last.map_or(0, |last| last.lease_transitions.unwrap_or(0) + i32::from(!same))),
            ..LeaseSpec::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wall(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap_or_default()
    }

    fn written(decided: Move) -> Lease {
        match decided {
            Move::Create(lease) | Move::Replace(lease) => *lease,
            Move::Follow => Lease::default(),
        }
    }

    #[test]
    fn a_follower_waits_its_own_time_whatever_clock_the_leader_has() {
        let start = Instant::now();
        let mut a = Election::new("a".to_owned(), Terms::default());
        let mut b = Election::new("b".to_owned(), Terms::default());
        // The leader's clock is a day behind, or a day ahead.
        for skew in [-86_400, 86_400] {
            let lease = written(a.consider(None, "lease", start, wall(1_000_000 + skew)));
            assert_eq!(b.consider(Some(&lease), "lease", start, wall(1_000_000)), Move::Follow);
            let almost = start + Duration::from_secs(14);
            assert_eq!(b.consider(Some(&lease), "lease", almost, wall(1_000_014)), Move::Follow);
            let renewed = written(a.consider(Some(&lease), "lease", almost, wall(1_000_014 + skew)));
            let later = start + Duration::from_secs(20);
            assert_eq!(b.consider(Some(&renewed), "lease", later, wall(1_000_020)), Move::Follow);
            let over = start + Duration::from_secs(36);
            assert!(matches!(b.consider(Some(&renewed), "lease", over, wall(1_000_036)), Move::Replace(_)));
            b = Election::new("b".to_owned(), Terms::default());
        }
    }

    #[test]
    fn a_leader_that_cannot_renew_stops_before_others_may_start() {
        let start = Instant::now();
        let mut a = Election::new("a".to_owned(), Terms::default());
        a.won(start);
        assert!(a.leads(start + Duration::from_secs(9)));
        assert!(!a.leads(start + Duration::from_secs(10)));
    }

    #[test]
    fn a_released_lease_is_taken_at_once() {
        let start = Instant::now();
        let mut a = Election::new("a".to_owned(), Terms::default());
        let lease = written(a.consider(None, "lease", start, wall(1)));
        let released = a.released(&lease, wall(2)).unwrap_or_default();
        let mut b = Election::new("b".to_owned(), Terms::default());
        let taken = written(b.consider(Some(&released), "lease", start, wall(2)));
        assert_eq!(taken.spec.as_ref().and_then(|s| s.holder_identity.as_deref()), Some("b"));
        assert_eq!(taken.spec.and_then(|s| s.lease_transitions), Some(1));
    }
}

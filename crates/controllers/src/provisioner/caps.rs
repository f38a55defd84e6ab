//! Bounds on what one controller may launch, whatever the plan says.

use std::collections::VecDeque;
use std::time::Duration;

use stowage_model::Price;
use tokio::time::Instant;

use crate::settings::Caps;

/// What may still be launched now.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    nodes: usize,
    rate: usize,
    hourly: i64,
    taken: usize,
}

impl Allowance {
    /// What `caps` leave with so many nodes, spending so much an hour, and so many
    /// launches within the last minute.
    pub fn new(caps: &Caps, nodes: usize, spending: Price, lately: usize) -> Self {
        Self {
            nodes: caps.nodes.map_or(usize::MAX, |most| most.saturating_sub(nodes)),
            rate: caps.per_minute.map_or(usize::MAX, |most| most.saturating_sub(lately)),
            hourly: caps.hourly.map_or(i64::MAX, |most| most.saturating_sub(spending.nanos()).max(0)),
            taken: 0,
        }
    }

    /// Takes one node, or says which cap is in the way.
    pub fn take(&mut self, price: Price) -> Result<(), &'static str> {
        if self.nodes == 0 {
            return Err("the cap on nodes is reached");
        }
        if self.rate == 0 {
            return Err("the cap on launches per minute is reached");
        }
        if price.nanos() > self.hourly {
            return Err("the cap on hourly spend is reached");
        }
        self.nodes = self.nodes.saturating_sub(1);
        self.rate = self.rate.saturating_sub(1);
        self.hourly -= price.nanos();
        self.taken += 1;
        Ok(())
    }
}

/// When claims were created lately.
#[derive(Clone, Debug, Default)]
pub struct Lately(VecDeque<Instant>);

impl Lately {
    /// How many within the last minute.
    pub fn count(&mut self, now: Instant) -> usize {
        while self.0.front().is_some_and(|at| now.duration_since(*at) >= Duration::from_secs(60)) {
            self.0.pop_front();
        }
        self.0.len()
    }

    /// One more.
    pub fn note(&mut self, now: Instant) {
        self.0.push_back(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cap_holds_by_itself() {
        let dollar = Price::from_nanos(1_000_000_000);
        let caps = |nodes, per_minute, hourly| Caps { nodes, per_minute, hourly };
        let taken = |caps: Caps| {
            let mut allowance = Allowance::new(&caps, 3, dollar, 1);
            (0..10).filter(|_| allowance.take(dollar).is_ok()).count()
        };
        assert_eq!(taken(caps(None, None, None)), 10);
        assert_eq!(taken(caps(Some(5), None, None)), 2);
        assert_eq!(taken(caps(None, Some(4), None)), 3);
        assert_eq!(taken(caps(None, None, Some(3_500_000_000))), 2);
    }

    #[test]
    fn launches_are_forgotten_after_a_minute() {
        let start = Instant::now();
        let mut lately = Lately::default();
        lately.note(start);
        lately.note(start + Duration::from_secs(30));
        assert_eq!(lately.count(start + Duration::from_secs(59)), 2);
        assert_eq!(lately.count(start + Duration::from_secs(61)), 1);
    }
}

//! How many nodes of each pool may go now, and for which reason.

use std::collections::BTreeMap;
use std::str::FromStr;

use croner::Cron;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use stowage_model::fleet::{Budget, Fleet, Window};

use crate::candidate::Reason;

/// What budgets leave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    nodes: BTreeMap<(String, Reason), usize>,
    /// By PodDisruptionBudget.
    pods: Vec<u32>,
}

const REASONS: [Reason; 4] = [Reason::Empty, Reason::Drifted, Reason::Underutilized, Reason::Rebalanced];

impl Allowance {
    /// What the budgets of a fleet leave at a point in time, in seconds since 1970.
    pub fn of(fleet: &Fleet, now: i64) -> Self {
        let mut nodes = BTreeMap::new();
        for (pool, policy) in &fleet.policies {
            let own = || fleet.machines.iter().flatten().filter(|m| m.pool == *pool && m.initialized);
            let all = own().count();
            // What is going, or of no use, counts already.
            let spent = own().filter(|m| m.deleting || !m.ready).count();
            for reason in REASONS {
                let active = policy.budgets.iter().filter(|b| is_about(b, reason));
                let most = active.filter_map(|budget| most(budget, all, now)).min().unwrap_or(usize::MAX);
                nodes.insert((pool.clone(), reason), most.saturating_sub(spent));
            }
        }
        Self { nodes, pods: fleet.pod_budgets.iter().map(|budget| budget.allowed).collect() }
    }

    /// How many nodes of a pool may still go.
    pub fn left(&self, pool: &str, reason: Reason) -> usize {
        self.nodes.get(&(pool.to_owned(), reason)).copied().unwrap_or(0)
    }

    /// How many nodes of a pool may still go, whatever the reason.
    pub fn most(&self, pool: &str) -> usize {
        REASONS.iter().map(|reason| self.left(pool, *reason)).max().unwrap_or(0)
    }

    /// How many pods of a PodDisruptionBudget may still go.
    pub fn left_of(&self, budget: u32) -> u32 {
        self.pods.get(budget as usize).copied().unwrap_or(0)
    }

    /// Draws one pod on its PodDisruptionBudgets.
    pub fn draw(&mut self, budgets: &[u32]) {
        for budget in budgets {
            if let Some(left) = self.pods.get_mut(*budget as usize) {
                *left = left.saturating_sub(1);
            }
        }
    }

    /// Takes a node with its pods' PodDisruptionBudgets, or leaves everything as it is.
    /// A node may draw more pods of a budget than it has left, since a drain waits for
    /// each; the next node then has to wait for the next decision.
    pub fn take(&mut self, pool: &str, reason: Reason, pods: &[Vec<u32>]) -> Result<(), Short> {
        if self.left(pool, reason) == 0 {
            return Err(Short::Nodes);
        }
        let used_up = |budget: &&u32| self.pods.get(**budget as usize).is_none_or(|left| *left == 0);
        if let Some(budget) = pods.iter().flatten().find(used_up) {
            return Err(Short::Pods(*budget));
        }
        pods.iter().for_each(|budgets| self.draw(budgets));
        // Every reason's budget is a cap on how many nodes are going at once.
        for reason in REASONS {
            if let Some(count) = self.nodes.get_mut(&(pool.to_owned(), reason)) {
                *count = count.saturating_sub(1);
            }
        }
        Ok(())
    }
}

/// What was short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Short {
    /// The pool's budgets.
    Nodes,
    /// This PodDisruptionBudget.
    Pods(u32),
}

fn is_about(budget: &Budget, reason: Reason) -> bool {
    budget.reasons.as_ref().is_none_or(|all| all.contains(reason.as_str()))
}

/// Pools with a budget whose schedule or size cannot be read: nothing of theirs goes.
pub fn unreadable(fleet: &Fleet) -> Vec<&str> {
    let broken = |budget: &Budget| match &budget.window {
        Window::Always => false,
        Window::Cron(cron, lasts) => is_open(cron, *lasts, 0).is_none(),
        Window::Unreadable => true,
    };
    let pools = fleet.policies.iter().filter(|(_, policy)| policy.budgets.iter().any(broken));
    pools.map(|(name, _)| name.as_str()).collect()
}

/// How many of `all` nodes a budget lets go. `None`: it is not open now, and caps
/// nothing.
fn most(budget: &Budget, all: usize, now: i64) -> Option<usize> {
    match &budget.window {
        Window::Always => Some(budget.nodes.of(all)),
        Window::Cron(cron, lasts) => match is_open(cron, *lasts, now) {
            Some(true) => Some(budget.nodes.of(all)),
            Some(false) => None,
            None => Some(0),
        },
        Window::Unreadable => Some(0),
    }
}

/// Whether a window that opens by `cron` for so many seconds is open.
fn is_open(cron: &str, lasts: u64, now: i64) -> Option<bool> {
    let cron = Cron::from_str(spelled_out(cron)).ok()?;
    let now = Timestamp::from_second(now).ok()?;
    let from = now.checked_sub(SignedDuration::from_secs(i64::try_from(lasts).ok()?)).ok()?;
    // The first opening after the last one that would be over by now.
    let opened = cron.find_next_occurrence(&from.to_zoned(TimeZone::UTC), false);
    Some(opened.is_ok_and(|opened| opened.timestamp() <= now))
}

/// Kubernetes' own names for common schedules.
fn spelled_out(cron: &str) -> &str {
    match cron.trim() {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stowage_model::fleet::Share;

    /// Seconds since 1970 of a time on 2026-11-23, a Monday.
    fn at(hour: i64, minute: i64) -> i64 {
        1_795_392_000 + hour * 3_600 + minute * 60
    }

    #[test]
    fn windows_open_by_their_schedule_and_close_after_their_time() {
        let open = |cron: &str, hours: u64, time| is_open(cron, hours * 3_600, time);
        assert_eq!(open("0 9 * * mon-fri", 8, at(8, 59)), Some(false));
        assert_eq!(open("0 9 * * mon-fri", 8, at(9, 0)), Some(true));
        assert_eq!(open("0 9 * * mon-fri", 8, at(16, 59)), Some(true));
        assert_eq!(open("0 9 * * mon-fri", 8, at(17, 0)), Some(false));
        assert_eq!(open("0 9 * * sat", 8, at(10, 0)), Some(false));
        assert_eq!(open("@daily", 1, at(0, 30)), Some(true));
        assert_eq!(open("at noon", 1, at(12, 0)), None);
    }

    #[test]
    fn the_tightest_open_budget_counts() {
        let budget = |nodes, window| Budget { reasons: None, nodes, window };
        assert_eq!(most(&budget(Share::Percent(10), Window::Always), 11, 0), Some(2));
        assert_eq!(most(&budget(Share::Count(3), Window::Always), 1, 0), Some(3));
        assert_eq!(most(&budget(Share::Count(3), Window::Unreadable), 1, 0), Some(0));
        let shut = Window::Cron("0 9 * * *".to_owned(), 60);
        assert_eq!(most(&budget(Share::Count(0), shut), 1, at(10, 0)), None);
    }
}

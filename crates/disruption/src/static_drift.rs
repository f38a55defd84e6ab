//! Nodes of static pools that are not what their pool says: each is replaced by one
//! of its pool, whatever that costs.

use stowage_model::fleet::Fleet;

use crate::budget::Allowance;
use crate::candidate::{Look, renewable};

/// Claims whose nodes may be replaced now, within budgets, the longest drifted first.
pub fn static_drift(fleet: &Fleet, now: i64) -> Vec<String> {
    let mut pods_of: Vec<Vec<u32>> = vec![Vec::new(); fleet.machines.len()];
    for (pod, home) in (0_u32..).zip(&fleet.homes) {
        if let Some(home) = home {
            pods_of[*home as usize].push(pod);
        }
    }
    let mut due: Vec<(i64, usize)> = Vec::new();
    for (node, machine) in fleet.machines.iter().enumerate() {
        let Some(machine) = machine else { continue };
        let look = Look { fleet, machine, node, pods: &pods_of[node], now };
        if let Some((since, _)) = machine.drifted.as_ref().filter(|_| renewable(&look)) {
            due.push((*since, node));
        }
    }
    due.sort_unstable();
    let mut allowance = Allowance::of(fleet, now);
    let mut all = Vec::new();
    for (_, node) in due {
        let Some(machine) = &fleet.machines[node] else { continue };
        let draws: Vec<Vec<u32>> = match machine.forceful {
            true => Vec::new(),
            false => pods_of[node].iter().map(|pod| fleet.care[*pod as usize].budgets.clone()).collect(),
        };
        if allowance.take(&machine.pool, crate::Reason::Drifted, &draws).is_ok() {
            all.push(machine.claim.clone());
        }
    }
    all
}

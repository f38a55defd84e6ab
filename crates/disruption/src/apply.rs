//! The fleet as it is once commands were carried out.

use std::collections::{BTreeMap, BTreeSet};

use stowage_model::fleet::{Fleet, Machine};
use stowage_model::{Life, Node, Resources};

use crate::command::{Command, Target};
use crate::rebalance::Rebalanced;

/// Carries out `commands` of one decision; `wave` tells new nodes' names apart.
pub fn apply(fleet: &Fleet, commands: &[Command], wave: usize) -> Fleet {
    let gone: BTreeSet<&str> = commands.iter().flat_map(|c| c.remove.iter().map(String::as_str)).collect();
    let mut nodes: Vec<(Node, Option<Machine>)> = fleet
        .problem
        .nodes
        .iter()
        .zip(&fleet.machines)
        .filter(|(node, _)| !gone.contains(node.name.as_str()))
        .map(|(node, machine)| (node.clone(), machine.clone()))
        .collect();
    let mut home_of: Vec<Option<String>> =
        fleet.homes.iter().map(|home| home.map(|home| fleet.problem.nodes[home as usize].name.clone())).collect();
    for (index, command) in commands.iter().enumerate() {
        let name = |place: usize| format!("{}-new-{wave}-{index}-{place}", command.launch[place].pool);
        for place in 0..command.launch.len() {
            nodes.extend(launched(fleet, command, place, name(place)));
        }
        for (pod, target) in &command.moves {
            home_of[*pod as usize] = Some(match target {
                Target::Node(node) => node.clone(),
                Target::New(place) => name(*place),
            });
        }
    }
    nodes.sort_by(|a, b| a.0.name.cmp(&b.0.name));
    let place: BTreeMap<String, u32> = (0_u32..).zip(&nodes).map(|(i, (node, _))| (node.name.clone(), i)).collect();
    let homes = home_of.into_iter().map(|home| home.and_then(|name| place.get(&name).copied())).collect();
    let (nodes, machines): (Vec<Node>, Vec<Option<Machine>>) = nodes.into_iter().unzip();
    Fleet {
        problem: fleet.problem.with(fleet.problem.pods.clone(), nodes),
        homes,
        machines,
        care: fleet.care.clone(),
        policies: fleet.policies.clone(),
        pod_budgets: fleet.pod_budgets.clone(),
        rebalancing: fleet.rebalancing.clone(),
        lives: lives_after(fleet, commands.iter().flat_map(|command| &command.moves).map(|(pod, _)| *pod)),
        failed: fleet.failed.clone(),
    }
}

/// Moves the pods of a rebalancing to where there is room for them, and takes away
/// what has failed.
pub fn rebalanced(fleet: &Fleet, done: &Rebalanced) -> Fleet {
    let mut next = fleet.clone();
    for moved in &done.relocations {
        let to = next.problem.nodes.binary_search_by(|node| node.name.cmp(&moved.to)).ok();
        next.homes[moved.pod as usize] = to.map(|to| to as u32);
    }
    next.lives = lives_after(fleet, done.relocations.iter().map(|moved| moved.pod));
    let gone = |namespace: &str, name: &str| {
        done.removals.iter().any(|removal| removal.namespace == namespace && removal.name == name)
    };
    next.failed.retain(|pod| !gone(&pod.namespace, &pod.name));
    next
}

/// Replaces nodes of static pools one for one: what is there then is as its pool says.
pub fn renewed(fleet: &Fleet, claims: &[String]) -> Fleet {
    let mut next = fleet.clone();
    for machine in next.machines.iter_mut().flatten().filter(|machine| claims.contains(&machine.claim)) {
        machine.drifted = None;
    }
    next
}

/// A pod that moves is made anew: it has no history.
fn lives_after(fleet: &Fleet, moved: impl Iterator<Item = u32>) -> Vec<Life> {
    let mut lives = fleet.lives.clone();
    for pod in moved {
        if let Some(life) = lives.get_mut(pod as usize) {
            let (kin, labels) = (life.kin.clone(), life.labels.clone());
            *life = Life { kin, labels, ..Life::default() };
        }
    }
    lives
}

/// A new node, as if it had been there for ever.
fn launched(fleet: &Fleet, command: &Command, place: usize, name: String) -> Option<(Node, Option<Machine>)> {
    let new = &command.launch[place];
    let problem = &fleet.problem;
    let pool = problem.pools.iter().position(|pool| pool.name == new.pool)?;
    let variant = problem.variants(pool).iter().find(|variant| variant.labels == new.labels)?;
    let mut node = problem.launch_of(new, variant)?.node(name.clone());
    let mut reserved = Resources::new();
    for daemon in &problem.daemons {
        if daemon.runs_on(|key| node.label(key), &node.taints) {
            reserved.add(&daemon.shape.requests);
        }
    }
    node.reserved = reserved;
    let machine = Machine { claim: name, pool: new.pool.clone(), initialized: true, ready: true, ..Machine::default() };
    Some((node, Some(machine)))
}

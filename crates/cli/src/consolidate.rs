//! `stowage consolidate` and `stowage explain node`.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::time::Instant;

use stowage_disruption::{Decision, Rebalanced, Rules, Stay, apply, decide, rebalance, static_drift};
use stowage_k8s::cluster::Blockers;
use stowage_model::{Code, Fleet, Price};

use crate::args::{BlockerChoice, ConsolidateArgs, InputArgs, MachineArgs, Objective, Report, RuleArgs, SearchArgs};
use crate::error::{Exit, Failure};
use crate::monitor::Watch;
use crate::plan::options;
use crate::question;
use crate::report::consolidation::{self, View};

/// Decisions that are replayed at most; each lowers what the fleet costs.
const MOST_WAVES: usize = 1_000;

pub(crate) fn run(args: &ConsolidateArgs) -> Result<Exit, Failure> {
    let started = Instant::now();
    let now = args.rules.at.unwrap_or_else(jiff::Timestamp::now);
    let (mut fleet, question) = question::pose_fleet(
        &args.input,
        &args.machines,
        args.search.min_alternatives,
        blockers(args.rules.blockers),
        now,
    )?;
    let read = started.elapsed();
    let rules = rules(&args.rules, &args.search);
    let watch = Watch::new(args.search.time_limit, args.search.verbose);
    let mut view = View::new(&fleet, &question, now);
    let mut seen = BTreeSet::from([state(&fleet)]);
    for wave in 1..=MOST_WAVES {
        let decision = decide(&fleet, &rules, now.as_second(), &watch);
        let rebalanced = rebalance(&fleet, &decision, &rules.options, now.as_second(), &watch);
        judge(&decision, &rebalanced)?;
        let renewed = static_drift(&fleet, now.as_second());
        let next = apply::renewed(&apply::rebalanced(&fleet, &rebalanced), &renewed);
        let next = apply::apply(&next, &decision.commands, wave);
        view.add(&fleet, &decision, &rebalanced, &renewed, &next);
        let done = decision.commands.is_empty() && rebalanced.is_empty() && renewed.is_empty();
        if !args.until_stable || done || watch.interrupted() {
            break;
        }
        if !seen.insert(state(&next)) {
            // Commands alone never do that.
            view.warn(
                "methods of the DeschedulerPolicy undo each other, so pods would move for ever; keep fewer of them",
            );
            break;
        }
        fleet = next;
    }
    if !args.no_timings {
        view.timings(read.as_secs_f64(), (started.elapsed() - read).as_secs_f64());
    }
    let text = match args.output {
        Report::Table => consolidation::text(&view, false),
        Report::Wide => consolidation::text(&view, true),
        Report::Json => serde_json::to_string_pretty(&view).map_err(|e| Failure::fault(&e.to_string()))? + "\n",
        Report::Yaml => serde_saphyr::to_string(&view).map_err(|e| Failure::fault(&e.to_string()))?,
        Report::Html => consolidation::page(&view),
    };
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|e| Failure::output(&e))?;
    Ok(match (watch.interrupted(), args.detailed_exitcode && view.has_changes()) {
        (true, _) => Exit::Interrupted,
        (_, true) => Exit::Changes,
        _ => Exit::Done,
    })
}

/// Nothing is shown that the judge refuses.
fn judge(decision: &Decision, rebalanced: &Rebalanced) -> Result<(), Failure> {
    let questions = rebalanced.questions(decision);
    match questions.flat_map(|(problem, plan)| stowage_verify::check_plan(problem, plan)).next() {
        None => Ok(()),
        Some(fault) => {
            Err(Failure::fault(&format!("the decision breaks a rule, so it is not shown: {fault}; please report it")))
        }
    }
}

/// What tells two states of one replay apart.
fn state(fleet: &Fleet) -> u64 {
    let mut hasher = DefaultHasher::new();
    let name = |home: Option<u32>| home.map(|home| fleet.problem.nodes[home as usize].name.as_str());
    fleet.homes.iter().for_each(|home| name(*home).hash(&mut hasher));
    fleet.problem.nodes.iter().for_each(|node| node.name.hash(&mut hasher));
    fleet.failed.len().hash(&mut hasher);
    fleet.machines.iter().for_each(|machine| machine.as_ref().is_some_and(|m| m.drifted.is_some()).hash(&mut hasher));
    // Pods that are made anew in their places are no longer old.
    fleet.lives.iter().for_each(|life| (life.created, life.restarts).hash(&mut hasher));
    hasher.finish()
}

pub(crate) fn blockers(choice: BlockerChoice) -> Blockers {
    match choice {
        BlockerChoice::Karpenter => Blockers::Karpenter,
        BlockerChoice::ClusterAutoscaler => Blockers::ClusterAutoscaler,
    }
}

fn rules(args: &RuleArgs, search: &SearchArgs) -> Rules {
    Rules {
        options: options(search),
        eviction_price: args.eviction_price,
        least_saving: args.min_savings,
        spot_to_spot: args.spot_to_spot,
        balanced: args.objective == Objective::Balanced,
        most_nodes: args.max_disruption,
    }
}

/// Why a node stays, or what becomes of it.
pub(crate) fn explain(
    name: &str,
    input: &InputArgs,
    machines: &MachineArgs,
    search: &SearchArgs,
    args: &RuleArgs,
) -> Result<String, Failure> {
    let now = args.at.unwrap_or_else(jiff::Timestamp::now);
    let (fleet, _) = question::pose_fleet(input, machines, 0, blockers(args.blockers), now)?;
    let Some(index) = fleet.problem.nodes.iter().position(|node| node.name == name) else {
        return Err(Failure::input(Code::InObject, "explain node", &format!("no node {name} is in the input")));
    };
    let watch = Watch::new(search.time_limit, search.verbose);
    let decision = decide(&fleet, &rules(args, search), now.as_second(), &watch);
    judge(&decision, &Rebalanced::default())?;
    Ok(describe(&fleet, &decision, index))
}

fn describe(fleet: &Fleet, decision: &Decision, index: usize) -> String {
    let node = &fleet.problem.nodes[index];
    let pods = fleet.homes.iter().filter(|home| home.is_some_and(|home| home as usize == index)).count();
    let price = node.price.map_or_else(|| "at a price nobody knows".to_owned(), |price| format!("{price}/h"));
    let counted = consolidation::count(pods, "pod");
    let mut text = format!("node {}: {price}, {counted} that could be moved\n", node.name);
    let command = decision.commands.iter().find(|command| command.remove.contains(&node.name));
    match (command, decision.stay.get(&node.name)) {
        (Some(command), _) => {
            text.push_str(&format!("it goes ({}): {}\n", command.reason(), consolidation::sentence(command)));
        }
        (None, Some(stay)) => {
            text.push_str(&format!("it stays: {stay}\n"));
            if let Stay::Price { worth, moving, .. } = stay {
                text.push_str(&format!("  its pods    {worth}/h\n  moving      {moving}/h\n  it costs    {price}\n"));
            }
        }
        (None, None) => text.push_str("it stays: no NodePool or NodeClaim owns it\n"),
    }
    let saving: Price = decision.price - decision.after;
    let commands = consolidation::count(decision.commands.len(), "command");
    text.push_str(&format!("the whole decision saves {saving}/h with {commands}\n"));
    text
}

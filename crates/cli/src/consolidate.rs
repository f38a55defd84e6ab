//! `stowage consolidate` and `stowage explain node`.

use std::io::Write;
use std::time::Instant;

use stowage_disruption::{Decision, Rules, Stay, apply, decide};
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
    for wave in 1..=MOST_WAVES {
        let decision = decide(&fleet, &rules, now.as_second(), &watch);
        judge(&decision)?;
        let next = apply::apply(&fleet, &decision.commands, wave);
        view.add(&fleet, &decision, &next);
        if !args.until_stable || decision.commands.is_empty() || watch.interrupted() {
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
    Ok(match (watch.interrupted(), args.detailed_exitcode && view.has_commands()) {
        (true, _) => Exit::Interrupted,
        (_, true) => Exit::Changes,
        _ => Exit::Done,
    })
}

/// Nothing is shown that the judge refuses.
fn judge(decision: &Decision) -> Result<(), Failure> {
    match stowage_verify::check_plan(&decision.what_if.problem, &decision.plan).first() {
        None => Ok(()),
        Some(fault) => {
            Err(Failure::fault(&format!("the decision breaks a rule, so it is not shown: {fault}; please report it")))
        }
    }
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
    judge(&decision)?;
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

//! `stowage plan`.

use std::io::Write;
use std::time::Instant;

use stowage_model::{End, Plan, Problem};
use stowage_solver::{Algorithm, Effort, Options, Outcome};

use crate::args::{EffortChoice, Output, PlanArgs, SearchArgs, Solver};
use crate::error::{Exit, Failure};
use crate::monitor::Watch;
use crate::question;
use crate::replays;
use crate::report::view::{Timings, View};
use crate::report::{self};

pub(crate) fn run(args: &PlanArgs) -> Result<Exit, Failure> {
    let started = Instant::now();
    let question = question::pose(&args.input, &args.machines, args.search.min_alternatives)?;
    let read = started.elapsed();
    let plan = solve(&question.problem, &args.search)?;
    let timings = (!args.no_timings)
        .then(|| Timings { read_seconds: read.as_secs_f64(), plan_seconds: (started.elapsed() - read).as_secs_f64() });
    let mut view = View::new(&question, &plan, args, timings);
    if args.replay {
        view.replay = replays::run(&question.problem, &plan, &args.search)?;
    }
    let text = report::render(args.output, &question, &plan, &view)?;
    let mut out = anstream::AutoStream::new(std::io::stdout().lock(), colour(args));
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|e| Failure::output(&e))?;
    Ok(exit(args, &plan))
}

/// Solves, and has the answer judged before anybody sees it.
pub(crate) fn solve(problem: &Problem, args: &SearchArgs) -> Result<Plan, Failure> {
    let watch = Watch::new(args.time_limit, args.verbose);
    let options = options(args);
    let mut outcome: Outcome = stowage_solver::solve(problem, &options, &watch);
    let faults = stowage_verify::check_plan(problem, &outcome.plan);
    if let Some(fault) = faults.first() {
        return Err(Failure::fault(&format!("the plan breaks a rule, so it is not shown: {fault}; please report it")));
    }
    if !outcome.settle(|plan| stowage_verify::check_bound(problem, plan).is_empty()) {
        let fault = stowage_verify::check_bound(problem, &outcome.plan);
        let text = fault.first().map(ToString::to_string).unwrap_or_default();
        return Err(Failure::fault(&format!("no proof of the bound holds: {text}; please report it")));
    }
    Ok(outcome.plan)
}

/// How hard to search.
pub(crate) fn options(args: &SearchArgs) -> Options {
    Options {
        effort: match args.effort {
            EffortChoice::Quick => Effort::Quick,
            EffortChoice::Balanced => Effort::Balanced,
            EffortChoice::Thorough => Effort::Thorough,
        },
        algorithm: match args.solver {
            Solver::Optimise => Algorithm::Optimise,
            Solver::FirstFit => Algorithm::FirstFit,
        },
        seed: args.seed,
        threads: args.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)),
        target_gap: args.max_gap.map_or(0, |share| (share * 1e6) as i64),
        proves: true,
    }
}

fn colour(args: &PlanArgs) -> anstream::ColorChoice {
    let plain = args.no_color || !matches!(args.output, Output::Table | Output::Wide);
    if plain { anstream::ColorChoice::Never } else { anstream::AutoStream::choice(&std::io::stdout()) }
}

/// Precedence: interrupted, then gap, then unplaced, then changes.
fn exit(args: &PlanArgs, plan: &Plan) -> Exit {
    let allowed = args.search.max_gap.map(|share| (share * 1e6) as i64);
    let too_wide =
        allowed.is_some_and(|most| plan.gap_millionths().is_none_or(|gap| gap > most) && plan.bound < plan.price());
    if plan.end == End::Interrupted {
        Exit::Interrupted
    } else if too_wide {
        Exit::GapTooWide
    } else if args.detailed_exitcode && !plan.unplaced.is_empty() {
        Exit::Unplaced
    } else if args.detailed_exitcode && (!plan.nodes.is_empty() || !plan.existing.is_empty()) {
        Exit::Changes
    } else {
        Exit::Done
    }
}

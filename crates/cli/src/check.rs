//! `stowage check`.

use std::io::Write;

use stowage_model::{End, Plan, Problem};

use crate::args::CheckArgs;
use crate::error::{Exit, Failure};
use crate::plan_file::{PlanFile, price};
use crate::report::view::FORMAT_VERSION;
use crate::{input, question};
use stowage_model::Code;

pub(crate) fn run(args: &CheckArgs) -> Result<Exit, Failure> {
    let name = args.plan.display().to_string();
    let file: PlanFile = serde_json::from_str(&input::text(&args.plan)?).map_err(|e| {
        Failure::input(Code::InPlan, &name, &format!("{e}; expected the output of stowage plan -o json"))
    })?;
    let major = |version: &str| version.split('.').next().map(str::to_owned);
    if major(&file.format_version) != major(FORMAT_VERSION) {
        let message = format!("has format version {}, this is {FORMAT_VERSION}", file.format_version);
        return Err(Failure::input(Code::InPlan, &name, &message));
    }
    let question = question::pose(&args.input, &args.machines, args.min_alternatives)?;
    let faults = match file.resolve(&question.problem) {
        Err(faults) => faults,
        Ok(plan) => {
            let mut faults: Vec<String> =
                stowage_verify::check(&question.problem, &plan).iter().map(ToString::to_string).collect();
            if faults.is_empty() {
                faults.extend(figures(&file, &question.problem, &plan));
            }
            if faults.is_empty() {
                report(&question.problem, &plan)?;
                return Ok(Exit::Done);
            }
            faults
        }
    };
    let mut out = std::io::stdout().lock();
    for fault in &faults {
        writeln!(out, "fault: {fault}").map_err(|e| Failure::output(&e))?;
    }
    writeln!(out, "{} faults: the plan does not hold for this input", faults.len()).map_err(|e| Failure::output(&e))?;
    Ok(Exit::Found)
}

fn report(problem: &Problem, plan: &Plan) -> Result<(), Failure> {
    let placed = problem.pods.len() - plan.unplaced.len();
    let text = format!(
        "the plan holds: {placed} of {} pods placed on {} new and {} existing nodes for {}/h\n\
         the bound holds: no new nodes for these pods cost less than {}/h ({} certificate)\n",
        problem.pods.len(),
        plan.nodes.len(),
        plan.existing.len(),
        plan.price(),
        plan.bound,
        plan.certificate.kind,
    );
    std::io::stdout().lock().write_all(text.as_bytes()).map_err(|e| Failure::output(&e))
}

/// Figures of the summary that do not follow from the plan.
fn figures(file: &PlanFile, problem: &Problem, plan: &Plan) -> Vec<String> {
    let s = &file.summary;
    let mut faults = Vec::new();
    let mut compare = |name: &str, stated: usize, actual: usize| {
        if stated != actual {
            faults.push(format!("summary.{name} is {stated}, the plan has {actual}"));
        }
    };
    compare("pods", s.pods, problem.pods.len());
    compare("placed", s.placed, problem.pods.len() - plan.unplaced.len());
    compare("unplaced", s.unplaced, plan.unplaced.len());
    compare("newNodes", s.new_nodes, plan.nodes.len());
    compare("existingNodes", s.existing_nodes, plan.existing.len());
    if price(&s.hourly_price) != Ok(plan.price()) {
        faults.push(format!("summary.hourlyPrice is {}, the nodes cost {}", s.hourly_price, plan.price().dollars()));
    }
    let gap = plan.gap_millionths().map(|gap| gap as f64 / 1e6);
    let same = match (s.gap, gap) {
        (None, None) => true,
        (Some(stated), Some(actual)) => (stated - actual).abs() < 5e-7,
        _ => false,
    };
    if !same {
        faults.push(format!("summary.gap is {:?}, price and bound give {gap:?}", s.gap));
    }
    let optimal = s.end == End::Optimal.as_str();
    if optimal != (plan.bound >= plan.price()) {
        faults.push(format!("summary.end is {}, which price and bound contradict", s.end));
    }
    faults
}

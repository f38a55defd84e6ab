//! `stowage explain`.

use std::io::Write;

use stowage_model::{Code, Problem};
use stowage_solver::explain::conflict::conflict;
use stowage_solver::explain::{self, PoolReport};
use stowage_solver::launches::launches;

use crate::args::{ExplainArgs, Explained, InputArgs, MachineArgs};
use crate::consolidate;
use crate::error::{Exit, Failure};
use crate::question;

pub(crate) fn run(args: &ExplainArgs) -> Result<Exit, Failure> {
    let text = match &args.what {
        Explained::Pod { name, input, machines } => pod(name, input, machines)?,
        Explained::Node { name, input, machines, search, rules } => {
            consolidate::explain(name, input, machines, search, rules)?
        }
        Explained::Code { name: Some(name) } => {
            let code = Code::parse(name).ok_or_else(|| {
                Failure::usage(&format!("there is no code {name}; `stowage explain code` lists them"))
            })?;
            format!("{code}\n  {}\n  What to do: {}\n", code.summary(), code.remedy())
        }
        Explained::Code { name: None } => {
            Code::ALL.iter().map(|code| format!("{:<16} {}\n", code.as_str(), code.summary())).collect()
        }
    };
    std::io::stdout().lock().write_all(text.as_bytes()).map_err(|e| Failure::output(&e))?;
    Ok(Exit::Done)
}

fn pod(name: &str, input: &InputArgs, machines: &MachineArgs) -> Result<String, Failure> {
    let question = question::pose(input, machines, 0)?;
    let problem = &question.problem;
    let matching: Vec<usize> = (0..problem.pods.len())
        .filter(|i| {
            let pod = &problem.pods[*i];
            *pod.name == *name || pod.to_string() == name
        })
        .collect();
    let index = match matching.as_slice() {
        [one] => *one,
        [] => {
            let message = format!("no pod {name} is to be planned; it may be bound, finished or left out");
            return Err(Failure::input(Code::InObject, "explain pod", &message));
        }
        several => {
            let names: Vec<String> = several.iter().take(4).map(|i| problem.pods[*i].to_string()).collect();
            let message = format!("{} pods are called {name}; say which: {}", several.len(), names.join(", "));
            return Err(Failure::input(Code::InObject, "explain pod", &message));
        }
    };
    Ok(describe(problem, index))
}

fn describe(problem: &Problem, index: usize) -> String {
    let pod = &problem.pods[index];
    let shape = &problem.shapes[pod.shape as usize];
    let asked: Vec<String> = shape
        .requests
        .iter()
        .filter(|(name, amount)| *amount > 0 && name.as_str() != "pods")
        .map(|(name, amount)| format!("{} {name}", stowage_model::resources::humanize(name.as_str(), amount)))
        .collect();
    let mut text =
        format!("pod {pod} asks for {}\n", if asked.is_empty() { "nothing".into() } else { asked.join(", ") });
    let all = launches(problem);
    for report in explain::pools(problem, &all, shape) {
        text.push_str(&pool(problem, &report));
    }
    let reasons = explain::refusals(problem, &all, pod.shape, &[]);
    for reason in reasons.iter().filter(|r| r.scope.is_none()) {
        text.push_str(&format!("\n{reason}\n"));
    }
    let conflict = conflict(problem, &all, shape, &[]);
    if !conflict.rules.is_empty() {
        text.push_str(&format!("\nblocked by {}\n", conflict.lines().join(" + ")));
    }
    if let Some(nearest) = &conflict.nearest {
        text.push_str(&format!("nearest: {}\n", nearest.line()));
    }
    for rule in &shape.unsupported {
        text.push_str(&format!("\nwarning: {} is not planned for yet\n", rule.field()));
    }
    text
}

fn pool(problem: &Problem, report: &PoolReport) -> String {
    let weight = problem.pools.iter().find(|p| p.name == report.pool).map_or(0, |p| p.weight);
    let mut text = format!("\npool {} (weight {weight}): {} types\n", report.pool, report.types);
    for (rule, left) in &report.left {
        text.push_str(&format!("  {left:>5} left after {rule}\n"));
    }
    match (&report.reason, &report.cheapest) {
        (Some(reason), _) => text.push_str(&format!("  no: {reason}\n")),
        (None, Some((name, price))) => text.push_str(&format!("  yes: alone it would fit {name} at {price}/h\n")),
        (None, None) => {}
    }
    text
}

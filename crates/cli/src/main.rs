//! The stowage binary.

mod args;
mod assumptions;
mod catalog;
mod catalog_command;
mod check;
mod consolidate;
mod crds;
mod error;
mod explain;
mod input;
#[cfg(feature = "controller")]
mod live;
mod monitor;
mod plan;
mod plan_file;
mod pools;
mod question;
mod replays;
mod report;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Command, Stowage};
use crate::error::{Exit, Failure};

fn main() -> ExitCode {
    let stowage = match Stowage::try_parse() {
        Ok(stowage) => stowage,
        Err(error) => {
            let help = !error.use_stderr();
            let _ = error.print();
            return ExitCode::from(if help { Exit::Done } else { Exit::Usage });
        }
    };
    // A panic is our own fault, whatever the input was: say so, and use its code.
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(stowage)));
    let exit = match outcome {
        Ok(Ok(exit)) => exit,
        Ok(Err(failure)) => {
            error::print(&failure);
            failure.exit
        }
        Err(_) => {
            error::print(&Failure::fault("an internal error stopped the run; please report it with the input"));
            Exit::Fault
        }
    };
    ExitCode::from(exit)
}

fn run(stowage: Stowage) -> Result<Exit, Failure> {
    match stowage.command {
        Command::Plan(args) => plan::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Consolidate(args) => consolidate::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Catalog(args) => catalog_command::run(&args),
        Command::Crds => crds::run(),
        #[cfg(feature = "controller")]
        Command::Controller(args) => live::controller(&args),
        #[cfg(feature = "controller")]
        Command::Snapshot(args) => live::snapshot(&args),
        #[cfg(feature = "controller")]
        Command::SimulatedCloud(args) => live::simulated_cloud(&args),
        Command::Completions { shell } => args::completions(shell),
        Command::Man => args::man_page(),
    }
}

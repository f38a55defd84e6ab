//! What `stowage consolidate` can be asked.

use clap::{Args, ValueEnum};
use stowage_model::Price;

use super::{InputArgs, MachineArgs, SearchArgs};

pub(super) const HELP: &str = "\
Examples:
  stowage snapshot > cluster.json && stowage consolidate cluster.json
  kubectl get pods,nodes,nodeclaims,nodepools,pdb,daemonsets -A -o json | stowage consolidate -
  stowage consolidate cluster.json --until-stable -o html > consolidation.html

Exit codes as for plan; 2 with --detailed-exitcode: there is something to do.";

#[derive(Debug, Args)]
pub(crate) struct ConsolidateArgs {
    #[command(flatten)]
    pub(crate) input: InputArgs,
    #[command(flatten)]
    pub(crate) machines: MachineArgs,
    #[command(flatten)]
    pub(crate) search: SearchArgs,
    #[command(flatten)]
    pub(crate) rules: RuleArgs,
    /// Go on, as if each decision had been carried out, until nothing is left to do
    #[arg(long)]
    pub(crate) until_stable: bool,
    /// What to print
    #[arg(short, long, value_enum, default_value_t = Report::Table)]
    pub(crate) output: Report,
    /// Exit with 2 when there is something to do
    #[arg(long)]
    pub(crate) detailed_exitcode: bool,
    /// Leave timings out, so that two runs print the same bytes
    #[arg(long)]
    pub(crate) no_timings: bool,
}

/// What disruption is worth, and what may be disrupted.
#[derive(Clone, Debug, Args)]
pub(crate) struct RuleArgs {
    /// All that pays, or only what saves in proportion to what it disrupts
    #[arg(long, value_enum, default_value_t = Objective::Savings)]
    pub(crate) objective: Objective,
    /// The most nodes that one decision gives up
    #[arg(long, value_name = "NODES")]
    pub(crate) max_disruption: Option<usize>,
    /// What moving one ordinary pod must save, in dollars per hour
    #[arg(long, value_name = "DOLLARS", default_value = "0.005", value_parser = dollars)]
    pub(crate) eviction_price: Price,
    /// What a command must save at least, in dollars per hour
    #[arg(long, value_name = "DOLLARS", default_value = "0.0001", value_parser = dollars)]
    pub(crate) min_savings: Price,
    /// Also replace spot nodes by spot nodes, if so many types would then be cheaper
    #[arg(long, value_name = "TYPES", num_args = 0..=1, default_missing_value = "15")]
    pub(crate) spot_to_spot: Option<usize>,
    /// Whose rules hold nodes
    #[arg(long, value_enum, default_value_t = BlockerChoice::Karpenter)]
    pub(crate) blockers: BlockerChoice,
    /// The time that windows and ages are measured at, such as 2026-01-31T09:00:00Z (default: now)
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<jiff::Timestamp>,
}

/// An amount of money.
pub(crate) fn dollars(text: &str) -> Result<Price, String> {
    Price::parse(text).ok_or_else(|| "is not an amount of dollars such as 0.002".to_owned())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Objective {
    Savings,
    Balanced,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BlockerChoice {
    Karpenter,
    ClusterAutoscaler,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Report {
    Table,
    Wide,
    Json,
    Yaml,
    Html,
}

//! The command line.

mod consolidate;

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use stowage_model::CapacityType;

use crate::error::{Exit, Failure};

#[cfg(feature = "controller")]
pub(crate) use consolidate::dollars;
pub(crate) use consolidate::{BlockerChoice, ConsolidateArgs, Objective, Report, RuleArgs};

/// Just-in-time node provisioning for Kubernetes: which pods go on which nodes,
/// what that costs, and how far it is, provably, from the cheapest possible.
#[derive(Debug, Parser)]
#[command(name = "stowage", version, max_term_width = 100)]
pub(crate) struct Stowage {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Plan the cheapest nodes for a list of pods
    #[command(after_help = PLAN_HELP)]
    Plan(Box<PlanArgs>),
    /// Judge a plan file against its input, independently of the solver
    Check(Box<CheckArgs>),
    /// Say which nodes to give up, replaced by which, and why the others stay
    #[command(after_help = consolidate::HELP)]
    Consolidate(Box<ConsolidateArgs>),
    /// Say why a pod can or cannot be placed, why a node stays, or what a code means
    Explain(Box<ExplainArgs>),
    /// Look at the instance catalogue
    Catalog(CatalogArgs),
    /// Print the custom resource definitions
    Crds,
    /// Turn pending pods into nodes, on the cluster that the kubeconfig or the pod's account names
    #[cfg(feature = "controller")]
    Controller(Box<crate::live::ControllerArgs>),
    /// Write everything that plan needs to replay a cluster: the bug report
    #[cfg(feature = "controller")]
    Snapshot(crate::live::SnapshotArgs),
    /// Serve a simulated cloud whose machines join the cluster as nodes
    #[cfg(feature = "controller")]
    SimulatedCloud(crate::live::CloudArgs),
    /// Print a completion script
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

const PLAN_HELP: &str = "\
Examples:
  kubectl get pods,nodes,nodepools,daemonsets -A -o json | stowage plan -
  helm template ./chart | stowage plan -
  stowage plan pods.csv --capacity-types spot,on-demand -o html > plan.html

CSV columns: name, namespace, replicas, cpu, memory, node-selector (key=value, several with ;),
and any further resource by its name. A header line is needed; only name is required.

Exit codes: 0 done; 2 and 3 with --detailed-exitcode: nodes would be launched, some pods have no
place; 4 the gap is above --max-gap; 64 usage; 65 bad input; 66 no such file; 70 our own fault;
130 interrupted, the best plan so far is printed.";

/// Where the pods come from.
#[derive(Clone, Debug, Args)]
pub(crate) struct InputArgs {
    /// Files, folders, or - for standard input: manifests in YAML or JSON, lists, CSV pod lists
    #[arg(value_name = "FILE|DIR|-", default_value = "-")]
    pub(crate) inputs: Vec<PathBuf>,
    /// Only pods of this namespace
    #[arg(short, long)]
    pub(crate) namespace: Option<String>,
    /// Only pods with these labels (key=value, several with commas)
    #[arg(short = 'l', long)]
    pub(crate) selector: Option<String>,
    /// Which pods that run on nodes outside the input are planned afresh
    #[arg(long, value_enum, default_value_t = ReplanChoice::Auto)]
    pub(crate) replan: ReplanChoice,
    /// DaemonSets to assume where the input has none: eks, none or a file (default: eks with the
    /// embedded catalogue, none with a file)
    #[arg(long, value_name = "eks|none|FILE")]
    pub(crate) daemonsets: Option<String>,
    /// What becomes of preferences: respect meets them wherever a pod still finds a place
    #[arg(long, value_enum, default_value_t = PreferenceChoice::Respect)]
    pub(crate) preference_policy: PreferenceChoice,
    /// What becomes of a NodePool's minValues that cannot be met
    #[arg(long, value_enum, default_value_t = MinValuesChoice::Strict)]
    pub(crate) min_values_policy: MinValuesChoice,
    /// Leave out pending pods with a priority below this one
    #[arg(long, value_name = "PRIORITY", allow_negative_numbers = true)]
    pub(crate) expendable_priority: Option<i32>,
    /// Plan the rest when some objects are malformed
    #[arg(long)]
    pub(crate) keep_going: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum MinValuesChoice {
    /// Pods stay unplaced
    Strict,
    /// Pods are placed all the same
    #[value(alias = "bestEffort")]
    BestEffort,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PreferenceChoice {
    /// Met wherever the pod still finds a place
    Respect,
    /// Not looked at
    Ignore,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReplanChoice {
    /// All where the input has no node, else pending
    Auto,
    /// Only pods without a node
    Pending,
    /// Also pods whose node is not in the input
    All,
}

/// Which machines there are.
#[derive(Clone, Debug, Args)]
pub(crate) struct MachineArgs {
    /// aws for the embedded EC2 catalogue, or a file in the kwok provider's form
    #[arg(long, value_name = "aws|FILE", default_value = "aws")]
    pub(crate) catalog: String,
    /// Region of the embedded catalogue
    #[arg(long, default_value = "us-east-1")]
    #[cfg_attr(feature = "controller", arg(env = "STOWAGE_REGION"))]
    pub(crate) region: String,
    /// Zones, by name or id (default: all of the region)
    #[arg(long, value_delimiter = ',')]
    #[cfg_attr(feature = "controller", arg(env = "STOWAGE_ZONES"))]
    pub(crate) zones: Vec<String>,
    /// Capacity types: on-demand, spot (default: on-demand, and what NodePools name)
    #[arg(long, value_delimiter = ',', value_parser = capacity_type)]
    pub(crate) capacity_types: Vec<CapacityType>,
    /// Prices of your own, as CSV: instance type, zone or *, capacity type, dollars per hour
    #[arg(long, value_name = "FILE")]
    pub(crate) prices: Option<PathBuf>,
    /// Capacity reservations, as `aws ec2 describe-capacity-reservations` prints them; EC2NodeClasses
    /// select among them
    #[arg(long, value_name = "FILE")]
    pub(crate) reservations: Option<PathBuf>,
    /// How allocatable memory is estimated: Karpenter's flat 7.5 %, or measured per type
    #[arg(long, value_enum, default_value_t = Allocatable::Karpenter)]
    pub(crate) allocatable: Allocatable,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Allocatable {
    Karpenter,
    Measured,
}

fn capacity_type(text: &str) -> Result<CapacityType, String> {
    CapacityType::parse(text).ok_or_else(|| "is none of on-demand, spot, reserved".to_owned())
}

/// How hard to search.
#[derive(Clone, Debug, Args)]
pub(crate) struct SearchArgs {
    /// The optimiser, or first-fit as Karpenter does it
    #[arg(long, value_enum, default_value_t = Solver::Optimise)]
    pub(crate) solver: Solver,
    /// How much work the search may do
    #[arg(long, value_enum, default_value_t = EffortChoice::Balanced)]
    pub(crate) effort: EffortChoice,
    /// Seed of the randomised part
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Threads (default: all cores); never changes the plan
    #[arg(long)]
    pub(crate) threads: Option<usize>,
    /// Stop after this many seconds with the best plan so far
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) time_limit: Option<f64>,
    /// Stop once the gap is this small, and exit with 4 where it is not (0.01 is 1 %)
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub(crate) max_gap: Option<f64>,
    /// Other instance types that each node must leave open
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) min_alternatives: usize,
    /// Show every stage of the search on standard error, however short
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|s: &f64| *s > 0.0 && *s < 1e6).ok_or_else(|| "is not a number of seconds".to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|s: &f64| (0.0..=1000.0).contains(s))
        .ok_or_else(|| "is not a share such as 0.01".to_owned())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Solver {
    Optimise,
    FirstFit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EffortChoice {
    Quick,
    Balanced,
    Thorough,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) input: InputArgs,
    #[command(flatten)]
    pub(crate) machines: MachineArgs,
    #[command(flatten)]
    pub(crate) search: SearchArgs,
    /// What to print
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
    /// Exit with 2 when nodes would be launched, with 3 when some pods have no place
    #[arg(long)]
    pub(crate) detailed_exitcode: bool,
    /// Also say what the plan costs once a scheduler has bound the pods in an order of its own
    #[arg(long)]
    pub(crate) replay: bool,
    /// Leave timings out, so that two runs print the same bytes
    #[arg(long)]
    pub(crate) no_timings: bool,
    /// No colour
    #[arg(long)]
    pub(crate) no_color: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    Table,
    Wide,
    Json,
    Yaml,
    Html,
    Nodeclaims,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The plan, as `stowage plan -o json` printed it
    #[arg(value_name = "PLAN.json")]
    pub(crate) plan: PathBuf,
    #[command(flatten)]
    pub(crate) input: InputArgs,
    #[command(flatten)]
    pub(crate) machines: MachineArgs,
    /// Other instance types that each node must leave open
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) min_alternatives: usize,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    #[command(subcommand)]
    pub(crate) what: Explained,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Explained {
    /// How far a pod gets with each pool
    Pod {
        /// Its name, or namespace/name
        name: String,
        #[command(flatten)]
        input: Box<InputArgs>,
        #[command(flatten)]
        machines: Box<MachineArgs>,
    },
    /// Why a node stays, or what would become of it
    Node {
        /// Its name
        name: String,
        #[command(flatten)]
        input: Box<InputArgs>,
        #[command(flatten)]
        machines: Box<MachineArgs>,
        #[command(flatten)]
        search: Box<SearchArgs>,
        #[command(flatten)]
        rules: Box<RuleArgs>,
    },
    /// What a code means and what to do; all of them without a name
    Code {
        /// Such as NP-TAINT
        name: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CatalogArgs {
    #[command(subcommand)]
    pub(crate) what: CatalogCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CatalogCommand {
    /// Types with size and price
    List {
        #[command(flatten)]
        machines: MachineArgs,
    },
    /// Everything about one type
    Show {
        /// Such as m7i.large
        name: String,
        #[command(flatten)]
        machines: MachineArgs,
    },
    /// All types in the kwok provider's JSON form
    Export {
        #[command(flatten)]
        machines: MachineArgs,
    },
}

pub(crate) fn completions(shell: clap_complete::Shell) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Stowage::command(), "stowage", &mut script);
    write(&script)
}

/// One page: the command, then each subcommand.
pub(crate) fn man_page() -> Result<Exit, Failure> {
    let mut page = Vec::new();
    let command = Stowage::command();
    let render = |command: clap::Command, page: &mut Vec<u8>| {
        clap_mangen::Man::new(command).render(page).map_err(|e| Failure::output(&e))
    };
    render(command.clone(), &mut page)?;
    for sub in command.get_subcommands() {
        let name: &'static str = Box::leak(format!("stowage-{}", sub.get_name()).into_boxed_str());
        render(sub.clone().name(name), &mut page)?;
    }
    write(&page)
}

fn write(bytes: &[u8]) -> Result<Exit, Failure> {
    std::io::stdout().lock().write_all(bytes).map_err(|e| Failure::output(&e))?;
    Ok(Exit::Done)
}

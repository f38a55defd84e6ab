//! Random clusters through Karpenter's own scheduler and through Stowage: is
//! anything that the one places left over by the other?
//!
//! ```text
//! differential CASES [--record FILE]
//! ```
//!
//! Needs Go to build the peer. With `--record` the peer's answers are written,
//! for tests that have no Go.

use std::path::Path;
use std::process::ExitCode;

use serde_json::Value;
use stowage_tests::{Failure, cases, peer, planner};

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("differential: {error}");
            ExitCode::from(70)
        }
    }
}

fn run() -> Result<bool, Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let count: u64 = args.first().ok_or("say how many cases")?.parse()?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no root")?;
    let peer = peer::answers(root, count)?;
    let (types, answers) = (peer.types, peer.answers);
    if let Some(record) = args.iter().position(|arg| arg == "--record").and_then(|at| args.get(at + 1)) {
        let text: Vec<String> = answers.iter().map(|answer| placed(answer).to_string()).collect();
        std::fs::write(record, text.join("\n") + "\n")?;
    }
    let stowage = planner::build(root)?;
    let (mut worse, mut better, mut same) = (0, 0, 0);
    let (mut cost, mut peer_cost) = (0.0, 0.0);
    for (seed, answer) in (0..).zip(&answers) {
        let plan = match planner::plan(&stowage, &types, &cases::case(seed).list()) {
            Ok(plan) => plan,
            Err(error) => {
                worse += 1;
                println!("case {seed}: {error}");
                continue;
            }
        };
        let ours = plan["summary"]["placed"].as_u64().unwrap_or(0);
        match ours.cmp(&placed(answer)) {
            std::cmp::Ordering::Less => {
                worse += 1;
                let theirs = &answer["unplaced"];
                println!("case {seed}: Karpenter leaves {theirs}, we {}", plan["unplaced"]);
            }
            std::cmp::Ordering::Greater => better += 1,
            std::cmp::Ordering::Equal => {
                same += 1;
                cost += plan["summary"]["hourlyPrice"].as_f64().unwrap_or(0.0);
                peer_cost += answer["perHour"].as_f64().unwrap_or(0.0);
            }
        }
    }
    println!("{count} cases: {same} place as many pods as Karpenter does, {better} more, {worse} fewer");
    println!("where as many are placed: {cost:.2} $/h against {peer_cost:.2} $/h, a ratio of {:.3}", cost / peer_cost);
    Ok(worse == 0)
}

fn placed(answer: &Value) -> u64 {
    answer["placed"].as_u64().unwrap_or(0)
}

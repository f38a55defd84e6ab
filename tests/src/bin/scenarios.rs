//! The controller on a real control plane, against a simulated cloud.
//!
//! ```text
//! scenarios [NAME]
//! ```
//!
//! Each scenario has a fresh etcd, kube-apiserver, kube-scheduler and
//! kube-controller-manager, and a cloud that outlives the controllers.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use stowage_tests::live::{self, Live};
use stowage_tests::{Failure, control_plane, scenarios};

fn main() -> ExitCode {
    match run() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("scenarios: {error}");
            ExitCode::from(70)
        }
    }
}

fn run() -> Result<usize, Failure> {
    let wanted = std::env::args().nth(1).unwrap_or_default();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no root")?;
    let tools = control_plane::tools(root)?;
    let stowage = live::build(root)?;
    let (mut passed, mut failed) = (0, 0);
    for (name, behaviour, scenario) in scenarios::all().into_iter().filter(|(name, ..)| name.contains(&wanted)) {
        let started = Instant::now();
        let mut live = Live::start(&stowage, &tools, &behaviour)?;
        let outcome = scenario(&mut live);
        let seconds = started.elapsed().as_secs_f64();
        match outcome {
            Ok(()) => {
                passed += 1;
                println!("{name} ... ok ({seconds:.0} s)");
            }
            Err(error) => {
                failed += 1;
                println!("{name} ... FAILED ({seconds:.0} s)\n{error}");
            }
        }
    }
    println!("scenarios: {passed} passed, {failed} failed");
    Ok(failed)
}

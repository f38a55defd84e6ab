//! `stowage controller` and `stowage simulated-cloud`: the only commands that
//! talk to a cluster. Everything they decide is in `stowage-controllers`.

mod args;
mod controller;
mod machines;
mod simulated_cloud;
mod snapshot;

pub(crate) use args::{CloudArgs, ControllerArgs, SnapshotArgs};

use crate::error::{Exit, Failure};

/// Runs a controller.
pub(crate) fn controller(args: &ControllerArgs) -> Result<Exit, Failure> {
    run(args.log_level.as_str(), controller::run(args))
}

/// Runs a simulated cloud.
pub(crate) fn simulated_cloud(args: &CloudArgs) -> Result<Exit, Failure> {
    run("info", simulated_cloud::run(args))
}

/// Writes a snapshot.
pub(crate) fn snapshot(args: &SnapshotArgs) -> Result<Exit, Failure> {
    run("error", snapshot::run(args))
}

fn run(level: &str, work: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    let filter =
        tracing_subscriber::EnvFilter::try_new(format!("{level},kube=warn,kube_client=error,hyper=warn,tower=warn"))
            .map_err(|error| Failure::usage(&format!("--log-level {level:?}: {error}")))?;
    tracing_subscriber::fmt().json().flatten_event(true).with_writer(std::io::stderr).with_env_filter(filter).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| Failure::fault(&format!("no runtime: {error}")))?.block_on(work)
}

/// The cluster that the environment, a kubeconfig or the pod's own account names.
async fn connect(retries: bool) -> Result<kube::Client, Failure> {
    let mut config = kube::Config::infer().await.map_err(|error| Failure::unreachable(&error.to_string()))?;
    config.default_retry = retries;
    kube::Client::try_from(config).map_err(|error| Failure::unreachable(&error.to_string()))
}

/// Ends on SIGTERM and Ctrl-C.
async fn stopped() {
    let interrupted = tokio::signal::ctrl_c();
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut terminated) => {
            tokio::select! {
                _ = interrupted => {}
                _ = terminated.recv() => {}
            }
        }
        Err(_) => drop(interrupted.await),
    }
}

//! A simulated cloud of its own, with the kubelets of its machines.

use std::sync::Arc;

use stowage_cloud::simulated::Behaviour;
use stowage_controllers::clock::SystemClock;
use stowage_controllers::simulated::{Local, kubelet, wire};
use tokio::net::TcpListener;
use tracing::info;

use super::args::CloudArgs;
use crate::error::{Exit, Failure};
use crate::input;

pub(super) async fn run(args: &CloudArgs) -> Result<Exit, Failure> {
    let behaviour = match &args.behaviour {
        None => Behaviour::default(),
        Some(path) => serde_json::from_str(&input::text(path)?)
            .map_err(|error| Failure::usage(&format!("--behaviour {}: {error}", path.display())))?,
    };
    let cloud = Local::new(behaviour, Arc::new(SystemClock));
    let client = super::connect(true).await?;
    let listener = TcpListener::bind(args.listen).await;
    let listener = listener.map_err(|error| Failure::usage(&format!("--listen {}: {error}", args.listen)))?;
    info!(address = %args.listen, "a simulated cloud is open");
    tokio::select! {
        () = kubelet::run(client, cloud.clone()) => Ok(Exit::Done),
        answer = wire::serve(listener, cloud) => match answer {
            Ok(()) => Ok(Exit::Done),
            Err(error) => Err(Failure::fault(&error.to_string())),
        },
        () = super::stopped() => Ok(Exit::Done),
    }
}

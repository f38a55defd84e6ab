//! Asks the provider which instances it would launch otherwise by now.

use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use crate::context::{Context, locked};

const PERIOD: Duration = Duration::from_secs(15);

/// Runs until it is dropped.
pub async fn run(ctx: Arc<Context>) {
    loop {
        match ctx.provider.drift().await {
            Ok(found) => *locked(&ctx.outdated) = found,
            // What was known stays known: a claim that drifted does not heal by itself.
            Err(error) => {
                ctx.metrics.provider("Drift", Some(error.label()));
                warn!(%error, "the provider does not say what has drifted; it is asked again");
            }
        }
        tokio::time::sleep(PERIOD).await;
    }
}

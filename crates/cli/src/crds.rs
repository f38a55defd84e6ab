//! `stowage crds`.

use std::io::Write;

use crate::error::{Exit, Failure};

pub(crate) fn run() -> Result<Exit, Failure> {
    let mut out = std::io::stdout().lock();
    for definition in stowage_k8s::v1::definitions() {
        let text = serde_saphyr::to_string(&definition).map_err(|e| Failure::fault(&e.to_string()))?;
        write!(out, "---\n{text}").map_err(|e| Failure::output(&e))?;
    }
    Ok(Exit::Done)
}

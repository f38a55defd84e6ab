//! What can be wrong with a catalogue.

use stowage_model::Code;

/// A refused catalogue, price file or region.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {subject}: {message}")]
pub struct CatalogError {
    /// The stable code.
    pub code: Code,
    /// File, line, type or region concerned.
    pub subject: String,
    /// What is wrong, and what to do.
    pub message: String,
}

impl CatalogError {
    pub(crate) fn new(code: Code, subject: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code, subject: subject.into(), message: message.into() }
    }
}

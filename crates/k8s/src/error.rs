//! What can be wrong with an object.

use std::fmt;

use stowage_model::{Code, ProblemError};

/// A refused object: which one, which field, what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ObjectError {
    /// The stable code.
    pub code: Code,
    /// Kind, namespace and name.
    pub object: String,
    /// Path of the field, empty for the object as a whole.
    pub field: String,
    /// What is wrong, and the remedy.
    pub message: String,
}

impl fmt::Display for ObjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, object, field, message } = self;
        if field.is_empty() {
            write!(f, "{code}: {object}: {message}")
        } else {
            write!(f, "{code}: {object}: {field}: {message}")
        }
    }
}

impl From<ProblemError> for ObjectError {
    fn from(error: ProblemError) -> Self {
        Self { code: error.code, object: error.object, field: String::new(), message: error.message }
    }
}

/// A refusal that does not know yet which object it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldError {
    pub(crate) code: Code,
    pub(crate) field: String,
    pub(crate) message: String,
}

impl FieldError {
    pub(crate) fn new(code: Code, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code, field: field.into(), message: message.into() }
    }

    pub(crate) fn of(self, object: impl Into<String>) -> ObjectError {
        ObjectError { code: self.code, object: object.into(), field: self.field, message: self.message }
    }

    /// The same error, seen from one level further up.
    pub(crate) fn under(mut self, parent: &str) -> Self {
        self.field = if self.field.is_empty() { parent.to_owned() } else { format!("{parent}.{}", self.field) };
        self
    }
}

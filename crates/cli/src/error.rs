//! What can go wrong, and with which exit code.

use std::io::Write;
use std::process::ExitCode;

use stowage_cloud::CatalogError;
use stowage_k8s::ObjectError;
use stowage_model::Code;

/// Exit codes; the README lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Done = 0,
    Found = 1,
    Changes = 2,
    Unplaced = 3,
    GapTooWide = 4,
    Usage = 64,
    BadInput = 65,
    NoInput = 66,
    #[cfg(feature = "controller")]
    Unreachable = 69,
    Fault = 70,
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A run that ends early.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) lines: Vec<String>,
}

impl Failure {
    pub(crate) fn bad_input(lines: Vec<String>) -> Self {
        Self { exit: Exit::BadInput, lines }
    }

    pub(crate) fn input(code: Code, subject: &str, message: &str) -> Self {
        Self::bad_input(vec![format!("{code}: {subject}: {message}")])
    }

    pub(crate) fn fault(message: &str) -> Self {
        Self { exit: Exit::Fault, lines: vec![message.to_owned()] }
    }

    /// The cluster or the cloud gave no answer.
    #[cfg(feature = "controller")]
    pub(crate) fn unreachable(message: &str) -> Self {
        Self { exit: Exit::Unreachable, lines: vec![message.to_owned()] }
    }

    pub(crate) fn usage(message: &str) -> Self {
        Self { exit: Exit::Usage, lines: vec![message.to_owned()] }
    }

    /// A file that could not be read.
    pub(crate) fn unreadable(path: &str, error: &std::io::Error) -> Self {
        let exit = if error.kind() == std::io::ErrorKind::NotFound { Exit::NoInput } else { Exit::BadInput };
        Self { exit, lines: vec![format!("{}: {path}: {error}; {}", Code::InUnreadable, Code::InUnreadable.remedy())] }
    }

    /// Standard output that could not be written, such as a closed pipe.
    pub(crate) fn output(error: &std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self { exit: Exit::Done, lines: Vec::new() };
        }
        Self::fault(&format!("cannot write the result: {error}"))
    }
}

impl From<CatalogError> for Failure {
    fn from(error: CatalogError) -> Self {
        Self::bad_input(vec![error.to_string()])
    }
}

impl From<ObjectError> for Failure {
    fn from(error: ObjectError) -> Self {
        Self::bad_input(vec![error.to_string()])
    }
}

/// Prints a failure to standard error.
pub(crate) fn print(failure: &Failure) {
    let mut out = anstream::stderr().lock();
    for line in &failure.lines {
        let style = anstyle::Style::new().bold().fg_color(Some(anstyle::AnsiColor::Red.into()));
        let _ = writeln!(out, "{style}error{style:#}: {line}");
    }
}

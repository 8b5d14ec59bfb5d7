//! Exit codes, which scripts rely on, and failures that know theirs.

use std::process::ExitCode;

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The run passed, or the command did what it was asked for.
    Passed = 0,
    /// An unexpected failure.
    Unexpected = 1,
    /// The run is invalid: its numbers can't be trusted.
    Invalid = 2,
    /// Wrong usage, or a scenario that doesn't validate.
    Usage = 64,
    /// Something needed could not be reached or started.
    Unavailable = 69,
    /// A threshold failed.
    Failed = 99,
    /// Interrupted; what was measured is kept and reported.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error for people, with the exit code that it means.
#[derive(Debug)]
pub(crate) struct Failure {
    /// How the process ends.
    pub(crate) exit: Exit,
    /// What to tell; `None`: everything has been told already.
    pub(crate) error: Option<anyhow::Error>,
}

impl Failure {
    /// A failure that says this.
    pub(crate) fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self { exit, error: Some(anyhow::Error::msg(text.into())) }
    }

    /// A failure that has nothing to add.
    pub(crate) fn told(exit: Exit) -> Self {
        Self { exit, error: None }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self { exit: Exit::Unexpected, error: Some(error) }
    }
}

/// Gives errors their exit code.
pub(crate) trait OrExit<T> {
    /// The value, or a failure that ends the process so.
    fn or_exit(self, exit: Exit) -> Result<T, Failure>;
}

impl<T, E: Into<anyhow::Error>> OrExit<T> for Result<T, E> {
    fn or_exit(self, exit: Exit) -> Result<T, Failure> {
        self.map_err(|error| Failure { exit, error: Some(error.into()) })
    }
}

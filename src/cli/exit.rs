//! Exit codes, and the errors that carry one.

use std::fmt;
use std::io;
use std::process::ExitCode;

use crate::client::ClientError;
use crate::config::{ConfigErrors, PathsError};

/// How the program ends, as scripts see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// Wrong usage or configuration.
    Usage = 2,
    /// The source can't start.
    Source = 3,
    /// The daemon is not running.
    NotRunning = 4,
    /// The daemon is already running.
    AlreadyRunning = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error with an exit code of its own; also as the context of another error.
#[derive(Clone, Debug)]
pub struct Failure {
    /// How the program ends.
    pub exit: Exit,
    /// What went wrong and what to do: one line.
    pub message: String,
}

impl Failure {
    /// An error that ends the program with `exit`.
    #[must_use]
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl Exit {
    /// How the program ends with `error`: a [`Failure`] says so itself, a daemon that does not run has a code of its own, what is wrong with the configuration is
    /// wrong usage, a pipe that its reader closed is no failure at all, and the rest is.
    #[must_use]
    pub fn of(error: &anyhow::Error) -> Self {
        if let Some(failure) = error.downcast_ref::<Failure>() {
            failure.exit
        } else if let Some(error) = error.downcast_ref::<ClientError>() {
            match error {
                ClientError::NotRunning(_) | ClientError::Ended => Self::NotRunning,
                _ => Self::Failed,
            }
        } else if error.downcast_ref::<ConfigErrors>().is_some()
            || error.downcast_ref::<PathsError>().is_some()
        {
            Self::Usage
        } else if error.chain().any(is_closed_pipe) {
            Self::Done
        } else {
            Self::Failed
        }
    }
}

fn is_closed_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    let kind = error
        .downcast_ref::<io::Error>()
        .map(io::Error::kind)
        // serde_json keeps the error it wraps out of the chain.
        .or_else(|| error.downcast_ref::<serde_json::Error>()?.io_error_kind());
    kind == Some(io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context, anyhow};

    fn broken_pipe() -> io::Error {
        io::Error::from(io::ErrorKind::BrokenPipe)
    }

    #[test]
    fn a_failure_says_how_the_program_ends_whatever_is_around_it() {
        let failure = || Failure::new(Exit::NotRunning, "the daemon is not running");
        assert_eq!(Exit::of(&failure().into()), Exit::NotRunning);
        let outside = Err::<(), _>(failure()).context("can't connect").unwrap_err();
        assert_eq!(Exit::of(&outside), Exit::NotRunning);
        // Even around a closed pipe, such as a socket's.
        let inside = Err::<(), _>(broken_pipe()).context(failure()).unwrap_err();
        assert_eq!(Exit::of(&inside), Exit::NotRunning);
        assert_eq!(format!("{inside:#}"), "the daemon is not running: broken pipe");
    }

    #[test]
    fn a_wrong_configuration_is_wrong_usage() {
        let error = ConfigErrors { file: "c".into(), problems: Vec::new() };
        assert_eq!(Exit::of(&error.into()), Exit::Usage);
        assert_eq!(Exit::of(&PathsError::NoHome(501).into()), Exit::Usage);
    }

    #[test]
    fn a_closed_pipe_is_no_failure_and_anything_else_is() {
        let wrapped = Err::<(), _>(broken_pipe()).context("can't write").unwrap_err();
        assert_eq!(Exit::of(&wrapped), Exit::Done);
        assert_eq!(Exit::of(&serde_json::Error::io(broken_pipe()).into()), Exit::Done);
        assert_eq!(Exit::of(&io::Error::from(io::ErrorKind::NotFound).into()), Exit::Failed);
        assert_eq!(Exit::of(&anyhow!("anything")), Exit::Failed);
    }
}

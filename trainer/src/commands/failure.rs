//! How a command fails.

use std::process::ExitCode;

/// Exit code for bad usage or a recipe that cannot be followed (EX_USAGE of sysexits.h).
pub(crate) const EXIT_USAGE: u8 = 64;

/// Whose fault it is.
pub(crate) enum Failure {
    /// Of what was asked for.
    Usage(anyhow::Error),
    /// Of the work.
    Work(anyhow::Error),
}

impl Failure {
    /// Says it; gives the exit code.
    pub(crate) fn told(self) -> ExitCode {
        let (error, code) = match self {
            Self::Usage(error) => (error, EXIT_USAGE),
            Self::Work(error) => (error, 1),
        };
        eprintln!("fieldmark-trainer: {error:#}");
        ExitCode::from(code)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Work(error)
    }
}

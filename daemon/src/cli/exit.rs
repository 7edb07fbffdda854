//! How a binary ends: 0, 1 for what went wrong, 64 for what was asked wrongly.

use std::process::ExitCode;

use clap::Parser;

const USAGE: u8 = 64;

/// Why a command failed.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    error: Option<anyhow::Error>,
}

impl Failure {
    /// Asked wrongly: exit code 64.
    #[must_use]
    pub fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self { code: USAGE, error: Some(error.into()) }
    }

    /// Went wrong, and was told already: exit code 1.
    #[must_use]
    pub fn told() -> Self {
        Self { code: 1, error: None }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { code: 1, error: Some(error.into()) }
    }
}

/// Parses the arguments, runs `execute` on them, and tells what went wrong in one message on standard error.
pub fn conclude<A: Parser>(execute: impl FnOnce(A) -> Result<(), Failure>) -> ExitCode {
    let arguments = match A::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are answers, not errors.
            let code = if error.use_stderr() { USAGE } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match execute(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { code, error }) => {
            if let Some(error) = error {
                // Every message of ours carries its cause already.
                eprintln!("error: {error}");
            }
            ExitCode::from(code)
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.error.as_ref().map_or(Ok(()), |error| write!(f, "{error}"))
    }
}

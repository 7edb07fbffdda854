//! The operators' command.

use std::process::ExitCode;

use fieldmark_daemon::cli::{Fieldmark, conclude};

fn main() -> ExitCode {
    conclude(Fieldmark::execute)
}

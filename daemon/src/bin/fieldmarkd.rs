//! The daemon.

use std::process::ExitCode;

use fieldmark_daemon::cli::{Fieldmarkd, conclude};

fn main() -> ExitCode {
    conclude(Fieldmarkd::execute)
}

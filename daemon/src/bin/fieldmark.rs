//! The operators' command alone; packages have it as a link to `fieldmarkd`.

use std::process::ExitCode;

use fieldmark_daemon::cli::{Fieldmark, conclude};

fn main() -> ExitCode {
    conclude(Fieldmark::execute)
}

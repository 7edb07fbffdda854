//! The daemon; started as `fieldmark`, the operators' command. Both hold the engine that tries models: packages have one
//! program and a link to it, at little more than half the size of two.

use std::process::ExitCode;

use fieldmark_daemon::cli::{Fieldmark, Fieldmarkd, called, conclude};

/// glibc's allocator keeps what loading a model leaves behind: a third more resident memory, for the same speed.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if called("fieldmark") { conclude(Fieldmark::execute) } else { conclude(Fieldmarkd::execute) }
}

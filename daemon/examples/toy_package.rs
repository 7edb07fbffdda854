//! Writes the tiny model that tests decide with, red pictures from green ones, into a file: for tests that measure
//! something other than an engine. `toy_package FILE`
#![allow(
    clippy::expect_used,
    clippy::panic,
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "shared with the tests"
)]

#[path = "../tests/field/package.rs"]
mod package;
#[path = "../tests/field/picture.rs"]
mod picture;

use std::path::Path;

fn main() {
    let path = std::env::args_os().nth(1).expect("toy_package FILE");
    package::write_package(Path::new(&path), package::Flaw::None);
}

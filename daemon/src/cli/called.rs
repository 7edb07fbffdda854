//! One program under two names.

use std::ffi::OsStr;
use std::path::Path;

/// Whether this process was started under the name `name`: by a link of that name, wherever it lies.
#[must_use]
pub fn called(name: &str) -> bool {
    let program = std::env::args_os().next();
    program.is_some_and(|program| Path::new(&program).file_name() == Some(OsStr::new(name)))
}

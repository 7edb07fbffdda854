//! The programs, built beside this test.

use std::path::PathBuf;
use std::process::Command;

/// Photographs of Debian's tuxpaint-stamps-default.
pub(crate) const PHOTOGRAPHS: &str = "/usr/share/tuxpaint/stamps";

/// Path of `fieldmarkd`, `fieldmark` or `fieldmark-trainer`: the folder above that of the tests.
pub(crate) fn program(name: &str) -> PathBuf {
    let tests = std::env::current_exe().expect("this test");
    let path = tests.ancestors().nth(2).expect("a target folder").join(name);
    assert!(path.exists(), "{} is not there: cargo build --workspace", path.display());
    path
}

pub(crate) fn photograph(name: &str) -> String {
    let path = format!("{PHOTOGRAPHS}/{name}.png");
    assert!(std::path::Path::new(&path).exists(), "{path} is not there: tests/install");
    path
}

/// Standard output, standard error, exit code.
pub(crate) fn run(name: &str, arguments: &[&str]) -> (String, String, Option<i32>) {
    let output = Command::new(program(name)).args(arguments).output().expect("a program");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (text(output.stdout), text(output.stderr), output.status.code())
}

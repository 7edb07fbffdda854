//! Commands and files of the guest.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::Failure;

/// Runs `line` in a shell and returns what it printed.
///
/// # Errors
/// If it fails, with what it said.
pub fn shell(line: &str) -> Result<String, Failure> {
    let output = Command::new("sh").arg("-c").arg(line).output()?;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(out.into_owned()) } else { Err(format!("{line}: {out}{err}").into()) }
}

/// Writes a word or a file, such as a control of the kernel's.
///
/// # Errors
/// If it cannot be written, with its path.
pub fn write(path: &str, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| format!("{path}: {error}").into())
}

/// Waits for a device file.
///
/// # Errors
/// If it does not appear.
pub fn wait_for_path(path: &str) -> Result<(), Failure> {
    let begun = Instant::now();
    while !Path::new(path).exists() {
        if begun.elapsed() > Duration::from_secs(60) {
            return Err(format!("{path} does not appear").into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Waits for the device file that the driver calls `name`, such as `vivid-000-vid-cap`.
///
/// # Errors
/// If it does not appear.
pub fn wait_for_node(name: &str) -> Result<String, Failure> {
    let begun = Instant::now();
    loop {
        for entry in std::fs::read_dir("/sys/class/video4linux").into_iter().flatten().flatten() {
            let called = std::fs::read_to_string(entry.path().join("name")).unwrap_or_default();
            let node = format!("/dev/{}", entry.file_name().to_string_lossy());
            if called.trim() == name && Path::new(&node).exists() {
                return Ok(node);
            }
        }
        if begun.elapsed() > Duration::from_secs(60) {
            return Err(format!("no device is called {name}").into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A command that runs until this is dropped.
pub struct Background(Child);

impl Background {
    /// # Errors
    /// If it cannot be started.
    pub fn start(program: &str, arguments: &[&str]) -> Result<Self, Failure> {
        let child = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Ok(Self(child.map_err(|error| format!("{program}: {error}"))?))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

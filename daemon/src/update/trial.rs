//! The self-test, in a process of its own: an engine that takes the process down, or all memory, takes down that one.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// What a self-test found; printed by `fieldmarkd trial`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialReport {
    /// What the engine is called.
    pub engine: String,
    /// Golden pictures shown.
    pub pictures: usize,
    /// Largest difference of any probability.
    pub largest_difference: f32,
    /// Difference that is allowed.
    pub tolerance: f32,
    /// Median milliseconds from pixels to decision.
    pub latency_ms: f64,
    /// Most memory the process used, bytes.
    pub peak_memory: u64,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// The model cannot be used on this machine.
    #[error("{0}")]
    Unusable(String),
    /// The test could not be made.
    #[error("the self-test could not be made: {0}")]
    NotMade(String),
    /// It was called off.
    #[error("called off")]
    Stopped,
}

/// Tries the package at `package` with the engine of the configuration at `config`.
///
/// # Errors
/// If the model is unusable, or the process cannot be run.
pub fn attempt(
    config: &Path,
    package: &Path,
    patience: Duration,
    stop: &Arc<AtomicBool>,
) -> Result<TrialReport, TrialError> {
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("fieldmarkd"));
    let mut child = Command::new(&program)
        .args(["trial", "--json", "--config"])
        .arg(config)
        .arg("--package")
        .arg(package)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| TrialError::NotMade(format!("cannot run {}: {error}", program.display())))?;
    let begun = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) => {}
            Err(error) => return Err(TrialError::NotMade(error.to_string())),
        }
        let late = begun.elapsed() > patience;
        if late || stop.load(Ordering::Relaxed) {
            let _ = child.kill();
            let _ = child.wait();
            return Err(if late {
                TrialError::Unusable(format!("the self-test did not end within {} s", patience.as_secs()))
            } else {
                TrialError::Stopped
            });
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let (mut out, mut error) = (String::new(), String::new());
    if let Some(mut pipe) = child.stdout.take() {
        let _ = pipe.read_to_string(&mut out);
    }
    if let Some(mut pipe) = child.stderr.take() {
        let _ = pipe.read_to_string(&mut error);
    }
    if status.success() {
        return serde_json::from_str(out.trim())
            .map_err(|error| TrialError::NotMade(format!("its report cannot be understood: {error}")));
    }
    let last = error.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
    let last = last.trim().trim_start_matches("error: ");
    Err(match status.code() {
        Some(_) => TrialError::Unusable(last.into()),
        None => TrialError::Unusable(format!("the self-test was ended by a signal ({status}): {last}")),
    })
}

//! Finding ONNX Runtime. A process opens it once and keeps it.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;

/// Names a library in the environment, as `ort` does by itself.
const VARIABLE: &str = "ORT_DYLIB_PATH";
/// What the system's loader is asked for: the name of development packages, and of all others.
const NAMES: [&str; 2] = ["libonnxruntime.so", "libonnxruntime.so.1"];

struct Opened {
    path: PathBuf,
    environment: &'static Environment,
}

static OPENED: Mutex<Option<Opened>> = Mutex::new(None);

/// The process's environment, from the library at `path` or where one is found.
///
/// # Errors
/// In words: none is found, it is too old, or another one was opened before.
pub(super) fn environment(path: Option<&Path>) -> Result<&'static Environment, String> {
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(Opened { path: before, environment }) = &*opened {
        return match path {
            Some(path) if path != before => Err(format!(
                "the library {} is in use, {} (onnxruntime.library) can only be opened by a new start of the program",
                before.display(),
                path.display()
            )),
            _ => Ok(environment),
        };
    }
    let mut reasons = Vec::new();
    for candidate in candidates(path) {
        match open(&candidate) {
            Ok(environment) => {
                let environment = Box::leak(Box::new(environment));
                *opened = Some(Opened { path: candidate, environment });
                return Ok(environment);
            }
            Err(reason) => reasons.push(reason),
        }
    }
    Err(format!(
        "no library that can be used ({}); install ONNX Runtime 1.{} or newer, or name its library in \
         onnxruntime.library",
        reasons.join("; "),
        ort::MINOR_VERSION
    ))
}

fn candidates(path: Option<&Path>) -> Vec<PathBuf> {
    let variable = || std::env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
    match path.map(Path::to_owned).or_else(variable) {
        Some(named) => vec![named],
        None => NAMES.map(PathBuf::from).into(),
    }
}

fn open(path: &Path) -> Result<Environment, String> {
    let builder = ort::init_from(path).map_err(|error| error.to_string())?;
    let environment = builder.with_name("fieldmark").with_telemetry(false).build();
    environment.map_err(|error| format!("{}: {error}", path.display()))
}

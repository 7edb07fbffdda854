//! Where log lines go: the journal under systemd, with fields of their own (`FIELDMARK_CAMERA`, `FIELDMARK_TRACK`,
//! `FIELDMARK_MODEL`, `FIELDMARK_SEQ`), standard error otherwise.

use std::io::IsTerminal as _;
use std::os::unix::fs::MetadataExt as _;
use std::sync::OnceLock;

use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, reload};

use super::repeats::RepeatFilter;

/// The log filter is not one.
#[derive(Debug, thiserror::Error)]
#[error(
    "log.level = {0:?}: give error, warn, info, debug or trace, or a list such as info,fieldmark_daemon=debug"
)]
pub struct BadFilter(String);

static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Starts logging at `level`.
///
/// # Errors
/// If `level` is no filter.
pub fn start(level: &str) -> Result<(), BadFilter> {
    let (filter, handle) = reload::Layer::new(filter(level)?);
    let registry = tracing_subscriber::registry().with(filter).with(RepeatFilter);
    // A second start in one process, as in tests, changes nothing.
    let started = match journal() {
        Some(journal) => registry.with(journal).try_init(),
        None => {
            let colours = std::io::stderr().is_terminal();
            let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(colours);
            registry.with(lines.with_target(false)).try_init()
        }
    };
    if started.is_ok() {
        let _ = FILTER.set(handle);
    }
    Ok(())
}

/// Whether `level` is a filter.
///
/// # Errors
/// If it is none.
pub fn check(level: &str) -> Result<(), BadFilter> {
    filter(level).map(drop)
}

/// Logs at `level` from now on.
///
/// # Errors
/// If `level` is no filter; the old one stays.
pub fn set_level(level: &str) -> Result<(), BadFilter> {
    let filter = filter(level)?;
    if let Some(handle) = FILTER.get() {
        // Only a panic inside the subscriber could make this fail.
        let _ = handle.reload(filter);
    }
    Ok(())
}

fn filter(level: &str) -> Result<EnvFilter, BadFilter> {
    let bad = || BadFilter(level.into());
    // The MQTT and inference crates tell much that only matters to their authors.
    let quiet = "mqtt5=warn,rumqttc=warn,tract_core=error,tract_onnx=error,tract_linalg=error";
    let known = ["error", "warn", "info", "debug", "trace", "off"];
    if !level.contains('=') && !known.contains(&level) {
        return Err(bad());
    }
    EnvFilter::try_new(format!("{quiet},{level}")).map_err(|_| bad())
}

/// The journal, where standard error is connected to it: systemd names device and inode of that connection, so that
/// a program whose output was sent elsewhere knows.
fn journal() -> Option<tracing_journald::Layer> {
    let stream = std::env::var("JOURNAL_STREAM").ok()?;
    let file = std::fs::metadata("/proc/self/fd/2").ok()?;
    if stream != format!("{}:{}", file.dev(), file.ino()) {
        return None;
    }
    let levels = PriorityMappings {
        info: Priority::Informational,
        debug: Priority::Debug,
        trace: Priority::Debug,
        ..PriorityMappings::new()
    };
    let journal = tracing_journald::layer().ok()?;
    Some(journal.with_field_prefix(Some("FIELDMARK".into())).with_priority_mappings(levels))
}

//! Where log lines go: the journal under systemd, with fields of their own, standard error otherwise.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// The log filter is not one.
#[derive(Debug, thiserror::Error)]
#[error(
    "log.level = {0:?}: give error, warn, info, debug or trace, or a list such as info,fieldmark_daemon=debug"
)]
pub struct BadFilter(String);

/// Starts logging at `level`.
///
/// # Errors
/// If `level` is no filter.
pub fn start(level: &str) -> Result<(), BadFilter> {
    let bad = || BadFilter(level.into());
    // The MQTT and inference crates tell much that only matters to their authors.
    let quiet = "mqtt5=warn,rumqttc=warn,tract_core=error,tract_onnx=error,tract_linalg=error";
    let known = ["error", "warn", "info", "debug", "trace", "off"];
    if !level.contains('=') && !known.contains(&level) {
        return Err(bad());
    }
    let filter = EnvFilter::try_new(format!("{quiet},{level}")).map_err(|_| bad())?;
    let registry = tracing_subscriber::registry().with(filter);
    // systemd sets this when standard error is the journal.
    let journal = std::env::var_os("JOURNAL_STREAM").and_then(|_| tracing_journald::layer().ok());
    // A second start in one process, as in tests, changes nothing.
    let _ = match journal {
        Some(journal) => registry.with(journal).try_init(),
        None => {
            let colours = std::io::stderr().is_terminal();
            let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(colours);
            registry.with(lines.with_target(false)).try_init()
        }
    };
    Ok(())
}

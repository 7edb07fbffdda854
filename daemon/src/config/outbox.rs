//! Where events wait for the broker, and how many.

use std::path::PathBuf;
use std::time::Duration;

use super::NodeName;
use super::raw::RawOutbox;
use super::refusal::{ConfigError, number, refuse, whole};

/// An event is late when it was not sent within this time of its decision.
const LATE: Duration = Duration::from_secs(3);

/// What becomes of events the disk does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskFull {
    /// They are sent from memory; a crash before they are acknowledged loses them.
    Publish,
    /// They are sent when the disk has taken them, not before.
    Hold,
}

/// The queue between decisions and broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxConfig {
    /// Its file; `None` keeps events in memory only.
    pub path: Option<PathBuf>,
    /// Largest size of the file; the oldest events make room.
    pub max_bytes: u64,
    /// Age after which an event is dropped, counted while the daemon runs.
    pub max_age: Duration,
    /// Events held in memory while the disk is behind or full.
    pub memory: usize,
    /// What becomes of events the disk does not take.
    pub disk_full: DiskFull,
    /// An event not sent within this time of its decision says `replay`.
    pub late: Duration,
}

impl OutboxConfig {
    /// The folder of the file.
    #[must_use]
    pub fn folder(&self) -> Option<&std::path::Path> {
        self.path.as_deref().and_then(std::path::Path::parent)
    }
}

pub(super) fn outbox(raw: &RawOutbox, node: &NodeName, batch: Duration) -> Result<OutboxConfig, ConfigError> {
    let durable = raw.durable.unwrap_or(true);
    if !durable && raw.folder.is_some() {
        return refuse("outbox.folder", "…", "remove it, or set outbox.durable = true");
    }
    let folder = match (&raw.folder, durable) {
        (_, false) => None,
        (Some(folder), true) => Some(folder.clone()),
        (None, true) => Some(state_folder().map_or_else(
            || {
                let rule = "name a folder that survives a restart, or set outbox.durable = false";
                refuse("outbox.folder", "(absent)", rule)
            },
            Ok,
        )?),
    };
    let disk_full = match raw.disk_full.as_deref().unwrap_or("publish") {
        "publish" => DiskFull::Publish,
        "hold" => DiskFull::Hold,
        other => return refuse("outbox.disk_full", format!("{other:?}"), "give \"publish\" or \"hold\""),
    };
    let age = number("outbox.max_age_h", raw.max_age_h)?;
    Ok(OutboxConfig {
        path: folder.map(|folder| folder.join(format!("outbox-{}.sqlite", node.as_str()))),
        max_bytes: u64::from(whole("outbox.max_mb", raw.max_mb)?) << 20,
        max_age: Duration::from_secs_f64(age * 3600.0),
        memory: whole("outbox.memory", raw.memory)? as usize,
        disk_full,
        late: LATE.max(batch * 2),
    })
}

/// Where systemd says state belongs, or a user's own.
fn state_folder() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("STATE_DIRECTORY")
        .or_else(|| set("XDG_STATE_HOME").map(|home| home.join("fieldmark")))
        .or_else(|| set("HOME").map(|home| home.join(".local/state/fieldmark")))
}

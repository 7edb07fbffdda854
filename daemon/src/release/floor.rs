//! What a node has trusted before, on the disk before it is acted upon. The library's own store is written without
//! sync or rename: after a power cut it may be empty, and an empty store accepts what is old.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The least that is accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Floor {
    /// Version of `root.json`.
    pub root: u64,
    /// Version of `timestamp.json`.
    pub timestamp: u64,
    /// Version of `snapshot.json`.
    pub snapshot: u64,
    /// Version of `targets.json`.
    pub targets: u64,
    /// When all of it was last found in order, by this machine's clock.
    pub seen: Option<jiff::Timestamp>,
}

/// The floor cannot be read or kept.
#[derive(Debug, thiserror::Error)]
#[error("cannot {attempt} {path}: {reason}; {advice}")]
pub struct FloorError {
    attempt: &'static str,
    path: PathBuf,
    reason: String,
    advice: &'static str,
}

impl Floor {
    /// Reads the file at `path`; a node that never trusted anything has none.
    ///
    /// # Errors
    /// If it is there and cannot be read: nothing must be trusted then.
    pub fn read(path: &Path) -> Result<Self, FloorError> {
        let failed = |attempt, reason: String| FloorError {
            attempt,
            path: path.into(),
            reason,
            advice: "no update is taken until it can be; remove it to trust what is released now",
        };
        match std::fs::read(path) {
            Ok(text) => {
                serde_json::from_slice(&text).map_err(|error| failed("understand", error.to_string()))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(failed("read", error.to_string())),
        }
    }

    /// Writes the file at `path`: whole and on the disk, or not at all.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub fn write(&self, path: &Path) -> Result<(), FloorError> {
        let text = serde_json::to_vec_pretty(self).unwrap_or_default();
        durable(path, &text).map_err(|error| FloorError {
            attempt: "write",
            path: path.into(),
            reason: error.to_string(),
            advice: "no update is taken until the disk takes it",
        })
    }
}

/// Writes `bytes` to `path`: whole and on the disk, or not at all.
pub(crate) fn durable(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = atomic_write_file::AtomicWriteFile::open(path)?;
    file.write_all(bytes)?;
    file.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_is_read_as_it_was_written_and_a_damaged_one_trusts_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a/floor.json");
        assert_eq!(Floor::read(&path).expect("none"), Floor::default());
        let floor =
            Floor { root: 2, timestamp: 9, seen: Some(jiff::Timestamp::UNIX_EPOCH), ..Floor::default() };
        floor.write(&path).expect("written");
        assert_eq!(Floor::read(&path).expect("read"), floor);
        std::fs::write(&path, "{").expect("write");
        assert!(Floor::read(&path).expect_err("a refusal").to_string().contains("remove it"));
    }
}

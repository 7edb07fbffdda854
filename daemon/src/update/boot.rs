//! The first thing a daemon does: finding out which model is to answer, from what is on the disk alone.

use std::io;
use std::path::{Path, PathBuf};

use super::machine::{Journal, Kept, Patience, Slot};
use crate::config::UpdateConfig;
use crate::release::{ReleaseKind, durable};

const JOURNAL: &str = "journal.json";

/// The journal cannot be kept.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}: {source}; make room, or let this user write there")]
pub struct JournalError {
    path: PathBuf,
    source: io::Error,
}

/// A journal and where it lies.
#[derive(Debug, Clone)]
pub struct Ledger {
    folder: PathBuf,
    /// What stands in it.
    pub journal: Journal,
}

impl Ledger {
    /// Opens the journal in `folder`. A damaged one is set aside: what is configured answers then.
    #[must_use]
    pub fn open(folder: &Path) -> Self {
        let path = folder.join(JOURNAL);
        let mut journal = Journal::default();
        match std::fs::read(&path) {
            Ok(text) => match serde_json::from_slice(&text) {
                Ok(read) => journal = read,
                Err(error) => {
                    let aside = path.with_extension("damaged");
                    tracing::error!(
                        "{} is damaged ({error}): set aside as {}",
                        path.display(),
                        aside.display()
                    );
                    let _ = std::fs::rename(&path, aside);
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::error!("cannot read {}: {error}; what is configured answers", path.display());
            }
        }
        Self { folder: folder.into(), journal }
    }

    /// Puts `journal` on the disk, and then in force.
    ///
    /// # Errors
    /// If the disk does not take it; what was in force stays.
    pub fn keep(&mut self, mut journal: Journal) -> Result<(), JournalError> {
        if journal.phase != self.journal.phase {
            journal.since = Some(jiff::Timestamp::now());
        }
        let path = self.folder.join(JOURNAL);
        let text = serde_json::to_vec_pretty(&journal).unwrap_or_default();
        durable(&path, &text).map_err(|source| JournalError { path, source })?;
        self.journal = journal;
        Ok(())
    }

    /// Puts `journal` in force, which the disk did not take.
    pub fn hold(&mut self, mut journal: Journal) {
        journal.since = Some(jiff::Timestamp::now());
        self.journal = journal;
    }

    /// Folder of fetched files.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.folder.join("store")
    }

    /// Where a release that was fetched lies.
    #[must_use]
    pub fn path(&self, kept: &Kept) -> PathBuf {
        self.store().join(format!("{}-{}", kept.release.sha256, kept.target))
    }
}

/// Whether the last run came to its end is counted here, before anything can go wrong in this one.
#[must_use]
pub fn begin(config: &UpdateConfig, kind: ReleaseKind) -> Ledger {
    let mut ledger = Ledger::open(&folder_of(config, kind));
    let mut journal = ledger.journal.clone();
    journal.start(patience(config));
    if let Err(error) = ledger.keep(journal) {
        // Inference goes on; what cannot be counted is not lost on anybody.
        tracing::error!("{error}");
    }
    ledger
}

/// Where what concerns releases of `kind` is kept.
#[must_use]
pub fn folder_of(config: &UpdateConfig, kind: ReleaseKind) -> PathBuf {
    config.folder.join(kind.name())
}

/// How patient `config` is.
#[must_use]
pub fn patience(config: &UpdateConfig) -> Patience {
    Patience { tries: config.max_tries, starts: config.max_starts }
}

impl Ledger {
    /// What was to answer cannot, for `reason`: the next choice does.
    pub fn give_up(&mut self, reason: &dyn std::fmt::Display) {
        let mut journal = self.journal.clone();
        let what = match &journal.running {
            Slot::Released(kept) => kept.release.to_string(),
            Slot::Configured => "what is configured".into(),
        };
        tracing::error!("{what} cannot be used: {reason}; going back to what was before");
        journal.unusable(format!("{what} cannot be used: {reason}"));
        if let Err(error) = self.keep(journal.clone()) {
            tracing::error!("{error}");
            self.hold(journal);
        }
    }

    /// The first choice that `open` can use, and which that is; choices that cannot be used are told, and given up.
    ///
    /// # Errors
    /// Of the last choice, what is configured.
    pub fn first_usable<T, E: std::fmt::Display>(
        &mut self,
        mut open: impl FnMut(Option<&Path>) -> Result<T, E>,
    ) -> Result<(T, Slot), E> {
        loop {
            let slot = self.journal.running.clone();
            let Slot::Released(kept) = &slot else { return open(None).map(|opened| (opened, slot)) };
            match open(Some(&self.path(kept))) {
                Ok(opened) => return Ok((opened, slot)),
                Err(error) => self.give_up(&error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_journal_leaves_what_is_configured() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join(JOURNAL), "{\"v\":1").expect("write");
        let ledger = Ledger::open(folder.path());
        assert_eq!(ledger.journal, Journal::default());
        assert!(folder.path().join("journal.damaged").exists());
    }
}

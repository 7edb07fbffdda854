//! Occurrences and media as they come from their files, kept by the hash of the key that joins them.

use std::path::{Path, PathBuf};

use twox_hash::XxHash64;

use crate::spill::{Encode, Spill, SpillWriter};
use crate::{FileId, Reason, TableError};

/// An organism that was observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occurrence<'a> {
    /// What media refer to.
    pub key: &'a str,
    /// What is split as one: blank where that is the key.
    pub observation: &'a str,
    /// Number of its name in this stager, or why it was dropped already.
    pub name: Result<u32, Reason>,
    /// Who saw it.
    pub observer: &'a str,
    /// Where its row stands; no file where the medium's own row says all of it.
    pub row: (Option<FileId>, u64),
}

/// A picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Medium<'a> {
    /// Key of its occurrence.
    pub key: &'a str,
    /// Path or URL.
    pub location: &'a str,
    /// SPDX identifier, or what the source says.
    pub licence: &'a str,
    /// Whom to name.
    pub attribution: &'a str,
    /// Where its row stands.
    pub row: (FileId, u64),
}

/// What became of a name: a taxon, or why its rows are dropped.
pub type Verdict = Result<u32, Reason>;

/// Where rows are kept, and in how many parts.
#[derive(Debug, Clone)]
pub struct Staging {
    folder: PathBuf,
    partitions: usize,
}

/// Source bytes that one partition stands for: joined, it takes about this much memory.
const PARTITION: u64 = 96 << 20;

impl Staging {
    /// Keeps the rows of files of `bytes` (uncompressed, about) in `folder`.
    #[must_use]
    pub fn new(folder: &Path, bytes: u64) -> Self {
        let partitions = (bytes / PARTITION + 1).min(512) as usize;
        Self { folder: folder.into(), partitions }
    }

    /// Where one thread puts its rows.
    ///
    /// # Errors
    /// If the folder takes no file.
    pub fn stager(&self) -> Result<Stager, TableError> {
        Ok(Stager {
            occurrences: SpillWriter::new(&self.folder, self.partitions)?,
            media: SpillWriter::new(&self.folder, self.partitions)?,
            partitions: self.partitions,
            row: Vec::new(),
        })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn partitions(&self) -> usize {
        self.partitions
    }
}

/// One thread's rows.
pub struct Stager {
    occurrences: SpillWriter,
    media: SpillWriter,
    partitions: usize,
    row: Vec<u8>,
}

/// A file number that stands for none.
pub(crate) const NO_FILE: u64 = u64::MAX;

/// Reasons are kept behind all numbers of names.
pub(crate) const DROPPED: u64 = 1 << 32;

impl Stager {
    /// Keeps an occurrence.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub fn occurrence(&mut self, occurrence: &Occurrence<'_>) -> Result<(), TableError> {
        let partition = self.partition(occurrence.key);
        self.row.clear();
        let mut row = Encode(&mut self.row);
        row.text(occurrence.key);
        row.text(occurrence.observation);
        row.text(occurrence.observer);
        row.number(match occurrence.name {
            Ok(name) => u64::from(name),
            Err(reason) => DROPPED | u64::from(reason as u8),
        });
        row.number(occurrence.row.0.map_or(NO_FILE, FileId::number));
        row.number(occurrence.row.1);
        self.occurrences.write(partition, &self.row)
    }

    /// Keeps a picture.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub fn medium(&mut self, medium: &Medium<'_>) -> Result<(), TableError> {
        let partition = self.partition(medium.key);
        self.row.clear();
        let mut row = Encode(&mut self.row);
        row.text(medium.key);
        row.text(medium.location);
        row.text(medium.licence);
        row.text(medium.attribution);
        row.number(medium.row.0.number());
        row.number(medium.row.1);
        self.media.write(partition, &self.row)
    }

    fn partition(&self, key: &str) -> usize {
        (XxHash64::oneshot(0, key.as_bytes()) % self.partitions as u64) as usize
    }

    /// All of them; `verdicts` says for each number of a name what became of it.
    ///
    /// # Errors
    /// If the disk does not take the rest.
    pub fn finish(self) -> Result<Staged, TableError> {
        Ok(Staged { occurrences: self.occurrences.finish()?, media: self.media.finish()? })
    }
}

/// One thread's rows, on disk.
pub struct Staged {
    pub(crate) occurrences: Spill,
    pub(crate) media: Spill,
}

//! Why tables could not be read, kept or written.

use std::path::{Path, PathBuf};

/// Why work on tables stopped.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// A source file.
    #[error("cannot read {file} at line {line}: {source}")]
    Read {
        /// The file, as it is called in the report.
        file: String,
        /// The line reading had come to.
        line: u64,
        /// What the system said.
        source: std::io::Error,
    },
    /// Rows that wait on disk.
    #[error("cannot keep rows in {folder}: {source}; choose a folder with more space, or free some")]
    Spill {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A table of the set.
    #[error("cannot write {path}: {source}")]
    Write {
        /// Its path.
        path: PathBuf,
        /// What is wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl TableError {
    pub(crate) fn write<E>(path: &Path) -> impl FnOnce(E) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let path = path.to_owned();
        |source| Self::Write { path, source: source.into() }
    }
}

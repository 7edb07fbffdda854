//! From a recorded survey to what maps and data portals read: [`record`] reads the table that `fieldmark record` wrote,
//! one [`Occurrence`] a track; the others each write one format.

mod csv;
mod darwin_core;
mod geojson;
mod geopackage;
mod occurrence;
mod record;

use std::io;
use std::path::{Path, PathBuf};

pub use darwin_core::{Dataset, Licence};
pub use occurrence::Occurrence;
pub use record::{Choice, read};

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// GeoJSON (RFC 7946).
    Geojson,
    /// OGC GeoPackage.
    Gpkg,
    /// Comma-separated values.
    Csv,
    /// Darwin Core Archive.
    Dwca,
}

/// Why nothing was exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The record.
    #[error("cannot read the record {path}: {source}; give a SQLite file that `fieldmark record` wrote")]
    Record {
        /// Its path.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The output.
    #[error("cannot write {path}: {source}")]
    Write {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is something already.
    #[error("{0} is there already: give another --out, or --force to replace it")]
    Exists(PathBuf),
    /// Nothing to write.
    #[error("no track of the record fits: {0}")]
    Nothing(String),
}

/// Writes `occurrences` as `format` to `path`, whole or not at all. Those without a place are left out of everything
/// but CSV.
///
/// # Errors
/// If the disk does not take it.
pub fn write(
    format: Format,
    path: &Path,
    occurrences: &[Occurrence],
    dataset: &Dataset,
) -> Result<(), ExportError> {
    let failed = |source: io::Error| ExportError::Write { path: path.into(), source };
    let placed: Vec<&Occurrence> = occurrences.iter().filter(|one| one.position().is_some()).collect();
    if format == Format::Gpkg {
        return geopackage::write(path, &placed).map_err(failed);
    }
    let bytes = match format {
        Format::Geojson => geojson::text(&placed).into_bytes(),
        Format::Csv => csv::text(occurrences),
        Format::Gpkg | Format::Dwca => darwin_core::archive(&placed, dataset).map_err(failed)?,
    };
    let write = || {
        let mut file = atomic_write_file::AtomicWriteFile::open(path)?;
        io::Write::write_all(&mut file, &bytes)?;
        file.commit()
    };
    write().map_err(failed)
}

#[cfg(test)]
mod tests;

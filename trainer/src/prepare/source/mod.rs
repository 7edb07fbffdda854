//! Sources: what is read, and by whom.

mod archive;
mod competition;
mod darwin_core;
mod folders;
mod inat_open_data;
mod meta;
mod table;

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Component, Path, PathBuf};

use fieldmark_tables::TableError;

use super::format::{Format, FormatError, recognise};
use super::intake::{Hand, Intake};
use archive::Archive;

/// Why a source cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// What it is.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Its tables.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A file of it.
    #[error("cannot read {file}: {source}")]
    File {
        /// As it is called in the report.
        file: String,
        /// What is wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Something that cannot be meant.
    #[error("{file}{}: {problem}", line.map(|line| format!(" line {line}")).unwrap_or_default())]
    Content {
        /// As it is called in the report.
        file: String,
        /// Where, if it has lines.
        line: Option<u64>,
        /// What is wrong, and what to do.
        problem: String,
    },
}

/// A source with all that belongs to it.
#[derive(Debug, Clone)]
pub struct Input {
    path: PathBuf,
    format: Format,
    media: Option<PathBuf>,
    photos: Option<PathBuf>,
    individuals: Vec<String>,
    bytes: u64,
}

impl Input {
    /// The source at `path`, of `format` or whatever its files say.
    ///
    /// # Errors
    /// If it is not there or none of the formats.
    pub fn new(path: &Path, format: Option<Format>) -> Result<Self, SourceError> {
        let archive = Archive::open(path)?;
        let members = archive.names();
        let format = match format {
            Some(format) => format,
            None => {
                let first = first_line(&archive, path, &members)?;
                let folders = || (path.is_dir() && folders::has_pictures(path)).then_some(Format::Folders);
                recognise(path, &members, &first)
                    .or_else(folders)
                    .ok_or_else(|| FormatError::Unknown { path: path.into() })?
            }
        };
        let bytes = archive.bytes();
        Ok(Self { path: path.into(), format, media: None, photos: None, individuals: Vec::new(), bytes })
    }

    /// With a table of pictures that stands apart.
    #[must_use]
    pub fn with_media(mut self, media: Option<PathBuf>) -> Self {
        self.media = media;
        self
    }

    /// With the folder that paths of pictures start from.
    #[must_use]
    pub fn with_photos(mut self, photos: Option<PathBuf>) -> Self {
        self.photos = photos;
        self
    }

    /// With beginnings of file names that show the same individual.
    #[must_use]
    pub fn with_individuals(mut self, individuals: Vec<String>) -> Self {
        self.individuals = individuals;
        self
    }

    /// As it is called in messages.
    #[must_use]
    pub fn shown(&self) -> String {
        self.path.display().to_string()
    }

    /// Its format.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Bytes of its rows, about, uncompressed.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Folder that paths of its pictures start from; none where they are URLs.
    #[must_use]
    pub fn photos(&self) -> Option<PathBuf> {
        let beside = || self.path.parent().unwrap_or(Path::new(".")).to_owned();
        match self.format {
            Format::Folders => Some(self.path.clone()),
            Format::Table => Some(self.photos.clone().unwrap_or_else(beside)),
            Format::Competition if self.path.is_dir() => {
                Some(self.photos.clone().unwrap_or(self.path.clone()))
            }
            Format::Competition => Some(self.photos.clone().unwrap_or_else(beside)),
            Format::DarwinCore | Format::GbifSimple | Format::InatOpenData => None,
        }
    }

    /// What the pictures named so show one of; nothing where that is not known.
    fn individual(&self, file: &str) -> &str {
        let name = file.rsplit('/').next().unwrap_or(file);
        let own = self.individuals.iter().find(|beginning| name.starts_with(beginning.as_str()));
        own.map_or("", String::as_str)
    }
}

/// Reads all rows of `input`.
///
/// # Errors
/// If it cannot be read.
pub(super) fn read<'a>(
    input: &Input,
    intake: &Intake<'a>,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Vec<Hand<'a>>, SourceError> {
    let archive = Archive::open(&input.path)?.with_progress(progress);
    match input.format {
        Format::DarwinCore => darwin_core::read(&archive, intake),
        Format::GbifSimple => darwin_core::read_simple(&archive, input, intake),
        Format::InatOpenData => inat_open_data::read(&archive, intake),
        Format::Competition => competition::read(&archive, input, intake),
        Format::Table => table::read(&archive, input, intake),
        Format::Folders => folders::read(input, intake),
    }
}

/// The first line of a file, or of an archive's one table.
fn first_line(archive: &Archive<'_>, path: &Path, members: &[String]) -> Result<String, SourceError> {
    const LONGEST: u64 = 1 << 16;
    let tables: Vec<&String> =
        members.iter().filter(|name| name.ends_with(".csv") || name.ends_with(".txt")).collect();
    let name = match (members, tables.as_slice()) {
        ([], _) if path.is_file() => archive.only(),
        (_, [one]) => (*one).clone(),
        _ => return Ok(String::new()),
    };
    archive.with(&name, |reader| {
        let mut line = Vec::new();
        let mut reader = BufReader::new(reader.take(LONGEST));
        let failed = |source: std::io::Error| SourceError::File { file: name.clone(), source: source.into() };
        reader.read_until(b'\n', &mut line).map_err(failed)?;
        Ok(String::from_utf8_lossy(&line).trim_start_matches('\u{feff}').trim_end().to_owned())
    })
}

/// Whether a path stays below the folder it starts from.
fn stays_inside(path: &str) -> bool {
    let inside = |component| matches!(component, Component::Normal(_) | Component::CurDir);
    !path.is_empty() && !path.contains(['\\', '\0']) && Path::new(path).components().all(inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_leaves_its_folder_is_told() {
        for inside in ["a.jpg", "a/b.jpg", "./a.jpg", "a..b/c.jpg"] {
            assert!(stays_inside(inside), "{inside}");
        }
        for outside in ["", "../a.jpg", "/etc/passwd", "a/../../b.jpg", "..\\a.jpg", "C:\\a.jpg"] {
            assert!(!stays_inside(outside), "{outside}");
        }
    }
}

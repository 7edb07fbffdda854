//! Where a recipe's photographs come from: a table beside it, or a prepared set.

use std::path::{Path, PathBuf};

use super::{Dropped, Photo, SetError, TableError, read_set, read_table, validation_split};

/// Labelled photographs of a recipe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A prepared set's folder.
    Set(PathBuf),
    /// A CSV with `file` and a column for each main rank.
    Table {
        /// The table.
        table: PathBuf,
        /// Folder its paths start from.
        photos: PathBuf,
        /// Beginnings of file names that show the same individual.
        individuals: Vec<String>,
        /// How to get the photographs, shown when they are missing.
        hint: String,
    },
}

/// Why there are no photographs.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The table.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The prepared set.
    #[error(transparent)]
    Set(#[from] SetError),
}

/// Photographs as a recipe uses them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labelled {
    /// All of them.
    pub photos: Vec<Photo>,
    /// Rows that were not used.
    pub dropped: Vec<Dropped>,
    /// Positions for training and validation, where that was decided already.
    pub split: Option<(Vec<usize>, Vec<usize>)>,
}

impl Source {
    /// Of the keys of a recipe's `[data]`, relative to `recipe`'s folder; what is wrong, where they say no source.
    pub(crate) fn of_keys(
        recipe: &Path,
        set: Option<PathBuf>,
        table: Option<(PathBuf, PathBuf)>,
        individuals: Vec<String>,
        hint: String,
    ) -> Option<Self> {
        let folder = recipe.parent().unwrap_or(Path::new("."));
        match (set, table) {
            (Some(set), None) => Some(Self::Set(folder.join(set))),
            (None, Some((table, photos))) => {
                let (table, photos) = (folder.join(table), folder.join(photos));
                Some(Self::Table { table, photos, individuals, hint })
            }
            _ => None,
        }
    }

    /// Reads them, and tells on standard error what was not used.
    ///
    /// # Errors
    /// If table or set cannot be read, or photographs are missing.
    pub fn read(&self) -> Result<Labelled, SourceError> {
        match self {
            Self::Set(folder) => {
                let set = read_set(folder)?;
                eprintln!("{} photographs, {} missing", set.photos.len(), set.missing);
                let split = Some((set.training, set.validation));
                Ok(Labelled { photos: set.photos, dropped: Vec::new(), split })
            }
            Self::Table { table, photos, individuals, hint } => {
                let (photos, dropped) = read_table(table, photos, individuals, hint)?;
                eprintln!("{} photographs, {} rows dropped", photos.len(), dropped.len());
                for row in &dropped {
                    eprintln!("  dropped {}: {}", row.file, row.reason);
                }
                Ok(Labelled { photos, dropped, split: None })
            }
        }
    }
}

impl Labelled {
    /// Positions for training and validation: as they were prepared, or a share `validation` of the individuals.
    #[must_use]
    pub fn split(&self, validation: f64, seed: u64) -> (Vec<usize>, Vec<usize>) {
        self.split.clone().unwrap_or_else(|| validation_split(&self.photos, validation, seed))
    }
}

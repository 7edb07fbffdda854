//! A CSV of photographs with one column for each main rank.

use std::path::{Path, PathBuf};

use fieldmark_models::taxonomy::{Lineage, Rank};

use super::Photo;

/// Why the table cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// Not there, or not CSV.
    #[error("cannot read the table of photographs {path}: {source}")]
    Csv {
        /// Path of the table.
        path: PathBuf,
        /// What is wrong, with its line.
        source: csv::Error,
    },
    /// Not to be written.
    #[error("cannot write the table of photographs {path}: {source}")]
    Write {
        /// Path of the table.
        path: PathBuf,
        /// What is wrong.
        source: csv::Error,
    },
    /// A column that is needed.
    #[error("the table of photographs {path} has no column {column:?}")]
    Column {
        /// Path of the table.
        path: PathBuf,
        /// Name of the column.
        column: String,
    },
    /// The photographs themselves are missing.
    #[error("photograph {photo} of {table} is not there: {hint}")]
    Photo {
        /// Path of the table.
        table: PathBuf,
        /// The first photograph that is missing.
        photo: PathBuf,
        /// How to get the photographs.
        hint: String,
    },
}

/// A row that was not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// Cell `file` of the row.
    pub file: String,
    /// Why.
    pub reason: String,
}

/// Reads the photographs of `table`, whose paths start from `folder`. A row without a kingdom has no lineage
/// and is dropped with that reason; blank cells elsewhere are gaps in the lineage. Photographs of one individual say so in a
/// column `individual`, where there is one.
///
/// # Errors
/// If the table is no CSV, lacks a column, or names a photograph that is not there.
pub fn read_table(
    table: &Path,
    folder: &Path,
    individuals: &[String],
    hint: &str,
) -> Result<(Vec<Photo>, Vec<Dropped>), TableError> {
    let failed = |source| TableError::Csv { path: table.into(), source };
    let mut reader = csv::Reader::from_path(table).map_err(failed)?;
    let header = reader.headers().map_err(failed)?.clone();
    let column = |name: &str| {
        let missing = || TableError::Column { path: table.into(), column: name.into() };
        header.iter().position(|cell| cell == name).ok_or_else(missing)
    };
    let file_column = column("file")?;
    let individual_column = column("individual").ok();
    let ranks = Rank::MAIN.map(|rank| column(rank.name()).map(|position| (rank, position)));
    let ranks: Vec<(Rank, usize)> = ranks.into_iter().collect::<Result<_, _>>()?;
    let (mut photos, mut dropped) = (Vec::new(), Vec::new());
    for record in reader.records() {
        let record = record.map_err(failed)?;
        let cell = |position: usize| record.get(position).unwrap_or_default();
        let file = cell(file_column);
        if cell(ranks[0].1).trim().is_empty() {
            dropped
                .push(Dropped { file: file.into(), reason: "no kingdom: the lineage is not known".into() });
            continue;
        }
        match Lineage::new(ranks.iter().map(|(rank, position)| (rank.clone(), cell(*position)))) {
            Err(error) => dropped.push(Dropped { file: file.into(), reason: error.to_string() }),
            Ok(lineage) => {
                let path = folder.join(file);
                if !path.is_file() {
                    return Err(TableError::Photo { table: table.into(), photo: path, hint: hint.into() });
                }
                let told = individual_column.map(cell).filter(|told| !told.is_empty());
                let individual = told.map_or_else(|| individual(file, individuals), str::to_owned);
                photos.push(Photo { path, lineage: lineage.into(), individual });
            }
        }
    }
    Ok((photos, dropped))
}

/// Writes `photos` as a table that [`read_table`] reads, from any folder: paths are absolute. Ranks that are not main ranks are
/// left out.
///
/// # Errors
/// If the table cannot be written.
pub fn write_table<'a>(path: &Path, photos: impl IntoIterator<Item = &'a Photo>) -> Result<(), TableError> {
    let failed = |source: csv::Error| TableError::Write { path: path.into(), source };
    let mut writer = csv::Writer::from_path(path).map_err(failed)?;
    let ranks = Rank::MAIN.iter().map(Rank::name);
    writer.write_record(["file", "individual"].into_iter().chain(ranks)).map_err(failed)?;
    for photo in photos {
        let file = std::path::absolute(&photo.path).map_err(|error| failed(error.into()))?;
        let name = |wanted: &Rank| {
            let mut levels = photo.lineage.levels();
            levels.find(|(rank, _)| *rank == wanted).map_or("", |(_, name)| name).as_bytes()
        };
        let names = Rank::MAIN.iter().map(name);
        let file = file.as_os_str().as_encoded_bytes();
        let individual = photo.individual.as_bytes();
        writer.write_record([file, individual].into_iter().chain(names)).map_err(failed)?;
    }
    writer.flush().map_err(|error| failed(error.into()))
}

fn individual(file: &str, individuals: &[String]) -> String {
    let name = file.rsplit('/').next().unwrap_or(file);
    individuals
        .iter()
        .find(|prefix| name.starts_with(prefix.as_str()))
        .cloned()
        .unwrap_or_else(|| file.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(Vec<Photo>, Vec<Dropped>), TableError> {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["a.png", "gnu-1.png", "gnu-2.png"] {
            std::fs::write(folder.path().join(name), "").expect("write");
        }
        let table = folder.path().join("table.csv");
        std::fs::write(&table, text).expect("write");
        read_table(&table, folder.path(), &["gnu".into()], "install it")
    }

    const HEADER: &str = "file,name,kingdom,phylum,class,order,family,genus,species\n";

    #[test]
    fn gaps_are_skipped_and_rows_without_a_kingdom_dropped() {
        let text = format!("{HEADER}a.png,Rosa,Plantae,,,Rosales,Rosaceae,Rosa,\nb.png,Nix,,,,,,,\n");
        let (photos, dropped) = read(&text).expect("a table");
        assert_eq!(photos[0].lineage.to_string(), "Plantae|Rosales|Rosaceae|Rosa");
        assert!(!photos[0].is_species());
        assert_eq!(dropped[0].file, "b.png");
    }

    #[test]
    fn photographs_of_one_individual_are_known() {
        let row = |file: &str| format!("{file},x,Animalia,,,,,,\n");
        let text = [HEADER, &row("gnu-1.png"), &row("gnu-2.png"), &row("a.png")].concat();
        let (photos, _) = read(&text).expect("a table");
        assert_eq!(photos[0].individual, photos[1].individual);
        assert_ne!(photos[0].individual, photos[2].individual);
    }

    #[test]
    fn a_table_that_was_written_is_read_as_it_was() {
        let folder = tempfile::tempdir().expect("a folder");
        let photo = |name: &str, lineage: &[(Rank, &str)]| {
            let path = folder.path().join(name);
            std::fs::write(&path, "").expect("write");
            let lineage = Lineage::new(lineage.iter().cloned()).expect("a lineage");
            Photo { individual: path.display().to_string(), path, lineage: lineage.into() }
        };
        let species = [(Rank::Kingdom, "Plantae"), (Rank::Genus, "Rosa"), (Rank::Species, "Rosa canina")];
        let photos = [photo("a, \"b\".png", &species), photo("c.png", &species[..1])];
        let table = folder.path().join("table.csv");
        write_table(&table, &photos).expect("written");
        let (read, dropped) = read_table(&table, Path::new("elsewhere"), &[], "").expect("a table");
        assert_eq!(read, photos);
        assert_eq!(dropped, []);
    }

    #[test]
    fn a_missing_photograph_says_how_to_get_it() {
        let error = read(&format!("{HEADER}z.png,x,Animalia,,,,,,\n")).expect_err("a refusal");
        assert!(error.to_string().ends_with("is not there: install it"), "{error}");
        assert!(matches!(read("file,name\n"), Err(TableError::Column { .. })));
    }
}

//! A prepared set: samples in Parquet, split already.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use fieldmark_models::taxonomy::{Lineage, Taxonomy, TsvError};
use fieldmark_tables::Side;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::Deserialize;

use super::Photo;
use crate::prepare::{image_file, layout};

/// Why a prepared set cannot be trained on.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    /// A file of it.
    #[error("{folder} is no prepared set: {path}: {source}; make one with `fieldmark-trainer prepare`")]
    File {
        /// The set's folder.
        folder: PathBuf,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A sample whose taxon the tree lacks.
    #[error("sample {image} of {folder} has taxon {taxon:?}, which its taxonomy.tsv lacks: prepare it again")]
    Taxon {
        /// The set's folder.
        folder: PathBuf,
        /// The picture.
        image: String,
        /// Its taxon.
        taxon: String,
    },
    /// No picture was fetched yet.
    #[error("none of the {count} pictures of {folder} is there: fetch them with `fieldmark-trainer download {folder}`, \
             or look whether their folder {photos} was moved", photos = photos.as_deref().map_or("of URLs".into(), |path| path.display().to_string()))]
    Pictures {
        /// The set's folder.
        folder: PathBuf,
        /// How many.
        count: usize,
        /// Folder of those that are files.
        photos: Option<PathBuf>,
    },
}

/// A set's samples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedSet {
    /// Those whose pictures are there, in the set's order. Photographs of one observation are of one individual.
    pub photos: Vec<Photo>,
    /// Positions for training.
    pub training: Vec<usize>,
    /// Positions for validation.
    pub validation: Vec<usize>,
    /// Pictures that are not there: never fetched, or no longer to be had.
    pub missing: usize,
}

#[derive(Deserialize)]
struct Report {
    source: Source,
}

#[derive(Deserialize)]
struct Source {
    photos: Option<PathBuf>,
}

/// One row of the table of samples.
pub(crate) struct Row<'a> {
    pub(crate) image: &'a str,
    pub(crate) taxon: &'a str,
    pub(crate) observation: &'a str,
    pub(crate) licence: &'a str,
    pub(crate) attribution: &'a str,
    pub(crate) split: &'a str,
}

/// Reads the set in `folder`.
///
/// # Errors
/// If it is none, or none of its pictures is there.
pub fn read_set(folder: &Path) -> Result<PreparedSet, SetError> {
    let failed = |path: &Path, source: Box<dyn std::error::Error + Send + Sync>| SetError::File {
        folder: folder.into(),
        path: path.into(),
        source,
    };
    let path = folder.join(layout::REPORT);
    let text = fs::read_to_string(&path).map_err(|source| failed(&path, source.into()))?;
    let report: Report = serde_json::from_str(&text).map_err(|source| failed(&path, source.into()))?;
    let lineages = lineages(folder)?;
    let mut set = PreparedSet { photos: vec![], training: vec![], validation: vec![], missing: 0 };
    each_sample(folder, |row| {
        let lineage = lineages.get(row.taxon).ok_or_else(|| SetError::Taxon {
            folder: folder.into(),
            image: row.image.into(),
            taxon: row.taxon.into(),
        })?;
        let path = picture(folder, report.source.photos.as_deref(), row.image);
        if !path.is_file() {
            set.missing += 1;
            return Ok(());
        }
        let side = if row.split == Side::Validation.name() { &mut set.validation } else { &mut set.training };
        side.push(set.photos.len());
        set.photos.push(Photo { path, lineage: Arc::clone(lineage), individual: row.observation.into() });
        Ok(())
    })?;
    if set.photos.is_empty() {
        let (folder, photos) = (folder.into(), report.source.photos);
        return Err(SetError::Pictures { folder, count: set.missing, photos });
    }
    Ok(set)
}

/// Where a sample's picture lies.
fn picture(folder: &Path, photos: Option<&Path>, image: &str) -> PathBuf {
    match photos {
        Some(photos) if !image.starts_with("http://") && !image.starts_with("https://") => photos.join(image),
        _ => folder.join(image_file(image)),
    }
}

fn lineages(folder: &Path) -> Result<HashMap<String, Arc<Lineage>>, SetError> {
    let path = folder.join(layout::TAXONOMY);
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| SetError::File {
        folder: folder.into(),
        path: path.clone(),
        source,
    };
    let text = fs::read_to_string(&path).map_err(|source| failed(source.into()))?;
    let taxonomy = Taxonomy::from_tsv(&text).map_err(|source: TsvError| failed(source.into()))?;
    let mut lineages = HashMap::new();
    for (index, taxon) in taxonomy.iter().skip(1) {
        let levels = taxonomy.lineage(index).into_iter().map(|above| {
            let above = taxonomy.taxon(above);
            (above.rank().clone(), above.name())
        });
        let lineage = Lineage::new(levels).map_err(|source| failed(source.into()))?;
        lineages.insert(taxon.id().to_owned(), Arc::new(lineage));
    }
    Ok(lineages)
}

/// Hands every sample to `each`, part after part.
pub(crate) fn each_sample(
    folder: &Path,
    mut each: impl FnMut(&Row<'_>) -> Result<(), SetError>,
) -> Result<(), SetError> {
    let samples = folder.join(layout::SAMPLES);
    let failed = |path: &Path, source: Box<dyn std::error::Error + Send + Sync>| SetError::File {
        folder: folder.into(),
        path: path.into(),
        source,
    };
    let entries = fs::read_dir(&samples).map_err(|source| failed(&samples, source.into()))?;
    let mut parts = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| failed(&samples, source.into()))?;
    parts.retain(|path| path.extension().is_some_and(|extension| extension == "parquet"));
    parts.sort();
    for path in parts {
        let file = File::open(&path).map_err(|source| failed(&path, source.into()))?;
        let builder =
            ParquetRecordBatchReaderBuilder::try_new(file).map_err(|source| failed(&path, source.into()))?;
        let mask = ProjectionMask::all();
        let reader = builder.with_projection(mask).build().map_err(|source| failed(&path, source.into()))?;
        for batch in reader {
            let batch = batch.map_err(|source| failed(&path, source.into()))?;
            let column = |name: &str| -> Result<ArrayRef, ArrowError> {
                let missing = || ArrowError::SchemaError(format!("there is no column {name:?}"));
                cast(batch.column_by_name(name).ok_or_else(missing)?, &DataType::Utf8)
            };
            let names = ["image", "taxon", "observation", "licence", "attribution", "split"];
            let columns = names.map(column);
            let mut cells = Vec::with_capacity(columns.len());
            for column in columns {
                cells.push(column.map_err(|source| failed(&path, source.into()))?);
            }
            for row in 0..batch.num_rows() {
                let cell = |column: usize| {
                    let cells = cells[column].as_string::<i32>();
                    if cells.is_null(row) { "" } else { cells.value(row) }
                };
                each(&Row {
                    image: cell(0),
                    taxon: cell(1),
                    observation: cell(2),
                    licence: cell(3),
                    attribution: cell(4),
                    split: cell(5),
                })?;
            }
        }
    }
    Ok(())
}

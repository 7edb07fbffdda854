//! What a prepared set says of one picture, and how that stands on disk.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray, StringDictionaryBuilder};
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use twox_hash::XxHash64;

/// Columns of the table of samples, all of them text.
pub const SAMPLE_COLUMNS: [&str; 7] =
    ["image", "taxon", "observation", "observer", "licence", "attribution", "split"];

/// Columns whose cells are mostly different: a dictionary of them would be made and thrown away.
const DISTINCT: [&str; 2] = ["image", "observation"];

/// A side of the split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// Trained on.
    Training,
    /// Measured on.
    Validation,
}

impl Side {
    /// As it stands in the table.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Training => "training",
            Self::Validation => "validation",
        }
    }
}

/// What stays together on one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SplitBy {
    /// All pictures of one observation.
    #[default]
    Observation,
    /// All pictures of one observer.
    Observer,
}

/// Decides sides: by hash, so that a row's side depends on nothing else.
#[derive(Debug, Clone, Copy)]
pub struct Splitter {
    /// Share for validation.
    pub validation: f64,
    /// What stays together.
    pub by: SplitBy,
    /// Another seed, another split.
    pub seed: u64,
}

impl Splitter {
    /// Side of a picture. One without an observer stays with its observation.
    #[must_use]
    pub fn side(&self, observation: &str, observer: &str) -> Side {
        let key = match self.by {
            SplitBy::Observer if !observer.is_empty() => observer,
            SplitBy::Observer | SplitBy::Observation => observation,
        };
        let share = (XxHash64::oneshot(self.seed, key.as_bytes()) >> 11) as f64 / (1u64 << 53) as f64;
        if share < self.validation { Side::Validation } else { Side::Training }
    }
}

/// One picture of the set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sample<'a> {
    pub(crate) image: &'a str,
    pub(crate) taxon: &'a str,
    pub(crate) observation: &'a str,
    pub(crate) observer: &'a str,
    pub(crate) licence: &'a str,
    pub(crate) attribution: &'a str,
    pub(crate) side: Side,
}

pub(crate) fn properties(distinct: &[&str]) -> WriterProperties {
    let level = ZstdLevel::try_new(1).unwrap_or_default();
    let builder = WriterProperties::builder().set_compression(Compression::ZSTD(level));
    distinct
        .iter()
        .fold(builder, |builder, name| builder.set_column_dictionary_enabled(ColumnPath::from(*name), false))
        .build()
}

pub(crate) fn sample_properties() -> WriterProperties {
    properties(&DISTINCT)
}

pub(crate) fn schema() -> SchemaRef {
    let fields: Vec<Field> = SAMPLE_COLUMNS
        .into_iter()
        .map(|name| {
            let data_type = if DISTINCT.contains(&name) {
                DataType::Utf8
            } else {
                DataType::Dictionary(DataType::Int32.into(), DataType::Utf8.into())
            };
            Field::new(name, data_type, false)
        })
        .collect();
    Arc::new(Schema::new(fields))
}

pub(crate) fn batch(schema: &SchemaRef, samples: &[Sample<'_>]) -> Result<RecordBatch, ArrowError> {
    type Cell = for<'a> fn(&Sample<'a>) -> &'a str;
    let dictionary = |cell: Cell| -> Result<ArrayRef, ArrowError> {
        let mut column = StringDictionaryBuilder::<Int32Type>::new();
        for sample in samples {
            column.append(cell(sample))?;
        }
        Ok(Arc::new(column.finish()))
    };
    let plain =
        |cell: Cell| -> ArrayRef { Arc::new(StringArray::from_iter_values(samples.iter().map(cell))) };
    let columns = vec![
        plain(|sample| sample.image),
        dictionary(|sample| sample.taxon)?,
        plain(|sample| sample.observation),
        dictionary(|sample| sample.observer)?,
        dictionary(|sample| sample.licence)?,
        dictionary(|sample| sample.attribution)?,
        dictionary(|sample| sample.side.name())?,
    ];
    RecordBatch::try_new(Arc::clone(schema), columns)
}

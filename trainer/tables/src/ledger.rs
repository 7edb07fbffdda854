//! Every row that was dropped, once: file, line and reason, counted.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, StringArray, StringDictionaryBuilder, UInt64Array};
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;

use crate::sample::properties;
use crate::{Reason, TableError};

/// Columns of the table of dropped rows.
pub const DROPPED_COLUMNS: [&str; 4] = ["file", "line", "reason", "detail"];

/// Rows that a page gathers before it is written.
const PAGE: usize = 1 << 14;

/// A source file, by its place in the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(u16);

impl FileId {
    pub(crate) fn number(self) -> u64 {
        u64::from(self.0)
    }

    pub(crate) fn numbered(number: u64) -> Option<Self> {
        u16::try_from(number).ok().map(Self)
    }
}

/// Rows of one file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    /// As it is called.
    pub file: String,
    /// Rows read.
    pub rows: u64,
    /// Rows dropped, by reason.
    pub dropped: BTreeMap<Reason, u64>,
}

impl Tally {
    /// Rows that were kept.
    #[must_use]
    pub fn kept(&self) -> u64 {
        self.rows - self.dropped.values().sum::<u64>()
    }
}

/// The table of dropped rows, written by several threads.
pub struct Ledger {
    path: PathBuf,
    schema: SchemaRef,
    inner: Mutex<Inner>,
}

struct Inner {
    writer: ArrowWriter<File>,
    tallies: Vec<Tally>,
}

struct DroppedRow {
    file: FileId,
    line: u64,
    reason: Reason,
    detail: Option<Box<str>>,
}

/// What one thread dropped since it last wrote.
pub struct Page<'a> {
    ledger: &'a Ledger,
    rows: Vec<DroppedRow>,
    read: BTreeMap<FileId, u64>,
}

impl Ledger {
    /// A new table at `path`.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn create(path: &Path) -> Result<Self, TableError> {
        let dictionary = || DataType::Dictionary(DataType::Int32.into(), DataType::Utf8.into());
        let types = [dictionary(), DataType::UInt64, dictionary(), DataType::Utf8];
        let fields: Vec<Field> = DROPPED_COLUMNS
            .into_iter()
            .zip(types)
            .map(|(name, data_type)| Field::new(name, data_type, name == "detail"))
            .collect();
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let file = File::create(path).map_err(TableError::write(path))?;
        let writer = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties(&[])));
        let writer = writer.map_err(TableError::write(path))?;
        Ok(Self { path: path.into(), schema, inner: Mutex::new(Inner { writer, tallies: Vec::new() }) })
    }

    /// A source file called `name`.
    pub fn file(&self, name: &str) -> FileId {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.tallies.push(Tally { file: name.into(), ..Tally::default() });
        FileId(u16::try_from(inner.tallies.len() - 1).unwrap_or(u16::MAX))
    }

    /// A page for one thread.
    #[must_use]
    pub fn page(&self) -> Page<'_> {
        Page { ledger: self, rows: Vec::new(), read: BTreeMap::new() }
    }

    /// Closes the table and gives the count of every file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn close(self) -> Result<Vec<Tally>, TableError> {
        let Inner { writer, tallies } = self.inner.into_inner().unwrap_or_else(PoisonError::into_inner);
        let file = writer.into_inner().map_err(TableError::write(&self.path))?;
        file.sync_all().map_err(TableError::write(&self.path))?;
        Ok(tallies)
    }

    fn write(&self, rows: &mut Vec<DroppedRow>, read: &mut BTreeMap<FileId, u64>) -> Result<(), TableError> {
        rows.sort_unstable_by_key(|row| (row.file, row.line, row.reason));
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        for (file, count) in std::mem::take(read) {
            inner.tallies[usize::from(file.0)].rows += count;
        }
        for row in rows.iter() {
            *inner.tallies[usize::from(row.file.0)].dropped.entry(row.reason).or_default() += 1;
        }
        if rows.is_empty() {
            return Ok(());
        }
        let batch = self.batch(rows, &inner.tallies).map_err(TableError::write(&self.path))?;
        inner.writer.write(&batch).map_err(TableError::write(&self.path))?;
        rows.clear();
        Ok(())
    }

    fn batch(&self, rows: &[DroppedRow], tallies: &[Tally]) -> Result<RecordBatch, arrow::error::ArrowError> {
        let mut files = StringDictionaryBuilder::<Int32Type>::new();
        let mut reasons = StringDictionaryBuilder::<Int32Type>::new();
        for row in rows {
            files.append(&tallies[usize::from(row.file.0)].file)?;
            reasons.append(row.reason.name())?;
        }
        let columns: Vec<ArrayRef> = vec![
            Arc::new(files.finish()),
            Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| row.line))),
            Arc::new(reasons.finish()),
            Arc::new(StringArray::from_iter(rows.iter().map(|row| row.detail.as_deref()))),
        ];
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
    }
}

impl Page<'_> {
    /// Counts a row that was read.
    pub fn read(&mut self, file: FileId) {
        *self.read.entry(file).or_default() += 1;
    }

    /// Drops a row.
    ///
    /// # Errors
    /// If the table cannot be written.
    pub fn drop_row(
        &mut self,
        (file, line): (FileId, u64),
        reason: Reason,
        detail: Option<&str>,
    ) -> Result<(), TableError> {
        self.rows.push(DroppedRow { file, line, reason, detail: detail.map(Into::into) });
        if self.rows.len() >= PAGE { self.ledger.write(&mut self.rows, &mut self.read) } else { Ok(()) }
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// If the table cannot be written.
    pub fn close(mut self) -> Result<(), TableError> {
        self.ledger.write(&mut self.rows, &mut self.read)
    }
}

//! Which taxa are to be expected, where and when: a list from a flora, a survey plan or a record centre.
//!
//! A table with a header line, comma- or tab-separated. Columns: `taxon` (id, scientific or vernacular name);
//! `weight` (how common, from 0 upwards; 1 where absent); `south`, `west`, `north`, `east` (degrees, WGS 84; west
//! above east crosses the antimeridian); `months` (`5-9`, `11-2`, `4;6`). A row speaks for everything below its
//! taxon; where several apply, the one for the lowest taxon does, and of equals the heaviest.

mod row;

use crate::package::Sha256Digest;
use crate::specificity::{Priors, PriorsError};
use crate::taxonomy::Taxonomy;

use row::Row;
pub use row::{Bounds, Months, Place, PlaceError, RowError};

/// Largest list that is read.
pub const MAX_BYTES: usize = 64 << 20;

/// Why a list cannot be used at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChecklistError {
    /// More than anybody would write.
    #[error("the checklist has {0} bytes; at most {MAX_BYTES} are read")]
    TooLarge(usize),
    /// Bytes that are no text.
    #[error("the checklist is no UTF-8 text: save it as UTF-8")]
    NotText,
    /// No header, or no `taxon` in it.
    #[error("the checklist has no column `taxon` in its first line: name the columns there")]
    NoTaxonColumn,
    /// A column nobody knows.
    #[error(
        "the checklist has a column {0:?}; the columns are taxon, weight, south, west, north, east, months"
    )]
    UnknownColumn(String),
    /// A row that cannot be read. Left out, it would change what is expected without a word.
    #[error("line {line} of the checklist: {reason}")]
    Row {
        /// Line in the file, the header being 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// Nothing to expect.
    #[error("the checklist names no taxon of this model")]
    Empty,
}

/// A row for a taxon that the model cannot name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmatched {
    /// Line in the file, the header being 1.
    pub line: u64,
    /// Why, with near names.
    pub reason: String,
}

/// A list, read against one taxonomy.
#[derive(Debug, Clone, PartialEq)]
pub struct Checklist {
    rows: Vec<Row>,
    digest: Sha256Digest,
}

impl Checklist {
    /// Reads a list; gives also the rows whose taxa the model cannot name.
    ///
    /// # Errors
    /// If it cannot be read, or nothing is left of it.
    pub fn read(bytes: &[u8], taxonomy: &Taxonomy) -> Result<(Self, Vec<Unmatched>), ChecklistError> {
        if bytes.len() > MAX_BYTES {
            return Err(ChecklistError::TooLarge(bytes.len()));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| ChecklistError::NotText)?;
        let (rows, unmatched) = row::read(text.trim_start_matches('\u{feff}'), taxonomy)?;
        if rows.is_empty() {
            return Err(ChecklistError::Empty);
        }
        Ok((Self { rows, digest: Sha256Digest::of(bytes) }, unmatched))
    }

    /// SHA-256 of the file.
    #[must_use]
    pub fn digest(&self) -> &Sha256Digest {
        &self.digest
    }

    /// Number of rows that name a taxon of the model.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Never: an empty list is not read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// What is expected at `place` in `month` (1 to 12); `unlisted` is the weight of leaves no row speaks for. Where
    /// the place or the month is not known, rows that depend on it apply.
    ///
    /// # Errors
    /// [`PriorsError::Nothing`] if nothing at all is expected.
    pub fn priors(
        &self,
        taxonomy: &Taxonomy,
        place: Option<Place>,
        month: Option<u8>,
        unlisted: f32,
    ) -> Result<Priors, PriorsError> {
        let mut applying: Vec<&Row> = self.rows.iter().filter(|row| row.applies(place, month)).collect();
        // The lowest taxon and then the heaviest weight is written last, and so stands.
        let order = |row: &&Row| (taxonomy.taxon(row.taxon).depth(), row.weight);
        applying.sort_by(|a, b| order(a).0.cmp(&order(b).0).then(order(a).1.total_cmp(&order(b).1)));
        let mut weights = vec![unlisted; taxonomy.leaf_count()];
        for row in &applying {
            weights[taxonomy.taxon(row.taxon).leaves()].fill(row.weight);
        }
        if applying.is_empty() { Err(PriorsError::Nothing) } else { Priors::weighted(taxonomy, weights) }
    }
}

#[cfg(test)]
mod tests;

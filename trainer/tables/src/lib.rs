//! Rows of source files, joined without holding them: occurrences with their pictures, duplicates, rare taxa, caps and
//! split, whatever the memory.
//!
//! rows -> stage -> join -> pick. Rows come in blocks that several threads share (`rows`). What is kept of them goes
//! to disk by the hash of its key (`stage`), so that one part of the keys fits into memory and is joined there
//! (`join`). Joined pictures go to disk again, by taxon: what is decided for a taxon as a whole is decided there, and
//! written (`pick`). Every row that is dropped stands in the ledger once.

mod closure;
mod error;
mod join;
mod ledger;
mod pick;
mod reason;
pub mod rows;
mod sample;
mod spill;
mod stage;
#[cfg(test)]
mod tests;

pub use closure::kept_taxa;
pub use error::TableError;
pub use join::{Joined, join};
pub use ledger::{DROPPED_COLUMNS, FileId, Ledger, Page, Tally};
pub use pick::{Picked, pick};
pub use reason::Reason;
pub use sample::{SAMPLE_COLUMNS, Side, SplitBy, Splitter};
pub use stage::{Medium, Occurrence, Staged, Stager, Staging, Verdict};

/// What decides, beside the rows themselves.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// Pictures that a taxon needs where no taxon below it has enough.
    pub min_images: u64,
    /// Most pictures of a taxon; none: all.
    pub cap: Option<u64>,
    /// Share of observations (or observers) that is kept for validation.
    pub validation: f64,
    /// What stays on one side of the split.
    pub split_by: SplitBy,
    /// Decides split and cap.
    pub seed: u64,
}

/// The taxa that rows are of, in pre-order.
#[derive(Debug, Clone, Copy)]
pub struct Taxa<'a> {
    /// `[taxa]`: the position of the taxon above; its own for the highest.
    pub parents: &'a [u32],
    /// `[taxa]`: how it is called in the samples.
    pub ids: &'a [String],
    /// `[taxa]`: occurrences of each, as far as known: makes parts of equal size.
    pub weights: &'a [u64],
}

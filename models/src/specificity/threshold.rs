//! The confidence cut-off, for the whole tree or for parts of it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::taxonomy::{TaxonIndex, Taxonomy};

/// The confidence cut-off t, in `[0, 1]`; 0, which lets every node pass, by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Threshold(f64);

/// A number that is no probability.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("{0} is not between 0 and 1")]
pub struct NotAProbability(pub f64);

impl Threshold {
    /// Only what is certain passes.
    pub const CERTAIN: Self = Self(1.0);

    /// # Errors
    /// If `value` is not a number in `[0, 1]`.
    pub fn new(value: f64) -> Result<Self, NotAProbability> {
        if (0.0..=1.0).contains(&value) { Ok(Self(value)) } else { Err(NotAProbability(value)) }
    }

    /// The cut-off that `probability` just misses.
    ///
    /// # Errors
    /// If `probability` is not a number in `[0, 1]`.
    pub fn above(probability: f64) -> Result<Self, NotAProbability> {
        Self::new(probability).map(|Self(value)| Self(value.next_up().min(1.0)))
    }

    /// The cut-off as a number.
    #[must_use]
    pub fn value(self) -> f64 {
        self.0
    }

    /// The higher of two.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self(self.0.max(other.0))
    }
}

impl TryFrom<f64> for Threshold {
    type Error = NotAProbability;

    fn try_from(value: f64) -> Result<Self, NotAProbability> {
        Self::new(value)
    }
}

impl From<Threshold> for f64 {
    fn from(threshold: Threshold) -> Self {
        threshold.0
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The cut-off of every taxon: one for the whole tree, and others that hold from a taxon downwards.
#[derive(Debug, Clone, PartialEq)]
pub struct Thresholds {
    everywhere: Threshold,
    parts: Option<Parts>,
}

/// Cut-offs that differ within the tree. Both `[taxa]`.
#[derive(Debug, Clone, PartialEq)]
struct Parts {
    own: Vec<Threshold>,
    /// The lowest cut-off in each subtree: what a search may prune by.
    lowest: Vec<Threshold>,
}

impl Thresholds {
    /// The same cut-off for every taxon.
    #[must_use]
    pub fn everywhere(threshold: Threshold) -> Self {
        Self { everywhere: threshold, parts: None }
    }

    /// `threshold`, but the cut-offs of `subtrees` at and below their taxa; the nearest one above a taxon holds.
    /// Where a taxon is named twice, the later entry holds.
    #[must_use]
    pub fn with_subtrees(
        taxonomy: &Taxonomy,
        threshold: Threshold,
        subtrees: impl IntoIterator<Item = (TaxonIndex, Threshold)>,
    ) -> Self {
        let mut own: Vec<Option<Threshold>> = vec![None; taxonomy.len()];
        for (taxon, threshold) in subtrees {
            own[taxon.position()] = Some(threshold);
        }
        if own.iter().all(Option::is_none) {
            return Self::everywhere(threshold);
        }
        let mut inherited = Vec::with_capacity(taxonomy.len());
        for (index, taxon) in taxonomy.iter() {
            let above = taxon.parent().map_or(threshold, |parent: TaxonIndex| inherited[parent.position()]);
            inherited.push(own[index.position()].unwrap_or(above));
        }
        let mut lowest = inherited.clone();
        for position in (1..lowest.len()).rev() {
            if let Some(parent) = taxonomy.at(position).parent() {
                let below = lowest[position];
                let above = &mut lowest[parent.position()];
                *above = if below < *above { below } else { *above };
            }
        }
        Self { everywhere: inherited[0], parts: Some(Parts { own: inherited, lowest }) }
    }

    /// The cut-off of `taxon`.
    #[must_use]
    pub fn of(&self, taxon: TaxonIndex) -> Threshold {
        self.parts.as_ref().map_or(self.everywhere, |parts| parts.own[taxon.position()])
    }

    /// The cut-off below which nothing at or under `taxon` passes.
    pub(super) fn lowest_below(&self, position: usize) -> f64 {
        self.parts.as_ref().map_or(self.everywhere, |parts| parts.lowest[position]).value()
    }
}

impl From<Threshold> for Thresholds {
    fn from(threshold: Threshold) -> Self {
        Self::everywhere(threshold)
    }
}

//! Labelled photographs: read from a table or a prepared set, split by source photograph or observation.

mod set;
mod source;
mod split;
mod table;

use std::path::PathBuf;
use std::sync::Arc;

use fieldmark_models::taxonomy::{Lineage, TaxonIndex, Taxonomy, TaxonomyBuilder, TaxonomyError};

pub(crate) use set::each_sample;
pub use set::{PreparedSet, SetError, read_set};
pub use source::{Labelled, Source, SourceError};
pub use split::{Split, random_split, validation_split};
pub use table::{Dropped, TableError, read_table, write_table};

/// One photograph and the lowest taxon that can be told from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Photo {
    /// Where it is.
    pub path: PathBuf,
    /// Lineage of its label; labels above species are partial labels. Photographs of a prepared set share it.
    pub lineage: Arc<Lineage>,
    /// Photographs of the same individual share it.
    pub individual: String,
}

impl Photo {
    /// Whether the label names a species.
    #[must_use]
    pub fn is_species(&self) -> bool {
        self.lineage
            .levels()
            .last()
            .is_some_and(|(rank, _)| rank == &fieldmark_models::taxonomy::Rank::Species)
    }

    /// Whether an answer of `taxonomy` can be called right or wrong by its label: that names a species, or one of its leaves.
    #[must_use]
    pub fn is_judged(&self, taxonomy: &Taxonomy) -> bool {
        let leaf =
            || taxonomy.find_lineage(&self.lineage).is_some_and(|taxon| taxonomy.taxon(taxon).is_leaf());
        self.is_species() || leaf()
    }

    /// The lowest taxon of its lineage that `taxonomy` has; the root where it has none.
    #[must_use]
    pub fn lowest_known(&self, taxonomy: &Taxonomy) -> TaxonIndex {
        let depth = self.lineage.levels().len();
        (1..=depth)
            .rev()
            .find_map(|depth| taxonomy.find_lineage(&self.lineage.truncated(depth)))
            .unwrap_or(TaxonIndex::ROOT)
    }
}

/// The tree that the labels of `photos` span.
///
/// # Errors
/// If there is no photograph.
pub fn taxonomy<'a>(photos: impl IntoIterator<Item = &'a Photo>) -> Result<Taxonomy, TaxonomyError> {
    let mut builder = TaxonomyBuilder::new();
    for photo in photos {
        builder.insert(&photo.lineage, None);
    }
    builder.build()
}

/// For each of `photos` the position of the first one of the same individual.
#[must_use]
pub fn individuals<'p>(photos: impl IntoIterator<Item = &'p Photo>) -> Vec<usize> {
    let mut first = std::collections::HashMap::new();
    photos
        .into_iter()
        .enumerate()
        .map(|(number, photo)| *first.entry(&photo.individual).or_insert(number))
        .collect()
}

//! What is known of one picture of the calibration set.

use fieldmark_models::taxonomy::{TaxonIndex, Taxonomy};

/// The network's logits for a picture, and the truth.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// The tree it was asked about.
    pub taxonomy: &'a Taxonomy,
    /// `[leaves]`, before any temperature.
    pub logits: &'a [f32],
    /// The lowest taxon of the true lineage that the tree has.
    pub truth: TaxonIndex,
    /// Pictures of one photograph or one individual are a group: no independent evidence.
    pub group: usize,
}

//! An answer in words: what messages, tables and `classify` show of a decision.

use fieldmark_models::package::Sha256Digest;
use fieldmark_models::specificity::{Decision, Stop};
use fieldmark_models::taxonomy::{TaxonIndex, Taxonomy};
use serde::{Deserialize, Serialize};

use super::CutOff;

/// A taxon, self-contained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaxonAnswer {
    /// Opaque key in the model's taxonomy.
    pub id: String,
    /// Scientific name.
    pub name: String,
    /// Rank; `root` for "Life".
    pub rank: String,
    /// Taxa in the lineage; 0 for the root.
    pub depth: u16,
    /// Vernacular name, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub common_name: Option<String>,
    /// Names from the kingdom down to the taxon itself; empty for the root.
    pub lineage: Vec<String>,
}

/// The most probable leaf.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BestLeaf {
    /// Scientific name.
    pub name: String,
    /// Its probability.
    pub probability: f64,
}

/// What is known of one region of one frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The taxon, as the model's taxonomy numbers it.
    pub index: TaxonIndex,
    /// The taxon in words.
    pub taxon: TaxonAnswer,
    /// Its probability.
    pub probability: f64,
    /// The cut-off in force.
    pub cut_off: CutOff,
    /// Why it is not more specific.
    pub stop: Stop,
    /// The most probable leaf.
    pub best_leaf: BestLeaf,
    /// Probabilities of the taxa of the lineage, from the kingdom down.
    pub lineage_probabilities: Vec<f64>,
    /// Digest of the checklist that the probabilities are conditioned on.
    pub checklist: Option<Sha256Digest>,
    /// Milliseconds from pixels to decision.
    pub latency_ms: f64,
}

impl TaxonAnswer {
    /// The taxon at `index` of `taxonomy`.
    #[must_use]
    pub fn new(taxonomy: &Taxonomy, index: TaxonIndex) -> Self {
        let taxon = taxonomy.taxon(index);
        let names = taxonomy.lineage(index).into_iter().map(|above| taxonomy.taxon(above).name().to_owned());
        Self {
            id: taxon.id().into(),
            name: taxon.name().into(),
            rank: taxon.rank().to_string(),
            depth: taxon.depth(),
            common_name: taxon.common_name().map(Into::into),
            lineage: names.collect(),
        }
    }
}

impl Answer {
    /// `decision` in the words of `taxonomy`.
    #[must_use]
    pub fn new(taxonomy: &Taxonomy, decision: &Decision, cut_off: CutOff, latency_ms: f64) -> Self {
        let leaf = taxonomy.taxon(decision.best_leaf).name().to_owned();
        Self {
            index: decision.taxon,
            taxon: TaxonAnswer::new(taxonomy, decision.taxon),
            probability: rounded(decision.probability, 6),
            cut_off,
            stop: decision.stop,
            best_leaf: BestLeaf { name: leaf, probability: rounded(decision.best_leaf_probability, 6) },
            lineage_probabilities: Vec::new(),
            checklist: None,
            latency_ms: rounded(latency_ms, 2),
        }
    }
}

/// Messages carry no digits that mean nothing.
pub(super) fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

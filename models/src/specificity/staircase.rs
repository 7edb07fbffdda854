//! The answer as a function of the threshold.

use super::Threshold;
use crate::taxonomy::{TaxonIndex, Taxonomy};

/// The answers to one picture at all thresholds: as the threshold falls, the answer changes at the probabilities of
/// a few nodes only.
#[derive(Debug, Clone, PartialEq)]
pub struct Staircase {
    /// By falling probability: the answer from the next step's probability (excluded) up to this one's.
    steps: Vec<(f64, TaxonIndex)>,
}

impl Staircase {
    /// The root at every threshold: what is answered where there are no probabilities.
    #[must_use]
    pub fn root() -> Self {
        Self { steps: vec![(1.0, TaxonIndex::ROOT)] }
    }

    /// From the nodes that may answer, in pre-order, with their probabilities.
    pub(super) fn new(taxonomy: &Taxonomy, mut candidates: Vec<(f64, TaxonIndex)>) -> Self {
        candidates.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let mut steps = vec![(1.0, TaxonIndex::ROOT)];
        let mut best = 1.0;
        for (probability, taxon) in candidates {
            let score = f64::from(taxonomy.taxon(taxon).depth()) + probability;
            if score > best {
                best = score;
                // Nodes of one probability pass together: the last of them that is best answers.
                if steps.last().is_some_and(|&(last, _)| last <= probability) {
                    steps.pop();
                }
                steps.push((probability, taxon));
            }
        }
        Self { steps }
    }

    /// The answer at `threshold`.
    #[must_use]
    pub fn at(&self, threshold: Threshold) -> TaxonIndex {
        let passing = self.steps.partition_point(|&(probability, _)| probability >= threshold.value());
        self.steps.get(passing.saturating_sub(1)).map_or(TaxonIndex::ROOT, |&(_, taxon)| taxon)
    }

    /// The answers, as the threshold falls, each with the highest threshold it is given at.
    pub fn steps(&self) -> impl Iterator<Item = (f64, TaxonIndex)> + '_ {
        self.steps.iter().copied()
    }

    /// The highest threshold at which the answer is wrong for the organism `truth`: above it, every answer is the
    /// true taxon or one above it. `None` where no answer is wrong.
    #[must_use]
    pub fn highest_wrong(&self, taxonomy: &Taxonomy, truth: TaxonIndex) -> Option<f64> {
        let wrong = |&&(_, taxon): &&(f64, TaxonIndex)| !taxonomy.contains(taxon, truth);
        self.steps.iter().find(wrong).map(|&(probability, _)| probability)
    }
}

//! A picture's answers at every threshold, each judged.

use fieldmark_models::specificity::{Priors, SpecificityControl, Staircase, Threshold};
use fieldmark_models::taxonomy::{Rank, TaxonIndex, Taxonomy};

use super::Case;
use super::temperature::softmax;

/// Below this threshold answers are not told apart: a taxon this improbable is nobody's answer.
/// No threshold is lower, for nothing was judged there.
pub(super) const LOWEST: f64 = 0.01;

/// One answer, given from the next step's probability (excluded) up to this one's.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The highest threshold it is given at.
    pub probability: f64,
    /// Whether it is the true taxon or one above it.
    pub right: bool,
    /// Depth of the answer; a kingdom has 1.
    pub depth: u16,
    /// Rank of the answer.
    pub rank: Rank,
    /// Leaves of the tree not at or below the answer, as a share of information: 0 at the root, 1 at a leaf
    /// (Deng et al. 2012).
    pub information: f64,
}

/// The answers to one picture, by falling threshold; never empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    steps: Vec<Step>,
    /// Group of the picture.
    pub group: usize,
}

impl Judged {
    /// `staircase` judged by the organism `truth`.
    #[must_use]
    pub fn new(taxonomy: &Taxonomy, staircase: &Staircase, truth: TaxonIndex, group: usize) -> Self {
        let whole = (taxonomy.leaf_count() as f64).log2();
        let step = |(probability, taxon): (f64, TaxonIndex)| {
            let node = taxonomy.taxon(taxon);
            let below = (node.leaves().len() as f64).log2();
            Step {
                probability,
                right: taxonomy.contains(taxon, truth),
                depth: node.depth(),
                rank: node.rank().clone(),
                information: if whole > 0.0 { 1.0 - below / whole } else { 1.0 },
            }
        };
        Self { steps: staircase.steps().map(step).collect(), group }
    }

    /// The answer at `threshold`.
    #[must_use]
    pub fn at(&self, threshold: Threshold) -> &Step {
        let passing = self.steps.partition_point(|step| step.probability >= threshold.value());
        &self.steps[passing.max(1) - 1]
    }

    /// The lowest threshold above which every answer is right: the highest wrong answer's, or 0.
    #[must_use]
    pub fn critical(&self) -> f64 {
        self.steps.iter().find(|step| !step.right).map_or(0.0, |step| step.probability)
    }
}

/// Judges `cases` at `temperature`. A case whose logits are no numbers answers with the root.
#[must_use]
pub fn judge(cases: &[&Case<'_>], temperature: f64) -> Vec<Judged> {
    let mut control = SpecificityControl::new();
    let lowest = Threshold::new(LOWEST).unwrap_or_default();
    let of = |case: &&Case<'_>| {
        let probabilities = softmax(case.logits, temperature);
        let staircase = control.staircase(case.taxonomy, &probabilities, lowest, &Priors::none());
        let staircase = staircase.unwrap_or_else(|_| Staircase::root());
        Judged::new(case.taxonomy, &staircase, case.truth, case.group)
    };
    cases.iter().map(of).collect()
}

//! The decision.

use super::mass::Mass;
use super::{Decision, Priors, ProbabilityError, Staircase, Stop, Thresholds};
use crate::taxonomy::{TaxonIndex, Taxonomy};

/// Makes decisions over one taxonomy; keeps its working memory between them.
#[derive(Debug, Clone, Default)]
pub struct SpecificityControl {
    mass: Mass,
}

/// A node that may be the answer.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    taxon: TaxonIndex,
    score: f64,
    probability: f64,
}

impl SpecificityControl {
    /// With no working memory yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The answer for one vector of leaf probabilities `[leaves]`, in output order. Allocates nothing once it has
    /// decided over the same taxonomy before.
    ///
    /// Equal scores go to the higher probability, then to the node that stands first in pre-order. Equal best
    /// leaves go to the first output. At `t = 0` every node passes, as in the paper.
    ///
    /// # Errors
    /// If the numbers are not a distribution over the leaves.
    pub fn decide(
        &mut self,
        taxonomy: &Taxonomy,
        probabilities: &[f32],
        thresholds: &Thresholds,
        priors: &Priors,
    ) -> Result<Decision, ProbabilityError> {
        let best_leaf = self.weigh(taxonomy, probabilities, priors)?;
        if self.mass.total() <= 0.0 {
            return Ok(nothing_expected(thresholds, best_leaf));
        }
        let taxon = self.argmax(taxonomy, thresholds);
        Ok(Decision {
            taxon,
            probability: self.node_probability(taxonomy, taxon),
            threshold: thresholds.of(taxon),
            stop: if taxonomy.taxon(taxon).is_leaf() { Stop::Leaf } else { Stop::Threshold },
            best_leaf,
            best_leaf_probability: self.node_probability(taxonomy, best_leaf),
        })
    }

    /// The answers to one vector of leaf probabilities at every threshold from `lowest` upwards.
    ///
    /// # Errors
    /// If the numbers are not a distribution over the leaves.
    pub fn staircase(
        &mut self,
        taxonomy: &Taxonomy,
        probabilities: &[f32],
        lowest: super::Threshold,
        priors: &Priors,
    ) -> Result<Staircase, ProbabilityError> {
        self.weigh(taxonomy, probabilities, priors)?;
        let mut candidates = Vec::new();
        if self.mass.total() > 0.0 {
            let lowest = Thresholds::everywhere(lowest);
            self.walk(taxonomy, &lowest, |taxon, probability| candidates.push((probability, taxon)));
        }
        Ok(Staircase::new(taxonomy, candidates))
    }

    /// `NodeProbability` of `taxon` in the distribution last decided on; 0 before the first decision.
    #[must_use]
    pub fn node_probability(&self, taxonomy: &Taxonomy, taxon: TaxonIndex) -> f64 {
        if self.mass.total() <= 0.0 {
            return 0.0;
        }
        let leaves = taxonomy.taxon(taxon).leaves();
        self.mass.between(leaves.start, leaves.end) / self.mass.total()
    }

    /// The lineage of `taxon`, from the kingdom down, with probabilities in the distribution last decided on.
    pub fn lineage<'a>(
        &'a self,
        taxonomy: &'a Taxonomy,
        taxon: TaxonIndex,
    ) -> impl Iterator<Item = (TaxonIndex, f64)> + 'a {
        let with_probability = |taxon| (taxon, self.node_probability(taxonomy, taxon));
        taxonomy.lineage(taxon).into_iter().map(with_probability)
    }

    /// Sums the admitted mass and gives the leaf with the most of it.
    fn weigh(
        &mut self,
        taxonomy: &Taxonomy,
        probabilities: &[f32],
        priors: &Priors,
    ) -> Result<TaxonIndex, ProbabilityError> {
        let (found, expected) = (probabilities.len(), taxonomy.leaf_count());
        if found != expected {
            return Err(ProbabilityError::Count { found, expected });
        }
        let best_leaf = self.mass.sum(probabilities, priors.weights())?;
        Ok(taxonomy.leaf(best_leaf).unwrap_or(TaxonIndex::ROOT))
    }

    fn argmax(&self, taxonomy: &Taxonomy, thresholds: &Thresholds) -> TaxonIndex {
        let mut best = Candidate { taxon: TaxonIndex::ROOT, score: 1.0, probability: 1.0 };
        self.walk(taxonomy, thresholds, |taxon, probability| {
            let score = f64::from(taxonomy.taxon(taxon).depth()) + probability;
            if score > best.score || (score >= best.score && probability > best.probability) {
                best = Candidate { taxon, score, probability };
            }
        });
        best.taxon
    }

    /// Every node below the root that passes its threshold, in pre-order. A node is never less probable than those
    /// below it, so whole subtrees are passed over.
    fn walk(&self, taxonomy: &Taxonomy, thresholds: &Thresholds, mut visit: impl FnMut(TaxonIndex, f64)) {
        let total = self.mass.total();
        // A first child begins with its parent's first leaf, a sibling where the one before it ends: the mass before
        // a node is known from the node visited last.
        let (mut position, mut before) = (1, 0.0);
        while let Some(place) = taxonomy.places().get(position) {
            let through = self.mass.up_to(place.leaves_end as usize);
            let probability = (through - before) / total;
            if probability < thresholds.lowest_below(position) {
                (position, before) = (place.subtree_end as usize, through);
                continue;
            }
            let taxon = TaxonIndex::new(position);
            if probability >= thresholds.of(taxon).value() {
                visit(taxon, probability);
            }
            position += 1;
            if position == place.subtree_end as usize {
                before = through;
            }
        }
    }
}

fn nothing_expected(thresholds: &Thresholds, best_leaf: TaxonIndex) -> Decision {
    Decision {
        taxon: TaxonIndex::ROOT,
        probability: 0.0,
        threshold: thresholds.of(TaxonIndex::ROOT),
        stop: Stop::Prior,
        best_leaf,
        best_leaf_probability: 0.0,
    }
}

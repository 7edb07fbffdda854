//! Automatic specificity control (paper section 3.3): how specific an answer may be.
//!
//! `NodeProbability(n)` is the sum of the leaf probabilities at and below `n`. The answer is the node with the
//! greatest `Depth(n) + NodeProbability(n)` among those with `NodeProbability(n) >= t`. (The paper prints `< t`
//! in the formula; its prose, "greater or equal to the user-provided confidence threshold", is what is built.)
//!
//! Prior taxa condition the probabilities: leaves outside them count nothing and the rest is renormalised.
//! What the paper calls searching from the prior nodes follows, because nothing outside can pass the threshold.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::taxonomy::{TaxonIndex, Taxonomy};

/// How far the sum of the leaf probabilities may be from 1 before the network is not believed.
const SUM_TOLERANCE: f64 = 1e-2;

/// The confidence cut-off t, in `[0, 1]`; 0, which lets every node pass, by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Threshold(f64);

/// A number that is no probability.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("{0} is not between 0 and 1")]
pub struct NotAProbability(pub f64);

impl Threshold {
    /// # Errors
    /// If `value` is not a number in `[0, 1]`.
    pub fn new(value: f64) -> Result<Self, NotAProbability> {
        if (0.0..=1.0).contains(&value) { Ok(Self(value)) } else { Err(NotAProbability(value)) }
    }

    /// The cut-off as a number.
    #[must_use]
    pub fn value(self) -> f64 {
        self.0
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

/// Why the search went no deeper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stop {
    /// The answer is a leaf: nothing lies below.
    Leaf,
    /// Nothing deeper reaches the threshold.
    Threshold,
    /// The network gave no probability to anything below the priors; the answer is the root.
    Prior,
}

/// What specificity control answers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decision {
    /// The most specific taxon that is sure enough.
    pub taxon: TaxonIndex,
    /// Its probability, conditioned on the priors.
    pub probability: f64,
    /// The cut-off in force.
    pub threshold: Threshold,
    /// Why it is not more specific.
    pub stop: Stop,
    /// The most probable leaf.
    pub best_leaf: TaxonIndex,
    /// Its probability, conditioned on the priors.
    pub best_leaf_probability: f64,
}

/// Leaf probabilities that no decision can be made from.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ProbabilityError {
    /// As many numbers as the taxonomy has leaves are needed.
    #[error("the network gave {found} probabilities, the taxonomy has {expected} leaves")]
    Count {
        /// Numbers given.
        found: usize,
        /// Leaves of the taxonomy.
        expected: usize,
    },
    /// Negative, infinite or not a number.
    #[error("output {output} of the network is {value}, which is no probability")]
    Value {
        /// Position of the number.
        output: usize,
        /// The number.
        value: f32,
    },
    /// They are not a distribution.
    #[error("the network's probabilities sum to {0}, not 1")]
    Sum(f64),
}

/// Taxa to begin from, merged so that no leaf counts twice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Priors {
    /// Disjoint ranges of outputs, ascending; empty means the root.
    ranges: Vec<(usize, usize)>,
}

impl Priors {
    /// Begin from the root.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Begin from these taxa; nested ones are merged into the higher.
    #[must_use]
    pub fn new(taxonomy: &Taxonomy, taxa: impl IntoIterator<Item = TaxonIndex>) -> Self {
        let mut ranges: Vec<_> = taxa
            .into_iter()
            .map(|taxon| taxonomy.taxon(taxon).leaves())
            .map(|leaves| (leaves.start, leaves.end))
            .collect();
        ranges.sort_unstable();
        // In a tree two ranges are nested or disjoint: one that starts before the last end is inside it, unless
        // both start together and the later is the larger.
        let mut merged: Vec<(usize, usize)> = Vec::with_capacity(ranges.len());
        for (start, end) in ranges {
            match merged.last_mut() {
                Some(last) if start < last.1 => last.1 = last.1.max(end),
                _ => merged.push((start, end)),
            }
        }
        Self { ranges: merged }
    }

    /// Whether the search begins from the root.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.ranges.is_empty()
    }

    fn admits(&self, output: usize) -> bool {
        self.is_none() || self.ranges.iter().any(|&(start, end)| (start..end).contains(&output))
    }
}

/// Makes decisions over one taxonomy; keeps its working memory between them.
#[derive(Debug, Clone, Default)]
pub struct SpecificityControl {
    /// `prefix[i]` is the mass of the admitted leaves before output `i`.
    prefix: Vec<f64>,
}

impl SpecificityControl {
    /// With no working memory yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The answer for one vector of leaf probabilities `[leaves]`, in output order.
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
        threshold: Threshold,
        priors: &Priors,
    ) -> Result<Decision, ProbabilityError> {
        let best_leaf = self.sum(taxonomy, probabilities, priors)?;
        let best_leaf = taxonomy.leaf(best_leaf).unwrap_or(TaxonIndex::ROOT);
        let total = self.total();
        if total <= 0.0 {
            let (taxon, stop) = (TaxonIndex::ROOT, Stop::Prior);
            return Ok(Decision {
                taxon,
                probability: 0.0,
                threshold,
                stop,
                best_leaf,
                best_leaf_probability: 0.0,
            });
        }
        let taxon = self.argmax(taxonomy, threshold);
        Ok(Decision {
            taxon,
            probability: self.node_probability(taxonomy, taxon),
            threshold,
            stop: if taxonomy.taxon(taxon).is_leaf() { Stop::Leaf } else { Stop::Threshold },
            best_leaf,
            best_leaf_probability: self.node_probability(taxonomy, best_leaf),
        })
    }

    /// `NodeProbability` of `taxon` in the distribution last decided on; 0 before the first decision.
    #[must_use]
    pub fn node_probability(&self, taxonomy: &Taxonomy, taxon: TaxonIndex) -> f64 {
        let leaves = taxonomy.taxon(taxon).leaves();
        match (self.prefix.get(leaves.start), self.prefix.get(leaves.end)) {
            (Some(before), Some(through)) if self.total() > 0.0 => (through - before) / self.total(),
            _ => 0.0,
        }
    }

    fn total(&self) -> f64 {
        self.prefix.last().copied().unwrap_or(0.0)
    }

    /// Fills the prefix sums and gives the output with the most admitted mass.
    fn sum(
        &mut self,
        taxonomy: &Taxonomy,
        probabilities: &[f32],
        priors: &Priors,
    ) -> Result<usize, ProbabilityError> {
        let (found, expected) = (probabilities.len(), taxonomy.leaf_count());
        if found != expected {
            return Err(ProbabilityError::Count { found, expected });
        }
        self.prefix.clear();
        self.prefix.push(0.0);
        let (mut admitted, mut all) = (0.0, 0.0);
        let mut best = (f64::NEG_INFINITY, 0);
        for (output, &value) in probabilities.iter().enumerate() {
            if !value.is_finite() || value < 0.0 {
                return Err(ProbabilityError::Value { output, value });
            }
            let mass = f64::from(value);
            all += mass;
            if priors.admits(output) {
                admitted += mass;
                if mass > best.0 {
                    best = (mass, output);
                }
            }
            self.prefix.push(admitted);
        }
        if (all - 1.0).abs() > SUM_TOLERANCE { Err(ProbabilityError::Sum(all)) } else { Ok(best.1) }
    }

    fn argmax(&self, taxonomy: &Taxonomy, threshold: Threshold) -> TaxonIndex {
        let mut best = (TaxonIndex::ROOT, 1.0, 1.0);
        for (index, taxon) in taxonomy.iter().skip(1) {
            let probability = self.node_probability(taxonomy, index);
            let score = f64::from(taxon.depth()) + probability;
            let better = score > best.1 || (score >= best.1 && probability > best.2);
            if probability >= threshold.value() && better {
                best = (index, score, probability);
            }
        }
        best.0
    }
}

#[cfg(test)]
mod tests;

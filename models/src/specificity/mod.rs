//! Automatic specificity control (paper section 3.3): how specific an answer may be.
//!
//! `NodeProbability(n)` is the sum of the leaf probabilities at and below `n`. The answer is the node with the
//! greatest `Depth(n) + NodeProbability(n)` among those with `NodeProbability(n) >= t`. (The paper prints `< t`
//! in the formula; its prose, "greater or equal to the user-provided confidence threshold", is what is built.)
//!
//! Priors condition the probabilities: each leaf's is multiplied by its weight, and the rest is renormalised. A
//! threshold may differ between parts of the tree.

mod control;
mod mass;
mod priors;
mod staircase;
mod threshold;

use serde::{Deserialize, Serialize};

use crate::taxonomy::TaxonIndex;

pub use control::SpecificityControl;
pub use priors::{Priors, PriorsError};
pub use staircase::Staircase;
pub use threshold::{NotAProbability, Threshold, Thresholds};

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
    /// The cut-off in force for it.
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

#[cfg(test)]
mod tests;

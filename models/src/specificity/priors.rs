//! What is known before looking: taxa to begin from, and how common each leaf is here and now.

use std::sync::Arc;

use crate::taxonomy::{TaxonIndex, Taxonomy};

/// A weight for every leaf; probabilities are multiplied by them, and what comes out is renormalised.
///
/// Prior taxa are weights of 1 within them and 0 elsewhere. What the paper calls searching from the prior nodes
/// follows, because nothing outside can pass the threshold, and nested taxa need no merging.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Priors {
    /// `[leaves]`, none negative; absent when every leaf weighs the same.
    weights: Option<Arc<[f32]>>,
}

/// Weights that are no prior.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum PriorsError {
    /// One weight a leaf is needed.
    #[error("{found} weights for {expected} leaves")]
    Count {
        /// Weights given.
        found: usize,
        /// Leaves of the taxonomy.
        expected: usize,
    },
    /// Negative, infinite or not a number.
    #[error("the weight of output {output} is {value}: give a number from 0 upwards")]
    Value {
        /// Position of the weight.
        output: usize,
        /// The weight.
        value: f32,
    },
    /// Nothing could ever be answered.
    #[error("every weight is 0: nothing would be left to answer")]
    Nothing,
}

impl Priors {
    /// Begin from the root; every leaf weighs the same.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Begin from these taxa; the root where there are none.
    #[must_use]
    pub fn new(taxonomy: &Taxonomy, taxa: impl IntoIterator<Item = TaxonIndex>) -> Self {
        let mut weights: Option<Vec<f32>> = None;
        for taxon in taxa {
            let weights = weights.get_or_insert_with(|| vec![0.0; taxonomy.leaf_count()]);
            weights[taxonomy.taxon(taxon).leaves()].fill(1.0);
        }
        Self { weights: weights.filter(|weights| weights.contains(&0.0)).map(Into::into) }
    }

    /// `weights`, `[leaves]` in output order.
    ///
    /// # Errors
    /// If they are not one finite number from 0 upwards a leaf, or all 0.
    pub fn weighted(taxonomy: &Taxonomy, weights: Vec<f32>) -> Result<Self, PriorsError> {
        let (found, expected) = (weights.len(), taxonomy.leaf_count());
        if found != expected {
            return Err(PriorsError::Count { found, expected });
        }
        if let Some((output, &value)) =
            weights.iter().enumerate().find(|(_, w)| !(w.is_finite() && **w >= 0.0))
        {
            return Err(PriorsError::Value { output, value });
        }
        if weights.iter().all(|&weight| weight == 0.0) {
            return Err(PriorsError::Nothing);
        }
        Ok(Self { weights: Some(weights.into()) })
    }

    /// Both: the product of the weights.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        match (&self.weights, &other.weights) {
            (None, weights) | (weights, None) => Self { weights: weights.clone() },
            (Some(one), Some(two)) => {
                Self { weights: Some(one.iter().zip(two.iter()).map(|(a, b)| a * b).collect()) }
            }
        }
    }

    /// Whether every leaf weighs the same.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.weights.is_none()
    }

    /// `[leaves]`, where they differ.
    pub(super) fn weights(&self) -> Option<&[f32]> {
        self.weights.as_deref()
    }
}

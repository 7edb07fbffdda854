//! Weights of the classifier.

use rand::RngExt as _;
use rand::rngs::StdRng;

/// The classifier: `logits = (scale * W z + b) / temperature`, `z` being the feature.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadWeights {
    /// `[leaves, features]`, row-major.
    pub weight: Vec<f32>,
    /// `[leaves]`.
    pub bias: Vec<f32>,
    /// Factor on the product.
    pub scale: f32,
    /// Divides the logits.
    pub temperature: f32,
    /// What the weights are multiplied with.
    pub feature: Feature,
}

impl HeadWeights {
    /// Xavier-uniform weights and no bias, on features as pooled.
    #[must_use]
    pub fn random(features: usize, classes: usize, random: &mut StdRng) -> Self {
        let limit = (6.0 / (features + classes) as f32).sqrt();
        let weight = (0..features * classes).map(|_| random.random_range(-limit..limit)).collect();
        Self { weight, bias: vec![0.0; classes], scale: 1.0, temperature: 1.0, feature: Feature::Pooled }
    }
}

/// The vector below the classifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    /// As pooling gives it.
    Pooled,
    /// Divided by its Euclidean length.
    UnitLength,
}

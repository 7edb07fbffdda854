//! Golden pictures: a few pictures and the probabilities they must give on any engine.

use serde::{Deserialize, Serialize};

/// `golden/index.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Golden {
    /// Largest difference of any one probability that still counts as the same answer. Engines differ in
    /// rounding; int8 files are judged by their own, wider figure.
    pub tolerance: f32,
    /// The pictures.
    pub picture: Vec<GoldenPicture>,
}

/// One picture and its answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoldenPicture {
    /// Path in the archive: `golden/NAME`.
    pub file: String,
    /// Licence of the picture (SPDX expression), which must allow anyone to pass it on.
    pub licence: String,
    /// Who made it and where it is from.
    pub attribution: String,
    /// What the network gives for the whole picture: `[leaves]`.
    pub probabilities: Vec<f32>,
}

/// Why a picture's answer is not the golden one.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum GoldenError {
    /// Not as many probabilities as leaves.
    #[error("{file} has {found} probabilities, the taxonomy has {expected} leaves")]
    Count {
        /// Path of the picture.
        file: String,
        /// Probabilities found.
        found: usize,
        /// Leaves of the taxonomy.
        expected: usize,
    },
    /// Beyond the tolerance.
    #[error("{file}: output {output} is {found}, must be {expected} within {tolerance}")]
    Differs {
        /// Path of the picture.
        file: String,
        /// Output with the largest difference.
        output: usize,
        /// Probability the engine gave.
        found: f32,
        /// Golden probability.
        expected: f32,
        /// Allowed difference.
        tolerance: f32,
    },
}

impl Golden {
    /// Compares an engine's probabilities for `picture` with the golden ones; gives the largest difference.
    ///
    /// # Errors
    /// If there are more or fewer, or one differs by more than the tolerance or is no number.
    pub fn compare(&self, picture: &GoldenPicture, probabilities: &[f32]) -> Result<f32, GoldenError> {
        let file = || picture.file.clone();
        let (found, expected) = (probabilities.len(), picture.probabilities.len());
        if found != expected {
            return Err(GoldenError::Count { file: file(), found, expected });
        }
        let pairs = probabilities.iter().zip(&picture.probabilities).enumerate();
        let mut largest = 0.0;
        for (output, (&found, &expected)) in pairs {
            let difference = (found - expected).abs();
            if difference.is_nan() || difference > self.tolerance {
                let (file, tolerance) = (file(), self.tolerance);
                return Err(GoldenError::Differs { file, output, found, expected, tolerance });
            }
            largest = f32::max(largest, difference);
        }
        Ok(largest)
    }
}

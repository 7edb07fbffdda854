//! What is remembered of many answers: counts and sums, whatever their number.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Look;

/// Answers, each the first of a track: a single frame's, as those the calibration was measured with.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Answers {
    /// How many.
    pub count: u64,
    /// By rank; `root` is "an organism".
    pub ranks: BTreeMap<String, u64>,
    /// Sum of their depths.
    pub depths: f64,
    /// Sum of the probabilities of their best leaves.
    pub best: f64,
    /// Sum of the squares of these.
    pub best_squared: f64,
}

impl Answers {
    /// Takes an answer in.
    pub fn add(&mut self, rank: &str, depth: u16, best_leaf: f64) {
        self.count += 1;
        match self.ranks.get_mut(rank) {
            Some(count) => *count += 1,
            None => _ = self.ranks.insert(rank.into(), 1),
        }
        self.depths += f64::from(depth);
        self.best += best_leaf;
        self.best_squared += best_leaf * best_leaf;
    }

    /// Their mean depth, where there are any.
    #[must_use]
    pub fn mean_depth(&self) -> Option<f64> {
        (self.count > 0).then(|| self.depths / number(self.count))
    }

    /// Mean and variance of the probability of the best leaf, where there are two.
    #[must_use]
    pub fn best_leaf(&self) -> Option<(f64, f64)> {
        let count = number(self.count);
        let mean = self.best / count;
        (self.count > 1).then(|| (mean, (self.best_squared - count * mean * mean).max(0.0) / (count - 1.0)))
    }
}

/// Pictures, a few a minute.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Looks {
    /// How many.
    pub count: u64,
    /// Sum of the logarithms of their sharpness: a ratio is what matters.
    pub sharpness: f64,
    /// Sum of their brightness.
    pub brightness: f64,
}

impl Looks {
    /// Takes a picture in.
    pub fn add(&mut self, look: Look) {
        self.count += 1;
        self.sharpness += look.sharpness.max(1e-6).ln();
        self.brightness += look.brightness;
    }

    /// Geometric mean of their sharpness, where there are any.
    #[must_use]
    pub fn mean_sharpness(&self) -> Option<f64> {
        (self.count > 0).then(|| (self.sharpness / number(self.count)).exp())
    }

    /// Mean brightness, 0 to 255, where there are any.
    #[must_use]
    pub fn mean_brightness(&self) -> Option<f64> {
        (self.count > 0).then(|| self.brightness / number(self.count))
    }
}

/// Both.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Answers.
    pub answers: Answers,
    /// Pictures.
    pub looks: Looks,
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub(super) fn number(count: u64) -> f64 {
    count as f64
}

//! Thresholds as order statistics of critical thresholds.
//!
//! A picture's answer is right at every threshold above its critical one, so the share of right answers at a
//! threshold t is at least the share of critical thresholds below t, and every threshold sought is one of them.

use fieldmark_models::specificity::Threshold;
use statrs::distribution::{Binomial, DiscreteCDF as _};

use super::Judged;
use super::judged::LOWEST;

/// Critical thresholds of independent pictures, ascending.
#[derive(Debug, Clone, PartialEq)]
pub struct CriticalThresholds(Vec<f64>);

impl CriticalThresholds {
    /// Those of `judged`.
    #[must_use]
    pub fn new(judged: &[Judged]) -> Self {
        let mut thresholds: Vec<f64> = judged.iter().map(Judged::critical).collect();
        thresholds.sort_by(f64::total_cmp);
        Self(thresholds)
    }

    /// The lowest threshold above the `target` quantile: a share of at least `target` of these pictures is right at
    /// it and at every higher one.
    #[must_use]
    pub fn exact(&self, target: f64) -> Threshold {
        self.above_rank(ceil(self.0.len() as f64 * target))
    }

    /// The split-conformal rank ceil((n + 1) target): for a picture exchangeable with these, the probability of a
    /// right answer is at least `target`, on average over calibrations.
    #[must_use]
    pub fn average(&self, target: f64) -> Threshold {
        self.above_rank(ceil((self.0.len() + 1) as f64 * target))
    }

    /// The lowest rank whose Clopper-Pearson lower bound at `confidence` is `target` or more: with that
    /// probability, the accuracy on independent pictures of the same kind is at least `target`.
    ///
    /// With k of n pictures below the threshold, that bound is `target` or more just when a binomial of n trials
    /// and probability `target` reaches k with probability at most 1 - `confidence`.
    #[must_use]
    pub fn confident(&self, target: f64, confidence: f64) -> Threshold {
        let n = self.0.len();
        let Ok(binomial) = Binomial::new(target, n as u64) else { return Threshold::CERTAIN };
        let reached = |rank: usize| binomial.sf(rank.saturating_sub(1) as u64) <= 1.0 - confidence;
        // The tail shrinks as the rank grows.
        let (mut low, mut high) = (1, n + 1);
        while low < high {
            let middle = usize::midpoint(low, high);
            if reached(middle) { high = middle } else { low = middle + 1 }
        }
        self.above_rank(low)
    }

    /// Just above the `rank`-th smallest, the first being 1; past the last only what is certain passes.
    fn above_rank(&self, rank: usize) -> Threshold {
        match self.0.get(rank.max(1) - 1) {
            // No answer to these pictures was ever wrong: nothing asks for more.
            Some(&critical) if critical < LOWEST => Threshold::new(LOWEST).unwrap_or_default(),
            Some(&critical) => Threshold::above(critical.min(1.0)).unwrap_or(Threshold::CERTAIN),
            None => Threshold::CERTAIN,
        }
    }
}

/// The next whole number, but not for a product that is one but for its last bits.
fn ceil(value: f64) -> usize {
    (value - 1e-9).ceil().max(0.0) as usize
}

#[cfg(test)]
impl CriticalThresholds {
    /// `n` pictures with critical thresholds 0.001, 0.002, ...
    pub(super) fn ranked(n: usize) -> Self {
        Self((1..=n).map(|rank| rank as f64 / 1000.0).collect())
    }
}

//! Whether probabilities mean what they say: the share of right answers among those given with about the same
//! probability (reliability diagram; Guo et al. 2017, section 2).

use super::Trials;
use super::top1::is_right;
use crate::calibrate::softmax;

/// Bins of equal width.
const BINS: usize = 10;

/// Best leaves given with about the same probability.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Bin {
    /// Their mean probability.
    pub probability: f64,
    /// Share of them that is right.
    pub accuracy: f64,
    /// How many they are.
    pub n: usize,
}

/// The best leaves' probabilities beside what came of them.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Reliability {
    /// Temperature of the probabilities. It was fitted to the same pictures.
    pub temperature: f64,
    /// Bins that have answers, by rising probability.
    pub bins: Vec<Bin>,
    /// Expected calibration error: mean distance of probability and accuracy, bins counting by their answers.
    pub expected_calibration_error: f64,
}

pub(super) fn reliability(trials: &Trials, temperature: f64) -> Reliability {
    let mut sums = [(0.0, 0usize, 0usize); BINS];
    for (tree, trial) in trials.plain() {
        let best = softmax(&trial.logits, temperature).into_iter().fold(0.0, f32::max);
        let bin = ((f64::from(best) * BINS as f64) as usize).min(BINS - 1);
        let (probability, right, n) = &mut sums[bin];
        *probability += f64::from(best);
        *right += usize::from(is_right(tree, trial));
        *n += 1;
    }
    let bins: Vec<Bin> = sums
        .into_iter()
        .filter(|&(.., n)| n > 0)
        .map(|(probability, right, n)| Bin {
            probability: probability / n as f64,
            accuracy: right as f64 / n as f64,
            n,
        })
        .collect();
    let all = bins.iter().map(|bin| bin.n).sum::<usize>().max(1) as f64;
    let error =
        bins.iter().map(|bin| (bin.probability - bin.accuracy).abs() * bin.n as f64).sum::<f64>() / all;
    Reliability { temperature, bins, expected_calibration_error: error }
}

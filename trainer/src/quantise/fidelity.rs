//! How far a quantised model answers like the original.

use fieldmark_models::specificity::Threshold;
use fieldmark_models::taxonomy::Taxonomy;

use super::engine::Sample;
use crate::calibrate::{Case, Judged, judge};

/// Smallest probability whose logarithm is taken.
const SMALLEST: f32 = 1e-30;

/// Answers of two models about the same pictures, compared.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct Fidelity {
    /// Pictures.
    pub pictures: usize,
    /// Share of pictures with the same best leaf.
    pub agreement: f64,
    /// Share of best leaves of the original at or below the label.
    pub top1_float: f64,
    /// The same of the quantised.
    pub top1: f64,
    /// Mean depth of the original's answers at the threshold.
    pub depth_float: f64,
    /// Mean depth of the quantised model's answers, at its own threshold.
    pub depth: f64,
    /// Mean Kullback-Leibler divergence of the quantised from the original probabilities, in nats.
    pub divergence: f64,
    /// Largest difference of any one probability.
    pub largest_difference: f32,
}

/// What a quantised model must reach.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Target {
    /// Least agreement of best leaves.
    pub agreement: f64,
    /// Largest drop of top-1 accuracy.
    pub drop: f64,
    /// Largest difference of mean depths.
    pub depth: f64,
}

impl Default for Target {
    fn default() -> Self {
        Self { agreement: 0.99, drop: 0.005, depth: 0.05 }
    }
}

impl Fidelity {
    /// Compares `float` and `other`, probabilities of `samples`, each with its threshold.
    #[must_use]
    pub fn of(
        taxonomy: &Taxonomy,
        samples: &[Sample],
        (float, float_threshold): (&[Vec<f32>], Threshold),
        (other, threshold): (&[Vec<f32>], Threshold),
    ) -> Self {
        let mut out = Self { pictures: samples.len(), ..Self::default() };
        let share = 1.0 / samples.len().max(1) as f64;
        for (sample, (float, other)) in samples.iter().zip(float.iter().zip(other)) {
            let (best_float, best) = (best(float), best(other));
            let leaves = taxonomy.taxon(sample.truth).leaves();
            let right = |leaf: usize| if leaves.contains(&leaf) { share } else { 0.0 };
            out.agreement += if best_float == best { share } else { 0.0 };
            out.top1_float += right(best_float);
            out.top1 += right(best);
            for (&p, &q) in float.iter().zip(other) {
                out.largest_difference = out.largest_difference.max((p - q).abs());
                let ratio = f64::from(p.max(SMALLEST)) / f64::from(q.max(SMALLEST));
                out.divergence += share * f64::from(p) * ratio.ln();
            }
        }
        out.depth_float = mean_depth(&judged(taxonomy, samples, float), float_threshold);
        out.depth = mean_depth(&judged(taxonomy, samples, other), threshold);
        out
    }

    /// Whether it is as good as `target` asks.
    #[must_use]
    pub fn reaches(&self, target: &Target) -> bool {
        // Shares are sums of parts: the last bit is not a picture.
        self.agreement + 1e-9 >= target.agreement
            && self.top1_float - self.top1 <= target.drop + 1e-9
            && (self.depth - self.depth_float).abs() <= target.depth + 1e-9
    }
}

/// The likeliest leaf.
pub(super) fn best(row: &[f32]) -> usize {
    row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(leaf, _)| leaf)
}

/// The answers to `samples` at every threshold.
#[must_use]
pub(super) fn judged(taxonomy: &Taxonomy, samples: &[Sample], probabilities: &[Vec<f32>]) -> Vec<Judged> {
    let logits = logits(probabilities);
    let cases = cases(taxonomy, samples, &logits);
    judge(&cases.iter().collect::<Vec<_>>(), 1.0)
}

/// Logits but for a constant, which softmax does not see.
#[must_use]
pub(super) fn logits(probabilities: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let row = |row: &Vec<f32>| row.iter().map(|p| p.max(SMALLEST).ln()).collect();
    probabilities.iter().map(row).collect()
}

/// One case a picture.
#[must_use]
pub(super) fn cases<'a>(taxonomy: &'a Taxonomy, samples: &[Sample], logits: &'a [Vec<f32>]) -> Vec<Case<'a>> {
    let case = |(sample, logits): (&Sample, &'a Vec<f32>)| Case {
        taxonomy,
        logits,
        truth: sample.truth,
        group: sample.group,
    };
    samples.iter().zip(logits).map(case).collect()
}

/// Mean depth of answers at `threshold`.
#[must_use]
pub(super) fn mean_depth(judged: &[Judged], threshold: Threshold) -> f64 {
    let depth = |answer: &Judged| f64::from(answer.at(threshold).depth);
    judged.iter().map(depth).sum::<f64>() / judged.len().max(1) as f64
}

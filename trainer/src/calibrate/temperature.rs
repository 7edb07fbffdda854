//! Temperature scaling (Guo et al. 2017).

use super::Case;

/// Halvings of the bracket: to a ten-millionth of its logarithm.
const STEPS: usize = 40;

/// Softmax of `logits / temperature`.
#[must_use]
pub(crate) fn softmax(logits: &[f32], temperature: f64) -> Vec<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> =
        logits.iter().map(|logit| (f64::from(logit - largest) / temperature).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| (power / sum) as f32).collect()
}

/// The temperature under which the true taxa of `cases` are most probable, from 0.05 to 20, by golden-section
/// search.
#[must_use]
pub fn best_temperature(cases: &[&Case<'_>]) -> f64 {
    let loss = |temperature: f64| -> f64 {
        let of = |case: &&Case<'_>| {
            let leaves = case.taxonomy.taxon(case.truth).leaves();
            let mass: f32 = softmax(case.logits, temperature)[leaves].iter().sum();
            -f64::from(mass.max(1e-9)).ln()
        };
        cases.iter().map(of).sum()
    };
    let (mut low, mut high): (f64, f64) = (0.05f64.ln(), 20f64.ln());
    let ratio = (5f64.sqrt() - 1.0) / 2.0;
    for _ in 0..STEPS {
        let (left, right) = (high - ratio * (high - low), low + ratio * (high - low));
        if loss(left.exp()) < loss(right.exp()) { high = right } else { low = left }
    }
    f64::midpoint(low, high).exp()
}

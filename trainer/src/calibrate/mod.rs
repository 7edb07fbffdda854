//! From answers on pictures the network never saw to the thresholds of `calibration.toml` (paper section 3.3).
//!
//! Logits get a temperature, become a staircase of answers by threshold, each step judged right or wrong; on those
//! the paper's hill climbing, the exact quantile and the two guaranteed ones are found, and figures taken from the
//! half of the pictures that no threshold was fitted to.

mod case;
mod climb;
mod figures;
mod halves;
mod judged;
mod order;
mod temperature;

use fieldmark_models::calibration::{Calibration, CalibrationError, Point};
use fieldmark_models::specificity::Threshold;

pub use case::Case;
pub use climb::climb;
pub use figures::{Figures, Specificity, wilson};
pub use halves::{Halving, halvings};
pub use judged::{Judged, Step, judge};
pub use order::CriticalThresholds;
pub use temperature::best_temperature;
pub(crate) use temperature::softmax;

/// How to calibrate.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Accuracies to find thresholds for, ascending.
    pub targets: Vec<f64>,
    /// Probability with which a `confident` threshold keeps its promise.
    pub confidence: f64,
    /// With 1, thresholds come from one half and figures from the other, as in the paper. With more, figures are the
    /// mean over as many halvings with each half in both roles, and thresholds come from everything: for sets too
    /// small for one half to speak for the other.
    pub halvings: usize,
    /// Decides the halves.
    pub seed: u64,
}

/// Calibrates on `cases`; pictures of one group stand in the same half.
///
/// # Errors
/// If there are fewer than two groups.
pub fn calibrate(cases: &[Case<'_>], settings: &Settings) -> Result<Calibration, CalibrationError> {
    let halvings = halvings(cases, settings.halvings, settings.seed);
    if halvings.is_empty() {
        return Err(CalibrationError::Empty);
    }
    let fitted: Vec<&Case<'_>> =
        if settings.halvings == 1 { halvings[0].fitting.clone() } else { cases.iter().collect() };
    let temperature = best_temperature(&fitted);
    let judged = judge(&fitted, temperature);
    // Pictures of one group stand and fall together: one of each is all that a promise may count.
    let independent: Vec<Judged> = judge(&halves::one_a_group(&fitted, settings.seed), temperature);
    let critical = CriticalThresholds::new(&judged);
    let promised = CriticalThresholds::new(&independent);
    let figures = figures_on_other_halves(&halvings, settings);
    let mut climbed = Threshold::default();
    let mut curve = Vec::with_capacity(settings.targets.len());
    for (&target, figures) in settings.targets.iter().zip(figures) {
        // A higher target never has a lower threshold; the climb's noise could say otherwise.
        climbed = climbed.max(climb(&judged, target, settings.seed));
        let (accuracy_low, accuracy_high) = figures.interval();
        curve.push(Point {
            target,
            threshold: climbed,
            exact: critical.exact(target),
            average: promised.average(target),
            confident: promised.confident(target, settings.confidence),
            accuracy: figures.accuracy,
            accuracy_low,
            accuracy_high,
            mean_depth: figures.mean_depth,
            ranks: figures.ranks,
        });
    }
    Calibration::new(fitted.len() as u64, temperature, settings.confidence, curve)
}

/// For each target, figures on the halves that the climbed thresholds were not fitted to, mean over `halvings`.
fn figures_on_other_halves(halvings: &[Halving<'_>], settings: &Settings) -> Vec<Figures> {
    let mut by_target: Vec<Vec<Figures>> = vec![Vec::new(); settings.targets.len()];
    for halving in halvings {
        let temperature = best_temperature(&halving.fitting);
        let (fitted, other) = (judge(&halving.fitting, temperature), judge(&halving.judging, temperature));
        let mut threshold = Threshold::default();
        for (&target, all) in settings.targets.iter().zip(&mut by_target) {
            threshold = threshold.max(climb(&fitted, target, settings.seed));
            all.push(Figures::of(&other, threshold));
        }
    }
    by_target.iter().map(|all| Figures::mean(all)).collect()
}

#[cfg(test)]
mod tests;

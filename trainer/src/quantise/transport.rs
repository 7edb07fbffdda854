//! Thresholds brought over from the float model: the int8 model answers as deep at its own as the original at its.
//!
//! This needs no labels, so pictures that the model was trained on will do. What the thresholds promise was found on
//! pictures it was not trained on, and is as good as the two models' answers are alike.

use fieldmark_models::calibration::{Calibration, CalibrationError, Point};
use fieldmark_models::specificity::Threshold;

use super::fidelity::mean_depth;
use crate::calibrate::Judged;

/// Halvings of the bracket.
const STEPS: usize = 40;

/// `calibration` of the model that gave `float`, for the one that gave `other`, about the same pictures.
///
/// # Errors
/// If the result is no calibration, which means that the original was none.
pub fn transport(
    calibration: &Calibration,
    float: &[Judged],
    other: &[Judged],
) -> Result<Calibration, CalibrationError> {
    let mut last = [Threshold::default(); 4];
    let mut curve = Vec::with_capacity(calibration.curve().len());
    for point in calibration.curve() {
        let old = [point.threshold, point.exact, point.average, point.confident];
        for (last, threshold) in last.iter_mut().zip(old) {
            // A higher target never has a lower threshold.
            *last = (*last).max(brought_over(threshold, float, other));
        }
        let [threshold, exact, average, confident] = last;
        curve.push(Point { threshold, exact, average, confident, ..point.clone() });
    }
    Calibration::new(calibration.n(), calibration.temperature(), calibration.confidence(), curve)
}

/// The threshold nearest to `threshold` at which `other` is as deep as `float` is at `threshold`.
fn brought_over(threshold: Threshold, float: &[Judged], other: &[Judged]) -> Threshold {
    let wanted = mean_depth(float, threshold);
    let found = mean_depth(other, threshold);
    // Thresholds of 0 and 1 answer everything or promise nothing, on any model.
    if (found - wanted).abs() < 1e-9 || threshold.value() <= 0.0 || threshold.value() >= 1.0 {
        return threshold;
    }
    // Depth falls with the threshold.
    let (mut low, mut high) =
        if found > wanted { (threshold.value(), 1.0) } else { (0.0, threshold.value()) };
    for _ in 0..STEPS {
        let middle = f64::midpoint(low, high);
        let depth = mean_depth(other, Threshold::new(middle).unwrap_or(threshold));
        if depth > wanted { low = middle } else { high = middle }
    }
    // Of the two sides of the step, the nearer depth; where they tie, the more careful.
    let at = |value: f64| Threshold::new(value).unwrap_or(threshold);
    let miss = |value: f64| (mean_depth(other, at(value)) - wanted).abs();
    if miss(low) < miss(high) { at(low) } else { at(high) }
}

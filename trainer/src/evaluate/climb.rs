//! The threshold for a target accuracy, by hill climbing while evaluating (paper section 3.3).

use fieldmark_models::specificity::Threshold;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;

/// Passes over the trials: enough for the learning factor to fall to a hundredth.
const PASSES: usize = 40;

/// Moves the threshold after every answer, up after a wrong one and down after a right one, so that it rests
/// where the share of right answers is `target`; the steps shrink as the climb goes on.
///
/// `is_correct(trial, threshold)` decides trial number `trial`.
#[must_use]
pub fn climb(
    trials: usize,
    target: f64,
    seed: u64,
    mut is_correct: impl FnMut(usize, Threshold) -> bool,
) -> Threshold {
    let mut random = StdRng::seed_from_u64(seed);
    let mut order: Vec<usize> = (0..trials).collect();
    let (mut value, mut rest_sum, mut rest_steps): (f64, f64, u32) = (0.5, 0.0, 0);
    let mut threshold = Threshold::default();
    for pass in 0..PASSES {
        order.shuffle(&mut random);
        let factor = 0.1 / (1.0 + pass as f64);
        for &trial in &order {
            threshold = Threshold::new(value.clamp(0.0, 1.0)).unwrap_or(threshold);
            let right = f64::from(u8::from(is_correct(trial, threshold)));
            value = (value + factor * (target - right)).clamp(0.0, 1.0);
            if pass >= PASSES / 2 {
                rest_sum += value;
                rest_steps += 1;
            }
        }
    }
    // Where the climb rests, not where its last step happened to fall.
    let rest = if rest_steps == 0 { value } else { rest_sum / f64::from(rest_steps) };
    Threshold::new(rest.clamp(0.0, 1.0)).unwrap_or(threshold)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_climb_rests_where_the_target_is_met() {
        // Trial i of 1000 is right when the threshold is at least i / 1000: accuracy equals the threshold.
        for target in [0.5, 0.8, 0.9, 0.97] {
            let threshold = climb(1000, target, 1, |trial, t| t.value() >= trial as f64 / 1000.0);
            assert!((threshold.value() - target).abs() < 0.02, "{target}: {threshold}");
        }
    }

    #[test]
    fn a_target_that_is_always_met_asks_for_no_confidence() {
        assert!(climb(100, 0.9, 1, |_, _| true).value() < 0.05);
        assert!(climb(100, 0.9, 1, |_, _| false).value() > 0.95);
    }
}

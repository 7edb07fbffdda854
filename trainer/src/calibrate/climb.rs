//! The threshold for a target accuracy, by hill climbing while evaluating (paper section 3.3).

use fieldmark_models::specificity::Threshold;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;

use super::Judged;
use super::judged::LOWEST;

/// Answers it takes at least: enough for the learning factor to fall far below a thousandth.
const ANSWERS: usize = 200_000;
/// First learning factor.
const FACTOR: f64 = 0.1;
/// Over the climb, the learning factor falls to 1 / (1 + DECAY) of the first.
const DECAY: f64 = 400.0;

/// Moves the threshold after every answer, up after a wrong one and down after a right one, so that it rests where
/// the share of right answers is `target`; the steps shrink as the climb goes on. 1 where there is nothing to climb
/// by.
#[must_use]
pub fn climb(judged: &[Judged], target: f64, seed: u64) -> Threshold {
    if judged.is_empty() {
        return Threshold::CERTAIN;
    }
    let mut random = StdRng::seed_from_u64(seed);
    let mut order: Vec<&Judged> = judged.iter().collect();
    let answers = ANSWERS.max(2 * judged.len());
    let (mut value, mut given) = (0.5f64, 0usize);
    let (mut rest_sum, mut rest_count) = (0.0, 0u32);
    while given < answers {
        order.shuffle(&mut random);
        for answer in &order {
            let progress = given as f64 / answers as f64;
            let right = f64::from(u8::from(answer.at(threshold(value)).right));
            value = (value + FACTOR / (1.0 + DECAY * progress) * (target - right)).clamp(0.0, 1.0);
            given += 1;
            if progress >= 0.5 {
                rest_sum += value;
                rest_count += 1;
            }
        }
    }
    // Where the climb rests, not where its last step happened to fall.
    threshold((rest_sum / f64::from(rest_count.max(1))).max(LOWEST))
}

fn threshold(value: f64) -> Threshold {
    Threshold::new(value.clamp(0.0, 1.0)).unwrap_or(Threshold::CERTAIN)
}

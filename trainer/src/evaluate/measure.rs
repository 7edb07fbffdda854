//! The figures: top-1 by rank, the calibration curve, and how unseen species are answered.

use std::collections::BTreeMap;

use fieldmark_models::calibration::{Calibration, CalibrationError, Point};
use fieldmark_models::specificity::{SpecificityControl, Threshold};
use fieldmark_models::taxonomy::{Rank, TaxonIndex};

use super::{Answer, Trial, Trials, climb};
use crate::pictures::Kind;

/// Everything that is reported of a recipe.
#[derive(Debug, Clone)]
pub struct Measured {
    /// Share of right best leaves by rank, on plain pictures of seen species: mean over splits and its
    /// standard deviation.
    pub top1: BTreeMap<String, (f64, f64)>,
    /// The same on backgrounds no training picture has.
    pub top1_held_out_backgrounds: BTreeMap<String, (f64, f64)>,
    /// Thresholds, with the figures of the half they were not fitted to.
    pub calibration: Calibration,
    /// At each target: how photographs of species left out of training are answered.
    pub unseen: Vec<Unseen>,
}

/// Answers about species left out of training.
#[derive(Debug, Clone, PartialEq)]
pub struct Unseen {
    /// Target of the threshold.
    pub target: f64,
    /// Answers given.
    pub n: usize,
    /// Share that are true ancestors.
    pub correct: f64,
    /// Mean depth of the answers.
    pub mean_depth: f64,
    /// Share of true ancestors among the answers at order or deeper, and how many these are.
    pub specific: (f64, usize),
    /// Share of the answers at each rank.
    pub ranks: BTreeMap<String, f64>,
}

/// Measures `trials` for each of `targets`.
///
/// # Errors
/// If the figures are no calibration, which means there were no trials.
pub fn measure(trials: &Trials, targets: &[f64], seed: u64) -> Result<Measured, CalibrationError> {
    // Halves by photograph: pictures of one photograph are no independent evidence. Pictures as they are
    // classified, not composites: a threshold is only as good as its pictures are like those of the field.
    let half = |odd: bool| -> Vec<&Trial> {
        let is = |t: &&Trial| t.seen && t.kind == Kind::Plain && t.photo.is_multiple_of(2) != odd;
        trials.trials.iter().filter(is).collect()
    };
    let (fitting, judging) = (half(false), half(true));
    let temperature = trials.best_temperature(&fitting);
    let strangers: Vec<&Trial> = trials.trials.iter().filter(|t| !t.seen && t.kind == Kind::Plain).collect();
    let mut control = SpecificityControl::new();
    let (mut curve, mut unseen, mut floor) = (Vec::new(), Vec::new(), Threshold::default());
    for &target in targets {
        let threshold = climb(fitting.len(), target, seed, |trial, threshold| {
            trials.answer(&mut control, fitting[trial], temperature, threshold).correct
        });
        // A higher target never has a lower threshold; the climb's noise could say otherwise.
        floor = if threshold > floor { threshold } else { floor };
        let mut answer = |of: &[&Trial]| -> Vec<Answer> {
            of.iter().map(|trial| trials.answer(&mut control, trial, temperature, floor)).collect()
        };
        curve.push(point(target, floor, &answer(&judging), judging.iter().map(|t| t.photo)));
        unseen.push(strange(target, &answer(&strangers)));
    }
    Ok(Measured {
        top1: top1(trials, Kind::Plain),
        top1_held_out_backgrounds: top1(trials, Kind::HeldOutBackground),
        calibration: Calibration::new(judging.len() as u64, temperature, curve)?,
        unseen,
    })
}

fn point(
    target: f64,
    threshold: Threshold,
    answers: &[Answer],
    photos: impl Iterator<Item = usize>,
) -> Point {
    let photos: std::collections::BTreeSet<usize> = photos.collect();
    let accuracy = share(answers, |answer| answer.correct);
    // Pictures of one photograph stand and fall together: the interval counts photographs.
    let (accuracy_low, accuracy_high) = wilson(accuracy, photos.len());
    let (mean_depth, ranks) = (mean_depth(answers), rank_mix(answers));
    Point { target, threshold, accuracy, accuracy_low, accuracy_high, mean_depth, ranks }
}

fn strange(target: f64, answers: &[Answer]) -> Unseen {
    let is_specific =
        |answer: &&Answer| matches!(answer.rank, Rank::Order | Rank::Family | Rank::Genus | Rank::Species);
    let specific: Vec<Answer> = answers.iter().filter(is_specific).cloned().collect();
    Unseen {
        target,
        n: answers.len(),
        correct: share(answers, |answer| answer.correct),
        mean_depth: mean_depth(answers),
        specific: (share(&specific, |answer| answer.correct), specific.len()),
        ranks: rank_mix(answers),
    }
}

fn share(answers: &[Answer], is: impl Fn(&Answer) -> bool) -> f64 {
    answers.iter().filter(|answer| is(answer)).count() as f64 / answers.len().max(1) as f64
}

fn mean_depth(answers: &[Answer]) -> f64 {
    answers.iter().map(|answer| f64::from(answer.depth)).sum::<f64>() / answers.len().max(1) as f64
}

fn rank_mix(answers: &[Answer]) -> BTreeMap<String, f64> {
    let mut mix = BTreeMap::new();
    for answer in answers {
        *mix.entry(answer.rank.name().to_owned()).or_insert(0.0) += 1.0 / answers.len() as f64;
    }
    // A sum of n shares of 1/n may pass 1 in its last bit.
    mix.values_mut().for_each(|share: &mut f64| *share = share.min(1.0));
    mix
}

/// The 95 % Wilson score interval of a share `accuracy` seen in `n` independent cases.
#[must_use]
pub fn wilson(accuracy: f64, n: usize) -> (f64, f64) {
    let (n, z) = (n.max(1) as f64, 1.96f64);
    let (middle, spread) =
        (accuracy + z * z / (2.0 * n), accuracy * (1.0 - accuracy) / n + z * z / (4.0 * n * n));
    let (half, scale) = (z * spread.sqrt(), 1.0 + z * z / n);
    (((middle - half) / scale).clamp(0.0, 1.0), ((middle + half) / scale).clamp(0.0, 1.0))
}

/// By rank: the best leaf's taxon at that rank against the truth's, where the truth has that rank.
fn top1(trials: &Trials, kind: Kind) -> BTreeMap<String, (f64, f64)> {
    let mut by_rank = BTreeMap::new();
    for rank in [Rank::Species, Rank::Genus, Rank::Family, Rank::Order, Rank::Class] {
        let mut splits = Vec::new();
        for (tree, taxonomy) in trials.trees.iter().enumerate() {
            let is = |trial: &&Trial| trial.tree == tree && trial.seen && trial.kind == kind;
            let hits: Vec<bool> = trials
                .trials
                .iter()
                .filter(is)
                .filter_map(|trial| {
                    let truth = taxonomy.at_rank(trial.truth, &rank)?;
                    let best =
                        best_leaf(trial).and_then(|output| taxonomy.leaf(output)).unwrap_or(TaxonIndex::ROOT);
                    Some(taxonomy.contains(truth, best))
                })
                .collect();
            if !hits.is_empty() {
                splits.push(hits.iter().filter(|&&hit| hit).count() as f64 / hits.len() as f64);
            }
        }
        let n = splits.len().max(1) as f64;
        let mean = splits.iter().sum::<f64>() / n;
        let variance = splits.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n;
        by_rank.insert(rank.name().to_owned(), (mean, variance.sqrt()));
    }
    by_rank
}

fn best_leaf(trial: &Trial) -> Option<usize> {
    let order = |a: &(usize, &f32), b: &(usize, &f32)| a.1.total_cmp(b.1);
    trial.logits.iter().enumerate().max_by(order).map(|(output, _)| output)
}

#[cfg(test)]
mod tests {
    use super::wilson;

    #[test]
    fn the_interval_is_wilsons() {
        // 81 of 100: 0.7222 to 0.8749 (Wilson 1927, z = 1.96).
        let (low, high) = wilson(0.81, 100);
        assert!((low - 0.7222).abs() < 1e-3 && (high - 0.8749).abs() < 1e-3, "{low} {high}");
    }
}

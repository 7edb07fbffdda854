//! How species left out of training are answered.

use std::collections::BTreeMap;

use fieldmark_models::calibration::Point;
use fieldmark_models::taxonomy::Rank;

use crate::calibrate::{Figures, Judged};

/// Answers about species left out of training.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
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

pub(super) fn unseen(point: &Point, judged: &[Judged]) -> Unseen {
    let figures = Figures::of(judged, point.threshold);
    let is_specific = |rank: &Rank| matches!(rank, Rank::Order | Rank::Family | Rank::Genus | Rank::Species);
    let specific: Vec<bool> = judged
        .iter()
        .map(|answer| answer.at(point.threshold))
        .filter(|step| is_specific(&step.rank))
        .map(|step| step.right)
        .collect();
    let right = specific.iter().filter(|&&right| right).count();
    Unseen {
        target: point.target,
        n: figures.n,
        correct: figures.accuracy,
        mean_depth: figures.mean_depth,
        specific: (right as f64 / specific.len().max(1) as f64, specific.len()),
        ranks: figures.ranks,
    }
}

//! Rare species against common ones.

use fieldmark_models::taxonomy::Rank;

use super::{Trials, top1};

/// Smallest number of training photographs in each class of species.
const SMALLEST: [usize; 8] = [1, 2, 3, 5, 10, 20, 50, 100];

/// Species with about as many training photographs.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct SizeClass {
    /// Least number of training photographs a species.
    pub from: usize,
    /// Greatest; absent in the last class.
    pub to: Option<usize>,
    /// Answers.
    pub n: usize,
    /// Share of them whose best leaf is the species.
    pub top1: f64,
}

pub(super) fn by_size(trials: &Trials) -> Vec<SizeClass> {
    let mut classes = Vec::new();
    for (number, &from) in SMALLEST.iter().enumerate() {
        let to = SMALLEST.get(number + 1).map(|next| next - 1);
        let hits: Vec<bool> = trials
            .plain()
            .filter(|(_, trial)| trial.trained_on >= from && to.is_none_or(|to| trial.trained_on <= to))
            .filter_map(|(tree, trial)| top1::hit(tree, trial, &Rank::Species))
            .collect();
        if !hits.is_empty() {
            let top1 = hits.iter().filter(|&&hit| hit).count() as f64 / hits.len() as f64;
            classes.push(SizeClass { from, to, n: hits.len(), top1 });
        }
    }
    classes
}

//! The best leaf against the truth.

use std::collections::BTreeMap;

use fieldmark_models::taxonomy::{Rank, Taxonomy};

use super::{Trial, Trials};
use crate::pictures::Kind;

/// By rank: share of seen species' pictures of `kind` whose best leaf has the right taxon at that rank, where the
/// truth has that rank. Mean over splits and its standard deviation; a rank that nothing was asked of is absent.
pub(super) fn by_rank(trials: &Trials, kind: Kind) -> BTreeMap<String, (f64, f64)> {
    let mut by_rank = BTreeMap::new();
    for rank in [Rank::Species, Rank::Genus, Rank::Family, Rank::Order, Rank::Class] {
        let mut splits = Vec::new();
        for (tree, taxonomy) in trials.trees.iter().enumerate() {
            let is = |trial: &&Trial| trial.tree == tree && trial.seen && trial.kind == kind;
            let hits: Vec<bool> =
                trials.trials.iter().filter(is).filter_map(|trial| hit(taxonomy, trial, &rank)).collect();
            if !hits.is_empty() {
                splits.push(hits.iter().filter(|&&hit| hit).count() as f64 / hits.len() as f64);
            }
        }
        if splits.is_empty() {
            continue;
        }
        let n = splits.len() as f64;
        let mean = splits.iter().sum::<f64>() / n;
        let variance = splits.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n;
        by_rank.insert(rank.name().to_owned(), (mean, variance.sqrt()));
    }
    by_rank
}

/// Whether the best leaf is right at `rank`; `None` where the truth has no taxon of that rank.
pub(super) fn hit(taxonomy: &Taxonomy, trial: &Trial, rank: &Rank) -> Option<bool> {
    let truth = taxonomy.at_rank(trial.truth, rank)?;
    Some(taxonomy.contains(truth, trial.best))
}

/// Whether the best leaf is the truth, or lies below it.
pub(super) fn is_right(taxonomy: &Taxonomy, trial: &Trial) -> bool {
    taxonomy.contains(trial.truth, trial.best)
}

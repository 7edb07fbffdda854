//! Which taxa are known well, and which are not.

use std::collections::BTreeMap;

use super::Trials;
use super::top1::is_right;
use crate::calibrate::softmax;

/// How one leaf is answered.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct TaxonFigures {
    /// Its name.
    pub taxon: String,
    /// Its common name, where it has one.
    pub common_name: Option<String>,
    /// Photographs of it that were trained on; the most of any split.
    pub trained_on: usize,
    /// Pictures of it that were asked about.
    pub n: usize,
    /// Of those, with it as the best leaf.
    pub right: usize,
    /// Mean probability it was given in them.
    pub probability: f64,
    /// The photograph of it that was given the least, by position in the set.
    pub hardest: usize,
}

/// Every leaf that was asked about, the worst first.
pub(super) fn by_taxon(trials: &Trials, temperature: f64) -> Vec<TaxonFigures> {
    let mut by_taxon: BTreeMap<&str, (TaxonFigures, f64)> = BTreeMap::new();
    for (tree, trial) in trials.plain() {
        let taxon = tree.taxon(trial.truth);
        if !taxon.is_leaf() {
            continue;
        }
        let given = softmax(&trial.logits, temperature)[taxon.leaves()].iter().copied().sum::<f32>();
        let given = f64::from(given);
        let (figures, least) = by_taxon.entry(taxon.id()).or_insert_with(|| {
            let figures = TaxonFigures {
                taxon: taxon.name().into(),
                common_name: taxon.common_name().map(str::to_owned),
                trained_on: 0,
                n: 0,
                right: 0,
                probability: 0.0,
                hardest: trial.photo,
            };
            (figures, f64::INFINITY)
        });
        figures.n += 1;
        figures.right += usize::from(is_right(tree, trial));
        figures.probability += given;
        figures.trained_on = figures.trained_on.max(trial.trained_on);
        if given < *least {
            (*least, figures.hardest) = (given, trial.photo);
        }
    }
    let mean = |(mut figures, _): (TaxonFigures, f64)| {
        figures.probability /= figures.n as f64;
        figures
    };
    let mut all: Vec<TaxonFigures> = by_taxon.into_values().map(mean).collect();
    let share = |figures: &TaxonFigures| figures.right as f64 / figures.n as f64;
    all.sort_by(|a, b| share(a).total_cmp(&share(b)).then(a.probability.total_cmp(&b.probability)));
    all
}

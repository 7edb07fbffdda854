//! How good a recipe is, on photographs its network never saw.
//!
//! Random splits by source photograph; in each, a head is trained and asked about photographs of species it
//! knows and of species it does not. Thresholds are found on one half of the photographs and judged on the other.

mod by_size;
mod confusion;
mod curve;
mod measure;
mod reliability;
mod taxa;
mod top1;
mod unseen;

use std::collections::BTreeMap;

use fieldmark_models::taxonomy::{TaxonIndex, Taxonomy};

use crate::calibrate::Case;
use crate::dataset::{self, Photo};
use crate::features::PhotoFeatures;
use crate::head::{Example, train_head};
use crate::network::HeadWeights;
use crate::pictures::Kind;
use crate::recipe::Recipe;

pub use by_size::SizeClass;
pub use confusion::{Confusion, Mistaken};
pub use curve::{Curve, CurvePoint};
pub use measure::{Measured, measure};
pub use reliability::{Bin, Reliability};
pub use taxa::TaxonFigures;
pub use unseen::Unseen;

/// A head's answer about one picture of a photograph it was not trained on.
#[derive(Debug, Clone)]
pub struct Trial {
    /// Position of the photograph.
    pub photo: usize,
    /// Position of the first photograph of the same individual.
    pub individual: usize,
    /// Position of the split's tree in [`Trials::trees`].
    pub tree: usize,
    /// Background of the picture.
    pub kind: Kind,
    /// Whether other photographs of the species were trained on.
    pub seen: bool,
    /// The lowest taxon of the true lineage that the tree has.
    pub truth: TaxonIndex,
    /// Photographs of the true species that were trained on.
    pub trained_on: usize,
    /// `[leaves]`.
    pub logits: Vec<f32>,
    /// The leaf with the largest of them.
    pub best: TaxonIndex,
}

/// All trials of all splits.
#[derive(Debug)]
pub struct Trials {
    /// One tree a split: species left out are not in it.
    pub trees: Vec<Taxonomy>,
    /// The answers.
    pub trials: Vec<Trial>,
}

/// Examples of the photographs at `positions`.
#[must_use]
pub fn examples<'a>(
    taxonomy: &Taxonomy,
    photos: &[Photo],
    features: &'a [PhotoFeatures],
    positions: &[usize],
) -> Vec<Example<'a>> {
    let of = |&position: &usize| {
        let label = taxonomy.find_lineage(&photos[position].lineage);
        label.into_iter().flat_map(move |label| {
            features[position].training().map(move |feature| Example { feature, label })
        })
    };
    positions.iter().flat_map(of).collect()
}

/// Trains a head on every split and asks it about what it was not trained on. `done` is called after each.
///
/// # Errors
/// If a split leaves nothing to train on.
pub fn trials(
    recipe: &Recipe,
    photos: &[Photo],
    features: &[PhotoFeatures],
    done: impl Fn(),
) -> Result<Trials, fieldmark_models::taxonomy::TaxonomyError> {
    let mut all = Trials { trees: Vec::new(), trials: Vec::new() };
    let individuals = dataset::individuals(photos);
    for number in 0..recipe.evaluate.splits {
        let seed = recipe.seed.wrapping_add(number as u64);
        let split = dataset::random_split(photos, recipe.evaluate.left_out, seed);
        let taxonomy = dataset::taxonomy(split.training.iter().map(|&position| &photos[position]))?;
        let training = examples(&taxonomy, photos, features, &split.training);
        let sizes = class_sizes(&taxonomy, photos, &split.training);
        let head = train_head(&taxonomy, &training, &recipe.transfer, &recipe.train, seed);
        for (positions, seen) in [(&split.held_out, true), (&split.unseen, false)] {
            for &photo in positions.iter().filter(|&&photo| photos[photo].is_species()) {
                let truth = photos[photo].lowest_known(&taxonomy);
                let seen = seen && taxonomy.find_lineage(&photos[photo].lineage).is_some();
                let trained_on = if seen { sizes.get(&truth).copied().unwrap_or_default() } else { 0 };
                for (&kind, row) in features[photo].kinds.iter().zip(&features[photo].rows) {
                    if kind != Kind::Training {
                        let (tree, logits) = (all.trees.len(), logits(&head, row));
                        let best = best_leaf(&taxonomy, &logits);
                        all.trials.push(Trial {
                            photo,
                            individual: individuals[photo],
                            tree,
                            kind,
                            seen,
                            truth,
                            trained_on,
                            logits,
                            best,
                        });
                    }
                }
            }
        }
        all.trees.push(taxonomy);
        done();
    }
    Ok(all)
}

/// Share of trials of seen species whose best leaf is the species.
#[must_use]
pub fn top1(trials: &Trials) -> f64 {
    top1::by_rank(trials, Kind::Plain).get("species").map_or(0.0, |(mean, _)| *mean)
}

/// Photographs at `positions` of each taxon they are labelled with.
#[must_use]
pub fn class_sizes(
    taxonomy: &Taxonomy,
    photos: &[Photo],
    positions: &[usize],
) -> BTreeMap<TaxonIndex, usize> {
    let mut sizes = BTreeMap::new();
    for label in positions.iter().filter_map(|&photo| taxonomy.find_lineage(&photos[photo].lineage)) {
        *sizes.entry(label).or_default() += 1;
    }
    sizes
}

/// `scale * W z + b` for a feature at unit length.
#[must_use]
pub fn logits(head: &HeadWeights, feature: &[f32]) -> Vec<f32> {
    let dot = |row: &[f32]| row.iter().zip(feature).map(|(a, b)| a * b).sum::<f32>();
    let rows = head.weight.chunks_exact(feature.len());
    rows.zip(&head.bias).map(|(row, bias)| head.scale * dot(row) + bias).collect()
}

/// The leaf with the largest of `logits`; the root where there is none.
#[must_use]
pub fn best_leaf(taxonomy: &Taxonomy, logits: &[f32]) -> TaxonIndex {
    let order = |a: &(usize, &f32), b: &(usize, &f32)| a.1.total_cmp(b.1);
    let best = logits.iter().enumerate().max_by(order).and_then(|(output, _)| taxonomy.leaf(output));
    best.unwrap_or(TaxonIndex::ROOT)
}

impl Trial {
    /// Whether it says what the figures are of: a picture as it is classified, of a species that was trained on.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.seen && self.kind == Kind::Plain
    }
}

impl Trials {
    /// Those that [are plain](Trial::is_plain), each with its tree.
    pub fn plain(&self) -> impl Iterator<Item = (&Taxonomy, &Trial)> {
        let plain = self.trials.iter().filter(|trial| trial.is_plain());
        plain.map(|trial| (&self.trees[trial.tree], trial))
    }

    /// Trials as cases for calibration; pictures of one individual are a group.
    #[must_use]
    pub fn cases(&self, which: impl Fn(&Trial) -> bool) -> Vec<Case<'_>> {
        let case = |trial| {
            let Trial { individual, tree, truth, logits, .. }: &Trial = trial;
            Case { taxonomy: &self.trees[*tree], logits, truth: *truth, group: *individual }
        };
        self.trials.iter().filter(|trial| which(trial)).map(case).collect()
    }
}

#[cfg(test)]
mod tests;

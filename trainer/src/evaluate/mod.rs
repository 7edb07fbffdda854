//! How good a recipe is, on photographs its network never saw.
//!
//! Random splits by source photograph; in each, a head is trained and asked about photographs of species it
//! knows and of species it does not. Thresholds are found on one half of the photographs and judged on the other.

mod climb;
mod measure;

use fieldmark_models::specificity::{Priors, SpecificityControl, Threshold};
use fieldmark_models::taxonomy::{Rank, TaxonIndex, Taxonomy};

use crate::dataset::{self, Photo};
use crate::features::PhotoFeatures;
use crate::head::{Example, train_head};
use crate::network::HeadWeights;
use crate::pictures::Kind;
use crate::recipe::Recipe;

pub use climb::climb;
pub use measure::{Measured, measure, wilson};

/// A head's answer about one picture of a photograph it was not trained on.
#[derive(Debug, Clone)]
pub struct Trial {
    /// Position of the photograph.
    pub photo: usize,
    /// Position of the split's tree in [`Trials::trees`].
    pub tree: usize,
    /// Background of the picture.
    pub kind: Kind,
    /// Whether other photographs of the species were trained on.
    pub seen: bool,
    /// The lowest taxon of the true lineage that the tree has.
    pub truth: TaxonIndex,
    /// `[leaves]`.
    pub logits: Vec<f32>,
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
    for number in 0..recipe.evaluate.splits {
        let seed = recipe.seed.wrapping_add(number as u64);
        let split = dataset::random_split(photos, recipe.evaluate.left_out, seed);
        let taxonomy = dataset::taxonomy(split.training.iter().map(|&position| &photos[position]))?;
        let training = examples(&taxonomy, photos, features, &split.training);
        let head = train_head(&taxonomy, &training, &recipe.transfer, &recipe.train, seed);
        for (positions, seen) in [(&split.held_out, true), (&split.unseen, false)] {
            for &photo in positions.iter().filter(|&&photo| photos[photo].is_species()) {
                let truth = lowest_known(&taxonomy, &photos[photo]);
                let seen = seen && taxonomy.find_lineage(&photos[photo].lineage).is_some();
                for (&kind, row) in features[photo].kinds.iter().zip(&features[photo].rows) {
                    if kind != Kind::Training {
                        let (tree, logits) = (all.trees.len(), logits(&head, row));
                        all.trials.push(Trial { photo, tree, kind, seen, truth, logits });
                    }
                }
            }
        }
        all.trees.push(taxonomy);
        done();
    }
    Ok(all)
}

fn lowest_known(taxonomy: &Taxonomy, photo: &Photo) -> TaxonIndex {
    let depth = photo.lineage.levels().len();
    (1..=depth)
        .rev()
        .find_map(|depth| taxonomy.find_lineage(&photo.lineage.truncated(depth)))
        .unwrap_or(TaxonIndex::ROOT)
}

/// `scale * W z + b` for a feature at unit length.
#[must_use]
pub fn logits(head: &HeadWeights, feature: &[f32]) -> Vec<f32> {
    let dot = |row: &[f32]| row.iter().zip(feature).map(|(a, b)| a * b).sum::<f32>();
    let rows = head.weight.chunks_exact(feature.len());
    rows.zip(&head.bias).map(|(row, bias)| head.scale * dot(row) + bias).collect()
}

/// Softmax of `logits / temperature`.
#[must_use]
pub fn softmax(logits: &[f32], temperature: f64) -> Vec<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> =
        logits.iter().map(|logit| (f64::from(logit - largest) / temperature).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| (power / sum) as f32).collect()
}

/// An answer under specificity control, judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The true taxon or one above it.
    pub correct: bool,
    /// Depth of the answer.
    pub depth: u16,
    /// Rank of the answer.
    pub rank: Rank,
}

impl Trials {
    /// The answer to `trial` at `threshold`.
    #[must_use]
    pub fn answer(
        &self,
        control: &mut SpecificityControl,
        trial: &Trial,
        temperature: f64,
        threshold: Threshold,
    ) -> Answer {
        let taxonomy = &self.trees[trial.tree];
        let probabilities = softmax(&trial.logits, temperature);
        let decision = control.decide(taxonomy, &probabilities, threshold, &Priors::none());
        let taxon = decision.map_or(TaxonIndex::ROOT, |decision| decision.taxon);
        let (depth, rank) = (taxonomy.taxon(taxon).depth(), taxonomy.taxon(taxon).rank().clone());
        Answer { correct: taxonomy.contains(taxon, trial.truth), depth, rank }
    }

    /// The temperature under which the true leaves of `trials` are most probable, by golden-section search.
    #[must_use]
    pub fn best_temperature(&self, trials: &[&Trial]) -> f64 {
        let loss = |temperature: f64| -> f64 {
            let of = |trial: &&Trial| {
                let leaves = self.trees[trial.tree].taxon(trial.truth).leaves();
                let mass: f32 = softmax(&trial.logits, temperature)[leaves].iter().sum();
                -f64::from(mass.max(1e-9)).ln()
            };
            trials.iter().map(of).sum()
        };
        let (mut low, mut high): (f64, f64) = (0.05f64.ln(), 20f64.ln());
        let ratio = (5f64.sqrt() - 1.0) / 2.0;
        for _ in 0..40 {
            let (left, right) = (high - ratio * (high - low), low + ratio * (high - low));
            if loss(left.exp()) < loss(right.exp()) { high = right } else { low = left }
        }
        f64::midpoint(low, high).exp()
    }
}

//! How the network answers photographs that it is not trained on, while it is trained.

use std::collections::BTreeMap;

use fieldmark_models::taxonomy::{Rank, TaxonIndex, Taxonomy};

use super::asking::{Asking, logits};
use super::average::Average;
use super::batch::{BatchError, Feed};
use super::network::Network;
use crate::head::Frontier;

/// What is asked after an epoch.
#[derive(Clone, Copy)]
pub struct Validation<'a> {
    /// Where its pictures come from, unchanged.
    pub feed: &'a Feed<'a>,
    /// Their positions.
    pub pictures: &'a [usize],
    /// The lowest taxon known of each.
    pub labels: &'a [TaxonIndex],
    /// Epochs of the last stage without a lower loss after which it ends; none: it runs its course.
    pub patience: Option<usize>,
    /// Whether it is asked in every stage, and not only in one that may end early.
    pub every_stage: bool,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Validated {
    /// Mean of `-log P`, `P` being the summed probability of the classes that agree with the label.
    pub validation_loss: f64,
    /// By rank: share of the pictures whose most probable class is right there, of those that have that rank, where the
    /// stage's classes reach it.
    pub validation_top1: BTreeMap<String, f64>,
}

/// `network` as it would answer: with its average, where it has one.
pub(super) fn answering(network: &Network, average: Option<&Average>) -> Network {
    let mut answering = network.clone();
    if let Some(average) = average {
        average.apply(&mut answering.variables);
    }
    answering
}

impl Validation<'_> {
    /// Asks `network`, whose classes are those of `frontier`.
    ///
    /// # Errors
    /// If a picture cannot be read.
    pub(super) fn ask(
        &self,
        network: &Network,
        (taxonomy, frontier): (&Taxonomy, &Frontier),
        asking: Asking<'_>,
    ) -> Result<Validated, BatchError> {
        let (mut sum, mut best) = (0.0, Vec::with_capacity(self.labels.len()));
        let mut labels = self.labels.iter();
        logits(network, self.feed, self.pictures, asking, |row| {
            sum += labels.next().map_or(0.0, |&label| loss(row, frontier.admitted(taxonomy, label)));
            best.push(most_probable(row, frontier));
        })?;
        Ok(Validated {
            validation_loss: sum / best.len().max(1) as f64,
            validation_top1: self.top1(taxonomy, &best),
        })
    }

    fn top1(&self, taxonomy: &Taxonomy, best: &[TaxonIndex]) -> BTreeMap<String, f64> {
        let deepest = best.iter().map(|&class| taxonomy.taxon(class).depth()).max().unwrap_or_default();
        let of_rank = |rank: &Rank| {
            let truths = self.labels.iter().map(|&label| taxonomy.at_rank(label, rank));
            let reached = |truth: &TaxonIndex| taxonomy.taxon(*truth).depth() <= deepest;
            let asked = truths.zip(best).filter_map(|(truth, &best)| Some((truth.filter(reached)?, best)));
            let right: Vec<bool> = asked.map(|(truth, best)| taxonomy.contains(truth, best)).collect();
            let count = right.iter().filter(|&&right| right).count();
            (!right.is_empty()).then(|| (rank.name().to_owned(), count as f64 / right.len() as f64))
        };
        Rank::MAIN.iter().filter_map(of_rank).collect()
    }
}

fn loss(row: &[f32], admitted: impl Iterator<Item = usize>) -> f64 {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let power = |&logit: &f32| f64::from(logit - largest).exp();
    let agreed: f64 = admitted.filter_map(|class| row.get(class)).map(power).sum();
    (row.iter().map(power).sum::<f64>() / agreed.max(f64::MIN_POSITIVE)).ln()
}

fn most_probable(row: &[f32], frontier: &Frontier) -> TaxonIndex {
    let pairs = row.iter().zip(&frontier.taxa);
    pairs.max_by(|a, b| a.0.total_cmp(b.0)).map_or(TaxonIndex::ROOT, |(_, &class)| class)
}

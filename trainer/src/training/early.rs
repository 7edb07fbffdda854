//! Early stop: the last stage ends when the loss on validation photographs falls no more, with the network that had the
//! lowest.

use burn::tensor::Tensor;
use fieldmark_models::taxonomy::{TaxonIndex, Taxonomy};

use super::average::Average;
use super::batch::{BatchError, Feed};
use super::network::Network;
use super::steps::{Asking, logits};

/// What a stage is judged by while it is trained.
#[derive(Clone, Copy)]
pub struct Validation<'a> {
    /// Where its pictures come from, unchanged.
    pub feed: &'a Feed<'a>,
    /// Their positions.
    pub pictures: &'a [usize],
    /// The lowest taxon known of each.
    pub labels: &'a [TaxonIndex],
    /// Epochs without a lower loss after which the stage ends.
    pub patience: usize,
}

/// The network with the lowest loss so far.
#[derive(Debug, Clone)]
pub struct Best {
    /// Its loss.
    pub loss: f64,
    /// Epochs since.
    pub since: usize,
    /// Its variables, in their order.
    pub values: Vec<Tensor<1>>,
    /// Running means and variances of its batch norm layers, in their order.
    pub statistics: Vec<[Tensor<1>; 2]>,
}

impl Best {
    /// `network`, of which nothing is known yet.
    #[must_use]
    pub fn of(network: &Network) -> Self {
        let statistics = &network.statistics;
        Self {
            loss: f64::INFINITY,
            since: 0,
            values: network.variables.values(),
            statistics: statistics.iter().map(|of| [of.mean.clone(), of.variance.clone()]).collect(),
        }
    }

    /// An epoch ended with `network`, whose loss is `loss`.
    pub fn note(&mut self, network: &Network, loss: f64) {
        *self = if loss < self.loss {
            Self { loss, ..Self::of(network) }
        } else {
            Self { since: self.since + 1, ..self.clone() }
        };
    }

    /// Puts its numbers in the place of `network`'s.
    pub fn apply(&self, network: &mut Network) {
        network.variables.put(&self.values);
        for (of, [mean, variance]) in network.statistics.iter_mut().zip(&self.statistics) {
            (of.mean, of.variance) = (mean.clone(), variance.clone());
        }
    }
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
    /// Mean of `-log P` over the pictures, `P` being the summed probability of the leaves that agree with the label.
    ///
    /// # Errors
    /// If a picture cannot be read.
    pub(super) fn loss(
        &self,
        network: &Network,
        taxonomy: &Taxonomy,
        asking: Asking<'_>,
    ) -> Result<f64, BatchError> {
        let rows = logits(network, self.feed, self.pictures, asking, |_| {})?;
        let losses = rows.iter().zip(self.labels).map(|(row, &label)| {
            let sum = |logits: &[f32]| {
                let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                logits.iter().map(|&logit| f64::from(logit - largest).exp()).sum::<f64>()
            };
            let agreed = &row[taxonomy.taxon(label).leaves()];
            (sum(row) / sum(agreed).max(f64::MIN_POSITIVE)).ln()
        });
        Ok(losses.sum::<f64>() / rows.len().max(1) as f64)
    }
}

//! Early stop: the last stage ends when the loss on validation photographs falls no more, with the network that had the
//! lowest.

use burn::tensor::Tensor;

use super::network::Network;

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

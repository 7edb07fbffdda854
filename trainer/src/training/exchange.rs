//! What a process found at a step, and the same of all processes.

use std::ops::Range;

use burn::tensor::{Device, Tensor};

use super::network::BatchStatistics;
use super::processes::Processes;
use super::variables::{flat, numbers};

/// Loss and gradients of some passes of a step.
pub(super) struct Found {
    /// Each pass's mean loss by its share of the step's pictures, summed.
    pub loss: f32,
    /// Likewise, one a variable in their order.
    pub gradients: Vec<Option<Tensor<1>>>,
}

impl Found {
    /// The sum of both.
    pub(super) fn plus(self, other: Self) -> Self {
        let pairs = self.gradients.into_iter().zip(other.gradients);
        let gradients = pairs.map(|pair| match pair {
            (Some(a), Some(b)) => Some(a + b),
            (one, other) => one.or(other),
        });
        Self { loss: self.loss + other.loss, gradients: gradients.collect() }
    }

    /// The sum over all `processes`, and the statistics of all passes of the step in their order. `own` are the passes
    /// that this process made, of `passes`, and `statistics` theirs. `device` is without gradients.
    pub(super) fn exchanged(
        self,
        statistics: Vec<BatchStatistics>,
        (own, passes): (Range<usize>, usize),
        processes: &dyn Processes,
        device: &Device,
    ) -> (Self, Vec<BatchStatistics>) {
        if processes.count() == 1 {
            return (self, statistics);
        }
        let Some(layers) = statistics.first() else { return (self, statistics) };
        let lengths: Vec<usize> = layers.iter().map(|(_, mean, _)| mean.dims()[0]).collect();
        let width = 2 * lengths.iter().sum::<usize>();

        let gradients: Vec<Tensor<1>> = self.gradients.iter().flatten().cloned().collect();
        let mut all = numbers(&Tensor::cat(gradients, 0));
        let loss = all.len();
        all.push(self.loss);
        // Nobody else writes where a pass of ours stands, and adding zeros changes nothing.
        all.resize(loss + 1 + passes * width, 0.0);
        for (pass, of_pass) in own.zip(&statistics) {
            let parts = of_pass.iter().flat_map(|(_, mean, variance)| [mean.clone(), variance.clone()]);
            let start = loss + 1 + pass * width;
            all[start..start + width].copy_from_slice(&numbers(&Tensor::cat(parts.collect(), 0)));
        }
        processes.sum(&mut all);

        let mut cut = Cut { whole: flat(&all, device), at: 0 };
        let gradient = |own: &Option<Tensor<1>>| own.as_ref().map(|own| cut.next(own.dims()[0]));
        let gradients = self.gradients.iter().map(gradient).collect();
        cut.at = loss + 1;
        let mut of_pass = || {
            let layers = layers.iter().zip(&lengths);
            layers.map(|(&(position, ..), &length)| (position, cut.next(length), cut.next(length))).collect()
        };
        let statistics = (0..passes).map(|_| of_pass()).collect();
        (Self { loss: all[loss], gradients }, statistics)
    }
}

/// Parts of a flat tensor, one after the other.
struct Cut {
    whole: Tensor<1>,
    at: usize,
}

impl Cut {
    fn next(&mut self, length: usize) -> Tensor<1> {
        let from = self.at;
        self.at += length;
        self.whole.clone().narrow(0, from, length)
    }
}

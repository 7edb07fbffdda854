//! One pass through the network: forward in training and in evaluation.

use burn::tensor::activation::relu;
use burn::tensor::module::{avg_pool2d, batch_norm, batch_norm_train, max_pool2d};
use burn::tensor::ops::{AvgPoolOptions, ConvOptions, MaxPoolOptions};
use burn::tensor::{FloatDType, Tensor};
use fieldmark_convolutions::convolution as convolved;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde::Deserialize;

use super::network::{Auxiliary, BatchStatistics, Classifier, Network, Trained, TrainedAfter};
use super::variables::flat;
use crate::network::Stage;
use crate::network::layer::{Activation, Convolution, Layer, Pool, PoolKind};

/// What a pass gives.
pub struct Pass {
    /// `[N, classes]`.
    pub logits: Tensor<2>,
    /// Of the auxiliary classifier, in training where the preset has one.
    pub auxiliary: Option<Tensor<2>>,
    /// Of the batch, in training.
    pub batch_statistics: BatchStatistics,
}

/// How a pass is made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mode {
    /// Batch norm by running statistics, no dropout, no gradients.
    Evaluation,
    /// Batch norm by the batch; each feature is dropped with this probability, drawn from the seed.
    Training {
        /// 0 to below 1.
        dropout: f32,
        /// Decides what is dropped.
        seed: u64,
        /// Of convolutions.
        precision: Precision,
    },
}

/// What convolutions in training are computed in, forward and back. Weights, batch norm, loss, the sums of gradients and
/// the optimiser have 32 bits either way, and so has a network that is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// IEEE 754 of 32 bits.
    #[default]
    Float32,
    /// Input, weights, output and their gradients are rounded to bfloat16, which has the range of 32 bits, so that no loss
    /// has to be scaled; sums are of 32 bits. For GPUs, whose products of such numbers are several times as fast; the
    /// processor computes the same and gains nothing.
    BFloat16,
}

impl Precision {
    fn convolved(
        self,
        maps: Tensor<4>,
        weight: Tensor<4>,
        bias: Option<Tensor<1>>,
        options: ConvOptions<2>,
    ) -> Tensor<4> {
        match self {
            Self::Float32 => convolved(maps, weight, bias, options),
            Self::BFloat16 => {
                let [maps, weight] = [maps, weight].map(|tensor| tensor.cast(FloatDType::BF16));
                let bias = bias.map(|bias| bias.cast(FloatDType::BF16));
                convolved(maps, weight, bias, options).cast(FloatDType::F32)
            }
        }
    }
}

impl Network {
    /// One pass. `views`: one tensor `[N, 3, H, W]` a view, normalised, on the device of `mode`.
    #[must_use]
    pub fn pass(&self, views: Vec<Tensor<4>>, mode: Mode) -> Pass {
        let (evaluating, precision) = match mode {
            Mode::Evaluation => (true, Precision::Float32),
            Mode::Training { precision, .. } => (false, precision),
        };
        let mut walk = Walk { network: self, evaluating, precision, seen: Vec::new() };
        let stages = &self.settings.preset.stages;
        let (from, to) = (self.settings.split + 1, self.settings.merge + 1);
        let mut auxiliary = None;
        let mut ends = Vec::new();
        for (number, (view, column)) in views.into_iter().zip(&self.columns).enumerate() {
            let mut maps = walk.stages(&stages[..from], &mut self.shared.iter(), view);
            let mut trained = column.iter();
            for (position, stage) in stages.iter().enumerate().take(to).skip(from) {
                maps = walk.stages(std::slice::from_ref(stage), &mut trained, maps);
                let here = self.auxiliary.as_ref().filter(|auxiliary| auxiliary.stage == position);
                if let (0, false, Some(part)) = (number, walk.evaluating, here) {
                    auxiliary = Some(walk.auxiliary(part, maps.clone()));
                }
            }
            ends.push(maps);
        }
        let maps = match &self.merge {
            None => ends.swap_remove(0),
            Some((convolution, trained)) => walk.convolution(convolution, trained, Tensor::cat(ends, 1)),
        };
        let maps = walk.stages(&stages[to..], &mut self.tail.iter(), maps);
        let mut feature = pooled(maps);
        if let Mode::Training { dropout, seed, .. } = mode {
            feature = dropped(feature, dropout, seed);
        }
        let logits = walk.classified(self.classifier, feature);
        Pass { logits, auxiliary, batch_statistics: walk.seen }
    }
}

/// One pass through the layers.
struct Walk<'a> {
    network: &'a Network,
    evaluating: bool,
    precision: Precision,
    seen: BatchStatistics,
}

impl Walk<'_> {
    fn stages(
        &mut self,
        stages: &[Stage],
        trained: &mut std::slice::Iter<'_, Trained>,
        input: Tensor<4>,
    ) -> Tensor<4> {
        stages.iter().fold(input, |maps, stage| self.layers(&stage.layers, trained, maps))
    }

    fn layers(
        &mut self,
        layers: &[Layer],
        trained: &mut std::slice::Iter<'_, Trained>,
        input: Tensor<4>,
    ) -> Tensor<4> {
        layers.iter().fold(input, |maps, layer| match layer {
            Layer::Convolution(convolution) => match trained.next() {
                Some(trained) => self.convolution(convolution, trained, maps),
                None => maps,
            },
            Layer::Pool(pool) => pool_of(pool, maps),
            Layer::Branches { branches, .. } => {
                let ends = branches.iter().map(|branch| self.layers(branch, trained, maps.clone()));
                Tensor::cat(ends.collect(), 1)
            }
            Layer::Residual { body, scale, activation, .. } => {
                let branch = self.layers(body, trained, maps.clone());
                activated(branch.mul_scalar(*scale) + maps, *activation)
            }
        })
    }

    fn convolution(&mut self, convolution: &Convolution, trained: &Trained, maps: Tensor<4>) -> Tensor<4> {
        let variables = &self.network.variables;
        let [_, _, height, width] = maps.dims();
        let along = |axis: usize, side| {
            convolution.padding.along(axis, side, convolution.kernel[axis], convolution.stride)
        };
        let padding = [along(0, height), along(1, width)];
        let options =
            ConvOptions::new_with_padding([convolution.stride; 2], padding, [1, 1], convolution.groups);
        let weight = variables.shaped::<4>(trained.weight, self.evaluating);
        let maps = match trained.after {
            TrainedAfter::Bias(bias) => {
                let bias = variables.value(bias, self.evaluating);
                self.precision.convolved(maps, weight, Some(bias), options)
            }
            TrainedAfter::Norm { gamma, beta, statistics } => {
                let maps = self.precision.convolved(maps, weight, None, options);
                let (gamma, beta) =
                    (variables.value(gamma, self.evaluating), variables.value(beta, self.evaluating));
                self.normalised(maps, gamma, beta, statistics)
            }
        };
        activated(maps, convolution.activation)
    }

    fn normalised(
        &mut self,
        maps: Tensor<4>,
        gamma: Tensor<1>,
        beta: Tensor<1>,
        statistics: usize,
    ) -> Tensor<4> {
        let epsilon = f64::from(self.network.settings.preset.norm_epsilon);
        if self.evaluating {
            let kept = &self.network.statistics[statistics];
            return batch_norm(maps, gamma, beta, kept.mean.clone(), kept.variance.clone(), epsilon);
        }
        let normalised = batch_norm_train(maps, gamma, beta, epsilon);
        self.seen.push((statistics, normalised.mean.detach().inner(), normalised.variance.detach().inner()));
        normalised.output
    }

    fn auxiliary(&mut self, part: &Auxiliary, maps: Tensor<4>) -> Tensor<2> {
        let maps = self.layers(&part.layers, &mut part.trained.iter(), maps);
        self.classified(part.classifier, pooled(maps))
    }

    fn classified(&self, classifier: Classifier, feature: Tensor<2>) -> Tensor<2> {
        let variables = &self.network.variables;
        let weight = variables.shaped::<2>(classifier.weight, self.evaluating);
        let bias = variables.value(classifier.bias, self.evaluating);
        feature.matmul(weight) + bias.unsqueeze::<2>()
    }
}

fn pool_of(pool: &Pool, maps: Tensor<4>) -> Tensor<4> {
    let (kernel, stride, padding) = ([pool.kernel; 2], [pool.stride; 2], [pool.padding; 2]);
    match pool.kind {
        PoolKind::Max => {
            max_pool2d(maps, MaxPoolOptions::new(kernel).with_stride(stride).with_padding(padding))
        }
        PoolKind::Average => avg_pool2d(
            maps,
            AvgPoolOptions::new(kernel)
                .with_stride(stride)
                .with_padding(padding)
                .with_count_include_pad(false),
        ),
    }
}

fn activated(maps: Tensor<4>, activation: Activation) -> Tensor<4> {
    match activation {
        Activation::None => maps,
        Activation::Relu => relu(maps),
        Activation::Relu6 => maps.clamp(0.0, 6.0),
    }
}

/// Mean over height and width: `[N, channels]`.
fn pooled(maps: Tensor<4>) -> Tensor<2> {
    let [count, channels, height, width] = maps.dims();
    maps.reshape([count, channels, height * width]).mean_dim(2).reshape([count, channels])
}

/// Each feature zero with probability `dropout`, the others larger by as much (paper section 5).
fn dropped(feature: Tensor<2>, dropout: f32, seed: u64) -> Tensor<2> {
    if dropout <= 0.0 {
        return feature;
    }
    let [count, channels] = feature.dims();
    let mut random = StdRng::seed_from_u64(seed);
    let kept = 1.0 / (1.0 - dropout);
    let mask: Vec<f32> = (0..count * channels)
        .map(|_| if random.random_range(0.0..1.0f32) < dropout { 0.0 } else { kept })
        .collect();
    let mask = flat(&mask, &feature.device()).reshape([count, channels]);
    feature * mask
}

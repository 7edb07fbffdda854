//! The multi-view network with variables in it: forward in training and in evaluation, and back to plain weights.

use std::sync::Arc;

use burn::tensor::activation::relu;
use burn::tensor::module::{avg_pool2d, batch_norm, batch_norm_train, max_pool2d};
use burn::tensor::ops::{AvgPoolOptions, ConvOptions, MaxPoolOptions};
use burn::tensor::{Device, Tensor};
use fieldmark_convolutions::convolution as convolved;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::variables::{Handle, Variables, flat, numbers};
use crate::network::layer::{Activation, Convolution, Layer, Pool, PoolKind, convolutions, gives};
use crate::network::{
    self, After, ConvolutionWeights, Feature, HeadWeights, MergeWeights, NetworkSettings, NetworkWeights,
    Norm, Stage, merge_convolution,
};

/// Running mean and variance of a batch norm layer: `[channels]`, without gradients.
#[derive(Debug, Clone)]
pub struct Statistics {
    /// Name of its layer.
    pub name: String,
    /// Running mean.
    pub mean: Tensor<1>,
    /// Running variance.
    pub variance: Tensor<1>,
}

#[derive(Debug, Clone)]
struct Trained {
    weight: Handle,
    after: TrainedAfter,
}

#[derive(Debug, Clone, Copy)]
enum TrainedAfter {
    Bias(Handle),
    Norm { gamma: Handle, beta: Handle, statistics: usize },
}

/// The classifier on a feature vector: weight `[features, classes]`, bias `[classes]`.
#[derive(Debug, Clone, Copy)]
struct Classifier {
    weight: Handle,
    bias: Handle,
}

/// The auxiliary classifier of Inception-ResNet-v2 behind a stage of the first column: pool, two convolutions,
/// classifier (Szegedy et al., 2016).
#[derive(Debug, Clone)]
struct Auxiliary {
    stage: usize,
    layers: Vec<Layer>,
    trained: Vec<Trained>,
    classifier: Classifier,
}

/// A network in training.
#[derive(Debug, Clone)]
pub struct Network {
    settings: NetworkSettings,
    /// What the optimiser changes.
    pub variables: Variables,
    /// What batch norm keeps.
    pub statistics: Vec<Statistics>,
    shared: Vec<Trained>,
    columns: Vec<Vec<Trained>>,
    merge: Option<(Convolution, Trained)>,
    tail: Vec<Trained>,
    classifier: Classifier,
    auxiliary: Option<Auxiliary>,
    device: Device,
}

/// What a pass gives.
pub struct Pass {
    /// `[N, classes]`.
    pub logits: Tensor<2>,
    /// Of the auxiliary classifier, in training where the preset has one.
    pub auxiliary: Option<Tensor<2>>,
    /// Of the batch, in training.
    pub batch_statistics: BatchStatistics,
}

/// Position, mean and variance of each batch norm layer that a batch went through; a shared one stands there once a
/// view.
pub type BatchStatistics = Vec<(usize, Tensor<1>, Tensor<1>)>;

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
    },
}

impl Network {
    /// A network of `classes` that starts from `weights`, its classifier from `head`, on a device with gradients.
    #[must_use]
    pub fn new(
        settings: &NetworkSettings,
        weights: &NetworkWeights,
        head: &HeadWeights,
        device: &Device,
    ) -> Self {
        let mut add =
            Adding { variables: Variables::default(), statistics: Vec::new(), device: device.clone() };
        let stages = &settings.preset.stages;
        let (columns_from, columns_to) = (settings.split + 1, settings.merge + 1);
        let shared = add.stages("shared", &stages[..columns_from], &weights.shared);
        let columns = weights.columns.iter().enumerate().map(|(number, column)| {
            add.stages(&format!("column{number}"), &stages[columns_from..columns_to], column)
        });
        let columns: Vec<_> = columns.collect();
        let merge = weights.merge.as_ref().map(|merge| {
            let channels = settings.preset.channels(settings.merge);
            let convolution = merge_convolution(channels, columns.len());
            let start = trainable_merge(merge, &convolution, settings.seed);
            let trained = add.convolution("merge", &convolution, &start);
            (convolution, trained)
        });
        let tail = add.stages("tail", &stages[columns_to..], &weights.tail);
        let classifier = add.classifier("classifier", settings.preset.features(), head);
        let auxiliary = settings
            .preset
            .auxiliary
            .filter(|part| part.stage >= columns_from && part.stage < columns_to)
            .and_then(|part| add.auxiliary(settings, part, head.bias.len()));
        let Adding { variables, statistics, device } = add;
        Self {
            settings: settings.clone(),
            variables,
            statistics,
            shared,
            columns,
            merge,
            tail,
            classifier,
            auxiliary,
            device,
        }
    }

    /// The device with gradients that training runs on.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// What it tells apart.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.variables.length(self.classifier.bias)
    }

    /// One pass. `views`: one tensor `[N, 3, H, W]` a view, normalised, on the device of `mode`.
    #[must_use]
    pub fn pass(&self, views: Vec<Tensor<4>>, mode: Mode) -> Pass {
        let mut walk = Walk { network: self, evaluating: mode == Mode::Evaluation, seen: Vec::new() };
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
        if let Mode::Training { dropout, seed } = mode {
            feature = dropped(feature, dropout, seed);
        }
        let logits = walk.classified(self.classifier, feature);
        Pass { logits, auxiliary, batch_statistics: walk.seen }
    }

    /// Takes over the statistics of a batch: `running = decay * running + (1 - decay) * batch`.
    pub fn keep_statistics(&mut self, seen: BatchStatistics, decay: f64) {
        let mixed =
            |old: &Tensor<1>, new: Tensor<1>| old.clone().mul_scalar(decay) + new.mul_scalar(1.0 - decay);
        for (position, mean, variance) in seen {
            let kept = &mut self.statistics[position];
            kept.mean = mixed(&kept.mean, mean);
            kept.variance = mixed(&kept.variance, variance);
        }
    }

    /// Everything below the classifier as plain weights.
    #[must_use]
    pub fn weights(&self) -> NetworkWeights {
        let stages = &self.settings.preset.stages;
        let (from, to) = (self.settings.split + 1, self.settings.merge + 1);
        NetworkWeights {
            shared: self.stage_weights(&stages[..from], &self.shared),
            columns: self
                .columns
                .iter()
                .map(|column| Arc::new(self.stage_weights(&stages[from..to], column)))
                .collect(),
            merge: self
                .merge
                .as_ref()
                .map(|(_, trained)| MergeWeights::Convolution(self.convolution_weights(trained))),
            tail: self.stage_weights(&stages[to..], &self.tail),
        }
    }

    /// The classifier as plain weights.
    #[must_use]
    pub fn head(&self) -> HeadWeights {
        let columns = self.variables.numbers(self.classifier.weight);
        let bias = self.variables.numbers(self.classifier.bias);
        let (classes, features) = (bias.len(), columns.len() / bias.len().max(1));
        let weight = (0..classes)
            .flat_map(|class| (0..features).map(move |feature| (class, feature)))
            .map(|(class, feature)| columns[feature * classes + class])
            .collect();
        HeadWeights { weight, bias, scale: 1.0, temperature: 1.0, feature: Feature::Pooled }
    }

    fn stage_weights(&self, stages: &[Stage], trained: &[Trained]) -> Vec<Vec<ConvolutionWeights>> {
        let mut trained = trained.iter();
        let of_stage = |stage: &Stage| {
            let count = convolutions(&stage.layers).len();
            trained.by_ref().take(count).map(|trained| self.convolution_weights(trained)).collect()
        };
        stages.iter().map(of_stage).collect()
    }

    fn convolution_weights(&self, trained: &Trained) -> ConvolutionWeights {
        let after = match trained.after {
            TrainedAfter::Bias(bias) => After::Bias(self.variables.numbers(bias)),
            TrainedAfter::Norm { gamma, beta, statistics } => {
                let kept = &self.statistics[statistics];
                After::Norm(Norm {
                    gamma: self.variables.numbers(gamma),
                    beta: self.variables.numbers(beta),
                    mean: numbers(&kept.mean),
                    variance: numbers(&kept.variance),
                })
            }
        };
        ConvolutionWeights { weight: self.variables.numbers(trained.weight), after }
    }
}

/// The paper's merge starts random; a mean of columns stays what it is and learns from there.
fn trainable_merge(merge: &MergeWeights, convolution: &Convolution, seed: u64) -> ConvolutionWeights {
    match merge {
        MergeWeights::Convolution(weights) => weights.clone(),
        MergeWeights::Mean { .. } => {
            ConvolutionWeights::random(convolution, &mut StdRng::seed_from_u64(seed ^ 0x6d65_7267))
        }
    }
}

/// Variables while a network is put together.
struct Adding {
    variables: Variables,
    statistics: Vec<Statistics>,
    device: Device,
}

impl Adding {
    fn stages(&mut self, part: &str, stages: &[Stage], weights: &[Vec<ConvolutionWeights>]) -> Vec<Trained> {
        let pairs = stages
            .iter()
            .zip(weights)
            .flat_map(|(stage, weights)| convolutions(&stage.layers).into_iter().zip(weights));
        pairs.map(|(convolution, weights)| self.convolution(part, convolution, weights)).collect()
    }

    fn convolution(
        &mut self,
        part: &str,
        convolution: &Convolution,
        weights: &ConvolutionWeights,
    ) -> Trained {
        let name = format!("{part}.{}", convolution.name);
        let weight = self.add(&format!("{name}.weight"), &convolution.shape(), &weights.weight, true);
        let channels = [convolution.output];
        let after = match &weights.after {
            After::Bias(bias) => {
                TrainedAfter::Bias(self.add(&format!("{name}.bias"), &channels, bias, false))
            }
            After::Norm(norm) => {
                let gamma = self.add(&format!("{name}.gamma"), &channels, &norm.gamma, false);
                let beta = self.add(&format!("{name}.beta"), &channels, &norm.beta, false);
                let inner = self.device.clone().inner();
                let (mean, variance) = (flat(&norm.mean, &inner), flat(&norm.variance, &inner));
                self.statistics.push(Statistics { name, mean, variance });
                TrainedAfter::Norm { gamma, beta, statistics: self.statistics.len() - 1 }
            }
        };
        Trained { weight, after }
    }

    fn classifier(&mut self, name: &str, features: usize, head: &HeadWeights) -> Classifier {
        let classes = head.bias.len();
        let columns: Vec<f32> = (0..features)
            .flat_map(|feature| (0..classes).map(move |class| (class, feature)))
            .map(|(class, feature)| head.weight[class * features + feature])
            .collect();
        Classifier {
            weight: self.add(&format!("{name}.weight"), &[features, classes], &columns, true),
            bias: self.add(&format!("{name}.bias"), &[classes], &head.bias, false),
        }
    }

    fn auxiliary(
        &mut self,
        settings: &NetworkSettings,
        part: network::Auxiliary,
        classes: usize,
    ) -> Option<Auxiliary> {
        let maps = settings.preset.maps(part.stage)?;
        let layers = part.layers(maps);
        let behind = gives(&layers, maps)?;
        let mut random = StdRng::seed_from_u64(settings.seed ^ 0x6175_7869);
        let trained = convolutions(&layers)
            .into_iter()
            .map(|convolution| {
                let weights = ConvolutionWeights::random(convolution, &mut random);
                self.convolution("auxiliary", convolution, &weights)
            })
            .collect();
        let head = HeadWeights::random(behind.channels, classes, &mut random);
        let classifier = self.classifier("auxiliary.classifier", behind.channels, &head);
        Some(Auxiliary { stage: part.stage, layers, trained, classifier })
    }

    fn add(&mut self, name: &str, shape: &[usize], values: &[f32], decays: bool) -> Handle {
        self.variables.add(name.into(), shape, values, decays, &self.device)
    }
}

/// One pass through the layers.
struct Walk<'a> {
    network: &'a Network,
    evaluating: bool,
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
                convolved(maps, weight, Some(variables.value(bias, self.evaluating)), options)
            }
            TrainedAfter::Norm { gamma, beta, statistics } => {
                let maps = convolved(maps, weight, None, options);
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

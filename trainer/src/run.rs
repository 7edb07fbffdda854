//! The whole line: recipe in, package out.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};

use crate::calibrate;
use crate::dataset::{self, Photo};
use crate::evaluate::{self, Measured};
use crate::features::{self, PhotoFeatures};
use crate::head::train_head;
use crate::network::{Backbone, HeadWeights, NetworkWeights, export_features, export_model};
use crate::package;
use crate::recipe::Recipe;
use crate::report;

/// A recipe with its photographs and their features: everything that training and evaluation need.
pub struct Prepared {
    recipe: Recipe,
    photos: Vec<Photo>,
    weights: NetworkWeights,
    features: Vec<PhotoFeatures>,
}

impl Prepared {
    /// Reads photographs and weights, and computes the features that are not in `cache` yet.
    ///
    /// # Errors
    /// If something the recipe names is missing or cannot be read.
    pub fn new(recipe: Recipe, cache: &Path) -> anyhow::Result<Self> {
        let photos = recipe.data.source.read()?.photos;
        let backbone = Backbone::of(&recipe.network)?;
        let views = recipe.views.views().len();
        let weights = NetworkWeights::of_backbone(&recipe.network, &backbone, views);
        let onnx = export_features(&recipe.network, &weights, &recipe.views);
        let bar = progress("features", photos.len());
        let features = features::extract(&recipe, &photos, &onnx, cache, || bar.inc(1))?;
        bar.finish();
        Ok(Self { recipe, photos, weights, features })
    }

    /// Evaluates the recipe on its random splits.
    ///
    /// # Errors
    /// If a split cannot be trained on.
    pub fn evaluate(&self) -> anyhow::Result<Measured> {
        let bar = progress("splits", self.recipe.evaluate.splits);
        let trials = evaluate::trials(&self.recipe, &self.photos, &self.features, || bar.inc(1))?;
        bar.finish();
        let settings = &self.recipe.evaluate;
        let settings = calibrate::Settings {
            targets: settings.targets.clone(),
            confidence: settings.confidence,
            halvings: settings.halvings,
            seed: self.recipe.seed,
        };
        Ok(evaluate::measure(&trials, &settings)?)
    }

    /// Refuses figures below the recipe's floor.
    ///
    /// # Errors
    /// If species top-1 is below it.
    pub fn check_floor(&self, measured: &Measured) -> anyhow::Result<()> {
        let (reached, _) = measured.top1.get("species").copied().unwrap_or_default();
        let floor = self.recipe.evaluate.floor;
        anyhow::ensure!(
            reached >= floor,
            "species top-1 is {reached:.3}, below the recipe's floor of {floor}: no package made"
        );
        Ok(())
    }

    /// Trains on every photograph and writes the package into `folder`.
    ///
    /// # Errors
    /// If the model cannot be exported or the package not be written.
    pub fn package(&self, measured: &Measured, folder: &Path) -> anyhow::Result<PathBuf> {
        let taxonomy = dataset::taxonomy(&self.photos)?;
        let everything: Vec<usize> = (0..self.photos.len()).collect();
        let examples = evaluate::examples(&taxonomy, &self.photos, &self.features, &everything);
        let recipe = &self.recipe;
        let head = train_head(&taxonomy, &examples, &recipe.transfer, &recipe.train, recipe.seed);
        let head = HeadWeights { temperature: measured.calibration.temperature() as f32, ..head };
        let model = export_model(&recipe.network, &self.weights, &recipe.views, &head)?;
        let measured_on = self.measured_on();
        let identity = self.identity(&measured_on);
        // The photographs have licences of their own, and a package goes to every node.
        let report = self.page(measured, &|_| None)?;
        package::write(&identity, &taxonomy, &measured.calibration, report, model, folder)
            .context("packaging failed")
    }

    /// The page of `measured`, with photographs.
    ///
    /// # Errors
    /// If a chart cannot be drawn.
    pub fn report(&self, measured: &Measured) -> anyhow::Result<String> {
        self.page(measured, &|photo| self.photos.get(photo).map(|photo| photo.path.clone()))
    }

    fn page(&self, measured: &Measured, photograph: &report::Photograph<'_>) -> anyhow::Result<String> {
        let (taxonomy, measured_on) = (dataset::taxonomy(&self.photos)?, self.measured_on());
        report::report(&report::Content {
            identity: &self.identity(&measured_on),
            taxonomy: &taxonomy,
            measured,
            training_top1: None,
            photograph,
        })
    }

    fn measured_on(&self) -> String {
        let settings = &self.recipe.evaluate;
        format!(
            "{} random splits by source photograph, {:.0} % of the species left out of training in each.",
            settings.splits,
            settings.left_out * 100.0
        )
    }

    fn identity<'a>(&'a self, measured_on: &'a str) -> package::Identity<'a> {
        let recipe = &self.recipe;
        package::Identity {
            name: &recipe.name,
            version: &recipe.version,
            preset: recipe.network.preset.name,
            licence: &recipe.licence,
            provenance: &recipe.provenance,
            views: &recipe.views,
            measured_on,
        }
    }
}

/// A progress bar for `length` steps of `what`.
#[must_use]
pub fn progress(what: &'static str, length: usize) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{prefix:>9} {bar:30} {pos}/{len} {elapsed} (left: {eta}) {msg}");
    let bar = ProgressBar::new(length as u64).with_prefix(what);
    style.map_or(bar.clone(), |style| bar.with_style(style))
}

/// A progress bar for bytes of `what`.
#[must_use]
pub fn byte_progress(what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template(
        "{prefix:>9} {bar:30} {bytes}/{total_bytes} {binary_bytes_per_sec} {elapsed} (left: {eta})",
    );
    let bar = ProgressBar::new(0).with_prefix(what);
    style.map_or(bar.clone(), |style| bar.with_style(style))
}

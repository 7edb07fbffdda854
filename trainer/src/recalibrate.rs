//! A package calibrated again, on the user's own photographs: a model is only as sure as the pictures it was
//! calibrated on are like those it will see.

mod temperature;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use fieldmark_models::calibration::{Calibration, CalibrationError};
use fieldmark_models::package::{Draft, GOLDEN, Golden, GoldenPicture, MODEL, Package, REPORT};
use fieldmark_models::picture::Picture;
use fieldmark_models::views::ViewRenderer;

use crate::calibrate::{self, Case, Settings};
use crate::dataset::{self, Photo};
use crate::features::Runner;
use crate::package::{self, PictureFile};
use crate::report;

pub use temperature::{NotOurs, ours, with_temperature};

/// Smallest probability whose logarithm is taken.
const SMALLEST: f32 = 1e-30;

/// A package and what it said about photographs.
pub struct Recalibration {
    package: Package,
    calibration: Calibration,
    model: Vec<u8>,
}

impl Recalibration {
    /// Asks the model of `package` about every one of `photos` and calibrates on the answers. A photograph of a
    /// species the model does not know counts as one of its lowest ancestor that it does; one that is labelled above species is
    /// left out, for nobody knows what it would make right. `done` is called after each photograph.
    ///
    /// # Errors
    /// If a photograph cannot be read, the model does not run, or there are too few.
    pub fn new(
        package: Package,
        photos: &[Photo],
        settings: &Settings,
        done: impl Fn(),
    ) -> anyhow::Result<Self> {
        let judged = |photo: &&Photo| photo.is_judged(package.taxonomy());
        let photos: Vec<&Photo> = photos.iter().filter(judged).collect();
        let onnx = package.file(MODEL).unwrap_or_default();
        let runner = Runner::new(onnx, package.views())?;
        let mut renderer = ViewRenderer::new();
        let mut answers = Vec::with_capacity(photos.len());
        for photo in &photos {
            let probabilities = runner.run(&read(&photo.path)?, &mut renderer)?;
            // Logits but for a constant, which softmax does not see.
            let logits: Vec<f32> = probabilities.iter().map(|p| p.max(SMALLEST).ln()).collect();
            answers.push((logits, photo.lowest_known(package.taxonomy())));
            done();
        }
        let cases: Vec<Case<'_>> = answers
            .iter()
            .zip(dataset::individuals(photos.iter().copied()))
            .map(|((logits, truth), group)| Case {
                taxonomy: package.taxonomy(),
                logits,
                truth: *truth,
                group,
            })
            .collect();
        let fitted = calibrate::calibrate(&cases, settings)
            .context("calibration needs photographs of at least two individuals")?;
        let model = with_temperature(onnx, fitted.temperature())?;
        let calibration = on_top_of(package.calibration(), &fitted)?;
        Ok(Self { package, calibration, model })
    }

    /// What was found.
    #[must_use]
    pub fn calibration(&self) -> &Calibration {
        &self.calibration
    }

    /// Writes the package with its new calibration as version `version` into `folder`, and gives its path.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, version: semver::Version, folder: &Path) -> anyhow::Result<PathBuf> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot create folder {}", folder.display()))?;
        let manifest = self.package.manifest();
        let path = folder.join(format!("{}-{version}.fieldmark", manifest.name));
        let (golden, golden_pictures) = self.golden()?;
        let before = String::from_utf8_lossy(self.package.file(REPORT).unwrap_or_default()).into_owned();
        let calibration = report::calibration(&self.calibration);
        let draft = Draft {
            name: &manifest.name,
            version,
            created: jiff::Timestamp::now(),
            preset: &manifest.preset,
            licence: &manifest.licence,
            provenance: manifest.provenance.clone(),
            views: self.package.views(),
            taxonomy: self.package.taxonomy(),
            calibration: &self.calibration,
            golden: &golden,
            golden_pictures,
            model: self.model.clone(),
            quantised: None,
            report: report::with(&before, &format!("<h1>Calibrated again</h1>{calibration}")),
        };
        package::save(draft, &path)?;
        Ok(path)
    }

    /// The golden pictures, answered anew: another temperature gives other probabilities.
    fn golden(&self) -> anyhow::Result<(Golden, Vec<PictureFile>)> {
        let runner = Runner::new(&self.model, self.package.views())?;
        let mut renderer = ViewRenderer::new();
        let old = self.package.golden();
        let mut golden = Golden { tolerance: old.tolerance, picture: Vec::new() };
        let mut files = Vec::new();
        for picture in &old.picture {
            let bytes = self.package.file(&picture.file).unwrap_or_default();
            let decoded = Picture::decode(bytes).with_context(|| format!("{GOLDEN}: {}", picture.file))?;
            let probabilities = runner.run(&decoded, &mut renderer)?;
            golden.picture.push(GoldenPicture { probabilities, ..picture.clone() });
            let name = picture.file.rsplit('/').next().unwrap_or(&picture.file);
            files.push((name.to_owned(), bytes.to_vec()));
        }
        Ok((golden, files))
    }
}

/// `fitted` on answers that have the temperature of `before` in them.
pub(crate) fn on_top_of(before: &Calibration, fitted: &Calibration) -> Result<Calibration, CalibrationError> {
    let temperature = before.temperature() * fitted.temperature();
    Calibration::new(fitted.n(), temperature, fitted.confidence(), fitted.curve().to_vec())
}

pub(crate) fn read(path: &Path) -> anyhow::Result<Picture> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read photograph {}", path.display()))?;
    Picture::decode(&bytes).with_context(|| path.display().to_string())
}

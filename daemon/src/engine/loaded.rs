//! A model ready to answer: its package opened, its engine made and tested.

use std::path::{Path, PathBuf};

use fieldmark_models::calibration::Calibration;
use fieldmark_models::package::{OpenError, Package, Sha256Digest};
use fieldmark_models::taxonomy::Taxonomy;
use fieldmark_models::views::ViewSet;
use serde::{Deserialize, Serialize};

use super::choice::choose;
use super::{AttemptError, Chosen, Engine, EngineSettings, PassedOver, Phase, Precision, SelfTestReport};

/// Which model it is, as messages tell it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelIdentity {
    /// Name of the package.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of the package file.
    pub sha256: Sha256Digest,
}

/// Why a package does not answer.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The package is missing, damaged, or does not fit together.
    #[error("cannot use package {path}: {source}; {advice}")]
    Open {
        /// Path of the package.
        path: PathBuf,
        /// What is wrong.
        source: Box<OpenError>,
        /// What to do.
        advice: &'static str,
    },
    /// No engine runs it, or the one that was asked for gives wrong answers.
    #[error("cannot use package {path}: {source}")]
    Engine {
        /// Path of the package.
        path: PathBuf,
        /// What is wrong.
        source: AttemptError,
    },
}

/// A model, its vocabulary, and an engine that passed the self-test.
pub struct LoadedModel {
    /// Which model it is.
    pub identity: ModelIdentity,
    /// Views in the order of the graph's inputs.
    pub views: ViewSet,
    /// The tree it answers from.
    pub taxonomy: Taxonomy,
    /// Targets and thresholds.
    pub calibration: Calibration,
    /// Runs the network.
    pub engine: Box<dyn Engine>,
    /// How the self-test went.
    pub tested: SelfTestReport,
    /// Engines that were tried before, and why they were not taken.
    pub passed_over: Vec<PassedOver>,
}

impl LoadedModel {
    /// Opens the package at `path`, makes the engine that `settings` ask for, and shows it the golden pictures. `tell`
    /// hears what is being done; compiling a model for a GPU takes minutes. May be called on any thread, while another
    /// model runs.
    ///
    /// # Errors
    /// If the package cannot be used, the engine that is named does not work, or none does.
    pub fn open(
        path: &Path,
        settings: &EngineSettings,
        tell: &mut dyn FnMut(Phase),
    ) -> Result<Self, LoadError> {
        let mut package = Package::open(path).map_err(|source| LoadError::Open {
            path: path.into(),
            advice: advice(&source),
            source: Box::new(source),
        })?;
        let Chosen { engine, tested, passed_over } = choose(&mut package, settings, tell)
            .map_err(|source| LoadError::Engine { path: path.into(), source })?;
        let calibration = match engine.precision() {
            Precision::Int8 => package.calibration_int8().unwrap_or(package.calibration()),
            Precision::F32 | Precision::Fp16 => package.calibration(),
        };
        let manifest = package.manifest();
        Ok(Self {
            identity: ModelIdentity {
                name: manifest.name.clone(),
                version: manifest.version.to_string(),
                sha256: package.sha256(),
            },
            views: package.views().clone(),
            taxonomy: package.taxonomy().clone(),
            calibration: calibration.clone(),
            engine,
            tested,
            passed_over,
        })
    }
}

fn advice(error: &OpenError) -> &'static str {
    match error {
        OpenError::File { .. } => "give the path of a .fieldmark file that is there and can be read",
        OpenError::Interface { .. } => {
            "graph and taxonomy are of different models: package them together again"
        }
        _ => "copy or download the package again",
    }
}

//! A model ready to answer: its package opened, its engine made and tested.

use std::path::{Path, PathBuf};

use fieldmark_models::calibration::Calibration;
use fieldmark_models::package::{MODEL, OpenError, Package, Sha256Digest};
use fieldmark_models::taxonomy::Taxonomy;
use fieldmark_models::views::ViewSet;
use serde::{Deserialize, Serialize};

use super::{Engine, EngineError, SelfTestError, SelfTestReport, TractEngine, self_test};

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
    /// No engine for its graph.
    #[error("cannot use package {path}: {source}")]
    Engine {
        /// Path of the package.
        path: PathBuf,
        /// What is wrong.
        source: EngineError,
    },
    /// The engine gives wrong answers.
    #[error("cannot use package {path}: {source}")]
    SelfTest {
        /// Path of the package.
        path: PathBuf,
        /// What is wrong.
        source: SelfTestError,
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
}

impl LoadedModel {
    /// Opens the package at `path`, makes the engine, and shows it the golden pictures.
    ///
    /// # Errors
    /// If any of this fails.
    pub fn open(path: &Path) -> Result<Self, LoadError> {
        let mut package = Package::open(path).map_err(|source| LoadError::Open {
            path: path.into(),
            advice: advice(&source),
            source: Box::new(source),
        })?;
        let leaves = package.taxonomy().leaf_count();
        // The model leaves the package, so that its bytes are not kept beside the engine's own weights.
        let onnx = package.take_file(MODEL).unwrap_or_default();
        let mut engine = TractEngine::new(onnx, package.views(), leaves)
            .map_err(|source| LoadError::Engine { path: path.into(), source })?;
        let tested = self_test(&package, &mut engine)
            .map_err(|source| LoadError::SelfTest { path: path.into(), source })?;
        let manifest = package.manifest();
        Ok(Self {
            identity: ModelIdentity {
                name: manifest.name.clone(),
                version: manifest.version.to_string(),
                sha256: package.sha256(),
            },
            views: package.views().clone(),
            taxonomy: package.taxonomy().clone(),
            calibration: package.calibration().clone(),
            engine: Box::new(engine),
            tested,
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

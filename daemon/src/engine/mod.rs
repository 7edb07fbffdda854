//! From the pixels of views to leaf probabilities: one trait, three engines, and the choice between them.

mod choice;
mod eye;
mod loaded;
#[cfg(feature = "onnxruntime")]
mod onnxruntime;
mod phase;
mod selftest;
mod settings;
mod shape;
mod shipped;
#[cfg(feature = "tensorrt")]
pub mod tensorrt;
mod tract;

pub use choice::{AttemptError, Chosen};
pub use eye::{Eye, EyeError, LookTime};
pub use loaded::{LoadError, LoadedModel, ModelIdentity};
#[cfg(feature = "onnxruntime")]
pub use onnxruntime::OnnxRuntimeEngine;
pub use phase::{PassedOver, Phase};
pub use selftest::{SelfTestError, SelfTestReport, self_test};
pub use settings::{
    EngineKind, EngineSettings, OnnxRuntimeSettings, Precision, Provider, TensorRtSettings, TractSettings,
};
pub use shape::Shape;
pub use shipped::{NoShippedModel, shipped_package};
pub use tract::TractEngine;

/// Why an engine cannot be made, or gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// This program was built without it.
    #[error("this build has no {engine} engine: build it with the cargo feature {engine}")]
    NotBuilt {
        /// The engine.
        engine: EngineKind,
    },
    /// TensorRT does not run the model.
    #[cfg(feature = "tensorrt")]
    #[error(transparent)]
    TensorRt(#[from] tensorrt::TensorRtError),
    /// What it needs is not on this machine.
    #[error("{engine}: {reason}")]
    Missing {
        /// The engine.
        engine: EngineKind,
        /// What was looked for, what was found, what to do.
        reason: String,
    },
    /// The package has no model for the precision asked for.
    #[error(
        "{engine}: the package has no {file}, which precision = \"{precision}\" needs; quantise the package, or \
         take another precision"
    )]
    NoFile {
        /// The engine.
        engine: EngineKind,
        /// The file that is not there.
        file: &'static str,
        /// What was asked for.
        precision: Precision,
    },
    /// The graph cannot be run.
    #[error(
        "{engine} cannot {attempt} {file}: {reason}; package the model again, or take another version of it"
    )]
    Graph {
        /// The engine.
        engine: EngineKind,
        /// What was tried.
        attempt: &'static str,
        /// Which model of the package.
        file: &'static str,
        /// What the engine said.
        reason: String,
    },
    /// Buffers do not fit the model.
    #[error("{what} has {found} elements, the model needs {needed}")]
    Buffer {
        /// Which buffer.
        what: &'static str,
        /// Its length.
        found: usize,
        /// Length needed.
        needed: usize,
    },
}

/// Runs a network. One thread uses it at a time; buffers belong to the caller.
pub trait Engine: Send {
    /// Its name in messages, such as `tract-f32`.
    fn name(&self) -> &str;

    /// Which of the package's models it runs, and so which thresholds and golden answers are its own.
    fn precision(&self) -> Precision;

    /// Regions that are best given in one call; 1 where nothing is gained by more.
    fn batch(&self) -> usize;

    /// What its layers compute in, where it chooses layer by layer: a JSON object or a name a layer.
    fn layers(&self) -> &[String] {
        &[]
    }

    /// Fills `probabilities` `[regions, leaves]` from `views`: for each view of the model, in order, bytes
    /// `[regions, H, W, 3]` RGB. Any number of regions may be given.
    ///
    /// # Errors
    /// If a buffer has another length, or the network cannot be run.
    fn infer(
        &mut self,
        views: &[Vec<u8>],
        regions: usize,
        probabilities: &mut [f32],
    ) -> Result<(), EngineError>;
}

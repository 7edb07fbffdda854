//! From the pixels of views to leaf probabilities.

mod loaded;
mod selftest;
mod shipped;
mod tract;

pub use loaded::{LoadError, LoadedModel, ModelIdentity};
pub use selftest::{SelfTestError, SelfTestReport, self_test};
pub use shipped::{NoShippedModel, shipped_package};
pub use tract::TractEngine;

/// Why an engine cannot be made, or gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The graph cannot be run.
    #[error(
        "{engine} cannot {attempt} model.onnx: {reason}; package the model again, or take another version of it"
    )]
    Graph {
        /// Name of the engine.
        engine: &'static str,
        /// What was tried.
        attempt: &'static str,
        /// What the engine said.
        reason: String,
    },
    /// Buffers do not fit the model.
    #[error("{what} has {found} elements, the model needs {needed}")]
    Buffer {
        /// Which buffer.
        what: String,
        /// Its length.
        found: usize,
        /// Length needed.
        needed: usize,
    },
}

/// Runs a network. One thread uses it at a time; buffers belong to the caller.
pub trait Engine: Send {
    /// Its name in messages, such as `tract-f32`.
    fn name(&self) -> &'static str;

    /// Fills `probabilities` `[regions, leaves]` from `views`: for each view of the model, in order, bytes
    /// `[regions, H, W, 3]` RGB.
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

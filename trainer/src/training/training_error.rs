//! Why training stopped.

use std::path::PathBuf;

use super::batch::BatchError;
use super::checkpoint::CheckpointError;
use super::processes::ProcessesError;

/// Why training stopped.
#[derive(Debug, thiserror::Error)]
pub enum TrainingError {
    /// The loss is no number any more.
    #[error(
        "the loss of step {step} of stage {stage} is {loss} at rate {rate}: lower the rate, or look at its pictures: {}",
        pictures.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
    )]
    Diverged {
        /// Position of the stage.
        stage: usize,
        /// The step.
        step: usize,
        /// Its loss.
        loss: f32,
        /// Its learning rate.
        rate: f64,
        /// Its pictures.
        pictures: Vec<PathBuf>,
    },
    /// A batch.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// A checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The processes that train together.
    #[error(transparent)]
    Processes(#[from] ProcessesError),
    /// Progress could not be written down.
    #[error("cannot write {path}: {source}")]
    Log {
        /// Path of the log.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

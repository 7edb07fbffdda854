//! Training of the whole network (paper sections 3 and 5): batches -> pass -> loss -> step, stage by stage of knowledge
//! transfer, with checkpoints that an interrupted run goes on from as if nothing had happened.

mod adam;
mod asking;
mod average;
mod batch;
mod checkpoint;
mod dashboard;
mod early;
mod exchange;
mod launch;
mod loss;
#[cfg(feature = "mpi")]
mod message_passing;
mod network;
mod order;
mod pass;
mod processes;
mod processor;
mod recipe;
mod schedule;
mod session;
mod stages;
mod steps;
mod training_error;
mod validation;
mod variables;

pub use adam::{Adam, AdamSettings};
pub use asking::{Asking, logits};
pub use average::Average;
pub use batch::{Batch, BatchError, Batches, Feed, Step, reading_threads};
pub use checkpoint::{CheckpointError, Position};
pub use dashboard::{Dashboard, StagePlan};
pub use early::Best;
pub use launch::{launched, started_with};
pub use loss::admitted;
#[cfg(feature = "mpi")]
pub use message_passing::MessagePassing;
pub use network::{BatchStatistics, Network};
pub use order::Sampling;
pub use pass::{Mode, Pass, Precision};
pub use processes::{Alone, Pairwise, Processes, ProcessesError};
pub use processor::{Processor, ProcessorError, compute_here};
pub use recipe::{EvaluateSettings, NetworkRecipe, Photographs};
pub use schedule::{Schedule, Span};
pub use session::{EVALUATION, Evaluation, Session};
pub use stages::{Run, StageSettings, Trained, train};
pub use steps::{PassGradients, Progress, StepSettings, pass_gradients};
pub use training_error::TrainingError;
pub use validation::{Validated, Validation};
pub(crate) use variables::numbers;
pub use variables::{Handle, Variable, Variables};

#[cfg(test)]
mod tests;

//! Training of the whole network (paper sections 3 and 5): batches -> pass -> loss -> step, stage by stage of knowledge
//! transfer, with checkpoints that an interrupted run goes on from as if nothing had happened.

mod adam;
mod average;
mod batch;
mod checkpoint;
mod early;
mod loss;
mod network;
mod order;
mod processor;
mod recipe;
mod schedule;
mod session;
mod stages;
mod steps;
mod variables;

pub use adam::{Adam, AdamSettings};
pub use average::Average;
pub use batch::{Batch, BatchError, Batches, Feed, Step, reading_threads};
pub use checkpoint::{CheckpointError, Position};
pub use early::{Best, Validation};
pub use network::{Mode, Network, Pass};
pub use order::Sampling;
pub use processor::{Processor, ProcessorError};
pub use recipe::{EvaluateSettings, NetworkRecipe, Photographs};
pub use schedule::{Schedule, Span};
pub use session::{EVALUATION, Evaluation, Session};
pub use stages::{Run, StageSettings, Trained, TrainingError, train};
pub use steps::{Progress, StepSettings, logits};
pub(crate) use variables::numbers;
pub use variables::{Handle, Variable, Variables};

#[cfg(test)]
mod tests;

//! Post-training quantisation to int8 with explicit Q/DQ: fold -> place -> collect ranges -> choose them by measured
//! error -> correct biases -> round weights by what layers give -> the same with layers equalised -> prefer what reaches the target -> fine-tune, where asked for ->
//! keep sensitive layers in float -> write -> calibrate again.
//!
//! Everything is measured with the project's own float engine, which never sees a Q/DQ: [`simulate`] makes the float
//! equivalent of the int8 graph from that graph itself.

mod centre;
mod centring;
mod differentiable;
mod engine;
mod equalise;
mod explicit;
mod fidelity;
mod fold;
mod grid;
mod half;
mod histogram;
mod layer;
mod padding;
mod placement;
mod probe;
mod ranges;
mod reading;
mod record;
mod rounding;
mod samples;
mod search;
mod sensitive;
mod simulate;
mod transport;
mod tune;
mod weights;
mod write;

use std::collections::BTreeMap;

use fieldmark_models::onnx::Model;
use fieldmark_models::package::{MODEL, Package};
use fieldmark_models::views::RenderError;
use prost::Message as _;
use tract_onnx::prelude::TractError;

pub use engine::{Engine, Sample};
pub use explicit::{Numbers, explicit};
pub use fidelity::{Fidelity, Target};
pub use fold::fold;
pub use half::{TooLarge, half};
pub use histogram::{Histogram, Method};
pub use layer::layers;
pub use placement::{Exceptions, Placement, place};
pub use record::{Record, TensorRange};
pub use samples::samples;
pub use simulate::simulate;
pub use transport::transport;
pub use tune::FineTuning;
pub use write::{Destination, write};

use search::Search;

/// Method and range of each scale group.
pub type Ranges = BTreeMap<usize, (Method, f32)>;

/// Largest difference of any one probability that folding may make.
const FOLDING: f32 = 1e-5;

/// Why a model was not quantised.
#[derive(Debug, thiserror::Error)]
pub enum QuantiseError {
    /// The graph has parts our types would lose.
    #[error(transparent)]
    NotOurs(#[from] crate::recalibrate::NotOurs),
    /// Nothing in it can be int8.
    #[error(
        "the model has no convolution or matrix product with constant weights: there is nothing to quantise"
    )]
    NoLayers,
    /// Too few pictures.
    #[error(
        "the calibration set has {0} individuals, at least 2 are needed: ranges from one half, judged on the other"
    )]
    TooFew(usize),
    /// Folding changed the answers.
    #[error(
        "folding changed a probability by {0:e}, at most {FOLDING:e} is rounding: the model cannot be quantised safely"
    )]
    Folding(f32),
    /// The graph has a part that cannot be trained through.
    #[error(
        "{node} ({operator}) cannot be fine-tuned: only the operators that fieldmark-trainer writes are known; leave \
         --fine-tune away"
    )]
    Untrainable {
        /// The node.
        node: String,
        /// What it is.
        operator: String,
    },
    /// Fine-tuning gave no numbers any more.
    #[error("fine-tuning diverged at a rate of {rate:e}: give a smaller one with --fine-tune-rate")]
    Diverged {
        /// The learning rate.
        rate: f64,
    },
    /// A view.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// The engine.
    #[error("the network cannot be run: {0:#}")]
    Engine(#[from] TractError),
}

/// How to quantise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// What must be reached on the judging pictures.
    pub target: Target,
    /// Pictures that candidates are measured on.
    pub probes: usize,
    /// Accuracy target whose threshold depths are compared at.
    pub accuracy: f64,
    /// What to do where the target is missed, before layers are left in float.
    pub fine_tuning: Option<FineTuning>,
}

/// A quantised model.
pub struct Quantised {
    /// With Q/DQ.
    pub int8: Vec<u8>,
    /// In 16-bit floats, or why not.
    pub fp16: Result<Vec<u8>, TooLarge>,
    /// The float equivalent of the int8 graph.
    pub simulated: Vec<u8>,
    /// Probabilities of the original for the judging pictures.
    pub float_answers: Vec<Vec<f32>>,
    /// Those of the int8 model.
    pub answers: Vec<Vec<f32>>,
    /// What was done and measured.
    pub record: Record,
}

/// Quantises the model of `package`: ranges from `calibration`, judged on `judging`. `say` is told of every step.
///
/// # Errors
/// If the model is not one that fieldmark-trainer writes, does not run, or there are no pictures.
pub fn quantise(
    package: &Package,
    calibration: &[Sample],
    judging: &[Sample],
    settings: &Settings,
    say: &dyn Fn(&str),
) -> Result<Quantised, QuantiseError> {
    let onnx = package.file(MODEL).unwrap_or_default();
    let model = crate::recalibrate::ours(onnx)?;
    let mut search = Search::new(model, package, calibration, judging, settings, say)?;
    search.choose_numbers("")?;
    search.equalise()?;
    let judgement = search.judge()?;
    let judgement = search.prefer_what_reaches(judgement)?;
    let judgement = search.fine_tune(judgement)?;
    let judgement = search.keep_sensitive_in_float(judgement)?;
    Ok(search.finish(judgement, onnx.len()))
}

/// `model` with another graph, encoded.
fn encoded(model: &Model, graph: fieldmark_models::onnx::Graph) -> Vec<u8> {
    Model { graph: Some(graph), ..model.clone() }.encode_to_vec()
}

#[cfg(test)]
mod tests;

//! `quantisation.toml`: how the int8 model was made and what it cost.

use super::{Fidelity, Method, Target};

/// Range of one quantised tensor.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct TensorRange {
    /// Name of the value.
    pub value: String,
    /// Method that gave its range.
    pub method: Method,
    /// Largest magnitude that is told apart; the scale is a 127th of it, a 255th where it is centred.
    pub range: f32,
    /// Whether it cannot be negative and is quantised less the middle of its range.
    pub centred: bool,
    /// Squared error of the layers that read it, relative to their output, summed over those of its scale group.
    pub error: f64,
}

/// Divergence from the original's probabilities after one variant, on the probing pictures.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Variant {
    /// What was done.
    pub name: String,
    /// Mean Kullback-Leibler divergence in nats.
    pub divergence: f64,
}

/// Everything about one quantisation.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Record {
    /// Pictures that ranges come from.
    pub calibration_pictures: usize,
    /// Of those, pictures that candidates were measured on.
    pub probing_pictures: usize,
    /// Largest difference of a probability that folding made.
    pub folding_difference: f32,
    /// Pairs of layers that are equalised; 0 where that was not better.
    pub equalised_pairs: usize,
    /// Whether biases are corrected.
    pub bias_corrected: bool,
    /// Convolutions and matrix products.
    pub layers: usize,
    /// Those in int8.
    pub int8_layers: Vec<String>,
    /// Those in float.
    pub float_layers: Vec<String>,
    /// Those in int8 whose padding is a node of its own, so that what they read is centred.
    pub padded_layers: Vec<String>,
    /// Bytes of `model.onnx`.
    pub float32_bytes: usize,
    /// Bytes of `model.int8.onnx`.
    pub int8_bytes: usize,
    /// Bytes of `model.fp16.onnx`; 0 where there is none.
    pub float16_bytes: usize,
    /// Whether the target is reached.
    pub reached: bool,
    /// What was to be reached.
    pub target: Target,
    /// What was reached, on pictures that no range comes from.
    pub fidelity: Fidelity,
    /// What was tried.
    pub variant: Vec<Variant>,
    /// Layers, those that cost most first, each with the divergence that is left when it alone is float. Empty where the
    /// target was reached without looking.
    pub sensitivity: Vec<Variant>,
    /// What fine-tuning left after each of its epochs, on the judging pictures. Empty where it was not asked for or needed.
    pub fine_tuning: Vec<Variant>,
    /// Ranges.
    pub tensor: Vec<TensorRange>,
}

//! `NAME-VERSION.fieldmark`: a model with all it needs to be run and judged (DESIGN 4.2), a tar archive under
//! zstd. Opening one is reading hostile input.

mod digest;
mod golden;
mod interface;
mod manifest;
mod open;
mod write;

pub use digest::{Sha256Digest, Sha256Reader};
pub use golden::{Golden, GoldenError, GoldenPicture};
pub use interface::{InterfaceError, PROBABILITIES, check_interface};
pub use manifest::{FORMAT, FileEntry, Manifest, ManifestError, Quantisation, is_package_name};
pub use open::{OpenError, Package};
pub use write::{Draft, QuantisedFiles, WriteError};

/// The manifest, always the first entry of the archive.
pub const MANIFEST: &str = "manifest.toml";
/// The float model.
pub const MODEL: &str = "model.onnx";
/// The model in int8 with explicit Q/DQ, where there is one.
pub const MODEL_INT8: &str = "model.int8.onnx";
/// The model in 16-bit floats, where there is one.
pub const MODEL_FP16: &str = "model.fp16.onnx";
/// The tree of taxa.
pub const TAXONOMY: &str = "taxonomy.tsv";
/// Targets and thresholds.
pub const CALIBRATION: &str = "calibration.toml";
/// Golden pictures and what they must give.
pub const GOLDEN: &str = "golden/index.toml";
/// Targets and thresholds of the int8 model: its probabilities differ.
pub const CALIBRATION_INT8: &str = "calibration.int8.toml";
/// What the golden pictures must give on the int8 model.
pub const GOLDEN_INT8: &str = "golden/index.int8.toml";
/// How the int8 model was made: pictures, method, range and error of every tensor, measured losses.
pub const QUANTISATION: &str = "quantisation.toml";
/// How good the model is, for people.
pub const REPORT: &str = "report.html";

#[cfg(test)]
mod tests;

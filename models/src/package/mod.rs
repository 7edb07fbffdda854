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
pub use manifest::{FORMAT, FileEntry, Manifest, ManifestError};
pub use open::{OpenError, Package};
pub use write::{Draft, WriteError};

/// The manifest, always the first entry of the archive.
pub const MANIFEST: &str = "manifest.toml";
/// The float model.
pub const MODEL: &str = "model.onnx";
/// The tree of taxa.
pub const TAXONOMY: &str = "taxonomy.tsv";
/// Targets and thresholds.
pub const CALIBRATION: &str = "calibration.toml";
/// Golden pictures and what they must give.
pub const GOLDEN: &str = "golden/index.toml";
/// How good the model is, for people.
pub const REPORT: &str = "report.html";

#[cfg(test)]
mod tests;

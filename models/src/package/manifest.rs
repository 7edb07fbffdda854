//! `manifest.toml`: what is in a package.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{
    CALIBRATION, CALIBRATION_INT8, GOLDEN, GOLDEN_INT8, MODEL, MODEL_FP16, MODEL_INT8, Sha256Digest, TAXONOMY,
};
use crate::views::{View, ViewSet, ViewsError};

/// The format this crate writes and reads.
pub const FORMAT: u32 = 1;

/// Largest file a package may hold: a 19 027-leaf float network is 0.4 GB.
const MAX_FILE_BYTES: u64 = 2 << 30;
/// Most files a package may hold.
const MAX_FILES: usize = 256;

/// What a package says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of the package format: [`FORMAT`].
    pub format: u32,
    /// Name of the model: letters, digits, `-` and `_`.
    pub name: String,
    /// Version of the model.
    pub version: semver::Version,
    /// When it was packaged.
    pub created: jiff::Timestamp,
    /// Network preset it was trained from.
    pub preset: String,
    /// Side of every view in pixels.
    pub input_size: u32,
    /// Licence of the weights (SPDX expression).
    pub licence: String,
    /// Where the weights and the training pictures are from, one source an entry.
    pub provenance: Vec<String>,
    /// What of the network is int8, where the package has such a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantisation: Option<Quantisation>,
    /// The views in the order of the graph inputs.
    pub views: Vec<View>,
    /// Every file but the manifest.
    pub files: Vec<FileEntry>,
}

/// What of the network is int8.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantisation {
    /// Convolutions and matrix products of the graph.
    pub layers: u32,
    /// Those among them in int8.
    pub int8_layers: u32,
    /// Names of the others: int8 cost too much there.
    pub float_layers: Vec<String>,
}

/// One file of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Relative path with `/`.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Digest of the content.
    pub sha256: Sha256Digest,
    /// Arithmetic of an engine file: `float32`, `float16` or `int8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<String>,
}

/// Why a manifest cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not TOML, or not these fields.
    #[error("manifest.toml cannot be read: {0}")]
    Toml(#[from] toml::de::Error),
    /// Made by a newer fieldmark.
    #[error("the package has format {0}, this fieldmark reads format {FORMAT}: update fieldmark")]
    Format(u32),
    /// Becomes a file name and a topic level.
    #[error("model name {0:?} is not made of letters, digits, - and _")]
    Name(String),
    /// A path that could leave the package.
    #[error("file path {0:?} is not a plain relative path, or stands twice")]
    Path(String),
    /// Too many files, or one too large.
    #[error("{0}")]
    TooLarge(String),
    /// An engine file whose name and precision do not agree.
    #[error("{path} has precision {found:?}, a file of that name has {needed:?}")]
    Precision {
        /// Path in the archive.
        path: String,
        /// As the manifest says.
        found: String,
        /// As the name says.
        needed: &'static str,
    },
    /// A file without which there is no model.
    #[error("the manifest names no {0}")]
    Missing(&'static str),
    /// The views cannot be used together.
    #[error(transparent)]
    Views(#[from] ViewsError),
}

/// Whether a model may have this name, which becomes a file's and a topic's: at most 64 letters, digits, `-` and `_`.
#[must_use]
pub fn is_package_name(name: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    !name.is_empty() && name.len() <= 64 && name.chars().all(is_word)
}

impl Manifest {
    /// Reads and checks a manifest.
    ///
    /// # Errors
    /// If it is not TOML with exactly these fields, of a newer format, or names files a package may not hold.
    pub fn from_toml(text: &str) -> Result<Self, ManifestError> {
        // The format decides which fields there are, so it is looked at first.
        let format = toml::from_str::<FormatOnly>(text)?.format;
        if format != FORMAT {
            return Err(ManifestError::Format(format));
        }
        let manifest: Self = toml::from_str(text)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Checks everything that its fields' types do not.
    pub(super) fn check(&self) -> Result<(), ManifestError> {
        if !is_package_name(&self.name) {
            return Err(ManifestError::Name(self.name.clone()));
        }
        if self.files.len() > MAX_FILES {
            return Err(ManifestError::TooLarge(format!("{} files, at most {MAX_FILES}", self.files.len())));
        }
        let mut paths = BTreeSet::new();
        for file in &self.files {
            if !is_plain_path(&file.path) || !paths.insert(file.path.as_str()) {
                return Err(ManifestError::Path(file.path.clone()));
            }
            if file.size > MAX_FILE_BYTES {
                let text = format!("{} has {} bytes, at most {MAX_FILE_BYTES}", file.path, file.size);
                return Err(ManifestError::TooLarge(text));
            }
        }
        let needed = [MODEL, TAXONOMY, CALIBRATION, GOLDEN];
        if let Some(missing) = needed.into_iter().find(|path| !paths.contains(path)) {
            return Err(ManifestError::Missing(missing));
        }
        // An int8 model without thresholds of its own would be run with another model's.
        let with_int8 = if paths.contains(MODEL_INT8) { &[CALIBRATION_INT8, GOLDEN_INT8][..] } else { &[] };
        if let Some(missing) = with_int8.iter().find(|path| !paths.contains(*path)) {
            return Err(ManifestError::Missing(missing));
        }
        self.check_precisions()?;
        self.view_set().map(|_| ()).map_err(ManifestError::from)
    }

    fn check_precisions(&self) -> Result<(), ManifestError> {
        for (path, needed) in [(MODEL, "float32"), (MODEL_INT8, "int8"), (MODEL_FP16, "float16")] {
            let Some(file) = self.file(path) else { continue };
            let found = file.precision.as_deref().unwrap_or_default();
            if found != needed {
                let (path, found) = (path.to_owned(), found.to_owned());
                return Err(ManifestError::Precision { path, found, needed });
            }
        }
        Ok(())
    }

    /// The views, checked.
    ///
    /// # Errors
    /// If they cannot be used together.
    pub fn view_set(&self) -> Result<ViewSet, ViewsError> {
        ViewSet::new(self.views.clone(), self.input_size)
    }

    /// The entry for `path`.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&FileEntry> {
        self.files.iter().find(|file| file.path == path)
    }
}

#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

/// Segments of letters, digits, `.`, `-` and `_`, none of them starting with a dot.
fn is_plain_path(path: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let is_segment = |s: &str| !s.is_empty() && !s.starts_with('.') && s.chars().all(is_plain);
    path.len() <= 200 && path != super::MANIFEST && path.split('/').all(is_segment)
}

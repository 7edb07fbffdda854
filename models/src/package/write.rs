//! Writing a package. The same draft gives the same bytes.

use std::io::{self, Write};

use super::manifest::ManifestError;
use super::{
    CALIBRATION, CALIBRATION_INT8, FORMAT, FileEntry, GOLDEN, GOLDEN_INT8, Golden, MANIFEST, MODEL,
    MODEL_FP16, MODEL_INT8, Manifest, QUANTISATION, Quantisation, REPORT, Sha256Digest, TAXONOMY,
};
use crate::calibration::Calibration;
use crate::taxonomy::Taxonomy;
use crate::views::ViewSet;

/// Size against time: level 19 takes seconds on a 40 MB model and saves a few percent of a radio link.
const COMPRESSION_LEVEL: i32 = 19;
/// Columns that start from the same weights repeat tens of megabytes apart; a 2^27-byte window finds them.
const WINDOW_LOG: u32 = 27;

/// What goes into a package.
#[derive(Debug)]
pub struct Draft<'a> {
    /// Name of the model.
    pub name: &'a str,
    /// Version of the model.
    pub version: semver::Version,
    /// When it is packaged.
    pub created: jiff::Timestamp,
    /// Network preset.
    pub preset: &'a str,
    /// Licence of the weights (SPDX expression).
    pub licence: &'a str,
    /// Where weights and pictures are from.
    pub provenance: Vec<String>,
    /// Views and input size.
    pub views: &'a ViewSet,
    /// The tree of taxa.
    pub taxonomy: &'a Taxonomy,
    /// Targets and thresholds.
    pub calibration: &'a Calibration,
    /// Golden answers.
    pub golden: &'a Golden,
    /// Golden pictures by file name below `golden/`, as encoded files.
    pub golden_pictures: Vec<(String, Vec<u8>)>,
    /// The float graph.
    pub model: Vec<u8>,
    /// The same network in fewer bits, where it was quantised.
    pub quantised: Option<QuantisedFiles<'a>>,
    /// For people.
    pub report: String,
}

/// The network in fewer bits, with everything that is its own.
#[derive(Debug)]
pub struct QuantisedFiles<'a> {
    /// The graph with Q/DQ.
    pub int8: Vec<u8>,
    /// The graph in 16-bit floats, where its weights fit.
    pub fp16: Option<Vec<u8>>,
    /// What of it is int8.
    pub quantisation: Quantisation,
    /// Targets and thresholds of the int8 model.
    pub calibration: &'a Calibration,
    /// Golden answers of the int8 model.
    pub golden: &'a Golden,
    /// How it was made, as TOML.
    pub record: String,
}

/// Path and content of every file but the manifest.
type Files = Vec<(String, Vec<u8>)>;

/// Why a package was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The draft breaks a rule of the manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A part cannot be put into its file format.
    #[error("cannot write {file}: {source}")]
    Toml {
        /// Path in the archive.
        file: &'static str,
        /// What the writer said.
        source: toml::ser::Error,
    },
    /// The archive could not be written.
    #[error("cannot write the package: {0}")]
    Io(#[from] io::Error),
}

impl Draft<'_> {
    /// Writes the archive to `out` and gives the manifest in it.
    ///
    /// # Errors
    /// If a name or path is not allowed in a package, or writing fails.
    pub fn write(self, out: impl Write) -> Result<Manifest, WriteError> {
        let (manifest, files) = self.into_files()?;
        let mut encoder = zstd::Encoder::new(out, COMPRESSION_LEVEL)?;
        encoder.long_distance_matching(true)?;
        encoder.window_log(WINDOW_LOG)?;
        let mut archive = tar::Builder::new(encoder);
        append(&mut archive, MANIFEST, to_toml(MANIFEST, &manifest)?.as_bytes())?;
        for (path, bytes) in &files {
            append(&mut archive, path, bytes)?;
        }
        archive.into_inner()?.finish()?.flush()?;
        Ok(manifest)
    }

    fn into_files(self) -> Result<(Manifest, Files), WriteError> {
        let mut files = vec![
            (TAXONOMY.to_owned(), self.taxonomy.to_tsv().into_bytes()),
            (CALIBRATION.to_owned(), to_toml(CALIBRATION, self.calibration)?.into_bytes()),
            (GOLDEN.to_owned(), to_toml(GOLDEN, self.golden)?.into_bytes()),
        ];
        files.extend(self.golden_pictures.into_iter().map(|(name, bytes)| (format!("golden/{name}"), bytes)));
        files.push((REPORT.to_owned(), self.report.into_bytes()));
        files.push((MODEL.to_owned(), self.model));
        let mut quantisation = None;
        if let Some(quantised) = self.quantised {
            let calibration = to_toml(CALIBRATION_INT8, quantised.calibration)?;
            files.push((CALIBRATION_INT8.to_owned(), calibration.into_bytes()));
            files.push((GOLDEN_INT8.to_owned(), to_toml(GOLDEN_INT8, quantised.golden)?.into_bytes()));
            files.push((QUANTISATION.to_owned(), quantised.record.into_bytes()));
            files.push((MODEL_INT8.to_owned(), quantised.int8));
            files.extend(quantised.fp16.map(|bytes| (MODEL_FP16.to_owned(), bytes)));
            quantisation = Some(quantised.quantisation);
        }
        let entry = |(path, bytes): &(String, Vec<u8>)| FileEntry {
            path: path.clone(),
            size: bytes.len() as u64,
            sha256: Sha256Digest::of(bytes),
            precision: precision(path).map(Into::into),
        };
        let manifest = Manifest {
            format: FORMAT,
            name: self.name.into(),
            version: self.version,
            created: self.created,
            preset: self.preset.into(),
            input_size: self.views.input_size(),
            licence: self.licence.into(),
            provenance: self.provenance,
            quantisation,
            views: self.views.views().to_vec(),
            files: files.iter().map(entry).collect(),
        };
        manifest.check()?;
        Ok((manifest, files))
    }
}

/// Arithmetic of an engine file.
fn precision(path: &str) -> Option<&'static str> {
    match path {
        MODEL => Some("float32"),
        MODEL_INT8 => Some("int8"),
        MODEL_FP16 => Some("float16"),
        _ => None,
    }
}

fn to_toml(file: &'static str, part: &impl serde::Serialize) -> Result<String, WriteError> {
    toml::to_string(part).map_err(|source| WriteError::Toml { file, source })
}

fn append<W: Write>(archive: &mut tar::Builder<W>, path: &str, bytes: &[u8]) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(0);
    archive.append_data(&mut header, path, bytes)
}

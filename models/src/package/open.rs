//! Opening a package: every byte is checked against the manifest before any of it is used.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use super::manifest::ManifestError;
use super::{
    CALIBRATION, CALIBRATION_INT8, GOLDEN, GOLDEN_INT8, Golden, GoldenError, InterfaceError, MANIFEST,
    MODEL_INT8, Manifest, Sha256Digest, Sha256Reader, TAXONOMY, check_interface,
};
use crate::calibration::Calibration;
use crate::taxonomy::{Taxonomy, TsvError};
use crate::views::ViewSet;

/// Largest manifest that is read.
const MAX_MANIFEST_BYTES: u64 = 1 << 20;
/// Largest window (2^27 bytes) a package's zstd frame may ask the decoder to keep.
const MAX_WINDOW_LOG: u32 = 27;

/// Why a package cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file is not there or cannot be read.
    #[error("cannot read package {path}: {source}")]
    File {
        /// Path of the package.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Not a tar archive under zstd, or cut short.
    #[error("not a fieldmark package, or a damaged one: {0}")]
    Archive(io::Error),
    /// The archive does not begin with a manifest.
    #[error("the first entry is {0:?}, it must be {MANIFEST}")]
    NoManifest(String),
    /// The manifest cannot be followed.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// An entry that is no regular file, is not in the manifest, or stands twice.
    #[error("entry {0:?} is not a regular file named once in the manifest")]
    Entry(String),
    /// The manifest names a file that is not there.
    #[error("file {0} is in the manifest but not in the archive: the package is cut short")]
    Missing(String),
    /// Size or digest differ from the manifest's.
    #[error("file {path} does not have the {what} the manifest gives: the package is damaged or was altered")]
    Altered {
        /// Path in the archive.
        path: String,
        /// `size` or `SHA-256 digest`.
        what: &'static str,
    },
    /// A text file is not UTF-8.
    #[error("{0} is not UTF-8 text")]
    Text(&'static str),
    /// The taxonomy is damaged.
    #[error("{TAXONOMY}: {0}")]
    Taxonomy(#[from] TsvError),
    /// The calibration or the golden index is not what it should be.
    #[error("{file}: {source}")]
    Toml {
        /// Path in the archive.
        file: &'static str,
        /// What is wrong.
        source: Box<toml::de::Error>,
    },
    /// The graph does not fit.
    #[error("{file}: {source}")]
    Interface {
        /// Path in the archive.
        file: String,
        /// What is wrong.
        source: InterfaceError,
    },
    /// A golden picture does not fit.
    #[error("{GOLDEN}: {0}")]
    Golden(#[from] GoldenError),
}

/// An opened package: everything in it is as the manifest says, and the parts fit each other.
#[derive(Debug)]
pub struct Package {
    manifest: Manifest,
    views: ViewSet,
    taxonomy: Taxonomy,
    calibration: Calibration,
    golden: Golden,
    int8: Option<(Calibration, Golden)>,
    files: BTreeMap<String, Vec<u8>>,
    sha256: Sha256Digest,
}

impl Package {
    /// Opens the package at `path`.
    ///
    /// # Errors
    /// If it cannot be read, is damaged, or its parts do not fit each other.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let file = File::open(path).map_err(|source| OpenError::File { path: path.into(), source })?;
        Self::read(file)
    }

    /// Reads a package from a stream.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn read(stream: impl Read) -> Result<Self, OpenError> {
        let (manifest, files, sha256) = read_archive(stream)?;
        let views = manifest.view_set().map_err(ManifestError::from)?;
        let taxonomy = Taxonomy::from_tsv(text(&files, TAXONOMY)?)?;
        let calibration = parse(&files, CALIBRATION)?;
        let golden: Golden = parse(&files, GOLDEN)?;
        let int8 = match files.contains_key(MODEL_INT8) {
            true => Some((parse(&files, CALIBRATION_INT8)?, parse(&files, GOLDEN_INT8)?)),
            false => None,
        };
        let package = Self { manifest, views, taxonomy, calibration, golden, int8, files, sha256 };
        package.check_fit()?;
        Ok(package)
    }

    fn check_fit(&self) -> Result<(), OpenError> {
        let leaves = self.taxonomy.leaf_count();
        for (path, bytes) in self.files.iter().filter(|(path, _)| path.ends_with(".onnx")) {
            check_interface(bytes, &self.views, leaves)
                .map_err(|source| OpenError::Interface { file: path.clone(), source })?;
        }
        let int8 = self.golden_int8().into_iter().flat_map(|golden| &golden.picture);
        for picture in self.golden.picture.iter().chain(int8) {
            if !self.files.contains_key(&picture.file) {
                return Err(OpenError::Missing(picture.file.clone()));
            }
            let (found, expected) = (picture.probabilities.len(), leaves);
            if found != expected {
                return Err(GoldenError::Count { file: picture.file.clone(), found, expected }.into());
            }
        }
        Ok(())
    }

    /// What the package says of itself.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The views in the order of the graph inputs.
    #[must_use]
    pub fn views(&self) -> &ViewSet {
        &self.views
    }

    /// The tree of taxa.
    #[must_use]
    pub fn taxonomy(&self) -> &Taxonomy {
        &self.taxonomy
    }

    /// Targets and thresholds.
    #[must_use]
    pub fn calibration(&self) -> &Calibration {
        &self.calibration
    }

    /// Golden pictures.
    #[must_use]
    pub fn golden(&self) -> &Golden {
        &self.golden
    }

    /// Targets and thresholds of the int8 model, where there is one.
    #[must_use]
    pub fn calibration_int8(&self) -> Option<&Calibration> {
        self.int8.as_ref().map(|(calibration, _)| calibration)
    }

    /// What the golden pictures give on the int8 model, where there is one.
    #[must_use]
    pub fn golden_int8(&self) -> Option<&Golden> {
        self.int8.as_ref().map(|(_, golden)| golden)
    }

    /// Digest of the package file.
    #[must_use]
    pub fn sha256(&self) -> Sha256Digest {
        self.sha256
    }

    /// Content of one of its files.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(Vec::as_slice)
    }

    /// Hands over one of its files and forgets it, so that a large model is not kept in memory twice.
    pub fn take_file(&mut self, path: &str) -> Option<Vec<u8>> {
        self.files.remove(path)
    }
}

/// Unpacked bytes that are read of a package, at most.
const MAX_BYTES: u64 = 8 << 30;

type Contents = (Manifest, BTreeMap<String, Vec<u8>>, Sha256Digest);

fn read_archive(stream: impl Read) -> Result<Contents, OpenError> {
    let digested = BufReader::new(Sha256Reader::new(stream));
    let mut decoder = zstd::Decoder::with_buffer(digested).map_err(OpenError::Archive)?;
    decoder.window_log_max(MAX_WINDOW_LOG).map_err(OpenError::Archive)?;
    let mut archive = tar::Archive::new(decoder.take(MAX_BYTES));
    let mut manifest: Option<Manifest> = None;
    let mut files = BTreeMap::new();
    // Raw: extensions, as for long names, would be read into memory as they are, and a package has none.
    for entry in archive.entries().map_err(OpenError::Archive)?.raw(true) {
        let mut entry = entry.map_err(OpenError::Archive)?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if !entry.header().entry_type().is_file() {
            return Err(OpenError::Entry(path));
        }
        match &manifest {
            None => manifest = Some(read_manifest(&path, &mut entry)?),
            Some(manifest) => {
                let known = manifest.file(&path).filter(|_| !files.contains_key(&path));
                let expected = known.ok_or_else(|| OpenError::Entry(path.clone()))?;
                let bytes = read_file(&mut entry, expected.size, expected.sha256, &path)?;
                files.insert(path, bytes);
            }
        }
    }
    let manifest = manifest.ok_or_else(|| OpenError::NoManifest(String::new()))?;
    if let Some(missing) = manifest.files.iter().find(|file| !files.contains_key(&file.path)) {
        return Err(OpenError::Missing(missing.path.clone()));
    }
    let digested = archive.into_inner().into_inner().finish().into_inner();
    let sha256 = digested.finish().map_err(OpenError::Archive)?;
    Ok((manifest, files, sha256))
}

fn read_manifest(path: &str, entry: &mut impl Read) -> Result<Manifest, OpenError> {
    if path != MANIFEST {
        return Err(OpenError::NoManifest(path.into()));
    }
    let mut text = String::new();
    let read = entry.take(MAX_MANIFEST_BYTES).read_to_string(&mut text);
    read.map_err(OpenError::Archive)?;
    Ok(Manifest::from_toml(&text)?)
}

fn read_file(
    entry: &mut impl Read,
    size: u64,
    sha256: Sha256Digest,
    path: &str,
) -> Result<Vec<u8>, OpenError> {
    let altered = |what| OpenError::Altered { path: path.into(), what };
    let mut bytes = Vec::new();
    // One byte more than promised is enough to see that there is more than promised.
    entry.take(size + 1).read_to_end(&mut bytes).map_err(OpenError::Archive)?;
    if bytes.len() as u64 != size {
        return Err(altered("size"));
    }
    if Sha256Digest::of(&bytes) != sha256 { Err(altered("SHA-256 digest")) } else { Ok(bytes) }
}

fn text<'a>(files: &'a BTreeMap<String, Vec<u8>>, path: &'static str) -> Result<&'a str, OpenError> {
    let bytes = files.get(path).ok_or_else(|| OpenError::Missing(path.into()))?;
    std::str::from_utf8(bytes).map_err(|_| OpenError::Text(path))
}

fn parse<T: serde::de::DeserializeOwned>(
    files: &BTreeMap<String, Vec<u8>>,
    path: &'static str,
) -> Result<T, OpenError> {
    toml::from_str(text(files, path)?)
        .map_err(|source| OpenError::Toml { file: path, source: Box::new(source) })
}

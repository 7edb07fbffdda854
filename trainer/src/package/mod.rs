//! From a trained head to a package on disk.

mod golden;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use atomic_write_file::AtomicWriteFile;
use fieldmark_models::calibration::Calibration;
use fieldmark_models::package::Draft;
use fieldmark_models::taxonomy::Taxonomy;
use fieldmark_models::views::ViewSet;

pub use golden::{PictureFile, golden_pictures};

/// What a package says of itself.
#[derive(Debug, Clone, Copy)]
pub struct Identity<'a> {
    /// Name of the model.
    pub name: &'a str,
    /// Version of the model.
    pub version: &'a semver::Version,
    /// Name of the network preset.
    pub preset: &'a str,
    /// Licence of the weights (SPDX expression).
    pub licence: &'a str,
    /// Where weights and pictures are from.
    pub provenance: &'a [String],
    /// The views and their size.
    pub views: &'a ViewSet,
    /// How the figures of the report were measured, for people.
    pub measured_on: &'a str,
}

/// Writes `NAME-VERSION.fieldmark` into `folder`, whole or not at all, and gives its path. `report` is its page for
/// people.
///
/// # Errors
/// If the model does not run, or the file cannot be written.
pub fn write(
    identity: &Identity<'_>,
    taxonomy: &Taxonomy,
    calibration: &Calibration,
    report: String,
    model: Vec<u8>,
    folder: &Path,
) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create folder {}", folder.display()))?;
    let path = folder.join(format!("{}-{}.fieldmark", identity.name, identity.version));
    let (golden, golden_pictures) = golden_pictures(&model, identity.views)?;
    let draft = Draft {
        name: identity.name,
        version: identity.version.clone(),
        created: jiff::Timestamp::now(),
        preset: identity.preset,
        licence: identity.licence,
        provenance: identity.provenance.to_vec(),
        views: identity.views,
        taxonomy,
        calibration,
        golden: &golden,
        golden_pictures,
        model,
        quantised: None,
        report,
    };
    save(draft, &path)?;
    Ok(path)
}

/// Writes `draft` to `path`, whole or not at all.
///
/// # Errors
/// If it is no package, or the file cannot be written.
pub fn save(draft: Draft<'_>, path: &Path) -> anyhow::Result<()> {
    let writing = || format!("cannot write package {}", path.display());
    let mut file = AtomicWriteFile::open(path).with_context(writing)?;
    draft.write(&mut file).with_context(writing)?;
    file.flush().with_context(writing)?;
    file.commit().with_context(writing)
}

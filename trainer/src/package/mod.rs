//! From a trained head to a package on disk.

mod golden;
mod report;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use atomic_write_file::AtomicWriteFile;
use fieldmark_models::package::Draft;
use fieldmark_models::taxonomy::Taxonomy;

use crate::evaluate::Measured;
use crate::recipe::Recipe;

pub use golden::{PictureFile, golden_pictures};
pub use report::{calibration as calibration_report, report};

/// Writes `NAME-VERSION.fieldmark` into `folder`, whole or not at all, and gives its path.
///
/// # Errors
/// If the model does not run, or the file cannot be written.
pub fn write(
    recipe: &Recipe,
    taxonomy: &Taxonomy,
    measured: &Measured,
    model: Vec<u8>,
    folder: &Path,
) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create folder {}", folder.display()))?;
    let path = folder.join(format!("{}-{}.fieldmark", recipe.name, recipe.version));
    let (golden, golden_pictures) = golden_pictures(&model, &recipe.views)?;
    let draft = Draft {
        name: &recipe.name,
        version: recipe.version.clone(),
        created: jiff::Timestamp::now(),
        preset: recipe.network.preset.name,
        licence: &recipe.licence,
        provenance: recipe.provenance.clone(),
        views: &recipe.views,
        taxonomy,
        calibration: &measured.calibration,
        golden: &golden,
        golden_pictures,
        model,
        quantised: None,
        report: report(recipe, taxonomy, measured),
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

//! One file a command: its arguments, and what is done with them.

use std::path::{Path, PathBuf};

use fieldmark_trainer::dataset::{self, Dropped, Photo};

pub(crate) mod calibrate;
pub(crate) mod compare;
pub(crate) mod download;
pub(crate) mod evaluate;
pub(crate) mod failure;
pub(crate) mod lint;
pub(crate) mod new_version;
pub(crate) mod prepare;
pub(crate) mod quantise;
pub(crate) mod train;
pub(crate) mod views;

/// The folder that `path` is in.
fn beside(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new(".")).to_owned()
}

/// NAME-quick.toml beside NAME.toml.
fn quick_variant(recipe: &Path) -> PathBuf {
    let stem = recipe.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    recipe.with_file_name(format!("{stem}-quick.toml"))
}

/// The photographs of `table`, whose paths start from `folder`; from its own where none is given.
fn photographs(table: &Path, folder: Option<&Path>) -> anyhow::Result<(Vec<Photo>, Vec<Dropped>)> {
    let folder = folder.map_or_else(|| beside(table), Path::to_owned);
    let hint = "give the folder its paths start from with --folder";
    Ok(dataset::read_table(table, &folder, &[], hint)?)
}

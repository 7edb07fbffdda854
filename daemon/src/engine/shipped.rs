//! The package that is used when none is named.

use std::path::{Path, PathBuf};

/// Name of the shipped model.
const SHIPPED: &str = "garden";
/// Names a package in the environment.
const VARIABLE: &str = "FIELDMARK_MODEL";
/// Where an installation puts packages.
const INSTALLED: &str = "/usr/share/fieldmark/models";
/// Where a checkout has them.
const CHECKOUT: &str = "models/packages";

/// There is no package to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "no model is named, and there is no {SHIPPED}-VERSION.fieldmark in {CHECKOUT} (of the working directory, the \
     binary's, or one above them) nor in {INSTALLED}; name a package (--model, or model.package in the \
     configuration), or set {VARIABLE} to its path"
)]
pub struct NoShippedModel;

/// The package to use when none is named: `FIELDMARK_MODEL`; else the newest `garden-*.fieldmark` in the first
/// folder that has one: `models/packages` in the working directory or an ancestor of it, the same for the
/// binary's directory, `/usr/share/fieldmark/models`.
///
/// # Errors
/// If there is none.
pub fn shipped_package() -> Result<PathBuf, NoShippedModel> {
    if let Some(named) = std::env::var_os(VARIABLE).filter(|named| !named.is_empty()) {
        return Ok(named.into());
    }
    folders().iter().find_map(|folder| newest(folder)).ok_or(NoShippedModel)
}

fn folders() -> Vec<PathBuf> {
    let starts = [std::env::current_dir().ok(), std::env::current_exe().ok()];
    let ancestors = starts.iter().flatten().flat_map(|start| start.ancestors());
    let mut folders: Vec<_> =
        ancestors.map(|ancestor| ancestor.join(CHECKOUT)).filter(|folder| folder.is_dir()).collect();
    folders.dedup();
    folders.push(INSTALLED.into());
    folders
}

fn newest(folder: &Path) -> Option<PathBuf> {
    let version = |path: &Path| {
        let name = path.file_name()?.to_str()?;
        let version = name.strip_prefix(SHIPPED)?.strip_prefix('-')?.strip_suffix(".fieldmark")?;
        semver::Version::parse(version).ok()
    };
    let entries = std::fs::read_dir(folder).ok()?.filter_map(Result::ok).map(|entry| entry.path());
    entries.filter_map(|path| Some((version(&path)?, path))).max().map(|(_, path)| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_is_taken_by_number_and_other_models_are_not() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["garden-0.9.0.fieldmark", "garden-0.10.0.fieldmark", "moths-3.0.0.fieldmark", "garden-x"]
        {
            std::fs::write(folder.path().join(name), b"").expect("write");
        }
        let newest = newest(folder.path()).expect("a package");
        assert!(newest.ends_with("garden-0.10.0.fieldmark"), "{newest:?}");
    }
}

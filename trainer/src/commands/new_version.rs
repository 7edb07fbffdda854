//! A package that is written as a new version of itself.

use std::path::{Path, PathBuf};

use clap::Args;
use fieldmark_models::package::Package;

#[derive(Args)]
pub(crate) struct NewVersionArgs {
    /// Version of the new package; the next patch version when absent.
    #[arg(long)]
    version: Option<semver::Version>,
    /// Folder it is written to; the package's own when absent.
    #[arg(long)]
    out: Option<PathBuf>,
}

impl NewVersionArgs {
    /// The version after that of `package`, where none was asked for.
    pub(crate) fn version(&self, package: &Package) -> semver::Version {
        self.version.clone().unwrap_or_else(|| {
            let mut version = package.manifest().version.clone();
            version.patch += 1;
            version
        })
    }

    /// Where the package that was read from `path` is written to.
    pub(crate) fn folder(&self, path: &Path) -> PathBuf {
        self.out.clone().unwrap_or_else(|| super::beside(path))
    }
}

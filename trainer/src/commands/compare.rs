//! `compare`: the figures of several runs beside each other.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use fieldmark_trainer::compare::Runs;

#[derive(Args)]
pub(crate) struct CompareArgs {
    /// Folders of runs.
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    /// The same with curves as a page.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl CompareArgs {
    pub(crate) fn execute(&self) -> anyhow::Result<()> {
        compared(&self.runs, self.out.as_deref())
    }
}

/// Prints the table of `runs` and writes their page.
pub(crate) fn compared(runs: &[PathBuf], page: Option<&Path>) -> anyhow::Result<()> {
    let runs = Runs::read(runs)?;
    print!("{}", runs.table());
    let Some(path) = page else { return Ok(()) };
    std::fs::write(path, runs.page()?).with_context(|| format!("cannot write {}", path.display()))
}

//! `lint`: TensorRT's rules for any ONNX.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use fieldmark_trainer::lint::{self, Severity};

#[derive(Args)]
pub(crate) struct LintArgs {
    /// The model.
    model: PathBuf,
}

impl LintArgs {
    pub(crate) fn execute(&self) -> anyhow::Result<()> {
        let path = &self.model;
        let onnx = std::fs::read(path).with_context(|| format!("cannot read model {}", path.display()))?;
        let findings = lint::lint(&onnx).with_context(|| path.display().to_string())?;
        findings.iter().for_each(|finding| println!("{finding}"));
        let errors = findings.iter().filter(|finding| finding.rule.severity() == Severity::Error).count();
        anyhow::ensure!(
            errors == 0,
            "{}: {errors} errors, TensorRT will not take it as meant",
            path.display()
        );
        Ok(())
    }
}

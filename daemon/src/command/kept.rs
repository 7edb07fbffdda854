//! Settings that a command asked to keep: a small file beside the outbox that lies over the configuration.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use fieldmark_models::specificity::Threshold;
use fieldmark_models::views::FractionBox;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::decide::Sureness;
use crate::gate::GateChange;
use crate::region::{RegionChange, RegionRules};

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {attempt} the kept settings {path}: {reason}; {advice}")]
pub struct KeptError {
    path: PathBuf,
    attempt: &'static str,
    reason: String,
    advice: &'static str,
}

/// What a command set and asked to keep; what is absent is as configured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// Accuracy to reach.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<f64>,
    /// Confidence cut-off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// Taxa to expect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priors: Option<Vec<String>>,
    /// Taxa to alert on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watch: Option<Vec<String>>,
    /// Regions by camera; `[0, 0, 1, 1]` is the whole frame.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub region: BTreeMap<String, [f64; 4]>,
    /// What magnifying views show, by camera; `[0, 0, 1, 1]` is the middle.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub focus: BTreeMap<String, [f64; 4]>,
    /// What regions parts are made into, by camera.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub regions: BTreeMap<String, RegionChange>,
    /// Gates by camera.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub gate: BTreeMap<String, GateChange>,
}

impl Kept {
    /// The file for the node of `config`; `None` where nothing is durable.
    #[must_use]
    pub fn path(config: &Config) -> Option<PathBuf> {
        let folder = config.outbox.folder()?;
        Some(folder.join(format!("settings-{}.toml", config.node.as_str())))
    }

    /// Reads the file at `path`; nothing is kept where there is none.
    ///
    /// # Errors
    /// If it cannot be read or is none of ours.
    pub fn read(path: &Path) -> Result<Self, KeptError> {
        let advice = "remove it to go on with the configuration";
        let failed = |attempt, reason| KeptError { path: path.into(), attempt, reason, advice };
        match std::fs::read_to_string(path) {
            Ok(text) => toml::from_str(&text).map_err(|error| failed("understand", error.to_string())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(failed("read", error.to_string())),
        }
    }

    /// Writes the file at `path`: whole and on the disk, or not at all.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub fn write(&self, path: &Path) -> Result<(), KeptError> {
        let failed = |reason: String| KeptError {
            path: path.into(),
            attempt: "write",
            reason,
            advice: "the change is in force until the next start",
        };
        let text = toml::to_string(self).map_err(|error| failed(error.to_string()))?;
        let written = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| {
            let mut file = atomic_write_file::AtomicWriteFile::open(path)?;
            file.write_all(text.as_bytes())?;
            file.commit()
        });
        written.map_err(|error| failed(error.to_string()))
    }

    /// Keeps what a command said of the regions of `camera`; what it left out stays as it was kept.
    pub fn keep_region(
        &mut self,
        camera: &str,
        edges: Option<Option<FractionBox>>,
        focus: Option<Option<FractionBox>>,
        regions: Option<&RegionRules>,
    ) {
        let whole = |found: Option<FractionBox>| found.unwrap_or(FractionBox::FRAME).edges();
        if let Some(edges) = edges {
            self.region.insert(camera.into(), whole(edges));
        }
        if let Some(focus) = focus {
            self.focus.insert(camera.into(), whole(focus));
        }
        if let Some(rules) = regions {
            self.regions.insert(camera.into(), rules.asked().clone());
        }
    }

    /// `config` with what is kept over it. Values that no configuration may have are passed over.
    pub fn lay_over(&self, config: &mut Config) {
        if let Some(target) = self.target {
            config.model.dial.everywhere = Sureness::Target(target);
        } else if let Some(threshold) = self.threshold.and_then(|value| Threshold::new(value).ok()) {
            config.model.dial.everywhere = Sureness::Threshold(threshold);
        }
        if let Some(priors) = &self.priors {
            config.model.expected.taxa.clone_from(priors);
        }
        if let Some(watch) = &self.watch {
            config.watch.taxa.clone_from(watch);
        }
        for camera in &mut config.cameras {
            if let Some([left, top, right, bottom]) = self.region.get(camera.name.as_str()) {
                camera.region = FractionBox::new(*left, *top, *right, *bottom).ok();
            }
            if let Some(edges) = self.focus.get(camera.name.as_str()) {
                let focus = FractionBox::try_from(*edges).ok();
                camera.focus = focus.filter(|&focus| focus != FractionBox::FRAME);
            }
            if let Some(Ok(rules)) = self.regions.get(camera.name.as_str()).map(RegionRules::new) {
                camera.regions = rules;
            }
            let gate = self.gate.get(camera.name.as_str()).map(|kept| camera.gate.changed(kept));
            if let Some(Ok(gate)) = gate {
                camera.gate = gate;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_again_and_lies_over_the_configuration() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state/settings-n.toml");
        assert_eq!(Kept::read(&path).expect("nothing"), Kept::default());
        let region = BTreeMap::from([("c".into(), [0.0, 0.5, 1.0, 1.0])]);
        let kept = Kept { target: Some(0.8), priors: Some(vec!["Aves".into()]), region, ..Kept::default() };
        kept.write(&path).expect("written");
        let read = Kept::read(&path).expect("read");
        assert_eq!(read, kept);
        let text = "node = \"n\"\n[broker]\nembedded = true\n[outbox]\ndurable = false\n\
                    [camera.c]\nsource = \"files\"\nfolder = \"x\"\n";
        let mut config = crate::config::load_text(text).expect("a configuration");
        read.lay_over(&mut config);
        assert_eq!(config.model.dial.everywhere, Sureness::Target(0.8));
        assert_eq!(config.model.expected.taxa, ["Aves"]);
        assert_eq!(config.cameras[0].region.map(FractionBox::edges), Some([0.0, 0.5, 1.0, 1.0]));
    }

    #[test]
    fn a_damaged_file_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("settings.toml");
        std::fs::write(&path, "target = [").expect("write");
        let error = Kept::read(&path).expect_err("a refusal").to_string();
        assert!(error.contains("settings.toml") && error.contains("remove it"), "{error}");
    }
}

//! Another configuration for a running node: everything it may change while it runs, checked like commands are.

use super::{CameraSettings, Equipment, Settings};
use crate::alert::find_watched;
use crate::config::{CameraConfig, Config};
use crate::decide::List;
use crate::region::{Detector, NewDetector};

/// The configuration does not fit the model that runs.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {reason}")]
pub struct ReloadError {
    key: String,
    reason: String,
}

impl Equipment {
    /// Puts in force what `config` says of thresholds, priors, the watch list, regions, gates and allowed commands.
    /// Pauses stay. A detector is read again.
    ///
    /// # Errors
    /// If something in it does not fit the model; nothing is changed then.
    pub fn reload(&self, config: &Config) -> Result<(), ReloadError> {
        let refused = |key: &str| {
            let key = key.to_owned();
            move |error: &dyn std::fmt::Display| ReloadError { key, reason: error.to_string() }
        };
        let mut settings = Settings::clone(&self.settings.get());
        let wanted = Settings::new(config);
        let vocabulary = self.vocabulary.load();
        let cut_offs = wanted.dial.cut_offs(&vocabulary.taxonomy, &vocabulary.calibration);
        let cut_off = cut_offs.map_err(|error| refused("model")(&error))?.everywhere();
        find_watched(&vocabulary.taxonomy, &wanted.expected.taxa)
            .map_err(|error| refused("model.priors")(&error))?;
        find_watched(&vocabulary.taxonomy, &wanted.watch).map_err(|error| refused("watch.taxa")(&error))?;
        if let Some(from) = &wanted.expected.checklist {
            List::read(from, &vocabulary.taxonomy).map_err(|error| refused("model.checklist")(&error))?;
        }
        for (name, present) in self.cameras.iter().zip(&mut settings.cameras) {
            let of_name = config.cameras.iter().find(|camera| camera.name.as_str() == name);
            if let Some(camera) = of_name {
                self.reload_camera(camera, present)?;
            }
        }
        (settings.dial, settings.expected, settings.watch) = (wanted.dial, wanted.expected, wanted.watch);
        settings.reloads += 1;
        self.settings.set(settings);
        self.allow.store(std::sync::Arc::new(config.commands.clone()));
        (self.cut_off_changed)(cut_off);
        Ok(())
    }

    fn reload_camera(&self, camera: &CameraConfig, present: &mut CameraSettings) -> Result<(), ReloadError> {
        let key = |name: &str| format!("camera.{}.regions.{name}", camera.name.as_str());
        if camera.regions.tile_m().is_some() && !self.moves {
            let reason =
                "this node does not know its height: [position] is read at a start, so restart".into();
            return Err(ReloadError { key: key("tile_m"), reason });
        }
        if let Some((file, score)) = camera.regions.detector() {
            let opened = Detector::open(file, score)
                .map_err(|error| ReloadError { key: key("detector"), reason: error.to_string() })?;
            present.detector = Some(NewDetector::new(opened));
        }
        (present.region, present.focus) = (camera.region, camera.focus);
        (present.regions, present.gate) = (camera.regions.clone(), camera.gate);
        Ok(())
    }
}

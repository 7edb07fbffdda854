//! What may change while the node runs. The frame path looks at it once a frame; a change replaces the whole.

use std::sync::Arc;

use arc_swap::ArcSwap;
use fieldmark_models::calibration::Calibration;
use fieldmark_models::taxonomy::Taxonomy;
use fieldmark_models::views::FractionBox;

use crate::config::{CameraConfig, Config};
use crate::decide::{Decider, Dial, Expected};
use crate::gate::GateRules;
use crate::region::{NewDetector, RegionRules};

/// Settings of one camera.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CameraSettings {
    /// Part of the frame to classify; the whole frame when absent.
    pub region: Option<FractionBox>,
    /// What magnifying views show instead of its middle.
    pub focus: Option<FractionBox>,
    /// What regions that part is made into.
    pub regions: RegionRules,
    /// The detector that those come from, where it is another than before.
    pub detector: Option<NewDetector>,
    /// Which frames are worth a look.
    pub gate: GateRules,
    /// Frames are passed over.
    pub paused: bool,
}

/// All of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// How sure answers have to be.
    pub dial: Dial,
    /// What is to be expected.
    pub expected: Expected,
    /// Names or ids of taxa to alert on.
    pub watch: Vec<String>,
    /// By number of the camera.
    pub cameras: Vec<CameraSettings>,
    /// How often the configuration was read again: files it names are read again too.
    pub reloads: u64,
}

impl Settings {
    /// As configured.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let camera = |camera: &CameraConfig| CameraSettings {
            region: camera.region,
            focus: camera.focus,
            regions: camera.regions.clone(),
            detector: None,
            gate: camera.gate,
            paused: false,
        };
        Self {
            dial: config.model.dial.clone(),
            expected: config.model.expected.clone(),
            watch: config.watch.taxa.clone(),
            cameras: config.cameras.iter().map(camera).collect(),
            reloads: 0,
        }
    }
}

/// What a model can be asked for: another one when the model is another.
#[derive(Debug, Clone)]
pub struct Vocabulary {
    /// The tree it answers from.
    pub taxonomy: Taxonomy,
    /// Targets and thresholds.
    pub calibration: Calibration,
}

impl Vocabulary {
    /// Of the model of `decider`.
    #[must_use]
    pub fn of(decider: &Decider) -> Self {
        Self { taxonomy: decider.taxonomy().clone(), calibration: decider.calibration().clone() }
    }
}

/// The vocabulary of the model that answers, shared: reading never waits.
pub type VocabularyCell = Arc<ArcSwap<Vocabulary>>;

/// The settings in force, shared: reading never waits.
#[derive(Clone)]
pub struct SettingsCell(Arc<ArcSwap<Settings>>);

impl SettingsCell {
    /// With `settings` in force.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(settings)))
    }

    /// What is in force.
    #[must_use]
    pub fn get(&self) -> Arc<Settings> {
        self.0.load_full()
    }

    /// Puts `settings` in force.
    pub fn set(&self, settings: Settings) {
        self.0.store(Arc::new(settings));
    }

    /// What is in force, where that is not `known`. No memory is allocated.
    #[must_use]
    pub fn newer_than(&self, known: &Arc<Settings>) -> Option<Arc<Settings>> {
        let present = self.0.load();
        (!Arc::ptr_eq(&present, known)).then(|| Arc::clone(&present))
    }
}

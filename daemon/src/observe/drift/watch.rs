//! Looks at the days of all cameras when they are due, and publishes how they stand.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use fieldmark_models::calibration::{Calibration, Point};

use super::gathered::{Gathered, Usual};
use super::{Departure, Mix, Summary, departure};
use crate::command::VocabularyCell;
use crate::observe::Observer;
use crate::publish::messages::{Drift, DriftFigures, DriftState, VERSION, wire_time};
use crate::publish::outbox::{Class, Message, Outbox};

/// How far a measured cut-off may be from the one in force and still speak for it.
const NEAR: f64 = 0.05;

/// Who looks.
pub struct DriftWatch {
    /// What is gathered.
    pub observer: Arc<Observer>,
    /// The figures of the model that answers.
    pub vocabulary: VocabularyCell,
    /// Where it is published.
    pub outbox: Arc<Outbox>,
    /// Name of the node.
    pub node: String,
    /// Names and topics of the cameras.
    pub cameras: Vec<(String, String)>,
    /// Where what is usual is kept over a restart.
    pub file: Option<PathBuf>,
}

impl DriftWatch {
    /// Until the node stops.
    pub async fn run(self) {
        self.recall();
        loop {
            self.observer.drift_is_due().await;
            for (number, (camera, topic)) in self.cameras.iter().enumerate() {
                let Some(gathered) = self.observer.gathered(number) else { continue };
                if gathered.learned {
                    self.keep();
                }
                if !gathered.due {
                    continue;
                }
                let drift = self.judge(camera, &gathered);
                if drift.state == DriftState::Departed {
                    tracing::warn!(
                        camera,
                        reasons = drift.reasons.join(", "),
                        "answers are not what they are meant to look like"
                    );
                }
                let payload = serde_json::to_vec(&drift).unwrap_or_default().into();
                self.outbox.put(Message { topic: topic.clone(), payload, class: Class::State });
                self.observer.drift(number, drift);
            }
        }
    }

    fn judge(&self, camera: &str, gathered: &Gathered) -> Drift {
        let vocabulary = self.vocabulary.load();
        let point = point_of(&vocabulary.calibration, gathered.usual.terms.threshold);
        let package = point.map(|point| mix_of(point, vocabulary.calibration.n()));
        let usual = gathered.usual.is_known().then_some(&gathered.usual.summary);
        let today = &gathered.today;
        let Departure { reasons } = departure(today, package.as_ref(), usual);
        let mix = Mix::of(today);
        let figures = |mix: &Mix, depth: Option<f64>, other: Option<&Summary>| DriftFigures {
            answers: mix.count,
            mean_depth: depth.map(rounded),
            ranks: shares(mix),
            mean_best_leaf: other.and_then(|other| other.answers.best_leaf()).map(|(mean, _)| rounded(mean)),
            sharpness: other.and_then(|other| other.looks.mean_sharpness()).map(rounded),
            brightness: other.and_then(|other| other.looks.mean_brightness()).map(rounded),
        };
        Drift {
            v: VERSION,
            node: self.node.clone(),
            camera: camera.into(),
            time: wire_time(jiff::Timestamp::now()),
            day: gathered.day.clone(),
            state: if reasons.is_empty() { DriftState::Usual } else { DriftState::Departed },
            reasons: reasons.into_iter().map(Into::into).collect(),
            today: figures(&mix, today.answers.mean_depth(), Some(today)),
            package: package
                .as_ref()
                .zip(point)
                .map(|(mix, point)| figures(mix, Some(point.mean_depth), None)),
            usual: usual.map(|usual| figures(&Mix::of(usual), usual.answers.mean_depth(), Some(usual))),
            distance_package: package.as_ref().map(|package| rounded(mix.distance(package))),
            distance_usual: usual.map(|usual| rounded(mix.distance(&Mix::of(usual)))),
        }
    }

    /// What was usual before a restart is so after it.
    fn recall(&self) {
        let Some(file) = &self.file else { return };
        let Ok(text) = std::fs::read(file) else { return };
        match serde_json::from_slice::<BTreeMap<String, Usual>>(&text) {
            Ok(mut kept) => {
                for (number, (camera, _)) in self.cameras.iter().enumerate() {
                    if let Some(usual) = kept.remove(camera) {
                        self.observer.recall_usual(number, usual);
                    }
                }
            }
            Err(error) => tracing::warn!(file = %file.display(), "what is usual is learned anew: {error}"),
        }
    }

    fn keep(&self) {
        let Some(file) = &self.file else { return };
        let known = |(number, (camera, _)): (usize, &(String, String))| {
            Some((camera.clone(), self.observer.usual(number).filter(Usual::is_known)?))
        };
        let known: BTreeMap<_, _> = self.cameras.iter().enumerate().filter_map(known).collect();
        let text = serde_json::to_vec(&known).unwrap_or_default();
        let written = atomic_write_file::AtomicWriteFile::open(file).and_then(|mut open| {
            open.write_all(&text)?;
            open.commit()
        });
        if let Err(error) = written {
            tracing::warn!(file = %file.display(), "what is usual is not kept over a restart: {error}");
        }
    }
}

/// What the calibration measured at a cut-off near `threshold`.
fn point_of(calibration: &Calibration, threshold: f64) -> Option<&Point> {
    let off = |point: &&Point| (point.threshold.value() - threshold).abs();
    let nearest = calibration.curve().iter().min_by(|one, other| off(one).total_cmp(&off(other)));
    nearest.filter(|point| off(point) <= NEAR)
}

fn mix_of(point: &Point, count: u64) -> Mix {
    Mix { count, shares: point.ranks.clone() }
}

fn shares(mix: &Mix) -> BTreeMap<String, f64> {
    mix.shares.iter().map(|(rank, share)| (rank.clone(), rounded(*share))).collect()
}

fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

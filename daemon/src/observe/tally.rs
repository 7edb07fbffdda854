//! Counters and histograms of the frame path. Each is a few atomic additions; nothing is allocated once a label has
//! been seen.

use std::time::Duration;

use prometheus::proto::MetricFamily;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

use crate::decide::Answer;

/// A part of a frame's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// From the camera's bytes to a picture.
    Decode,
    /// Cutting out views.
    Views,
    /// The engine.
    Inference,
    /// Specificity control and tracks.
    Decision,
    /// Writing the event and handing it to the outbox.
    Outbox,
}

/// All stages, in the order a frame walks.
pub const STAGES: [(Stage, &str); 5] = [
    (Stage::Decode, "decode"),
    (Stage::Views, "views"),
    (Stage::Inference, "inference"),
    (Stage::Decision, "decision"),
    (Stage::Outbox, "outbox"),
];

/// Upper ends of the histograms' buckets, seconds: from a small model on a GPU to the paper's on one core.
const BUCKETS: [f64; 13] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// The tallies of all cameras.
pub struct Tally {
    registry: Registry,
    cameras: Vec<OfCamera>,
    answers: IntCounterVec,
    events: IntCounterVec,
}

struct OfCamera {
    name: String,
    stages: [Histogram; 5],
    latency: Histogram,
}

impl Tally {
    /// Of the cameras called `names`.
    ///
    /// # Errors
    /// If a name is no label, or two are alike.
    pub fn new(names: &[String]) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let histogram = |name: &str, help: &str| HistogramOpts::new(name, help).buckets(BUCKETS.into());
        let stages = HistogramVec::new(
            histogram("fieldmark_stage_duration_seconds", "Time of one frame in each stage of its way."),
            &["camera", "stage"],
        )?;
        let latency = HistogramVec::new(
            histogram("fieldmark_decision_latency_seconds", "Time from pixels to decision."),
            &["camera"],
        )?;
        let answers = Opts::new("fieldmark_answers_total", "Decisions by the rank of their answer.");
        let answers = IntCounterVec::new(answers, &["camera", "rank"])?;
        let events = Opts::new("fieldmark_events_total", "Published events by their type.");
        let events = IntCounterVec::new(events, &["camera", "type"])?;
        registry.register(Box::new(stages.clone()))?;
        registry.register(Box::new(latency.clone()))?;
        registry.register(Box::new(answers.clone()))?;
        registry.register(Box::new(events.clone()))?;
        let of_camera = |name: &String| OfCamera {
            name: name.clone(),
            stages: STAGES.map(|(_, stage)| stages.with_label_values(&[name.as_str(), stage])),
            latency: latency.with_label_values(&[name]),
        };
        Ok(Self { registry, cameras: names.iter().map(of_camera).collect(), answers, events })
    }

    /// Counts a decision of `camera`.
    pub fn decided(&self, camera: usize, answer: &Answer) {
        let Some(of_camera) = self.cameras.get(camera) else { return };
        of_camera.latency.observe(answer.latency_ms / 1000.0);
        self.answers.with_label_values(&[of_camera.name.as_str(), &answer.taxon.rank]).inc();
    }

    /// Counts an event of `camera`.
    pub fn told(&self, camera: usize, kind: &str) {
        if let Some(of_camera) = self.cameras.get(camera) {
            self.events.with_label_values(&[of_camera.name.as_str(), kind]).inc();
        }
    }

    /// Notes what a decided frame of `camera` took in each of [`STAGES`].
    pub fn timed(&self, camera: usize, times: [Duration; 5]) {
        let Some(of_camera) = self.cameras.get(camera) else { return };
        for (histogram, time) in of_camera.stages.iter().zip(times) {
            histogram.observe(time.as_secs_f64());
        }
    }

    /// Everything, as Prometheus takes it.
    #[must_use]
    pub fn gather(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }
}

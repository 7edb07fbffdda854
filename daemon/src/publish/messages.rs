//! What goes over the wire (DESIGN 4.3). Frozen by snapshot tests: a change of any of them is a change of `v`.

use std::collections::BTreeMap;

use fieldmark_models::package::Sha256Digest;
use fieldmark_models::specificity::Stop;
use serde::{Deserialize, Serialize};

use crate::capture::{CameraCounts, CameraState};
use crate::decide::{BestLeaf, TaxonAnswer};
use crate::engine::{EngineKind, ModelIdentity, PassedOver};
use crate::position::{NoPosition, Position};
use crate::publish::outbox::QueueCounts;
use crate::publish::{Phase, ShadowReport};
use crate::track::{EventType, Track};

/// Version of all messages here.
pub const VERSION: u32 = 1;

/// Payloads of a node's status topic.
pub mod status {
    /// The node is connected.
    pub const ONLINE: &str = "online";
    /// The node was stopped in order.
    pub const STOPPED: &str = "stopped";
    /// The broker lost the node: its will.
    pub const OFFLINE: &str = "offline";
}

/// Part of the frame that was classified.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Region {
    /// `[left, top, right, bottom]` in fractions of the frame.
    #[serde(rename = "box")]
    pub edges: [f64; 4],
    /// `frame`, `region` for a configured part of it, `centre`, the name of a configured box, row and column of a tile
    /// (`r2c3`), or the number of what moves (`m1`) or was detected (`d1`).
    pub name: String,
}

/// `fieldmark/N/C/detection`, `…/last` and `…/alert`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Detection {
    /// [`VERSION`].
    pub v: u32,
    /// ULID of the event.
    pub id: String,
    /// Drawn anew at every start of the daemon: within one, `seq` has no gaps and no repetitions.
    pub boot: String,
    /// Number of the event at its node since that start, from 0.
    pub seq: u64,
    /// What it says of its track.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// Name of the node.
    pub node: String,
    /// Name of the camera.
    pub camera: String,
    /// When the frame was taken: RFC 3339, UTC, milliseconds.
    pub time: String,
    /// `gps` where `time` is the receiver's, `ntp`, or `unsynchronised` where nobody vouches for the clock.
    pub time_source: String,
    /// Whether it is sent late: after an outage, a restart, or again.
    pub replay: bool,
    /// The answer.
    pub taxon: TaxonAnswer,
    /// Its probability.
    pub probability: f64,
    /// The cut-off in force.
    pub threshold: f64,
    /// The accuracy the cut-off was measured for; absent where a cut-off was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<f64>,
    /// Why the answer is not more specific.
    pub stop: Stop,
    /// The most probable leaf.
    pub best_leaf: BestLeaf,
    /// Digest of the checklist that the probabilities are conditioned on; absent where none was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checklist: Option<Sha256Digest>,
    /// The track.
    pub track: Track,
    /// Where in the frame.
    pub region: Region,
    /// Where on the ground; absent where no source is configured, or nothing can be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// Why nothing can be said of the place; absent where something is, or nobody asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_position: Option<NoPosition>,
    /// Entries of the watch list and senses of novelty it fires; absent where it fires none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub watch: Vec<String>,
    /// Who answered.
    pub model: ModelIdentity,
    /// With which engine.
    pub engine: String,
    /// Milliseconds from pixels to decision.
    pub latency_ms: f64,
}

/// `fieldmark/N/info`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Info {
    /// [`VERSION`].
    pub v: u32,
    /// Name of the node.
    pub node: String,
    /// Version of the daemon.
    pub fieldmark: String,
    /// The present start of the daemon, as its events name it.
    pub boot: String,
    /// When the daemon started: RFC 3339, UTC, milliseconds.
    pub started: String,
    /// The model that runs.
    pub model: ModelIdentity,
    /// The engine that runs it.
    pub engine: String,
    /// Engines that were tried before it, and why they were not taken; absent where there were none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub engines_passed_over: Vec<PassedOver>,
    /// The cut-off in force.
    pub threshold: f64,
    /// The accuracy it was measured for; absent where a cut-off was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<f64>,
    /// Taxa it can name, by rank.
    pub taxa: BTreeMap<String, u64>,
    /// Cameras.
    pub cameras: Vec<String>,
}

/// `fieldmark/N/C/status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CameraStatus {
    /// [`VERSION`].
    pub v: u32,
    /// How the camera is.
    pub state: CameraState,
    /// Since when: RFC 3339, UTC, milliseconds.
    pub since: String,
    /// Four characters such as `MJPG`, or `files`.
    pub format: String,
    /// `[width, height]` in pixels, where all frames are alike.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<(u32, u32)>,
    /// Frames a second as granted or configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fps: Option<f64>,
    /// The device file in use, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// How often the camera was lost since the daemon started.
    #[serde(default)]
    pub losses: u64,
    /// Why, where that needs saying.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How a camera's frames went since the last `metrics`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Frames captured a second.
    pub captured_hz: f64,
    /// Frames decided a second.
    pub inferred_hz: f64,
    /// Milliseconds from pixels to decision, mean of those frames; absent where there were none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_mean_ms: Option<f64>,
    /// The longest of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_max_ms: Option<f64>,
}

/// `fieldmark/N/metrics`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// [`VERSION`].
    pub v: u32,
    /// When it was measured: RFC 3339, UTC, milliseconds.
    pub time: String,
    /// Seconds since the daemon started.
    pub uptime_s: u64,
    /// Frames by camera: captured = inferred + dropped + skipped + waiting, and still a part of skipped.
    pub cameras: BTreeMap<String, CameraCounts>,
    /// Rates and latencies by camera, since the last message.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rates: BTreeMap<String, Rates>,
    /// Degrees Celsius by the kernel's thermal zone; absent where the machine has none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub temperatures_c: BTreeMap<String, f64>,
    /// Messages.
    pub queue: QueueCounts,
    /// Memory in use, bytes; absent where the kernel does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rss_bytes: Option<u64>,
}

/// Whether a camera's answers are what they are meant to look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DriftState {
    /// They are.
    Usual,
    /// They are not.
    Departed,
}

/// What answers and pictures look like.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DriftFigures {
    /// Answers these are figures of: the first of each track.
    pub answers: u64,
    /// Mean depth of the answers; a kingdom counts 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_depth: Option<f64>,
    /// Share of the answers at each rank.
    pub ranks: BTreeMap<String, f64>,
    /// Mean probability of the best leaf; absent of a package, which does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_best_leaf: Option<f64>,
    /// Energy of the Laplacian in that of the picture, geometric mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sharpness: Option<f64>,
    /// Mean brightness, 0 to 255.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brightness: Option<f64>,
}

/// `fieldmark/N/C/drift`: a camera's day beside what its package was measured with, and beside its own first answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// [`VERSION`].
    pub v: u32,
    /// Name of the node.
    pub node: String,
    /// Name of the camera.
    pub camera: String,
    /// When it was looked at: RFC 3339, UTC, milliseconds.
    pub time: String,
    /// The day, UTC: `2026-11-25`.
    pub day: String,
    /// Whether it departs.
    pub state: DriftState,
    /// In what: `package_ranks`, `usual_ranks`, `usual_best_leaf`, `sharpness`; absent where it does not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// The day so far.
    pub today: DriftFigures,
    /// The package's, where it was measured near the cut-off in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<DriftFigures>,
    /// The camera's own, once it has enough answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usual: Option<DriftFigures>,
    /// Share of the day's answers that would have to be of another rank to be as the package's, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distance_package: Option<f64>,
    /// The same to be as usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distance_usual: Option<f64>,
}

/// A release, as messages tell it before it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DesiredModel {
    /// Name of the package.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of the package file.
    pub sha256: Sha256Digest,
    /// Bytes of the package file.
    pub size: u64,
}

/// `fieldmark/N/model/state`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelState {
    /// [`VERSION`].
    pub v: u32,
    /// The model that answers.
    pub running: ModelIdentity,
    /// The one that answered before and is kept; absent where that is the configured one, or none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<DesiredModel>,
    /// What is being done about models; `running` while nothing is.
    pub phase: Phase,
    /// The group this node follows; absent where it takes no updates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The rollout `phase` is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<String>,
    /// The release `phase` is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired: Option<DesiredModel>,
    /// How far `phase` is, 0 to 1, where that can be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<f64>,
    /// Times the release was tried in vain; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tries: Option<u32>,
    /// What went wrong, or what is waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How the release does beside the model that answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<ShadowReport>,
    /// Since when `phase` is what it is: RFC 3339, UTC, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}

impl ModelState {
    /// Of a node on which `running` answers, and nothing is to be said beside `phase`.
    #[must_use]
    pub fn idle(running: ModelIdentity, phase: Phase) -> Self {
        Self {
            v: VERSION,
            running,
            previous: None,
            phase,
            group: None,
            rollout: None,
            desired: None,
            progress: None,
            tries: None,
            error: None,
            shadow: None,
            since: None,
        }
    }
}

/// `fieldmark/N/model/build`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelBuild {
    /// [`VERSION`].
    pub v: u32,
    /// When: RFC 3339, UTC, milliseconds.
    pub time: String,
    /// The engine that compiles the model.
    pub engine: EngineKind,
    /// What it is at, in its own words.
    pub step: String,
    /// How far that is, 0 to 1, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<f64>,
}

/// How far a command is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplyState {
    /// Understood and allowed.
    Accepted,
    /// Being carried out; more follows.
    Running,
    /// Carried out.
    Done,
    /// Not carried out, for the reason given.
    Failed,
}

/// `fieldmark/N/reply/<id>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// [`VERSION`].
    pub v: u32,
    /// Id of the command.
    pub id: String,
    /// What was asked for, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// How far it is.
    pub state: ReplyState,
    /// When: RFC 3339, UTC, milliseconds.
    pub time: String,
    /// Why it failed, or what to know of how it was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A time as messages carry it.
#[must_use]
pub fn wire_time(time: jiff::Timestamp) -> String {
    format!("{time:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::outbox::{Class, Loss};

    fn identity() -> ModelIdentity {
        let sha256 = Sha256Digest::of(b"package");
        ModelIdentity { name: "garden".into(), version: "0.1.0".into(), sha256 }
    }

    fn time() -> String {
        wire_time("2026-11-23T05:32:07.123Z".parse().expect("a time"))
    }

    fn frozen<T: Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug>(
        message: &T,
    ) -> String {
        let text = serde_json::to_string_pretty(message).expect("JSON");
        assert_eq!(&serde_json::from_str::<T>(&text).expect("own message"), message);
        text
    }

    fn detection() -> Detection {
        let lineage = ["Plantae", "Tracheophyta", "Magnoliopsida", "Fagales", "Fagaceae", "Quercus"];
        Detection {
            v: VERSION,
            id: "01JDBZ3V7WQ2M0X5C8R9T4K6HN".into(),
            boot: "01JDBZ3V7WQ2M0X5C8R9T4K6HA".into(),
            seq: 812,
            kind: EventType::New,
            node: "n1".into(),
            camera: "pond".into(),
            time: time(),
            time_source: "ntp".into(),
            replay: false,
            taxon: TaxonAnswer {
                id: "genus:Plantae|Quercus".into(),
                name: "Quercus".into(),
                rank: "genus".into(),
                depth: 6,
                common_name: Some("oak".into()),
                lineage: lineage.map(Into::into).into(),
            },
            probability: 0.93,
            threshold: 0.88,
            target: Some(0.9),
            stop: Stop::Threshold,
            best_leaf: BestLeaf { name: "Quercus robur".into(), probability: 0.41 },
            checklist: Some(Sha256Digest::of(b"checklist")),
            track: Track { id: 7, hits: 9 },
            region: Region { edges: [0.1, 0.2, 0.5, 0.6], name: "r2c3".into() },
            position: Some(Position {
                lat: 47.123_456_7,
                lon: 8.5,
                alt_agl_m: Some(40.0),
                accuracy_m: 3.0,
                age_ms: 80.0,
                method: crate::position::Method::Pose,
            }),
            no_position: None,
            watch: vec!["Fagaceae".into()],
            model: identity(),
            engine: "tract-f32".into(),
            latency_ms: 18.2,
        }
    }

    #[test]
    fn a_detection_has_these_fields() {
        insta::assert_snapshot!(frozen(&detection()));
    }

    #[test]
    fn a_detection_of_the_root_has_no_lineage_and_nothing_unknown_is_sent() {
        let taxon = TaxonAnswer {
            id: "root".into(),
            name: "Life".into(),
            rank: "root".into(),
            depth: 0,
            common_name: None,
            lineage: Vec::new(),
        };
        insta::assert_snapshot!(frozen(&Detection {
            taxon,
            target: None,
            checklist: None,
            watch: Vec::new(),
            position: None,
            no_position: Some(NoPosition::NoFix),
            ..detection()
        }));
    }

    #[test]
    fn a_drift_has_these_fields() {
        let figures = |answers, sharpness| DriftFigures {
            answers,
            mean_depth: Some(3.62),
            ranks: BTreeMap::from([("root".into(), 0.25), ("species".into(), 0.75)]),
            mean_best_leaf: sharpness,
            sharpness,
            brightness: sharpness.map(|_| 121.0),
        };
        let drift = Drift {
            v: VERSION,
            node: "n1".into(),
            camera: "pond".into(),
            time: time(),
            day: "2026-11-23".into(),
            state: DriftState::Departed,
            reasons: vec!["package_ranks".into(), "sharpness".into()],
            today: figures(128, Some(0.41)),
            package: Some(figures(300, None)),
            usual: Some(figures(256, Some(0.83))),
            distance_package: Some(0.31),
            distance_usual: Some(0.29),
        };
        insta::assert_snapshot!(frozen(&drift));
    }

    #[test]
    fn info_has_these_fields() {
        let info = Info {
            v: VERSION,
            node: "n1".into(),
            fieldmark: "0.1.0".into(),
            boot: "01JDBZ3V7WQ2M0X5C8R9T4K6HA".into(),
            started: time(),
            model: identity(),
            engine: "tract-f32".into(),
            engines_passed_over: vec![PassedOver {
                engine: EngineKind::OnnxRuntime,
                reason: "no library that can be used".into(),
            }],
            threshold: 0.88,
            target: Some(0.9),
            taxa: BTreeMap::from([("genus".into(), 3), ("species".into(), 5)]),
            cameras: vec!["pond".into()],
        };
        insta::assert_snapshot!(frozen(&info));
    }

    #[test]
    fn a_model_build_has_these_fields() {
        let step = "Building engine".into();
        let engine = EngineKind::TensorRt;
        let build = ModelBuild { v: VERSION, time: time(), engine, step, progress: Some(0.5) };
        insta::assert_snapshot!(frozen(&build));
    }

    #[test]
    fn a_model_state_has_these_fields() {
        let model = |version: &str| DesiredModel {
            name: "garden".into(),
            version: version.into(),
            sha256: Sha256Digest::of(version.as_bytes()),
            size: 18_500_000,
        };
        let shadow = ShadowReport {
            frames: 120,
            agreement: 0.95,
            compatible: 0.99,
            ranks: BTreeMap::from([("species".into(), [0.5, 0.6])]),
            latency_ms: [18.2, 17.9],
        };
        let state = ModelState {
            previous: Some(model("0.0.9")),
            group: Some("ponds".into()),
            rollout: Some("01JDBZ3V7WQ2M0X5C8R9T4K6HA".into()),
            desired: Some(model("0.2.0")),
            progress: Some(0.25),
            tries: Some(1),
            error: Some("the broker was away".into()),
            shadow: Some(shadow),
            since: Some(time()),
            ..ModelState::idle(identity(), Phase::Shadow)
        };
        insta::assert_snapshot!(frozen(&state));
        insta::assert_snapshot!(frozen(&ModelState::idle(identity(), Phase::Running)));
    }

    #[test]
    fn a_camera_status_has_these_fields() {
        let status = CameraStatus {
            v: VERSION,
            state: CameraState::Lost,
            since: time(),
            format: "MJPG".into(),
            size: Some((1280, 720)),
            fps: Some(30.0),
            device: Some("/dev/video0".into()),
            losses: 1,
            reason: Some("unplugged".into()),
        };
        insta::assert_snapshot!(frozen(&status));
    }

    #[test]
    fn a_reply_has_these_fields() {
        let reply = Reply {
            v: VERSION,
            id: "a1".into(),
            command: Some("target".into()),
            state: ReplyState::Failed,
            time: time(),
            reason: Some("value = 2: give a number from 0.01 to 0.999".into()),
        };
        insta::assert_snapshot!(frozen(&reply));
    }

    #[test]
    fn metrics_have_these_fields() {
        let counts = CameraCounts { captured: 10, inferred: 6, dropped: 2, skipped: 2, still: 1, waiting: 0 };
        let rates = Rates {
            captured_hz: 5.0,
            inferred_hz: 3.0,
            latency_mean_ms: Some(18.2),
            latency_max_ms: Some(40.5),
        };
        let metrics = Metrics {
            v: VERSION,
            time: time(),
            uptime_s: 60,
            cameras: BTreeMap::from([("pond".into(), counts)]),
            rates: BTreeMap::from([("pond".into(), rates)]),
            temperatures_c: BTreeMap::from([("CPU-therm".into(), 48.5)]),
            queue: QueueCounts {
                waiting: 1,
                in_flight: 2,
                acknowledged: 3,
                replayed: 1,
                dropped: BTreeMap::from([(Class::Detection, BTreeMap::from([(Loss::Size, 4)]))]),
                durable: true,
            },
            rss_bytes: Some(200_000_000),
        };
        insta::assert_snapshot!(frozen(&metrics));
    }
}

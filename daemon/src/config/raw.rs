//! The configuration as people write it: every key optional, nothing checked but names and types.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use crate::region::RegionChange;

/// The whole file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawConfig {
    /// Name of this node in topics; the host's name when absent.
    pub node: Option<String>,
    /// Which model, and how sure it has to be.
    pub model: RawModel,
    /// `auto`, `tensorrt`, `onnxruntime` or `tract`.
    pub engine: Option<String>,
    /// How tract is set up.
    pub tract: RawTract,
    /// How ONNX Runtime is set up.
    pub onnxruntime: RawOnnxRuntime,
    /// How TensorRT is set up.
    pub tensorrt: RawTensorRt,
    /// Where the cameras are.
    pub place: RawPlace,
    /// Where the node learns where it is.
    pub position: RawPosition,
    /// Where to publish.
    pub mqtt: RawMqtt,
    /// Where events wait for the broker.
    pub outbox: RawOutbox,
    /// What to alert on.
    pub watch: RawWatch,
    /// Pictures of what cameras see.
    pub snapshot: RawSnapshot,
    /// What may be asked over MQTT.
    pub commands: RawCommands,
    /// Home Assistant.
    pub home_assistant: RawHomeAssistant,
    /// Models from the fleet's repository.
    pub update: RawUpdate,
    /// The broker inside the daemon.
    pub broker: RawBroker,
    /// The page in a browser.
    pub page: RawPage,
    /// When a camera departs.
    pub drift: RawDrift,
    /// Logging.
    pub log: RawLog,
    /// Cameras by name.
    pub camera: BTreeMap<String, RawCamera>,
}

/// `[model]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawModel {
    /// Package file; the shipped one when absent.
    pub package: Option<PathBuf>,
    /// Accuracy asked for; the package's calibration gives the threshold.
    pub target_accuracy: Option<f64>,
    /// Confidence cut-off, instead of a target.
    pub threshold: Option<f64>,
    /// What thresholds for targets promise: `none`, `average` or `confident`.
    pub guarantee: Option<String>,
    /// Other targets or thresholds for parts of the tree.
    pub subtree: Vec<RawSubtree>,
    /// Names or ids of the only taxa to expect.
    pub priors: Vec<String>,
    /// CSV or TSV of taxa to expect, with their places and months.
    pub checklist: Option<PathBuf>,
    /// Weight of taxa that the checklist does not name.
    pub unlisted_weight: Option<f64>,
}

/// `[[model.subtree]]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawSubtree {
    /// Name or id of the taxon at its top.
    pub taxon: String,
    /// Accuracy asked for at and below it.
    pub target_accuracy: Option<f64>,
    /// Confidence cut-off, instead of a target.
    pub threshold: Option<f64>,
}

/// `[tract]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawTract {
    /// Threads; one for each view, as far as there are cores, when absent.
    pub threads: Option<i64>,
}

/// `[onnxruntime]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawOnnxRuntime {
    /// Its library.
    pub library: Option<PathBuf>,
    /// Threads; one for each core when absent.
    pub threads: Option<i64>,
    /// Execution providers before the processor's own: `openvino`, `xnnpack`, `cuda`.
    pub providers: Vec<String>,
    /// `f32` or `int8`.
    pub precision: Option<String>,
}

/// `[tensorrt]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawTensorRt {
    /// Folder of its libraries.
    pub libraries: Option<PathBuf>,
    /// Folder of built plans; only root may be able to write in it.
    pub cache: Option<PathBuf>,
    /// `auto`, `f32`, `fp16` or `int8`.
    pub precision: Option<String>,
    /// Most memory that building may use.
    pub workspace_mb: Option<i64>,
    /// Most regions in one call.
    pub batch: Option<i64>,
}

/// `[place]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawPlace {
    /// Degrees north, WGS 84.
    pub latitude: Option<f64>,
    /// Degrees east, WGS 84.
    pub longitude: Option<f64>,
}

/// `[position]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawPosition {
    /// `mavlink`, `nmea`, `gpsd`, `station` or `none`.
    pub source: Option<String>,
    /// `udp://…` to listen, `tcp://host:port` to connect, or `serial:/dev/…:baud`.
    pub address: Option<String>,
    /// mavlink: number of the system; the first that tells a position when absent.
    pub system: Option<i64>,
    /// station: radius in metres within which it is with 95 %.
    pub accuracy_m: Option<f64>,
    /// Milliseconds from a frame within which a fix is used.
    pub max_age_ms: Option<f64>,
    /// Milliseconds that every message is on its way at least.
    pub delay_ms: Option<f64>,
    /// Metres above mean sea level of level ground; as high as the place of take-off when absent.
    pub ground_m: Option<f64>,
    /// Terrain model: GeoTIFF in degrees, or an SRTM tile.
    pub terrain: Option<PathBuf>,
    /// Standard deviation of roll and pitch, boresight included.
    pub attitude_error_deg: Option<f64>,
    /// Standard deviation of yaw.
    pub yaw_error_deg: Option<f64>,
    /// Standard deviation of the height above the ground.
    pub height_error_m: Option<f64>,
    /// Standard deviation of the time between frame and pose.
    pub time_error_ms: Option<f64>,
    /// Folder for a log of each flight.
    pub flight_log: Option<PathBuf>,
}

/// `[camera.NAME.optics]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawOptics {
    /// Degrees that the camera sees across its frame.
    pub fov_deg: Option<f64>,
    /// Mount against the vehicle: right side down.
    pub roll_deg: Option<f64>,
    /// Mount against the vehicle: -90 looks straight down, 0 ahead.
    pub pitch_deg: Option<f64>,
    /// Mount against the vehicle: to the right of its nose.
    pub yaw_deg: Option<f64>,
    /// Where the axis meets the frame, in fractions.
    pub centre: Option<[f64; 2]>,
    /// Radial distortion k1, k2.
    pub radial: Option<[f64; 2]>,
    /// Without `fov_deg`: metres from the camera within which an organism is.
    pub range_m: Option<f64>,
    /// Frames are released by the autopilot: a frame was taken at the release before it.
    pub released: Option<bool>,
}

/// `[mqtt]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawMqtt {
    /// `mqtt://host:port`, `mqtts://host:port`, `ws://host:port/path` or `wss://host:port/path`.
    pub url: Option<String>,
    /// `5` or `3.1.1`.
    pub version: Option<String>,
    /// User name for the broker.
    pub username: Option<String>,
    /// File whose first line is the password.
    pub password_file: Option<PathBuf>,
    /// Certificates to believe, PEM; the system's when absent.
    pub ca_file: Option<PathBuf>,
    /// This node's certificate, PEM.
    pub cert_file: Option<PathBuf>,
    /// Its key, PEM.
    pub key_file: Option<PathBuf>,
    /// Seconds between pings.
    pub keep_alive_s: Option<i64>,
    /// Seconds an attempt to connect may take.
    pub connect_timeout_s: Option<i64>,
    /// Seconds the broker keeps commands for this node while it is away.
    pub session_expiry_s: Option<i64>,
    /// Messages sent and not acknowledged at one time.
    pub in_flight: Option<i64>,
    /// Largest packet sent or taken.
    pub max_packet_kb: Option<i64>,
    /// Most that is sent in a second; 0 is no limit.
    pub max_kbit_s: Option<f64>,
    /// The link costs money or power: no pictures, batches.
    pub metered: Option<bool>,
    /// Seconds over which detections are gathered and sent together.
    pub batch_s: Option<f64>,
    /// Seconds a clean stop waits for acknowledgements.
    pub stop_timeout_s: Option<f64>,
    /// Seconds between two `metrics` messages.
    pub metrics_s: Option<f64>,
}

/// `[outbox]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawOutbox {
    /// Whether events survive the process.
    pub durable: Option<bool>,
    /// Folder of the queue's file.
    pub folder: Option<PathBuf>,
    /// Largest size of the file.
    pub max_mb: Option<i64>,
    /// Hours after which an event is not worth sending.
    pub max_age_h: Option<f64>,
    /// Events held in memory while the disk is behind or full.
    pub memory: Option<i64>,
    /// `publish` or `hold`: what becomes of events the disk does not take.
    pub disk_full: Option<String>,
}

/// `[watch]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawWatch {
    /// Names or ids of taxa.
    pub taxa: Vec<String>,
    /// Of `first_ever`, `first_today`, `first_this_season`.
    pub novelty: Vec<String>,
    /// Seconds of silence on a taxon after an alert.
    pub cooldown_s: Option<f64>,
}

/// `[snapshot]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawSnapshot {
    /// Least seconds between two pictures of events of a camera; 0 takes none of events.
    pub every_s: Option<f64>,
    /// Greatest width, pixels.
    pub width: Option<i64>,
    /// Greatest size.
    pub max_kb: Option<i64>,
}

/// `[commands]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawCommands {
    /// Commands that are carried out; all others are refused.
    pub allow: Vec<String>,
}

/// `[home_assistant]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawHomeAssistant {
    /// Announce the node to Home Assistant.
    pub discovery: Option<bool>,
}

/// `[update]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawUpdate {
    /// Group whose desired model is followed; without one nothing is ever updated.
    pub group: Option<String>,
    /// The trusted root of the fleet's release repository.
    pub root: Option<PathBuf>,
    /// `mqtt`, a path, `file://` or `http(s)://`.
    pub repository: Option<String>,
    /// Follow rollouts; otherwise only `install` updates.
    pub automatic: Option<bool>,
    /// Where releases are kept.
    pub folder: Option<PathBuf>,
    /// Seconds a model looks on before it answers.
    pub shadow_s: Option<f64>,
    /// Seconds it answers before it is confirmed.
    pub probation_s: Option<f64>,
    /// Frames it must have answered by then.
    pub probation_frames: Option<i64>,
    /// Frames without an answer that end it.
    pub max_failures: Option<i64>,
    /// Times a release is tried.
    pub max_tries: Option<i64>,
    /// Times the daemon may die on probation.
    pub max_starts: Option<i64>,
    /// Megabytes of the disk that stay free.
    pub free_mb: Option<i64>,
    /// Longest mean latency.
    pub max_latency_ms: Option<f64>,
    /// Longest mean latency, in those of the model before.
    pub max_latency_factor: Option<f64>,
    /// Most memory the self-test may take.
    pub max_memory_mb: Option<f64>,
    /// Largest difference of rank mixes, 0 to 1.
    pub max_drift: Option<f64>,
    /// Seconds the self-test may take.
    pub selftest_timeout_s: Option<f64>,
}

/// `[broker]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawBroker {
    /// Run a broker inside the daemon.
    pub embedded: Option<bool>,
    /// `address:port` it listens on.
    pub listen: Option<String>,
    /// Keep retained messages, sessions and what waits for them over a restart; as `outbox.durable` where it is not said.
    pub persistence: Option<bool>,
}

/// `[page]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawPage {
    /// `address:port` it listens on; without one there is no page.
    pub listen: Option<String>,
    /// File whose first line is the token that lets people in.
    pub token_file: Option<PathBuf>,
    /// Header by which a reverse proxy names the user it let in.
    pub proxy_header: Option<String>,
    /// Address the proxy connects from.
    pub proxy: Option<String>,
    /// Nothing can be changed on it.
    pub read_only: Option<bool>,
    /// Most live pictures a second.
    pub live_fps: Option<f64>,
    /// Least width of live pictures, where the camera gives it.
    pub live_width: Option<i64>,
    /// Most that watch at one time.
    pub max_viewers: Option<i64>,
    /// Requests of one address in a second.
    pub requests_per_s: Option<f64>,
}

/// `[drift]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawDrift {
    /// Least time that a day's answers are spread over before they are judged.
    pub spread_s: Option<f64>,
}

/// `[log]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawLog {
    /// `error`, `warn`, `info`, `debug` or `trace`, or a list of `module=level`.
    pub level: Option<String>,
}

/// `[camera.NAME]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawCamera {
    /// `files`, `v4l` or `gstreamer`.
    pub source: Option<String>,
    /// The service is ready without this camera ever having streamed.
    pub optional: Option<bool>,
    /// files: folder of pictures.
    pub folder: Option<PathBuf>,
    /// files: pictures, in this order.
    pub files: Option<Vec<PathBuf>>,
    /// files, gstreamer: begin again after the last picture.
    #[serde(rename = "loop")]
    pub repeat: Option<bool>,
    /// files: pictures a second.
    pub rate_hz: Option<f64>,
    /// files: `rate`, or `recorded` for names that begin with the time they were taken.
    pub pace: Option<String>,
    /// v4l: device file, a link to one, or bus info.
    pub device: Option<String>,
    /// v4l: width asked for, pixels.
    pub width: Option<i64>,
    /// v4l: height asked for, pixels.
    pub height: Option<i64>,
    /// v4l: frames a second asked for.
    pub fps: Option<i64>,
    /// v4l: `auto`, `mjpg`, `yuyv`, `uyvy`, `nv12`, `rgb3` or `grey`.
    pub format: Option<String>,
    /// v4l: values of the device's controls by name.
    pub controls: BTreeMap<String, RawControl>,
    /// gstreamer: a pipeline without a sink.
    pub pipeline: Option<String>,
    /// v4l, gstreamer: seconds without a usable frame after which the camera is lost.
    pub stall_timeout_s: Option<f64>,
    /// Part of the frame to classify: `[left, top, right, bottom]` in fractions.
    pub region: Option<[f64; 4]>,
    /// What magnifying views show of it, instead of its middle: `[left, top, right, bottom]` in fractions.
    pub focus: Option<[f64; 4]>,
    /// What regions that part is made into.
    pub regions: RegionChange,
    /// Lens and mount.
    pub optics: Option<RawOptics>,
    /// `off`, `motion` or `novelty`: which frames are looked at.
    pub gate: Option<String>,
    /// Grey levels by which a part of the picture has to change.
    pub gate_level: Option<i64>,
    /// Share of the region that has to change.
    pub gate_area: Option<f64>,
    /// Seconds after a change in which every frame is looked at.
    pub gate_hold_s: Option<f64>,
    /// Seconds after which a still scene is looked at anyway; 0 for never.
    pub gate_refresh_s: Option<f64>,
    /// Follow organisms over frames; otherwise every decision is published.
    pub tracks: Option<bool>,
    /// Seconds without its organism after which a track ends.
    pub track_gap_s: Option<f64>,
    /// Seconds after which a track ends in any case.
    pub track_max_s: Option<f64>,
}

/// A value in `[camera.NAME.controls]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum RawControl {
    /// On or off.
    Switch(bool),
    /// Everything else, menus by the number of their item.
    Number(i64),
}

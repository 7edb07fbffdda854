//! The configuration as people write it: every key optional, nothing checked but names and types.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

/// The whole file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawConfig {
    /// Name of this node in topics; the host's name when absent.
    pub node: Option<String>,
    /// Which model, and how sure it has to be.
    pub model: RawModel,
    /// Where the cameras are.
    pub place: RawPlace,
    /// Where to publish.
    pub mqtt: RawMqtt,
    /// The broker inside the daemon.
    pub broker: RawBroker,
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

/// `[place]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawPlace {
    /// Degrees north, WGS 84.
    pub latitude: Option<f64>,
    /// Degrees east, WGS 84.
    pub longitude: Option<f64>,
}

/// `[mqtt]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawMqtt {
    /// `mqtt://host:port` or `mqtts://host:port`.
    pub url: Option<String>,
    /// User name for the broker.
    pub username: Option<String>,
    /// File whose first line is the password.
    pub password_file: Option<PathBuf>,
    /// Seconds between pings.
    pub keep_alive_s: Option<i64>,
    /// Messages kept in memory while the broker is away.
    pub queue: Option<i64>,
    /// Seconds a clean stop waits for acknowledgements.
    pub stop_timeout_s: Option<f64>,
    /// Seconds between two `metrics` messages.
    pub metrics_s: Option<f64>,
}

/// `[broker]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawBroker {
    /// Run a broker inside the daemon.
    pub embedded: Option<bool>,
    /// `address:port` it listens on.
    pub listen: Option<String>,
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
    /// `files` or `v4l`.
    pub source: Option<String>,
    /// files: folder of pictures.
    pub folder: Option<PathBuf>,
    /// files: pictures, in this order.
    pub files: Option<Vec<PathBuf>>,
    /// files: begin again after the last picture.
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
    /// v4l: seconds without a usable frame after which the camera is lost.
    pub stall_timeout_s: Option<f64>,
    /// Part of the frame to classify: `[left, top, right, bottom]` in fractions.
    pub region: Option<[f64; 4]>,
    /// Seconds after which an unchanged answer is published again; 0 publishes every decision.
    pub repeat_s: Option<f64>,
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

//! Cameras: one source each, with the keys that belong to it and no others.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use fieldmark_models::views::FractionBox;

use super::position::optical;
use super::publishing::{Following, tracks};
use super::raw::{RawCamera, RawControl};
use super::refusal::{ConfigError, number, refuse, whole};
use crate::gate::{GateChange, GateMode, GateRules};
use crate::position::Optical;
use crate::region::{RegionError, RegionRules};
use crate::track::TrackRules;

/// Name of a camera: one topic level, lower-case because configuration keys are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CameraName(String);

/// Second topic levels that are not cameras.
const RESERVED: [&str; 6] = ["status", "info", "metrics", "cmd", "reply", "model"];

impl CameraName {
    /// # Errors
    /// If `name` is not 1 to 64 of a-z, 0-9, `-` and `_`, or names a topic of the node itself.
    pub fn new(name: &str) -> Result<Self, ConfigError> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
        if name.is_empty() || name.len() > 64 || !name.chars().all(fits) || RESERVED.contains(&name) {
            let rule = format!(
                "name a camera with 1 to 64 of a-z, 0-9, - and _, and not one of {}",
                RESERVED.join(", ")
            );
            return refuse("camera", format!("{name:?}"), rule);
        }
        Ok(Self(name.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Pictures from files.
#[derive(Debug, Clone, PartialEq)]
pub struct FilesConfig {
    /// Folders are read in name order; files in the order given.
    pub paths: Vec<PathBuf>,
    /// Begin again after the last one.
    pub repeat: bool,
    /// When the next picture is due.
    pub pace: Pace,
}

/// How fast pictures follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// One each period.
    Every(Duration),
    /// As they were taken: their names begin with a time such as `20261123T053207.123Z`.
    Recorded,
}

/// How a camera hands over pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PixelFormat {
    /// A plane of luma, then one of U and V in turn at half resolution each way.
    Nv12,
    /// Packed 4:2:2, bytes Y0 U Y1 V for two pixels.
    Yuyv,
    /// Packed 4:2:2, bytes U Y0 V Y1 for two pixels.
    Uyvy,
    /// Three bytes a pixel.
    Rgb3,
    /// Motion JPEG.
    Mjpg,
    /// Luma alone.
    Grey,
}

impl PixelFormat {
    /// All of them, those that cost least a frame first.
    pub const ALL: [Self; 6] = [Self::Nv12, Self::Yuyv, Self::Uyvy, Self::Rgb3, Self::Mjpg, Self::Grey];

    /// The four characters Video4Linux knows it by.
    #[must_use]
    pub fn fourcc(self) -> [u8; 4] {
        *match self {
            Self::Nv12 => b"NV12",
            Self::Yuyv => b"YUYV",
            Self::Uyvy => b"UYVY",
            Self::Rgb3 => b"RGB3",
            Self::Mjpg => b"MJPG",
            Self::Grey => b"GREY",
        }
    }

    /// The format with these four characters.
    #[must_use]
    pub fn from_fourcc(fourcc: [u8; 4]) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.fourcc() == fourcc)
    }
}

impl fmt::Display for PixelFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fourcc().iter().try_for_each(|&character| write!(f, "{}", char::from(character)))
    }
}

/// What tells one camera from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceAddress {
    /// A device file, or a link to one such as those of `/dev/v4l/by-path` and `/dev/v4l/by-id`.
    Path(PathBuf),
    /// Where it is plugged in, as the driver says: `usb-0000:00:14.0-1`. Survives renumbering.
    Bus(String),
}

impl fmt::Display for DeviceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Bus(bus) => f.write_str(bus),
        }
    }
}

/// A Video4Linux camera. The driver may grant other values than asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct V4lConfig {
    /// Which device.
    pub device: DeviceAddress,
    /// Width asked for, pixels.
    pub width: u32,
    /// Height asked for, pixels.
    pub height: u32,
    /// Frames a second asked for.
    pub fps: u32,
    /// Pixel format; the cheapest that gives size and rate when absent.
    pub format: Option<PixelFormat>,
    /// Values of the device's controls by name, as `fieldmarkd cameras` lists them.
    pub controls: BTreeMap<String, i64>,
}

/// A GStreamer pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GstreamerConfig {
    /// As `gst-launch-1.0` takes it, without a sink.
    pub pipeline: String,
    /// Begin a recording again after its end.
    pub repeat: bool,
}

/// Where frames come from.
#[derive(Debug, Clone, PartialEq)]
pub enum CameraSource {
    /// Picture files.
    Files(FilesConfig),
    /// Video4Linux.
    V4l(V4lConfig),
    /// GStreamer.
    Gstreamer(GstreamerConfig),
}

/// One camera.
#[derive(Debug, Clone, PartialEq)]
pub struct CameraConfig {
    /// Its name in topics.
    pub name: CameraName,
    /// Where its frames come from.
    pub source: CameraSource,
    /// Part of the frame to classify; the whole frame when absent.
    pub region: Option<FractionBox>,
    /// What magnifying views show instead of its middle.
    pub focus: Option<FractionBox>,
    /// What regions that part is made into.
    pub regions: RegionRules,
    /// How it looks at the ground.
    pub optical: Optical,
    /// Which frames are worth a look.
    pub gate: GateRules,
    /// When frames make one track; `None` publishes every decision.
    pub tracks: Option<TrackRules>,
    /// A camera that gives no usable frame for this long is lost.
    pub stall_timeout: Duration,
    /// The service is ready without this camera ever having streamed.
    pub optional: bool,
}

pub(super) fn camera(name: &str, raw: &RawCamera, moves: bool) -> Result<CameraConfig, ConfigError> {
    let checked_name = CameraName::new(name)?;
    let key = |key: &str| format!("camera.{name}.{key}");
    let source = match raw.source.as_deref() {
        Some("files") => CameraSource::Files(files(&key, raw)?),
        Some("v4l") => CameraSource::V4l(v4l(&key, raw)?),
        Some("gstreamer") => CameraSource::Gstreamer(gstreamer(&key, raw)?),
        Some(other) => {
            return refuse(key("source"), format!("{other:?}"), "give \"files\", \"v4l\" or \"gstreamer\"");
        }
        None => return refuse(key("source"), "(absent)", "give \"files\", \"v4l\" or \"gstreamer\""),
    };
    let regions = RegionRules::new(&raw.regions).map_err(|RegionError { key: name, value, allowed }| {
        ConfigError { key: key(&format!("regions.{name}")), value, allowed }
    })?;
    let optical = optical(&key, raw.optics.as_ref())?;
    let by_ground = moves && optical.optics.is_some();
    if let Some(side) = regions.tile_m().filter(|_| !by_ground) {
        let rule = "give tile_px, or a [position] that moves and optics.fov_deg: the height says how large a tile is";
        return refuse(key("regions.tile_m"), side, rule);
    }
    let following = Following {
        by_default: by_ground || !matches!(source, CameraSource::Files(_)),
        by_ground,
        several: regions.is_several(),
    };
    let tracks = tracks(&key, raw, following)?;
    let stall = number(key("stall_timeout_s"), raw.stall_timeout_s)?;
    Ok(CameraConfig {
        name: checked_name,
        source,
        region: fraction_box(&key, "region", raw.region)?,
        focus: fraction_box(&key, "focus", raw.focus)?,
        regions,
        optical,
        gate: gate(&key, raw)?,
        tracks,
        stall_timeout: Duration::from_secs_f64(stall),
        optional: raw.optional.unwrap_or(false),
    })
}

fn fraction_box(
    key: &impl Fn(&str) -> String,
    name: &str,
    edges: Option<[f64; 4]>,
) -> Result<Option<FractionBox>, ConfigError> {
    match edges.map(FractionBox::try_from) {
        None => Ok(None),
        Some(Ok(found)) => Ok(Some(found)),
        Some(Err(error)) => refuse(key(name), format!("{:?}", error.0), error.to_string()),
    }
}

fn files(key: &impl Fn(&str) -> String, raw: &RawCamera) -> Result<FilesConfig, ConfigError> {
    let foreign = [
        ("device", raw.device.is_some()),
        ("width", raw.width.is_some()),
        ("height", raw.height.is_some()),
        ("fps", raw.fps.is_some()),
        ("format", raw.format.is_some()),
        ("controls", !raw.controls.is_empty()),
        ("stall_timeout_s", raw.stall_timeout_s.is_some()),
        ("pipeline", raw.pipeline.is_some()),
    ];
    refuse_foreign(key, &foreign, "files")?;
    let paths = match (&raw.folder, &raw.files) {
        (Some(folder), None) => vec![folder.clone()],
        (None, Some(files)) if !files.is_empty() => files.clone(),
        (None, Some(_)) => return refuse(key("files"), "[]", "name at least one picture"),
        (Some(_), Some(_)) => {
            return refuse(key("files"), "[…]", "give a folder or a list of files, not both");
        }
        (None, None) => {
            return refuse(
                key("folder"),
                "(absent)",
                "give a folder of pictures, or `files`, a list of them",
            );
        }
    };
    Ok(FilesConfig { paths, repeat: raw.repeat.unwrap_or(true), pace: pace(key, raw)? })
}

fn pace(key: &impl Fn(&str) -> String, raw: &RawCamera) -> Result<Pace, ConfigError> {
    match (raw.pace.as_deref(), raw.rate_hz) {
        (Some("recorded"), None) => Ok(Pace::Recorded),
        (Some("recorded"), Some(_)) => {
            refuse(key("rate_hz"), "…", "remove it: pace = \"recorded\" takes the rate from the files' names")
        }
        (Some("rate") | None, rate) => {
            let rate = number(key("rate_hz"), rate)?;
            Ok(Pace::Every(Duration::from_secs_f64(1.0 / rate)))
        }
        (Some(other), _) => refuse(key("pace"), format!("{other:?}"), "give \"rate\" or \"recorded\""),
    }
}

fn v4l(key: &impl Fn(&str) -> String, raw: &RawCamera) -> Result<V4lConfig, ConfigError> {
    let foreign = [
        ("folder", raw.folder.is_some()),
        ("files", raw.files.is_some()),
        ("loop", raw.repeat.is_some()),
        ("rate_hz", raw.rate_hz.is_some()),
        ("pace", raw.pace.is_some()),
        ("pipeline", raw.pipeline.is_some()),
    ];
    refuse_foreign(key, &foreign, "v4l")?;
    let controls = raw.controls.iter().map(|(name, value)| match value {
        RawControl::Switch(on) => (name.clone(), i64::from(*on)),
        RawControl::Number(number) => (name.clone(), *number),
    });
    Ok(V4lConfig {
        device: address(key, raw.device.as_deref().unwrap_or("/dev/video0"))?,
        width: whole(key("width"), raw.width)?,
        height: whole(key("height"), raw.height)?,
        fps: whole(key("fps"), raw.fps)?,
        format: format(key, raw.format.as_deref())?,
        controls: controls.collect(),
    })
}

fn gstreamer(key: &impl Fn(&str) -> String, raw: &RawCamera) -> Result<GstreamerConfig, ConfigError> {
    let foreign = [
        ("folder", raw.folder.is_some()),
        ("files", raw.files.is_some()),
        ("rate_hz", raw.rate_hz.is_some()),
        ("pace", raw.pace.is_some()),
        ("device", raw.device.is_some()),
        ("width", raw.width.is_some()),
        ("height", raw.height.is_some()),
        ("fps", raw.fps.is_some()),
        ("format", raw.format.is_some()),
        ("controls", !raw.controls.is_empty()),
    ];
    refuse_foreign(key, &foreign, "gstreamer")?;
    match raw.pipeline.as_deref().map(str::trim) {
        Some(pipeline) if !pipeline.is_empty() => {
            Ok(GstreamerConfig { pipeline: pipeline.into(), repeat: raw.repeat.unwrap_or(false) })
        }
        _ => refuse(
            key("pipeline"),
            "(absent)",
            "give a pipeline as gst-launch-1.0 takes it, without a sink, such as \"rtspsrc location=rtsp://camera/stream ! decodebin\"",
        ),
    }
}

fn address(key: &impl Fn(&str) -> String, text: &str) -> Result<DeviceAddress, ConfigError> {
    match text {
        path if path.starts_with('/') => Ok(DeviceAddress::Path(path.into())),
        // `usb-0000:00:14.0-1` on a PC, `usb-3610000.usb-2.1` on a Jetson, `platform:vivid-000`.
        bus if bus.contains([':', '-']) => Ok(DeviceAddress::Bus(bus.into())),
        other => refuse(
            key("device"),
            format!("{other:?}"),
            "give a path such as /dev/video0 or /dev/v4l/by-path/…, or bus info such as usb-0000:00:14.0-1 (see `fieldmarkd cameras`)",
        ),
    }
}

fn format(key: &impl Fn(&str) -> String, text: Option<&str>) -> Result<Option<PixelFormat>, ConfigError> {
    let Some(text) = text.filter(|&text| text != "auto") else { return Ok(None) };
    let known = |format: &PixelFormat| format.to_string().eq_ignore_ascii_case(text);
    match PixelFormat::ALL.into_iter().find(known) {
        Some(format) => Ok(Some(format)),
        None => refuse(
            key("format"),
            format!("{text:?}"),
            "give \"auto\", \"mjpg\", \"yuyv\", \"uyvy\", \"nv12\", \"rgb3\" or \"grey\"",
        ),
    }
}

fn gate(key: &impl Fn(&str) -> String, raw: &RawCamera) -> Result<GateRules, ConfigError> {
    let mode = match raw.gate.as_deref() {
        None | Some("off") => GateMode::Off,
        Some("motion") => GateMode::Motion,
        Some("novelty") => GateMode::Novelty,
        Some(other) => {
            return refuse(key("gate"), format!("{other:?}"), "give \"off\", \"motion\" or \"novelty\"");
        }
    };
    let (level, area) = (raw.gate_level, raw.gate_area);
    let change =
        GateChange { mode: Some(mode), level, area, hold_s: raw.gate_hold_s, refresh_s: raw.gate_refresh_s };
    let refused = |error: crate::gate::GateError| ConfigError {
        key: key(&format!("gate_{}", error.key)),
        value: error.value.to_string(),
        allowed: error.allowed.into(),
    };
    GateRules::default().changed(&change).map_err(refused)
}

fn refuse_foreign(
    key: &impl Fn(&str) -> String,
    foreign: &[(&str, bool)],
    source: &str,
) -> Result<(), ConfigError> {
    match foreign.iter().find(|(_, present)| *present) {
        Some((name, _)) => {
            refuse(key(name), "…", format!("remove it: a camera with source = {source:?} has no such key"))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_text;

    fn configured(lines: &str) -> Result<CameraConfig, String> {
        let text =
            format!("node = \"n\"\n[broker]\nembedded = true\n[camera.pond]\nsource = \"v4l\"\n{lines}");
        let mut config = load_text(&text).map_err(|error| error.to_string())?;
        config.cameras.pop().ok_or_else(|| "no camera".into())
    }

    #[test]
    fn a_camera_is_named_by_path_or_by_bus() {
        let device = |lines: &str| match configured(lines).expect("good").source {
            CameraSource::V4l(config) => config.device,
            _ => panic!("a device"),
        };
        assert_eq!(device(""), DeviceAddress::Path("/dev/video0".into()));
        let link = "/dev/v4l/by-path/pci-0000:00:14.0-usb-0:1:1.0-video-index0";
        assert_eq!(device(&format!("device = {link:?}")), DeviceAddress::Path(link.into()));
        let bus = "usb-0000:00:14.0-1";
        assert_eq!(device(&format!("device = {bus:?}")), DeviceAddress::Bus(bus.into()));
        let bus = "usb-3610000.usb-2.1";
        assert_eq!(device(&format!("device = {bus:?}")), DeviceAddress::Bus(bus.into()));
        let refused = configured("device = \"video0\"").expect_err("neither");
        assert!(refused.contains("camera.pond.device = \"video0\": give a path"), "{refused}");
    }

    #[test]
    fn controls_are_numbers_and_switches() {
        let lines =
            "[camera.pond.controls]\nexposure_time_absolute = 200\nfocus_automatic_continuous = false";
        let CameraSource::V4l(config) = configured(lines).expect("good").source else { panic!("a device") };
        let expected =
            [("exposure_time_absolute".to_owned(), 200), ("focus_automatic_continuous".to_owned(), 0)];
        assert_eq!(config.controls, BTreeMap::from(expected));
    }

    #[test]
    fn a_pipeline_is_taken_as_it_is_and_other_sources_have_none() {
        let pipeline = |lines: &str| {
            let text = format!(
                "node = \"n\"\n[broker]\nembedded = true\n[camera.pond]\nsource = \"gstreamer\"\n{lines}"
            );
            load_text(&text).map(|config| config.cameras[0].source.clone()).map_err(|error| error.to_string())
        };
        let expected = GstreamerConfig { pipeline: "videotestsrc ! queue".into(), repeat: false };
        assert_eq!(pipeline("pipeline = \"videotestsrc ! queue\""), Ok(CameraSource::Gstreamer(expected)));
        assert!(pipeline("").is_err_and(|error| error.contains("without a sink")));
        assert!(pipeline("pipeline = \"x\"\nfps = 5").is_err_and(|error| error.contains("camera.pond.fps")));
        assert!(configured("pipeline = \"x\"").is_err());
    }

    #[test]
    fn a_gate_keeps_to_its_ranges() {
        assert_eq!(configured("").expect("good").gate, GateRules::default());
        let lines = "gate = \"novelty\"\ngate_level = 20\ngate_refresh_s = 0.0";
        let gate = configured(lines).expect("good").gate;
        assert_eq!((gate.mode(), gate.level(), gate.refresh()), (GateMode::Novelty, 20, None));
        let refused = configured("gate_area = 2.0").expect_err("too much");
        assert!(refused.contains("camera.pond.gate_area = 2: give a share from 0.0001 to 1"), "{refused}");
        assert!(configured("gate = \"shut\"").is_err());
    }

    #[test]
    fn every_format_is_known_by_its_four_characters() {
        for format in PixelFormat::ALL {
            assert_eq!(PixelFormat::from_fourcc(format.fourcc()), Some(format));
            let lines = format!("format = {:?}", format.to_string().to_lowercase());
            let CameraSource::V4l(config) = configured(&lines).expect("good").source else {
                panic!("a device")
            };
            assert_eq!(config.format, Some(format));
        }
        assert!(configured("format = \"h264\"").is_err());
    }
}

//! Which devices there are, and which one is meant.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use v4l::video::Capture as _;

use super::controls::{Control, controls};
use super::{guarded, number, offers};
use crate::capture::Sizes;
use crate::config::{DeviceAddress, PixelFormat};

/// A device that captures video.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Device {
    /// Device file.
    pub device: PathBuf,
    /// Name of the card.
    pub name: String,
    /// Where it is plugged in.
    pub bus: String,
    /// Links that stay the same when devices are numbered anew.
    pub links: Vec<PathBuf>,
    /// What it captures.
    pub formats: Vec<Format>,
    /// What can be set.
    pub controls: Vec<Control>,
}

/// A format of a device.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Format {
    /// Four characters.
    pub fourcc: String,
    /// The driver's words for it.
    pub description: String,
    /// Whether fieldmark reads it.
    pub read: bool,
    /// Sizes, and frames a second at each.
    pub sizes: Vec<(String, Vec<f64>)>,
}

/// The devices that capture video and can be opened now.
#[must_use]
pub fn devices() -> Vec<Device> {
    nodes().iter().filter_map(|path| describe(path)).collect()
}

/// All video device files, the lowest number first.
fn nodes() -> Vec<PathBuf> {
    let entries = std::fs::read_dir("/dev").into_iter().flatten().flatten();
    let mut nodes: Vec<_> = entries.map(|entry| entry.path()).filter(|path| number(path).is_some()).collect();
    nodes.sort_by_key(|path| number(path));
    nodes
}

/// The device file that `address` means now.
pub(super) fn find(address: &DeviceAddress) -> io::Result<PathBuf> {
    match address {
        DeviceAddress::Path(path) => path.canonicalize(),
        DeviceAddress::Bus(bus) => nodes()
            .into_iter()
            .find(|path| captures(path, bus))
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no camera is plugged in there")),
    }
}

/// Whether the device at `path` is on `bus` and gives frames; cameras have further devices for metadata.
fn captures(path: &Path, bus: &str) -> bool {
    let asked = guarded(|| {
        let device = v4l::Device::with_path(path)?;
        Ok(device.query_caps()?.bus == bus && !device.enum_formats()?.is_empty())
    });
    asked.unwrap_or(false)
}

fn describe(path: &Path) -> Option<Device> {
    let device = guarded(|| v4l::Device::with_path(path)).ok()?;
    let formats = guarded(|| device.enum_formats()).ok().filter(|formats| !formats.is_empty())?;
    // Names of some USB devices are cut in the middle of a letter, on which the crate panics.
    let capabilities = guarded(|| device.query_caps());
    let (name, bus) = capabilities.map_or((sysfs_name(path), String::new()), |known| (known.card, known.bus));
    let formats = formats.into_iter().map(|format| Format {
        fourcc: String::from_utf8_lossy(&format.fourcc.repr).into_owned(),
        description: format.description,
        read: PixelFormat::from_fourcc(format.fourcc.repr).is_some(),
        sizes: offers::sizes(&device, format.fourcc)
            .into_iter()
            .map(|sizes| listed(&device, format.fourcc, sizes))
            .collect(),
    });
    Some(Device {
        device: path.into(),
        name,
        bus,
        links: links(path),
        formats: formats.collect(),
        controls: controls(&device),
    })
}

fn listed(device: &v4l::Device, fourcc: v4l::FourCC, sizes: Sizes) -> (String, Vec<f64>) {
    match sizes {
        Sizes::One(width, height) => {
            (format!("{width}x{height}"), offers::rates(device, fourcc, (width, height)))
        }
        Sizes::Steps { least, most, step } => (
            format!("{}x{} to {}x{} in steps of {}x{}", least.0, least.1, most.0, most.1, step.0, step.1),
            offers::rates(device, fourcc, least),
        ),
        Sizes::Unknown => ("not listed".into(), Vec::new()),
    }
}

fn sysfs_name(path: &Path) -> String {
    let Some(file) = path.file_name() else { return String::new() };
    let name = std::fs::read(Path::new("/sys/class/video4linux").join(file).join("name"));
    String::from_utf8_lossy(&name.unwrap_or_default()).trim().to_owned()
}

fn links(path: &Path) -> Vec<PathBuf> {
    let folders = ["/dev/v4l/by-id", "/dev/v4l/by-path"];
    let entries = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    let links = entries.map(|entry| entry.path());
    links.filter(|link| link.canonicalize().is_ok_and(|target| target == path)).collect()
}

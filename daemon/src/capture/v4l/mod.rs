//! Video4Linux cameras. Everything that is known to be sharp about the `v4l` crate is dealt with in this folder:
//! it polls for ever unless told otherwise, cannot go on after an error, hands over whole buffers whatever was
//! written into them, and panics where a driver answers what it does not expect.

mod connection;
mod controls;
mod devices;
mod offers;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use connection::Connection;
pub use controls::Control;
pub use devices::{Device, Format, devices};

use super::{Captured, Choice, Delivery, Source, SourceError, choose};
use crate::config::V4lConfig;

/// Runs what the crate does, and makes an error of its panics.
fn guarded<T>(action: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let unexpected = |_| Err(io::Error::other("the v4l library gave up; the lines above say where"));
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(action)).unwrap_or_else(unexpected)
}

/// A Video4Linux camera, opened when the first frame is asked for and again after every error.
pub struct V4lSource {
    config: V4lConfig,
    stall_timeout: Duration,
    open: Option<Connection>,
    delivery: Delivery,
    sequence: u64,
}

impl V4lSource {
    /// Nothing is opened yet. No frame for `stall_timeout` is an error.
    #[must_use]
    pub fn new(config: V4lConfig, stall_timeout: Duration) -> Self {
        let format = config.format.map_or_else(|| "auto".into(), |format| format.to_string());
        let (size, fps) = (Some((config.width, config.height)), None);
        let delivery = Delivery { format, size, fps, device: None };
        Self { config, stall_timeout, open: None, delivery, sequence: 0 }
    }
}

impl Source for V4lSource {
    fn next(&mut self, buffer: Vec<u8>) -> Result<Captured, SourceError> {
        let connection = match &mut self.open {
            Some(connection) => connection,
            none => {
                let connection = Connection::open(&self.config, self.stall_timeout)?;
                self.delivery = connection.delivery();
                none.insert(connection)
            }
        };
        match connection.frame(buffer, self.sequence) {
            Ok(captured) => {
                self.sequence += 1;
                Ok(captured)
            }
            Err(error) => {
                self.open = None;
                if error.kind() == io::ErrorKind::TimedOut {
                    let (device, seconds) =
                        (self.config.device.to_string(), self.stall_timeout.as_secs_f64());
                    return Err(SourceError::Stalled { device, seconds });
                }
                Err(failed(&self.config, "reading a frame", error))
            }
        }
    }

    fn close(&mut self) {
        self.open = None;
    }

    fn delivery(&self) -> Delivery {
        self.delivery.clone()
    }
}

fn failed(config: &V4lConfig, attempt: &'static str, source: io::Error) -> SourceError {
    let advice = match (source.kind(), source.raw_os_error()) {
        (io::ErrorKind::NotFound, _) => {
            "; plug the camera in, or see `fieldmarkd cameras` for the ones there are"
        }
        (io::ErrorKind::PermissionDenied, _) => "; add the user to the group `video`",
        (io::ErrorKind::ResourceBusy, _) => "; another program uses the camera: close it",
        // ENODEV
        (_, Some(19)) => "; the camera was unplugged, or its driver gave up",
        _ => "",
    };
    SourceError::Device { device: config.device.to_string(), attempt, source, advice }
}

/// What a camera would do.
#[derive(Debug)]
pub struct Prospect {
    /// The device file in use.
    pub path: PathBuf,
    /// What would be asked of the driver.
    pub choice: Choice,
}

/// Finds the camera, negotiates and checks its controls. Changes nothing, so a camera in use can be asked too.
///
/// # Errors
/// If it is not there, has no format that is read, or lacks a control.
pub fn prospect(config: &V4lConfig) -> Result<Prospect, SourceError> {
    let (path, device) = connect(config)?;
    let choice = negotiate(config, &device)?;
    controls::settings(config, &device)?;
    Ok(Prospect { path, choice })
}

fn connect(config: &V4lConfig) -> Result<(PathBuf, v4l::Device), SourceError> {
    let path = devices::find(&config.device).map_err(|error| failed(config, "looking for it", error))?;
    let device = guarded(|| v4l::Device::with_path(&path));
    Ok((path, device.map_err(|error| failed(config, "opening", error))?))
}

fn negotiate(config: &V4lConfig, device: &v4l::Device) -> Result<Choice, SourceError> {
    let offers = offers::offers(device, (config.width, config.height));
    let offers = offers.map_err(|error| failed(config, "listing its formats", error))?;
    choose(config, &offers.readable).ok_or_else(|| {
        let wanted =
            config.format.map_or_else(|| "MJPG, YUYV, UYVY, NV12, RGB3 or GREY".into(), |f| f.to_string());
        let offered = if offers.all.is_empty() { "no format".into() } else { offers.all.join(", ") };
        SourceError::Format { device: config.device.to_string(), offered, wanted }
    })
}

/// The number in `/dev/videoN`.
fn number(path: &Path) -> Option<u32> {
    path.file_name()?.to_str()?.strip_prefix("video")?.parse().ok()
}

//! Video4Linux cameras. Everything that is known to be sharp about the `v4l` crate is dealt with here.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use fieldmark_models::picture::Picture;
use v4l::buffer::{Flags, Type};
use v4l::io::mmap::Stream;
use v4l::io::traits::CaptureStream as _;
use v4l::video::Capture as _;
use v4l::video::capture::Parameters;
use v4l::{Format, FourCC};

use super::{Captured, Delivery, Frame, Source, SourceError, yuyv_to_rgb};
use crate::config::{PixelFormat, V4lConfig};

/// A camera that gives nothing for this long is opened anew. Without a timeout the crate polls for ever.
const TIMEOUT: Duration = Duration::from_secs(5);
const BUFFERS: u32 = 4;

/// A device that captures video.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Device file.
    pub path: PathBuf,
    /// Name of the card.
    pub name: String,
    /// `fourcc (description)` of each format it has.
    pub formats: Vec<String>,
}

/// The devices that capture video and can be opened now.
#[must_use]
pub fn devices() -> Vec<Device> {
    let mut nodes = v4l::context::enum_devices();
    nodes.sort_by_key(v4l::context::Node::index);
    let describe = |node: &v4l::context::Node| {
        let device = v4l::Device::with_path(node.path()).ok()?;
        let capabilities = device.query_caps().ok()?;
        let captures = capabilities.capabilities.contains(v4l::capability::Flags::VIDEO_CAPTURE);
        let formats = device.enum_formats().ok().filter(|formats| captures && !formats.is_empty())?;
        let formats = formats.iter().map(|format| format!("{} ({})", format.fourcc, format.description));
        Some(Device { path: node.path().into(), name: capabilities.card, formats: formats.collect() })
    };
    nodes.iter().filter_map(describe).collect()
}

struct Open {
    stream: Option<Stream<'static>>,
    format: PixelFormat,
    width: u32,
    height: u32,
    stride: u32,
    fps: Option<f64>,
}

/// A Video4Linux camera, opened when the first frame is asked for and again after every error.
pub struct V4lSource {
    config: V4lConfig,
    open: Option<Open>,
    sequence: u64,
}

impl V4lSource {
    /// Nothing is opened yet.
    #[must_use]
    pub fn new(config: V4lConfig) -> Self {
        Self { config, open: None, sequence: 0 }
    }

    fn failed(&self, attempt: &'static str, source: io::Error) -> SourceError {
        let advice = match (source.kind(), source.raw_os_error()) {
            (io::ErrorKind::NotFound, _) => {
                "; plug the camera in, or see `fieldmarkd cameras` for the ones there are"
            }
            (io::ErrorKind::PermissionDenied, _) => "; add the user to the group `video`",
            (_, Some(16)) => "; another program uses the camera: close it",
            _ => "",
        };
        SourceError::Device { device: self.config.device.clone(), attempt, source, advice: advice.into() }
    }

    /// Opens the device and obeys what the driver grants, which may be other than what was asked for.
    fn connect(&self) -> Result<Open, SourceError> {
        let device =
            v4l::Device::with_path(&self.config.device).map_err(|error| self.failed("opening", error))?;
        let fourcc = FourCC::new(self.config.format.fourcc());
        let mut wanted = Format::new(self.config.width, self.config.height, fourcc);
        // The driver computes both; old values would be kept.
        (wanted.stride, wanted.size) = (0, 0);
        let granted = device.set_format(&wanted).map_err(|error| self.failed("setting the format", error))?;
        let format = [PixelFormat::Mjpg, PixelFormat::Yuyv]
            .into_iter()
            .find(|format| FourCC::new(format.fourcc()) == granted.fourcc)
            .ok_or_else(|| SourceError::Format {
                device: self.config.device.clone(),
                granted: granted.fourcc.to_string(),
            })?;
        // Not every driver lets the rate be set; the camera's own will do.
        let interval = device.set_params(&Parameters::with_fps(self.config.fps)).map(|set| set.interval);
        let fps = interval.ok().filter(|interval| interval.numerator > 0);
        let mut stream = Stream::with_buffers(&device, Type::VideoCapture, BUFFERS)
            .map_err(|error| self.failed("reserving buffers", error))?;
        stream.set_timeout(TIMEOUT);
        Ok(Open {
            stream: Some(stream),
            format,
            width: granted.width,
            height: granted.height,
            stride: granted.stride,
            fps: fps.map(|interval| f64::from(interval.denominator) / f64::from(interval.numerator)),
        })
    }
}

impl Open {
    fn frame(&mut self, buffer: Vec<u8>, sequence: u64) -> io::Result<Captured> {
        let (width, height, stride) = (self.width, self.height, self.stride);
        let Some(stream) = self.stream.as_mut() else { return Err(io::ErrorKind::NotConnected.into()) };
        let (bytes, meta) = stream.next()?;
        let time = jiff::Timestamp::now();
        if meta.flags.contains(Flags::ERROR) {
            return Ok(Captured::Skipped("the driver marked the frame as damaged".into()));
        }
        // The whole buffer is handed over; only its first part is this frame.
        let bytes = bytes.get(..meta.bytesused as usize).unwrap_or(bytes);
        let picture = match self.format {
            PixelFormat::Mjpg => Picture::decode(bytes).map_err(|error| error.to_string()),
            PixelFormat::Yuyv => yuyv_picture(bytes, (width, height), stride, buffer),
        };
        Ok(match picture {
            Ok(picture) => Captured::Frame(Frame { picture, time, sequence }),
            Err(reason) => Captured::Skipped(reason),
        })
    }
}

fn yuyv_picture(
    bytes: &[u8],
    (width, height): (u32, u32),
    stride: u32,
    mut buffer: Vec<u8>,
) -> Result<Picture, String> {
    let row = (stride as usize).max(width as usize * 2);
    yuyv_to_rgb(bytes, width as usize, height as usize, row, &mut buffer)
        .map_err(|error| error.to_string())?;
    Picture::from_rgb(width, height, buffer).map_err(|error| error.to_string())
}

impl Drop for Open {
    fn drop(&mut self) {
        // The crate panics when the stream cannot be switched off for any reason but an unplugged device.
        if let Some(stream) = self.stream.take() {
            let closing = std::panic::AssertUnwindSafe(move || drop(stream));
            if std::panic::catch_unwind(closing).is_err() {
                tracing::warn!("a camera's stream could not be switched off");
            }
        }
    }
}

impl Source for V4lSource {
    fn next(&mut self, buffer: Vec<u8>) -> Result<Captured, SourceError> {
        if self.open.is_none() {
            self.open = Some(self.connect()?);
        }
        let sequence = self.sequence;
        let captured = match &mut self.open {
            Some(open) => open.frame(buffer, sequence),
            None => Err(io::ErrorKind::NotConnected.into()),
        };
        match captured {
            Ok(captured) => {
                self.sequence += 1;
                Ok(captured)
            }
            Err(error) => {
                // After any error the stream gives errors for ever: it is made anew.
                self.open = None;
                Err(self.failed("reading a frame", error))
            }
        }
    }

    fn delivery(&self) -> Delivery {
        let asked = (self.config.format, self.config.width, self.config.height, None);
        let granted = self.open.as_ref().map(|open| (open.format, open.width, open.height, open.fps));
        let (format, width, height, fps) = granted.unwrap_or(asked);
        let format = String::from_utf8_lossy(format.fourcc()).into_owned();
        Delivery { format, size: Some((width, height)), fps }
    }
}

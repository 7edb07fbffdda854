//! An open camera: what the driver granted, and its stream of buffers.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use v4l::buffer::{Flags, Type};
use v4l::format::{Colorspace, Quantization};
use v4l::io::mmap::Stream;
use v4l::io::traits::{CaptureStream as _, Stream as _};
use v4l::video::Capture as _;
use v4l::video::capture::Parameters;
use v4l::{Format, FourCC, Fraction};

use super::{connect, controls, failed, guarded, negotiate};
use crate::capture::jpeg::JpegReader;
use crate::capture::layout::{Colour, FrameFlaw, Layout, Matrix};
use crate::capture::{Captured, Choice, Delivery, Frame, FrameImage, SourceError};
use crate::config::{PixelFormat, V4lConfig};

/// One being filled, one filled, one being read, and one to spare.
const BUFFERS: u32 = 4;

pub(super) struct Connection {
    stream: Option<Stream<'static>>,
    path: PathBuf,
    layout: Layout,
    fps: Option<f64>,
    jpeg: Option<JpegReader>,
}

impl Connection {
    /// Opens the camera and obeys what the driver grants, which may be other than what was asked for.
    pub(super) fn open(config: &V4lConfig, stall_timeout: Duration) -> Result<Self, SourceError> {
        let (path, device) = connect(config)?;
        let choice = negotiate(config, &device)?;
        let granted = guarded(|| device.set_format(&asked(choice)))
            .map_err(|error| failed(config, "setting the format", error))?;
        let layout = layout(&granted).ok_or_else(|| SourceError::Format {
            device: config.device.to_string(),
            offered: granted.fourcc.to_string(),
            wanted: choice.format.to_string(),
        })?;
        // Not every driver lets the rate be set; the camera's own will do.
        let granted_rate = guarded(|| device.set_params(&Parameters::new(interval(choice.fps))));
        let interval = granted_rate.map(|granted| granted.interval).ok().filter(|i| i.numerator > 0);
        controls::apply(config, &device);
        let mut stream = guarded(|| Stream::with_buffers(&device, Type::VideoCapture, BUFFERS))
            .map_err(|error| failed(config, "reserving buffers", error))?;
        stream.set_timeout(stall_timeout);
        let fps = interval.map(|i| f64::from(i.denominator) / f64::from(i.numerator));
        tracing::info!(device = %config.device, path = %path.display(), ?layout, ?fps, "asked for {choice}");
        let jpeg = if layout.format == PixelFormat::Mjpg {
            // Without memory for it there will be none for frames either.
            JpegReader::new().ok()
        } else {
            None
        };
        Ok(Self { stream: Some(stream), path, layout, fps, jpeg })
    }

    pub(super) fn delivery(&self) -> Delivery {
        Delivery {
            format: self.layout.format.to_string(),
            size: Some((self.layout.width, self.layout.height)),
            fps: self.fps,
            device: Some(self.path.clone()),
        }
    }

    /// Waits for a frame and copies it into `buffer`. After an error there will be no other frame.
    pub(super) fn frame(&mut self, mut buffer: Vec<u8>, sequence: u64) -> io::Result<Captured> {
        let Some(stream) = &mut self.stream else { return Err(io::ErrorKind::NotConnected.into()) };
        let (bytes, meta) = guarded(|| stream.next())?;
        let (time, moment) = (jiff::Timestamp::now(), Instant::now());
        // Memory for the largest frame there can be, so that a later one finds it.
        buffer.clear();
        buffer.reserve(bytes.len());
        // The whole buffer is handed over; only its first part is this frame.
        let bytes = bytes.get(..meta.bytesused as usize).unwrap_or(bytes);
        let flawless = if meta.flags.contains(Flags::ERROR) {
            Err(FrameFlaw::Marked)
        } else {
            inspect(bytes, self.layout, self.jpeg.as_mut())
        };
        if let Err(flaw) = flawless {
            return Ok(Captured::Skipped(flaw.to_string(), buffer));
        }
        buffer.extend_from_slice(bytes);
        let image = FrameImage::Raw { bytes: buffer, layout: self.layout };
        Ok(Captured::Frame(Frame { image, time, moment, sequence }))
    }
}

/// Whether the bytes look like a frame of this layout.
fn inspect(bytes: &[u8], layout: Layout, jpeg: Option<&mut JpegReader>) -> Result<(), FrameFlaw> {
    match jpeg {
        Some(jpeg) => jpeg.check(bytes, (layout.width, layout.height)),
        None => layout.check(bytes),
    }
}

fn asked(choice: Choice) -> Format {
    // Stride and size are left at zero: the driver computes both.
    Format::new(choice.width, choice.height, FourCC::new(&choice.format.fourcc()))
}

fn interval(fps: f64) -> Fraction {
    if fps.fract() == 0.0 {
        Fraction::new(1, fps as u32)
    } else {
        Fraction::new(1000, (fps * 1000.0).round() as u32)
    }
}

fn layout(granted: &Format) -> Option<Layout> {
    let format = PixelFormat::from_fourcc(granted.fourcc.repr)?;
    // Defaults of `V4L2_MAP_YCBCR_ENC_DEFAULT` and `V4L2_MAP_QUANTIZATION_DEFAULT` in `videodev2.h`.
    let matrix = if matches!(granted.colorspace, Colorspace::Rec709) { Matrix::Bt709 } else { Matrix::Bt601 };
    let full_range = match granted.quantization {
        Quantization::FullRange => true,
        Quantization::LimitedRange => false,
        Quantization::Default => matches!(granted.colorspace, Colorspace::JPEG),
    };
    let colour = Colour { matrix, full_range };
    Some(Layout::new(format, granted.width, granted.height, granted.stride as usize, colour))
}

impl Drop for Connection {
    fn drop(&mut self) {
        let Some(mut stream) = self.stream.take() else { return };
        // Stopped here first, where an error can be heard: the crate panics in its own drop on any error but that
        // of an unplugged device, and stopping a stopped stream is no error.
        if let Err(error) = guarded(|| stream.stop()) {
            tracing::debug!("stopping a camera's stream: {error}");
        }
        let dropped = guarded(move || {
            drop(stream);
            Ok(())
        });
        if dropped.is_err() {
            tracing::warn!("a camera's stream could not be switched off");
        }
    }
}

//! Frames, from files or cameras, always the latest one.
//!
//! [`Source`]s give frames, a [`CaptureThread`] each drives them and says how its camera is, [`LatestFrames`] hands
//! the newest one over, [`FrameDecoder`] makes a picture of it, no larger than the views need.

mod files;
mod frame;
#[cfg(feature = "gstreamer")]
mod gstreamer;
mod jpeg;
mod latest;
mod layout;
mod negotiate;
mod pixels;
mod supervision;
mod thread;
#[cfg(feature = "v4l")]
mod v4l;

use std::path::PathBuf;

use fieldmark_models::picture::{Picture, PictureError};

pub use files::FilesSource;
pub use frame::{DecodeError, Frame, FrameDecoder, FrameImage};
#[cfg(feature = "gstreamer")]
pub use gstreamer::GstreamerSource;
pub use jpeg::JpegReader;
pub use latest::{CameraCounts, LatestFrames, Outcome, Taken};
pub use layout::{Colour, FrameFlaw, Layout, Matrix};
pub use negotiate::{Choice, Offer, Sizes, choose};
pub use pixels::Reducer;
pub use supervision::{CameraState, StateChange, Supervision};
pub use thread::CaptureThread;
#[cfg(feature = "v4l")]
pub use v4l::{Control, Device, Format, Prospect, V4lSource, devices, prospect};

use crate::config::{CameraConfig, CameraSource};

/// What a source answers when asked for the next frame.
#[derive(Debug)]
pub enum Captured {
    /// A frame.
    Frame(Frame),
    /// Something that should have been a frame and is none: counted, told, passed over. The buffer comes back.
    Skipped(String, Vec<u8>),
    /// There will be no more.
    End,
}

/// What a camera delivers, as its status message tells.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// Four characters such as `MJPG`, or `files`.
    pub format: String,
    /// Pixels, where all frames are alike.
    pub size: Option<(u32, u32)>,
    /// Frames a second as granted or configured.
    pub fps: Option<f64>,
    /// The device file in use, where there is one.
    pub device: Option<PathBuf>,
}

/// Why a source gives no frames, for now.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file or folder cannot be read.
    #[error("cannot read {path}: {source}; check `folder` or `files` of this camera")]
    Path {
        /// What was to be read.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Nothing to show.
    #[error(
        "{0} holds no picture: put BMP, GIF, JPEG, PNG, PNM, TIFF or WebP files there, or point `folder` elsewhere"
    )]
    NoPictures(PathBuf),
    /// A device does not do what is asked of it.
    #[error("{device}: {attempt} failed: {source}{advice}")]
    Device {
        /// Device as configured.
        device: String,
        /// What was tried.
        attempt: &'static str,
        /// What the system said.
        source: std::io::Error,
        /// What to do next, with a leading semicolon, or nothing.
        advice: &'static str,
    },
    /// No frame in time.
    #[error("{device}: no frame for {seconds} s; check cable and power, or raise `stall_timeout_s`")]
    Stalled {
        /// Device as configured.
        device: String,
        /// How long it was waited.
        seconds: f64,
    },
    /// Nothing here reads what the camera has.
    #[error("{device} has {offered}, and not {wanted}; see `fieldmarkd cameras` for what to set `format` to")]
    Format {
        /// Device as configured.
        device: String,
        /// Formats it has.
        offered: String,
        /// Formats looked for.
        wanted: String,
    },
    /// A control that is not there, or a value it does not take.
    #[error(
        "{device}: control {control} = {value}: {reason}; see `fieldmarkd cameras` for the controls it has"
    )]
    Control {
        /// Device as configured.
        device: String,
        /// Its name.
        control: String,
        /// The value as configured.
        value: i64,
        /// What is wrong.
        reason: String,
    },
    /// The v4l library gave up.
    #[error("{device}: {attempt} failed inside the v4l library; the lines above say where")]
    Library {
        /// Device as configured.
        device: String,
        /// What was tried.
        attempt: &'static str,
    },
    /// A pipeline gives no frames.
    #[error("{0}")]
    Pipeline(String),
    /// Not compiled in.
    #[error("this build has no GStreamer: build with the cargo feature `gstreamer`")]
    NoGstreamer,
    /// Not compiled in.
    #[error("this build has no Video4Linux: build with the cargo feature `v4l`, or use source = \"files\"")]
    NoV4l,
}

/// Gives frames one after the other.
pub trait Source: Send {
    /// Waits for the next frame and writes it into `buffer`, whatever that held.
    ///
    /// # Errors
    /// If there is no frame for now. Asking again tries again from the start.
    fn next(&mut self, buffer: Vec<u8>) -> Result<Captured, SourceError>;

    /// Lets go of what is open, so that [`Self::next`] begins anew.
    fn close(&mut self) {}

    /// What is delivered; known after the first frame.
    fn delivery(&self) -> Delivery;
}

/// The source a camera is configured with. Nothing is opened yet.
///
/// # Errors
/// If this build lacks it.
pub fn open(camera: &CameraConfig) -> Result<Box<dyn Source>, SourceError> {
    match &camera.source {
        CameraSource::Files(files) => Ok(Box::new(FilesSource::new(files.clone()))),
        #[cfg(feature = "v4l")]
        CameraSource::V4l(device) => Ok(Box::new(V4lSource::new(device.clone(), camera.stall_timeout))),
        #[cfg(not(feature = "v4l"))]
        CameraSource::V4l(_) => Err(SourceError::NoV4l),
        #[cfg(feature = "gstreamer")]
        CameraSource::Gstreamer(pipeline) => {
            Ok(Box::new(GstreamerSource::new(pipeline.clone(), camera.stall_timeout)))
        }
        #[cfg(not(feature = "gstreamer"))]
        CameraSource::Gstreamer(_) => Err(SourceError::NoGstreamer),
    }
}

/// Reads and decodes the picture file at `path`.
///
/// # Errors
/// If it cannot be read, or is no picture.
pub fn read_picture(path: &std::path::Path) -> Result<Picture, ReadPictureError> {
    let bytes = std::fs::read(path)?;
    Ok(Picture::decode(&bytes)?)
}

/// Why a file gave no picture.
#[derive(Debug, thiserror::Error)]
pub enum ReadPictureError {
    /// The system did not hand it over.
    #[error("cannot read the file: {0}; check its path and permissions")]
    Io(#[from] std::io::Error),
    /// It is no picture.
    #[error(transparent)]
    Picture(#[from] PictureError),
}

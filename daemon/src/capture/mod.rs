//! Frames, from files or cameras, always the latest one.

mod files;
mod latest;
mod thread;
#[cfg(feature = "v4l")]
mod v4l;
mod yuyv;

use std::path::PathBuf;

use fieldmark_models::picture::{Picture, PictureError};

pub use files::FilesSource;
pub use latest::{CameraCounts, LatestFrames, Taken};
pub use thread::{CameraState, CaptureThread, StateChange};
#[cfg(feature = "v4l")]
pub use v4l::{Device, V4lSource, devices};
pub use yuyv::{YuyvError, yuyv_to_rgb};

use crate::config::{CameraConfig, CameraSource};

/// One picture of a camera.
#[derive(Debug)]
pub struct Frame {
    /// The pixels.
    pub picture: Picture,
    /// When it was taken, by the system's clock.
    pub time: jiff::Timestamp,
    /// Number of the frame, from 0, as its source counts.
    pub sequence: u64,
}

/// What a source answers when asked for the next frame.
#[derive(Debug)]
pub enum Captured {
    /// A frame.
    Frame(Frame),
    /// Something that should have been a frame and is none: counted, told, passed over.
    Skipped(String),
    /// There will be no more.
    End,
}

/// What a camera delivers, as its status message tells.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// `MJPG`, `YUYV` or `files`.
    pub format: String,
    /// Pixels, where all frames are alike.
    pub size: Option<(u32, u32)>,
    /// Frames a second as granted or configured.
    pub fps: Option<f64>,
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
        /// Device file.
        device: PathBuf,
        /// What was tried.
        attempt: &'static str,
        /// What the system said.
        source: std::io::Error,
        /// What to do next, with a leading semicolon, or nothing.
        advice: String,
    },
    /// The driver insists on a format nobody here reads.
    #[error("{device} delivers {granted}; fieldmark reads MJPG and YUYV: set `format` to one the camera has")]
    Format {
        /// Device file.
        device: PathBuf,
        /// Four characters as granted.
        granted: String,
    },
    /// Not compiled in.
    #[error("this build has no Video4Linux: build with the cargo feature `v4l`, or use source = \"files\"")]
    NoV4l,
}

/// Gives frames one after the other.
pub trait Source: Send {
    /// Waits for the next frame and writes it into `buffer`, whatever that held, where the format allows.
    ///
    /// # Errors
    /// If there is no frame for now. Asking again tries again from the start.
    fn next(&mut self, buffer: Vec<u8>) -> Result<Captured, SourceError>;

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
        CameraSource::V4l(device) => Ok(Box::new(V4lSource::new(device.clone()))),
        #[cfg(not(feature = "v4l"))]
        CameraSource::V4l(_) => Err(SourceError::NoV4l),
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

//! Frames as cameras give them, and as pictures.
//!
//! A camera's bytes are copied once, out of the driver's memory, and handed on as they are. They become pixels
//! only when the engine has time for them, so a frame that a newer one pushes out has cost no decoding.

use fieldmark_models::picture::{Picture, PictureError};

use super::jpeg::JpegReader;
use super::layout::{FrameFlaw, Layout};
use super::pixels::Reducer;
use crate::config::PixelFormat;
use crate::gate::Luma;

/// What a frame holds.
#[derive(Debug)]
pub enum FrameImage {
    /// Pixels.
    Picture(Picture),
    /// A camera's bytes.
    Raw {
        /// Exactly those of this frame.
        bytes: Vec<u8>,
        /// What they are.
        layout: Layout,
    },
}

/// One picture of a camera.
#[derive(Debug)]
pub struct Frame {
    /// What it shows.
    pub image: FrameImage,
    /// When it was taken, by the system's clock.
    pub time: jiff::Timestamp,
    /// When it was handed over, on a clock that never steps back.
    pub moment: std::time::Instant,
    /// Number of the frame, from 0, as its source counts.
    pub sequence: u64,
}

impl Frame {
    /// The frame's memory, to be written over.
    #[must_use]
    pub fn into_buffer(self) -> Vec<u8> {
        match self.image {
            FrameImage::Picture(picture) => picture.into_rgb(),
            FrameImage::Raw { bytes, .. } => bytes,
        }
    }

    /// Width and height in pixels.
    #[must_use]
    pub fn size(&self) -> (u32, u32) {
        match &self.image {
            FrameImage::Picture(picture) => (picture.width(), picture.height()),
            FrameImage::Raw { layout, .. } => (layout.width, layout.height),
        }
    }
}

/// Why a frame gave no picture.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Its bytes are wrong.
    #[error(transparent)]
    Flaw(#[from] FrameFlaw),
    /// Its sides are.
    #[error(transparent)]
    Picture(#[from] PictureError),
}

/// Makes pictures of one camera's frames, in memory that is used again.
#[derive(Default)]
pub struct FrameDecoder {
    jpeg: Option<JpegReader>,
    reducer: Reducer,
    picture: Option<Picture>,
    grey: Vec<u8>,
}

impl FrameDecoder {
    /// With no memory yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The picture in `frame`, each side divided by `reduction` (1, 2, 4 or 8) where it is decoded here at all.
    ///
    /// # Errors
    /// If the frame is damaged.
    pub fn decode<'a>(&'a mut self, frame: &'a Frame, reduction: u32) -> Result<&'a Picture, DecodeError> {
        let (bytes, layout) = match &frame.image {
            FrameImage::Picture(picture) => return Ok(picture),
            FrameImage::Raw { bytes, layout } => (bytes, *layout),
        };
        let mut rgb = self.picture.take().map(Picture::into_rgb).unwrap_or_default();
        let (width, height) = if layout.format == PixelFormat::Mjpg {
            reader(&mut self.jpeg)?.decode(bytes, (layout.width, layout.height), reduction, &mut rgb)?
        } else {
            self.reducer.convert(bytes, layout, reduction, &mut rgb)?;
            (layout.width / reduction, layout.height / reduction)
        };
        Ok(self.picture.insert(Picture::from_rgb(width, height, rgb)?))
    }

    /// The brightness of `frame`, as cheaply as its format gives it: in place where it stands in the bytes, the green
    /// of RGB, a JPEG's at an eighth of its size.
    ///
    /// # Errors
    /// If the frame is damaged.
    pub fn luma<'a>(&'a mut self, frame: &'a Frame) -> Result<Luma<'a>, DecodeError> {
        let plane = |bytes, (width, height): (u32, u32), stride, step, offset| Luma {
            bytes,
            width: width as usize,
            height: height as usize,
            stride,
            step,
            offset,
        };
        let (bytes, layout) = match &frame.image {
            FrameImage::Picture(picture) => {
                let stride = picture.width() as usize * 3;
                return Ok(plane(picture.rgb(), frame.size(), stride, 3, 1));
            }
            FrameImage::Raw { bytes, layout } => (bytes.as_slice(), *layout),
        };
        layout.check(bytes)?;
        let sides = (layout.width, layout.height);
        Ok(match layout.format {
            PixelFormat::Mjpg => {
                let sides = reader(&mut self.jpeg)?.glance(bytes, sides, &mut self.grey)?;
                plane(&self.grey, sides, sides.0 as usize, 1, 0)
            }
            PixelFormat::Nv12 | PixelFormat::Grey => plane(bytes, sides, layout.stride, 1, 0),
            PixelFormat::Yuyv => plane(bytes, sides, layout.stride, 2, 0),
            PixelFormat::Uyvy => plane(bytes, sides, layout.stride, 2, 1),
            PixelFormat::Rgb3 => plane(bytes, sides, layout.stride, 3, 1),
        })
    }
}

/// The reader, made when it is first needed.
pub(super) fn reader(jpeg: &mut Option<JpegReader>) -> Result<&mut JpegReader, FrameFlaw> {
    Ok(match jpeg {
        Some(reader) => reader,
        none => none.insert(JpegReader::new()?),
    })
}

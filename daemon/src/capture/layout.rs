//! How a camera's bytes lie in memory, and whether a frame holds all of them.

use crate::config::PixelFormat;

/// Why bytes from a camera are no frame. Such frames are counted and passed over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameFlaw {
    /// The driver saw an error on the way.
    #[error("the driver marked the frame as damaged")]
    Marked,
    /// Bytes are missing.
    #[error("{found} bytes instead of {needed} for {layout:?}")]
    Short {
        /// Bytes given.
        found: usize,
        /// Bytes needed.
        needed: usize,
        /// What they should be.
        layout: Layout,
    },
    /// Sides that no such format has.
    #[error("no frame is like {0:?}: 4:2:2 and 4:2:0 need an even width, 4:2:0 an even height")]
    Sides(Layout),
    /// A JPEG of another size than agreed.
    #[error("a JPEG of {found:?} pixels where {agreed:?} were agreed")]
    Size {
        /// Width and height in the JPEG.
        found: (usize, usize),
        /// Width and height the driver granted.
        agreed: (u32, u32),
    },
    /// A JPEG that ends too early.
    #[error("a truncated JPEG: {0} bytes without an end marker")]
    Truncated(usize),
    /// Not a JPEG, or damaged inside.
    #[error("a damaged JPEG: {0}")]
    Jpeg(String),
}

/// Which luma coefficients make RGB of YUV.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Matrix {
    /// ITU-R BT.601: what webcams use.
    #[default]
    Bt601,
    /// ITU-R BT.709: what HDMI grabbers use.
    Bt709,
}

/// What the numbers of YUV mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Colour {
    /// The coefficients.
    pub matrix: Matrix,
    /// Whether luma runs from 0 to 255, not from 16 to 235.
    pub full_range: bool,
}

/// One frame's bytes: format, sides in pixels, bytes from row to row (of the first plane, where there are two).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// The format.
    pub format: PixelFormat,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Bytes from the beginning of a row to that of the next; nothing for MJPG.
    pub stride: usize,
    /// What YUV means.
    pub colour: Colour,
}

impl Layout {
    /// The layout with rows `stride` bytes apart, or as close as they can be where the driver says less.
    #[must_use]
    pub fn new(format: PixelFormat, width: u32, height: u32, stride: usize, colour: Colour) -> Self {
        let layout = Self { format, width, height, stride, colour };
        Self { stride: stride.max(layout.row_bytes()), ..layout }
    }

    /// Bytes of a row's pixels, without padding; nothing for MJPG.
    #[must_use]
    pub fn row_bytes(&self) -> usize {
        let bytes_a_pixel = match self.format {
            PixelFormat::Nv12 | PixelFormat::Grey => 1,
            PixelFormat::Yuyv | PixelFormat::Uyvy => 2,
            PixelFormat::Rgb3 => 3,
            PixelFormat::Mjpg => 0,
        };
        self.width as usize * bytes_a_pixel
    }

    /// Bytes a frame has at least; the last row may end before its padding.
    ///
    /// # Errors
    /// If no frame can have these sides.
    pub fn needed(&self) -> Result<usize, FrameFlaw> {
        let rows = match self.format {
            PixelFormat::Mjpg => return Ok(0),
            PixelFormat::Nv12 => self.height as usize + self.height as usize / 2,
            _ => self.height as usize,
        };
        let pairs = matches!(self.format, PixelFormat::Nv12 | PixelFormat::Yuyv | PixelFormat::Uyvy);
        let odd = pairs && !self.width.is_multiple_of(2);
        let half_row = self.format == PixelFormat::Nv12 && !self.height.is_multiple_of(2);
        let before_last = rows.checked_sub(1).and_then(|rows| rows.checked_mul(self.stride));
        let needed = before_last.and_then(|bytes| bytes.checked_add(self.row_bytes()));
        needed.filter(|_| self.width > 0 && !odd && !half_row).ok_or(FrameFlaw::Sides(*self))
    }

    /// Whether `bytes` are long enough.
    ///
    /// # Errors
    /// If not, or if no frame can have these sides.
    pub fn check(&self, bytes: &[u8]) -> Result<(), FrameFlaw> {
        let needed = self.needed()?;
        if bytes.len() < needed {
            return Err(FrameFlaw::Short { found: bytes.len(), needed, layout: *self });
        }
        Ok(())
    }
}

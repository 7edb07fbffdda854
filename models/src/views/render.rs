//! From the pixels of a frame to the pixels of a view.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use super::FractionBox;
use crate::picture::Picture;

/// Why a view could not be made.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The output buffer does not hold one view.
    #[error("a view of {size} x {size} RGB pixels needs {needed} bytes, the buffer has {found}")]
    Buffer {
        /// Side of the view in pixels.
        size: u32,
        /// Bytes of one view.
        needed: usize,
        /// Bytes of the buffer.
        found: usize,
    },
    /// The resampler refused the picture.
    #[error("cannot resample a picture of {width} x {height} pixels: {reason}")]
    Resample {
        /// Width of the picture.
        width: u32,
        /// Height of the picture.
        height: u32,
        /// What the resampler said.
        reason: String,
    },
}

/// Cuts views out of pictures. Keeps the memory pixels pass through; the resampler still makes the weights of its
/// filter anew for every view, a few hundred small vectors that live as long as the call.
#[derive(Debug, Default)]
pub struct ViewRenderer {
    resizer: Resizer,
}

impl ViewRenderer {
    /// A renderer with no working memory yet.
    #[must_use]
    pub fn new() -> Self {
        Self { resizer: Resizer::new() }
    }

    /// Resamples the part `shown` of `picture` into `out`: RGB bytes `[size, size, 3]`.
    ///
    /// A triangle filter over the whole footprint of each output pixel (no aliasing when shrinking); trainer
    /// and daemon both come through here, so the network sees in the field what it saw in training.
    ///
    /// # Errors
    /// If `out` has another length, or the resampler refuses the picture.
    pub fn render(
        &mut self,
        picture: &Picture,
        shown: FractionBox,
        size: u32,
        out: &mut [u8],
    ) -> Result<(), RenderError> {
        let needed = size as usize * size as usize * 3;
        if out.len() != needed {
            return Err(RenderError::Buffer { size, needed, found: out.len() });
        }
        let (width, height) = (picture.width(), picture.height());
        let failed = |reason: String| RenderError::Resample { width, height, reason };
        let source = ImageRef::new(width, height, picture.rgb(), PixelType::U8x3)
            .map_err(|error| failed(error.to_string()))?;
        let mut target = Image::from_slice_u8(size, size, out, PixelType::U8x3)
            .map_err(|error| failed(error.to_string()))?;
        let (left, top, shown_width, shown_height) = shown.pixels(width, height);
        let options = ResizeOptions::new()
            .crop(left, top, shown_width, shown_height)
            .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
        self.resizer.resize(&source, &mut target, &options).map_err(|error| failed(error.to_string()))
    }
}

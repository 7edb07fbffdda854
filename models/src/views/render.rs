//! From the pixels of a frame to the pixels of a view.

use super::FractionBox;
use super::resample::Resampler;
use crate::picture::Picture;

/// The output buffer does not hold one view.
#[derive(Debug, thiserror::Error)]
#[error("a view of {size} x {size} RGB pixels needs {needed} bytes, the buffer has {found}")]
pub struct RenderError {
    /// Side of the view in pixels.
    pub size: u32,
    /// Bytes of one view.
    pub needed: usize,
    /// Bytes of the buffer.
    pub found: usize,
}

/// Cuts views out of pictures. Keeps what it needs for that, so that a view cut out of frames of one size allocates
/// nothing after the first.
#[derive(Debug, Default)]
pub struct ViewRenderer {
    resampler: Resampler,
}

impl ViewRenderer {
    /// A renderer with no working memory yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Resamples the part `shown` of `picture` into `out`: RGB bytes `[size, size, 3]`.
    ///
    /// A triangle filter over the whole footprint of each output pixel (no aliasing when shrinking); trainer
    /// and daemon both come through here, so the network sees in the field what it saw in training.
    ///
    /// # Errors
    /// If `out` has another length.
    pub fn render(
        &mut self,
        picture: &Picture,
        shown: FractionBox,
        size: u32,
        out: &mut [u8],
    ) -> Result<(), RenderError> {
        let needed = size as usize * size as usize * 3;
        if out.len() != needed {
            return Err(RenderError { size, needed, found: out.len() });
        }
        let sides = (picture.width(), picture.height());
        self.resampler.resample(picture.rgb(), sides, shown.pixels(sides.0, sides.1), size, out);
        Ok(())
    }
}

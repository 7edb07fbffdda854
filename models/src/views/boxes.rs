//! Boxes in fractions of a frame.

use serde::{Deserialize, Serialize};

/// A box `[left, top, right, bottom]` in fractions of the frame's width and height, with
/// `0 <= left < right <= 1` and `0 <= top < bottom <= 1`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "[f64; 4]", into = "[f64; 4]")]
pub struct FractionBox {
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
}

/// The numbers do not make a box inside the frame.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error(
    "box {0:?} is not [left, top, right, bottom] in fractions of the frame: \
     0 <= left < right <= 1 and 0 <= top < bottom <= 1"
)]
pub struct BoxError(pub [f64; 4]);

impl FractionBox {
    /// The whole frame.
    pub const FRAME: Self = Self { left: 0.0, top: 0.0, right: 1.0, bottom: 1.0 };

    /// The box with these edges.
    ///
    /// # Errors
    /// If an edge lies outside the frame, is not a number, or the box has no area.
    pub fn new(left: f64, top: f64, right: f64, bottom: f64) -> Result<Self, BoxError> {
        let inside =
            0.0 <= left && left < right && right <= 1.0 && 0.0 <= top && top < bottom && bottom <= 1.0;
        if inside { Ok(Self { left, top, right, bottom }) } else { Err(BoxError([left, top, right, bottom])) }
    }

    /// `[left, top, right, bottom]`.
    #[must_use]
    pub fn edges(self) -> [f64; 4] {
        [self.left, self.top, self.right, self.bottom]
    }

    /// The box around the same centre whose sides are `magnification` times shorter.
    #[must_use]
    pub fn middle(self, magnification: f64) -> Self {
        let shrink = |low: f64, high: f64| {
            let margin = (high - low) * (1.0 - 1.0 / magnification) / 2.0;
            (low + margin, high - margin)
        };
        let ((left, right), (top, bottom)) = (shrink(self.left, self.right), shrink(self.top, self.bottom));
        Self { left, top, right, bottom }
    }

    /// `(left, top, width, height)` in pixels of a frame of this size: at least one pixel each way, inside the
    /// frame, edges not rounded.
    #[must_use]
    pub fn pixels(self, frame_width: u32, frame_height: u32) -> (f64, f64, f64, f64) {
        let span = |low: f64, high: f64, side: u32| {
            let side = f64::from(side);
            let length = ((high - low) * side).max(1.0).min(side);
            ((low * side).min(side - length), length)
        };
        let ((left, width), (top, height)) =
            (span(self.left, self.right, frame_width), span(self.top, self.bottom, frame_height));
        (left, top, width, height)
    }
}

impl TryFrom<[f64; 4]> for FractionBox {
    type Error = BoxError;

    fn try_from([left, top, right, bottom]: [f64; 4]) -> Result<Self, BoxError> {
        Self::new(left, top, right, bottom)
    }
}

impl From<FractionBox> for [f64; 4] {
    fn from(value: FractionBox) -> Self {
        value.edges()
    }
}

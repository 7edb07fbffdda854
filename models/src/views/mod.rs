//! Which parts of a frame the network sees, and how their pixels are made (paper section 3.1).
//!
//! All views of a region have the same resolution and differ in magnification: the whole view shows the
//! region, a crop view its magnified middle, or the box a user points at.

mod boxes;
mod render;
mod resample;

use serde::{Deserialize, Serialize};

pub use boxes::{BoxError, FractionBox};
pub use render::{RenderError, ViewRenderer};

/// Pixels each way that a reduced frame keeps for every pixel of a view. Below 1 views would be blurred; at 1 the
/// reduction's own filter shows in the probabilities (ARCHITECTURE.md has the figures).
pub const SPARE_PIXELS: f64 = 1.5;

/// One of the pictures handed to the network: its input name and how much it magnifies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct View {
    /// Name of the graph input: `whole`, `crop`, ...
    pub name: String,
    /// Side of the region divided by the side of the part shown; 1 shows the whole region.
    pub magnification: f64,
}

/// Why views cannot be used together.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ViewsError {
    /// There must be at least one view.
    #[error("there is no view: give at least one, such as `whole` with magnification 1")]
    Empty,
    /// Names become graph inputs.
    #[error("view name {0:?} is not made of a-z, 0-9 and _, or stands twice")]
    Name(String),
    /// Only what lies inside the region can be shown.
    #[error("view {name:?} has magnification {magnification}: give 1 or more, at most 64")]
    Magnification {
        /// Name of the view.
        name: String,
        /// The value as given.
        magnification: f64,
    },
    /// The side of every view, in pixels.
    #[error("the input size {0} is outside 16..=4096 pixels")]
    InputSize(u32),
}

/// The checked views of a model, in the order of its graph inputs, with their common resolution.
#[derive(Debug, Clone, PartialEq)]
pub struct ViewSet {
    views: Vec<View>,
    input_size: u32,
}

impl ViewSet {
    /// Views of `input_size` x `input_size` pixels each.
    ///
    /// # Errors
    /// If there are none, names clash, or a number is out of range.
    pub fn new(views: Vec<View>, input_size: u32) -> Result<Self, ViewsError> {
        if views.is_empty() {
            return Err(ViewsError::Empty);
        }
        if !(16..=4096).contains(&input_size) {
            return Err(ViewsError::InputSize(input_size));
        }
        for (position, view) in views.iter().enumerate() {
            let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            let twice = views[..position].iter().any(|earlier| earlier.name == view.name);
            if view.name.is_empty() || twice || !view.name.chars().all(is_word) {
                return Err(ViewsError::Name(view.name.clone()));
            }
            if !(1.0..=64.0).contains(&view.magnification) {
                let (name, magnification) = (view.name.clone(), view.magnification);
                return Err(ViewsError::Magnification { name, magnification });
            }
        }
        Ok(Self { views, input_size })
    }

    /// The views in the order of the graph inputs.
    #[must_use]
    pub fn views(&self) -> &[View] {
        &self.views
    }

    /// Side of every view in pixels.
    #[must_use]
    pub fn input_size(&self) -> u32 {
        self.input_size
    }

    /// Bytes of one view: `[H, W, 3]` RGB.
    #[must_use]
    pub fn view_bytes(&self) -> usize {
        self.input_size as usize * self.input_size as usize * 3
    }

    /// The part of the frame that `view` shows.
    ///
    /// Without `focus` that is the middle of `region`. With it, the least magnified of the magnifying views
    /// shows exactly the focus box, and stronger ones magnify its middle in proportion.
    #[must_use]
    pub fn shown(&self, view: &View, region: FractionBox, focus: Option<FractionBox>) -> FractionBox {
        match focus {
            Some(focus) if view.magnification > 1.0 => {
                focus.middle(view.magnification / self.least_magnification())
            }
            _ => region.middle(view.magnification),
        }
    }

    /// How many times smaller, each way, a frame may be made before the views of `region`, or of its `focus`, are cut out: 1, 2,
    /// 4 or 8, a divisor of both sides, such that every view still has [`SPARE_PIXELS`] times the pixels each way that
    /// it will be drawn with. A decoder that makes frames smaller on the way saves most of its work.
    #[must_use]
    pub fn reduction(
        &self,
        region: FractionBox,
        focus: Option<FractionBox>,
        (frame_width, frame_height): (u32, u32),
    ) -> u32 {
        let needed = f64::from(self.input_size) * SPARE_PIXELS;
        let shown = |view: &View| {
            let (_, _, width, height) = self.shown(view, region, focus).pixels(frame_width, frame_height);
            width.min(height)
        };
        let least = self.views.iter().map(shown).fold(f64::INFINITY, f64::min);
        let fits = |&reduction: &u32| {
            let whole = frame_width.is_multiple_of(reduction) && frame_height.is_multiple_of(reduction);
            whole && least / f64::from(reduction) >= needed
        };
        [8, 4, 2].into_iter().find(fits).unwrap_or(1)
    }

    fn least_magnification(&self) -> f64 {
        let magnifying = self.views.iter().map(|view| view.magnification).filter(|&m| m > 1.0);
        magnifying.fold(f64::INFINITY, f64::min)
    }
}

#[cfg(test)]
mod tests;

//! What backbones are put together of.

use super::layer::Layer;

/// A part of a backbone at whose end columns can split or merge.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// Name in recipes.
    pub name: String,
    /// In order.
    pub layers: Vec<Layer>,
}

/// Factors on a backbone's published shape.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Multipliers {
    /// On channels.
    pub width: f64,
    /// On repeated blocks.
    pub depth: f64,
}

impl Multipliers {
    /// To the nearest multiple of eight that is no more than a tenth lower.
    pub(super) fn channels(self, published: usize) -> usize {
        let channels = published as f64 * self.width;
        let rounded = (((channels + 4.0) / 8.0).floor() * 8.0).max(8.0);
        (if rounded < 0.9 * channels { rounded + 8.0 } else { rounded }) as usize
    }

    /// Rounded up.
    pub(super) fn repeats(self, published: usize) -> usize {
        (published as f64 * self.depth).ceil() as usize
    }
}

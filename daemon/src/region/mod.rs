//! Which parts of a frame are classified: the whole of it, its centre, configured boxes, a grid of overlapping tiles,
//! or boxes proposed by what moves or by a detector. All of a frame's regions are looked at, not the best alone.
//!
//! [`RegionRules`] are what configuration and commands ask for; a [`RegionPlanner`] makes the [`Region`]s of each frame
//! of them, in memory that is used again.

mod detector;
mod gather;
mod motion;
mod planner;
mod rules;
mod tiles;

use std::sync::Arc;

use fieldmark_models::views::FractionBox;

pub use detector::{Detector, DetectorError, Look, NewDetector};
pub use gather::Gather;
pub use motion::Motion;
pub use planner::RegionPlanner;
pub use rules::{RegionChange, RegionError, RegionKind, RegionRules, TileSide};

/// Part of a frame to classify.
#[derive(Debug, Clone, PartialEq)]
pub struct Region {
    /// Where in the frame.
    pub part: FractionBox,
    /// What magnifying views show instead of the part's middle.
    pub focus: Option<FractionBox>,
    /// What messages call it: `frame`, `region`, `centre`, a box's name, `r2c3` for a tile, `m1` and `d1` for what
    /// moves or was detected.
    pub name: Arc<str>,
    /// Whether the box was drawn around one organism, rather than around a place where there may be one.
    pub around: bool,
}

impl Region {
    /// The whole frame.
    #[must_use]
    pub fn frame() -> Self {
        Self { part: FractionBox::FRAME, focus: None, name: "frame".into(), around: false }
    }
}

//! The regions of a frame, made anew only when something they depend on changed.

use std::sync::Arc;

use fieldmark_models::views::FractionBox;

use super::rules::Making;
use super::{Region, RegionRules, TileSide, tiles};

/// Sides of tiles in pixels are rounded to steps of an eighth of an octave: height noise must not move the grid in
/// every frame.
const STEPS_AN_OCTAVE: f64 = 8.0;

/// Makes the regions of one camera's frames.
#[derive(Debug, Default)]
pub struct RegionPlanner {
    rules: RegionRules,
    part: Option<FractionBox>,
    focus: Option<FractionBox>,
    regions: Vec<Region>,
    names: Vec<Arc<str>>,
    made_for: Option<((u32, u32), u64)>,
    last_side: Option<f64>,
}

impl RegionPlanner {
    /// Regions by `rules` within `part` of the frame, the whole frame when absent; `focus` is the box that magnifying
    /// views show of the regions that hold it.
    #[must_use]
    pub fn new(rules: RegionRules, part: Option<FractionBox>, focus: Option<FractionBox>) -> Self {
        Self { rules, part, focus, ..Self::default() }
    }

    /// The rules in force.
    #[must_use]
    pub fn rules(&self) -> &RegionRules {
        &self.rules
    }

    /// The part of the frame that is looked at.
    #[must_use]
    pub fn part(&self) -> FractionBox {
        self.part.unwrap_or(FractionBox::FRAME)
    }

    /// Grey levels for [`super::Motion`], where regions are what moves.
    #[must_use]
    pub fn motion_level(&self) -> Option<u8> {
        match self.rules.making {
            Making::Motion { level, .. } => Some(level),
            _ => None,
        }
    }

    /// The regions of a frame of this size, in pixels; `metres_per_pixel` on the ground, where that is known. Boxes that
    /// were `proposed` become regions where the rules ask for proposals.
    ///
    /// Tiles of a ground size need the scale: without, they stay as they were, and before it was ever known there is
    /// one region.
    pub fn plan(
        &mut self,
        size: (u32, u32),
        metres_per_pixel: Option<f64>,
        proposed: impl Iterator<Item = FractionBox>,
    ) -> &[Region] {
        if let Making::Motion { margin, .. } | Making::Detector { margin, .. } = self.rules.making {
            let letter = if self.motion_level().is_some() { 'm' } else { 'd' };
            self.propose(letter, margin, proposed);
            return &self.regions;
        }
        let side = match self.rules.making {
            Making::Tiles { side: TileSide::Pixels(side), .. } => Some(side),
            Making::Tiles { side: TileSide::Metres(side), .. } => {
                metres_per_pixel.filter(|&metres| metres > 0.0).map(|metres| stepped(side / metres))
            }
            _ => None,
        };
        // Where the height is lost, tiles stay as they were.
        let side = side.or(self.last_side.filter(|_| self.rules.tile_m().is_some()));
        self.last_side = side;
        let key = (size, side.unwrap_or(0.0).to_bits());
        if self.made_for != Some(key) {
            self.made_for = Some(key);
            self.regions.clear();
            self.make(size, side);
            self.focus_all();
        }
        &self.regions
    }

    fn make(&mut self, size: (u32, u32), side: Option<f64>) {
        let (part, most) = (self.part(), self.rules.most.max(1));
        let region = |part, name: &str| Region { part, focus: None, name: name.into(), around: false };
        let whole = region(part, if self.part.is_some() { "region" } else { "frame" });
        let regions = &mut self.regions;
        match (&self.rules.making, side) {
            (Making::Tiles { overlap, .. }, Some(side)) => {
                tiles::tile(size, part, side, *overlap, most, |row, column, part| {
                    regions.push(region(part, &format!("r{row}c{column}")));
                });
            }
            (Making::Centre { share }, _) => regions.push(region(part.middle(1.0 / share), "centre")),
            (Making::Boxes(boxes), _) => {
                regions.extend(boxes.iter().take(most).map(|(name, part)| region(*part, name)));
            }
            _ => regions.push(whole),
        }
    }

    /// A box a user points at is shown by the regions it lies in.
    fn focus_all(&mut self) {
        let Some(focus) = self.focus else { return };
        let [left, top, right, bottom] = focus.edges();
        for region in &mut self.regions {
            let [low_x, low_y, high_x, high_y] = region.part.edges();
            if low_x <= left && low_y <= top && high_x >= right && high_y >= bottom {
                region.focus = Some(focus);
            }
        }
    }

    fn propose(&mut self, letter: char, margin: f64, proposed: impl Iterator<Item = FractionBox>) {
        self.regions.clear();
        for (number, found) in proposed.take(self.rules.most).enumerate() {
            while self.names.len() <= number {
                self.names.push(format!("{letter}{}", self.names.len() + 1).into());
            }
            let (part, name) = (grown(found, margin), Arc::clone(&self.names[number]));
            self.regions.push(Region { part, focus: Some(found), name, around: true });
        }
    }
}

fn stepped(side: f64) -> f64 {
    let side = (side.max(16.0).log2() * STEPS_AN_OCTAVE).round() / STEPS_AN_OCTAVE;
    side.exp2()
}

/// The box with its sides `margin` times as long, as far as the frame goes.
fn grown(found: FractionBox, margin: f64) -> FractionBox {
    let [left, top, right, bottom] = found.edges();
    let (x, y) = ((right - left) * (margin - 1.0) / 2.0, (bottom - top) * (margin - 1.0) / 2.0);
    FractionBox::new((left - x).max(0.0), (top - y).max(0.0), (right + x).min(1.0), (bottom + y).min(1.0))
        .unwrap_or(found)
}

#[cfg(test)]
mod tests {
    use std::iter;

    use super::*;

    fn planner(table: &str, part: Option<FractionBox>, focus: Option<FractionBox>) -> RegionPlanner {
        let asked = toml::from_str(table).expect("a table");
        RegionPlanner::new(RegionRules::new(&asked).expect("rules"), part, focus)
    }

    fn names(regions: &[Region]) -> Vec<&str> {
        regions.iter().map(|region| &*region.name).collect()
    }

    const SIZE: (u32, u32) = (1920, 1080);

    #[test]
    fn each_kind_makes_its_regions() {
        let mut whole = planner("", None, None);
        assert_eq!(names(whole.plan(SIZE, None, iter::empty())), ["frame"]);
        let lower = FractionBox::new(0.0, 0.5, 1.0, 1.0).expect("a box");
        let mut part = planner("", Some(lower), None);
        assert_eq!(names(part.plan(SIZE, None, iter::empty())), ["region"]);
        let mut centre = planner("kind = \"centre\"\nshare = 0.5", None, None);
        assert_eq!(centre.plan(SIZE, None, iter::empty())[0].part.edges(), [0.25, 0.25, 0.75, 0.75]);
        let mut boxes =
            planner("kind = \"boxes\"\nboxes = { b = [0, 0, 0.5, 1], a = [0.5, 0, 1, 1] }", None, None);
        assert_eq!(names(boxes.plan(SIZE, None, iter::empty())), ["a", "b"]);
        let mut tiles = planner("kind = \"tiles\"\ntile_px = 540", None, None);
        let tiles = tiles.plan(SIZE, None, iter::empty());
        assert_eq!((tiles.len(), &*tiles[0].name, &*tiles[tiles.len() - 1].name), (21, "r1c1", "r3c7"));
    }

    #[test]
    fn tiles_of_a_ground_size_follow_the_height_and_need_it() {
        let mut tiles = planner("kind = \"tiles\"\ntile_m = 4.0\nmost = 1000", None, None);
        assert_eq!(names(tiles.plan(SIZE, None, iter::empty())), ["frame"]);
        let width = |tiles: &[Region]| {
            let [left, _, right, _] = tiles[0].part.edges();
            (right - left) * 1920.0
        };
        for metres_per_pixel in [0.01, 0.02, 0.031] {
            let metres = width(tiles.plan(SIZE, Some(metres_per_pixel), iter::empty())) * metres_per_pixel;
            assert!((metres / 4.0 - 1.0).abs() < 0.05, "{metres}");
        }
        let before = width(tiles.plan(SIZE, Some(0.0200), iter::empty()));
        assert_eq!(before, width(tiles.plan(SIZE, Some(0.0202), iter::empty())), "noise moves nothing");
    }

    #[test]
    fn a_proposed_box_is_what_magnifying_views_show_of_a_region_around_it() {
        let found = FractionBox::new(0.4, 0.4, 0.6, 0.5).expect("a box");
        let mut motion = planner("kind = \"motion\"\nmargin = 2.0", None, None);
        let regions = motion.plan(SIZE, None, iter::repeat_n(found, 2));
        assert_eq!(names(regions), ["m1", "m2"]);
        assert_eq!((regions[0].focus, regions[0].around), (Some(found), true));
        let edges = regions[0].part.edges();
        assert!((edges[0] - 0.3).abs() < 1e-9 && (edges[3] - 0.55).abs() < 1e-9, "{edges:?}");
        assert!(motion.plan(SIZE, None, iter::empty()).is_empty());
    }

    #[test]
    fn a_users_box_is_shown_by_the_regions_that_hold_it() {
        let focus = FractionBox::new(0.1, 0.1, 0.2, 0.2).expect("a box");
        let mut boxes = planner(
            "kind = \"boxes\"\nboxes = { l = [0, 0, 0.5, 1], r = [0.5, 0, 1, 1] }",
            None,
            Some(focus),
        );
        let focuses: Vec<_> =
            boxes.plan(SIZE, None, iter::empty()).iter().map(|region| region.focus).collect();
        assert_eq!(focuses, [Some(focus), None]);
    }
}

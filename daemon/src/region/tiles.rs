//! A grid of equal squares that overlap and cover everything.

use fieldmark_models::views::FractionBox;

/// Where the tiles of one axis begin.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Axis {
    begin: f64,
    side: f64,
    count: usize,
    step: f64,
}

impl Axis {
    /// Tiles of `side` over `length` from `begin` on, neighbours sharing at least `overlap` of it: as few as cover
    /// everything, spread evenly.
    fn new(begin: f64, length: f64, side: f64, overlap: f64) -> Self {
        let side = side.min(length);
        // A grain of tolerance, so that rounding adds no tile.
        let steps = ((length - side) / (side * (1.0 - overlap)) - 1e-9).ceil().max(0.0);
        let step = if steps > 0.0 { (length - side) / steps } else { 0.0 };
        Self { begin, side, count: steps as usize + 1, step }
    }

    fn span(self, number: usize, frame: f64) -> (f64, f64) {
        let low = self.begin + self.step * number as f64;
        (low / frame, (low + self.side) / frame)
    }
}

/// Puts the tiles of `part` of a frame of these sides, in pixels, row by row: row, column (from 1) and box. Where there
/// would be more than `most`, tiles are larger.
pub(super) fn tile(
    (width, height): (u32, u32),
    part: FractionBox,
    mut side: f64,
    overlap: f64,
    most: usize,
    mut put: impl FnMut(usize, usize, FractionBox),
) {
    let (left, top, part_width, part_height) = part.pixels(width, height);
    let axes = loop {
        let axes = (Axis::new(left, part_width, side, overlap), Axis::new(top, part_height, side, overlap));
        if axes.0.count.saturating_mul(axes.1.count) <= most.max(1) {
            break axes;
        }
        side *= 1.05;
    };
    for row in 0..axes.1.count {
        for column in 0..axes.0.count {
            let (left, right) = axes.0.span(column, f64::from(width));
            let (top, bottom) = axes.1.span(row, f64::from(height));
            if let Ok(part) = FractionBox::new(left.max(0.0), top.max(0.0), right.min(1.0), bottom.min(1.0)) {
                put(row + 1, column + 1, part);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tiles(size: (u32, u32), side: f64, overlap: f64, most: usize) -> Vec<[f64; 4]> {
        let mut tiles = Vec::new();
        tile(size, FractionBox::FRAME, side, overlap, most, |_, _, part| tiles.push(part.edges()));
        tiles
    }

    #[test]
    fn half_overlapping_tiles_of_half_a_frame_are_three_by_three() {
        let tiles = tiles((400, 400), 200.0, 0.5, 64);
        assert_eq!(tiles.len(), 9);
        assert_eq!(tiles[4], [0.25, 0.25, 0.75, 0.75]);
        assert_eq!(tiles[8], [0.5, 0.5, 1.0, 1.0]);
    }

    proptest! {
        #[test]
        fn every_box_no_larger_than_the_overlap_lies_whole_in_a_tile(
            (width, height) in (100u32..4000, 100u32..3000),
            side in 60.0f64..900.0, overlap in 0.0f64..0.8,
            (x, y, w, h) in (0.0f64..1.0, 0.0f64..1.0, 0.05f64..1.0, 0.05f64..1.0),
        ) {
            let (frame_width, frame_height) = (f64::from(width), f64::from(height));
            let tiles = tiles((width, height), side, overlap, 100_000);
            let shared = (side * overlap).min(frame_width).min(frame_height);
            let (w, h) = (w * shared, h * shared);
            let (left, top) = (x * (frame_width - w), y * (frame_height - h));
            let whole = |tile: &&[f64; 4]| {
                tile[0] * frame_width <= left + 1e-6 && tile[1] * frame_height <= top + 1e-6
                    && tile[2] * frame_width >= left + w - 1e-6 && tile[3] * frame_height >= top + h - 1e-6
            };
            prop_assert!(tiles.iter().any(|tile| whole(&tile)));
        }

        #[test]
        fn there_are_never_more_than_wanted(side in 16.0f64..300.0, most in 1usize..80) {
            let tiles = tiles((1920, 1080), side, 0.5, most);
            prop_assert!(!tiles.is_empty() && tiles.len() <= most);
        }
    }
}

//! One box for each thing that overlapping tiles show, some whole and some cut.

use std::cmp::Ordering;

use fieldmark_models::views::FractionBox;

/// Boxes of two tiles that share so much of their union are of one thing.
const SAME: f64 = 0.6;
/// A box that a tile's edge cuts is part of another if so much of it lies there.
const PART: f64 = 0.5;
/// A box this near to its tile's edge was cut by it, of the tile's side.
const EDGE: f64 = 0.004;

/// Gathers the boxes of one frame; keeps its memory.
#[derive(Debug, Default)]
pub struct Gather {
    whole: Vec<(FractionBox, f64)>,
    cut: Vec<(FractionBox, f64)>,
    kept: Vec<FractionBox>,
}

fn area([left, top, right, bottom]: [f64; 4]) -> f64 {
    (right - left).max(0.0) * (bottom - top).max(0.0)
}

fn shared(one: FractionBox, other: FractionBox) -> f64 {
    let (one, other) = (one.edges(), other.edges());
    area([one[0].max(other[0]), one[1].max(other[1]), one[2].min(other[2]), one[3].min(other[3])])
}

/// The order of boxes with a number each: largest number first, and of equals by place, so that sorting where they are
/// gives one order all the same.
pub(super) fn falling(one: (FractionBox, f64), other: (FractionBox, f64)) -> Ordering {
    let by_place = one.0.edges().partial_cmp(&other.0.edges());
    other.1.total_cmp(&one.1).then(by_place.unwrap_or(Ordering::Equal))
}

impl Gather {
    /// Forgets what was found.
    pub fn clear(&mut self) {
        self.whole.clear();
        self.cut.clear();
    }

    /// Takes in a box with its score that was found in `tile`.
    pub fn add(&mut self, tile: FractionBox, found: FractionBox, score: f64) {
        let (frame, tile, edges) = (FractionBox::FRAME.edges(), tile.edges(), found.edges());
        let cut = (0..4).any(|side| {
            let length = tile[side % 2 + 2] - tile[side % 2];
            // Where the frame ends nothing could be seen whole.
            let inner = (tile[side] - frame[side]).abs() > 1e-6;
            inner && (edges[side] - tile[side]).abs() <= EDGE * length
        });
        if cut { self.cut.push((found, score)) } else { self.whole.push((found, score)) }
    }

    /// One box a thing, the best whole ones first; of a thing that no tile shows whole, the largest part.
    pub fn boxes(&mut self) -> &[FractionBox] {
        self.kept.clear();
        self.whole.sort_unstable_by(|one, other| falling(*one, *other));
        for &(found, _) in &self.whole {
            let own = area(found.edges());
            let same = |&kept: &FractionBox| {
                let both = shared(found, kept);
                both > SAME * (own + area(kept.edges()) - both)
            };
            if !self.kept.iter().any(same) {
                self.kept.push(found);
            }
        }
        let large = |found: FractionBox| (found, area(found.edges()));
        self.cut.sort_unstable_by(|one, other| falling(large(one.0), large(other.0)));
        for &(found, _) in &self.cut {
            let own = area(found.edges());
            if !self.kept.iter().any(|&kept| shared(found, kept) > PART * own) {
                self.kept.push(found);
            }
        }
        &self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges(left: f64, top: f64, right: f64, bottom: f64) -> FractionBox {
        FractionBox::new(left, top, right, bottom).expect("a box")
    }

    #[test]
    fn a_thing_seen_whole_in_one_tile_and_cut_in_others_is_one_box() {
        let mut gather = Gather::default();
        let (left, middle) = (edges(0.0, 0.0, 0.5, 0.5), edges(0.25, 0.0, 0.75, 0.5));
        gather.add(left, edges(0.4, 0.1, 0.5, 0.2), 0.9);
        gather.add(middle, edges(0.4, 0.1, 0.6, 0.2), 0.5);
        gather.add(left, edges(0.05, 0.1, 0.15, 0.2), 0.4);
        assert_eq!(gather.boxes(), [edges(0.4, 0.1, 0.6, 0.2), edges(0.05, 0.1, 0.15, 0.2)]);
        gather.clear();
        assert!(gather.boxes().is_empty());
    }

    #[test]
    fn what_no_tile_shows_whole_is_its_largest_part() {
        let mut gather = Gather::default();
        gather.add(edges(0.0, 0.0, 0.5, 1.0), edges(0.1, 0.2, 0.5, 0.4), 0.9);
        gather.add(edges(0.25, 0.0, 0.75, 1.0), edges(0.25, 0.2, 0.75, 0.4), 0.9);
        assert_eq!(gather.boxes(), [edges(0.25, 0.2, 0.75, 0.4)]);
    }
}

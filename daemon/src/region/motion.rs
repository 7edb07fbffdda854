//! Boxes around what moves: cells of brightness that differ from the frame before, put together where they touch.

use fieldmark_models::views::FractionBox;

use crate::gate::{Cells, Luma};

/// A cell alone is noise; boxes have at least so many.
const LEAST_CELLS: usize = 2;

/// Finds boxes in one camera's frames. Allocates when it is made and never again.
#[derive(Debug, Default)]
pub struct Motion {
    seen: Cells,
    before: Cells,
    known: bool,
    moved: Vec<bool>,
    stack: Vec<usize>,
    found: Vec<(usize, FractionBox)>,
}

impl Motion {
    /// Boxes around what moved since the frame before, those with most cells first; none in the first frame.
    pub fn boxes(
        &mut self,
        luma: Luma<'_>,
        part: FractionBox,
        level: u8,
    ) -> impl Iterator<Item = FractionBox> + '_ {
        self.seen.measure(luma, part);
        self.found.clear();
        if self.known {
            self.seen.differing(&self.before, level, &mut self.moved);
            self.gather(part);
            self.found.sort_unstable_by_key(|&(cells, _)| std::cmp::Reverse(cells));
        }
        std::mem::swap(&mut self.seen, &mut self.before);
        self.known = true;
        self.found.iter().map(|&(_, found)| found)
    }

    /// Takes the next frame as the first.
    pub fn forget(&mut self) {
        self.known = false;
    }

    /// Cells that touch, corners included, or have but one still cell between them, are one box.
    fn gather(&mut self, part: FractionBox) {
        const REACH: usize = 2;
        let (across, down) = Cells::SIDES;
        let [left, top, right, bottom] = part.edges();
        for start in 0..self.moved.len() {
            if !std::mem::take(&mut self.moved[start]) {
                continue;
            }
            self.stack.push(start);
            let (mut cells, mut low, mut high) = (0, (across, down), (0, 0));
            while let Some(cell) = self.stack.pop() {
                let (x, y) = (cell % across, cell / across);
                cells += 1;
                low = (low.0.min(x), low.1.min(y));
                high = (high.0.max(x + 1), high.1.max(y + 1));
                for y in y.saturating_sub(REACH)..(y + REACH + 1).min(down) {
                    for x in x.saturating_sub(REACH)..(x + REACH + 1).min(across) {
                        if std::mem::take(&mut self.moved[y * across + x]) {
                            self.stack.push(y * across + x);
                        }
                    }
                }
            }
            let x = |cell: usize| left + (right - left) * cell as f64 / across as f64;
            let y = |cell: usize| top + (bottom - top) * cell as f64 / down as f64;
            if cells >= LEAST_CELLS
                && let Ok(found) =
                    FractionBox::new(x(low.0), y(low.1), x(high.0).min(1.0), y(high.1).min(1.0))
            {
                self.found.push((cells, found));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Grey, with bright squares at these fractions.
    fn frame(squares: &[(f64, f64)]) -> Vec<u8> {
        let mut bytes = vec![90; 640 * 360];
        for &(x, y) in squares {
            for dy in 0..40 {
                for dx in 0..40 {
                    bytes[((y * 360.0) as usize + dy) * 640 + (x * 640.0) as usize + dx] = 220;
                }
            }
        }
        bytes
    }

    fn luma(bytes: &[u8]) -> Luma<'_> {
        Luma { bytes, width: 640, height: 360, stride: 640, step: 1, offset: 0 }
    }

    #[test]
    fn two_things_that_came_are_two_boxes_around_them_and_stillness_is_none() {
        let (empty, two) = (frame(&[]), frame(&[(0.1, 0.1), (0.7, 0.6)]));
        let mut motion = Motion::default();
        assert_eq!(motion.boxes(luma(&empty), FractionBox::FRAME, 12).count(), 0);
        let found: Vec<_> =
            motion.boxes(luma(&two), FractionBox::FRAME, 12).map(FractionBox::edges).collect();
        assert_eq!(found.len(), 2, "{found:?}");
        for (x, y) in [(0.1, 0.1), (0.7, 0.6)] {
            let (right, bottom) = (x + 40.0 / 640.0, y + 40.0 / 360.0);
            let around = |b: &&[f64; 4]| b[0] <= x && b[1] <= y && b[2] >= right && b[3] >= bottom;
            let tight = |b: &&[f64; 4]| b[2] - b[0] < 0.12 && b[3] - b[1] < 0.2;
            assert_eq!(found.iter().filter(around).filter(tight).count(), 1, "{found:?}");
        }
        assert_eq!(motion.boxes(luma(&two), FractionBox::FRAME, 12).count(), 0);
    }
}

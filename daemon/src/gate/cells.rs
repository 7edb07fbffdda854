//! A frame's brightness as a small grid.

use fieldmark_models::vectors::widest;
use fieldmark_models::views::FractionBox;

/// Cells across. An animal that fills a twentieth of the frame's width covers a dozen cells.
const ACROSS: usize = 64;
/// Cells down.
const DOWN: usize = 36;
/// Rows of samples read for a row of cells. More would not make their means steadier: rows are averaged along.
const ROWS_READ: usize = 4;
/// Scene by scene brightness is evened out between half and double, in 256ths.
const GAIN: std::ops::RangeInclusive<u32> = 128..=512;

/// Samples of brightness in memory: one every `step` bytes from `offset` on, rows `stride` bytes apart.
#[derive(Debug, Clone, Copy)]
pub struct Luma<'a> {
    /// The memory.
    pub bytes: &'a [u8],
    /// Samples across.
    pub width: usize,
    /// Rows of samples.
    pub height: usize,
    /// Bytes from the beginning of a row to that of the next.
    pub stride: usize,
    /// Bytes from a sample to the next, 1 to 3.
    pub step: usize,
    /// Bytes before the first sample of a row.
    pub offset: usize,
}

impl Luma<'_> {
    /// The sum of the samples from `left` to `right` of row `y`.
    #[inline(always)]
    fn sum(&self, y: usize, left: usize, right: usize) -> u32 {
        let at = |x: usize| y * self.stride + x * self.step;
        let bytes = self.bytes.get(at(left)..at(right).min(self.bytes.len())).unwrap_or_default();
        match self.step {
            1 => total(bytes.as_chunks::<1>().0, self.offset),
            2 => total(bytes.as_chunks::<2>().0, self.offset),
            _ => total(bytes.as_chunks::<3>().0, self.offset),
        }
    }
}

#[inline(always)]
fn total<const STEP: usize>(groups: &[[u8; STEP]], offset: usize) -> u32 {
    let offset = offset % STEP;
    groups.iter().map(|group| u32::from(group[offset])).sum()
}

/// Mean brightness of the parts of a frame.
#[derive(Debug, Clone)]
pub struct Cells(Box<[u8]>);

impl Default for Cells {
    fn default() -> Self {
        Self(vec![0; ACROSS * DOWN].into())
    }
}

impl Cells {
    /// Cells across and down.
    pub const SIDES: (usize, usize) = (ACROSS, DOWN);

    /// Measures `part` of a frame.
    pub fn measure(&mut self, luma: Luma<'_>, part: FractionBox) {
        let (width, height) = (u32::try_from(luma.width), u32::try_from(luma.height));
        let (Ok(width), Ok(height)) = (width, height) else { return };
        let (left, top, part_width, part_height) = part.pixels(width, height);
        // Very small pictures have fewer samples than there are cells: neighbours then share some.
        let edges = |start: f64, length: f64, cells: usize, cell: usize, side: usize| {
            let edge = |cell: usize| (start + length * cell as f64 / cells as f64) as usize;
            let from = edge(cell).min(side.saturating_sub(1));
            (from, edge(cell + 1).clamp(from + 1, side.max(from + 1)))
        };
        widest(
            #[inline(always)]
            || {
                for (down, cells) in self.0.chunks_exact_mut(ACROSS).enumerate() {
                    let (low, high) = edges(top, part_height, DOWN, down, luma.height);
                    let rows = (high - low).min(ROWS_READ);
                    for (across, cell) in cells.iter_mut().enumerate() {
                        let (from, to) = edges(left, part_width, ACROSS, across, luma.width);
                        let row = |number: usize| low + (high - low) * number / rows;
                        let sum: u32 = (0..rows).map(|number| luma.sum(row(number), from, to)).sum();
                        *cell = (sum as usize / (rows * (to - from))) as u8;
                    }
                }
            },
        );
    }

    /// The share of cells that are more than `level` grey levels brighter or darker than in `before`, after both
    /// were brought to the same mean: clouds and automatic exposure are no event.
    #[must_use]
    pub fn changed(&self, before: &Self, level: u8) -> f64 {
        self.differences(before, level).filter(|&differs| differs).count() as f64 / self.0.len() as f64
    }

    /// Writes into `moved` which cells changed so, row by row.
    pub fn differing(&self, before: &Self, level: u8, moved: &mut Vec<bool>) {
        moved.clear();
        moved.extend(self.differences(before, level));
    }

    fn differences<'a>(&'a self, before: &'a Self, level: u8) -> impl Iterator<Item = bool> + 'a {
        let sum = |cells: &Self| cells.0.iter().map(|&cell| u32::from(cell)).sum::<u32>();
        let gain = ((sum(self) * 256 + 128) / sum(before).max(1)).clamp(*GAIN.start(), *GAIN.end());
        self.0.iter().zip(&before.0).map(move |(&now, &before)| {
            let expected = (u32::from(before) * gain + 128) / 256;
            u32::from(now).abs_diff(expected.min(255)) > u32::from(level)
        })
    }
}

//! How far a mean can be trusted when values depend on those before them, as answers of one animal that stays do.
//!
//! Values are summed in blocks of 1, 2, 4, …; the longer the blocks, the less they depend on each other, and the
//! variance of the mean that follows from them rises until they no longer do (Flyvbjerg & Petersen 1989). The largest
//! that enough blocks tell is taken. Kept are sums, so memory does not grow.

use serde::{Deserialize, Serialize};

use super::number::number;

/// Lengths of blocks that are kept: up to 2^15 values.
const LEVELS: usize = 16;
/// Blocks that a variance is believed from.
const FEWEST_BLOCKS: u64 = 8;

/// Sums of one series. How many values it has is known to whoever owns several of the same length.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Blocks {
    total: f64,
    /// By length: sums of the squares of blocks that are whole.
    squares: [f64; LEVELS],
    /// By length: the sum of the block that is not whole yet.
    open: [f64; LEVELS],
}

impl Blocks {
    /// Takes the value in that brings the series to `count` values. A series that begins late was zero before.
    pub fn add(&mut self, value: f64, count: u64) {
        self.total += value;
        for (level, (open, squares)) in self.open.iter_mut().zip(&mut self.squares).enumerate() {
            *open += value;
            if count.trailing_zeros() as usize >= level {
                *squares += *open * *open;
                *open = 0.0;
            }
        }
    }

    /// Sum of all.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.total
    }

    /// The variance of the mean of `count` values, by each length of blocks of which there are enough. So few blocks
    /// tell it loosely: its own standard error is added.
    pub fn variances(&self, count: u64) -> impl Iterator<Item = f64> {
        let levels = (0u32..).zip(self.squares.iter().zip(&self.open));
        levels.take_while(move |(level, _)| count >> level >= FEWEST_BLOCKS).map(
            move |(level, (squares, open))| {
                let (blocks, length) = (number(count >> level), number(1 << level));
                let whole = self.total - open;
                let spread = (squares - whole * whole / blocks).max(0.0) / (blocks - 1.0);
                spread / (length * length * blocks) * (1.0 + (2.0 / (blocks - 1.0)).sqrt())
            },
        )
    }

    /// The largest of [`Self::variances`]; infinite where there are too few values.
    #[must_use]
    pub fn variance(&self, count: u64) -> f64 {
        self.variances(count).reduce(f64::max).unwrap_or(f64::INFINITY)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn blocks(values: &[f64]) -> Blocks {
        let mut blocks = Blocks::default();
        (1u64..).zip(values).for_each(|(count, &value)| blocks.add(value, count));
        blocks
    }

    proptest! {
        #[test]
        fn each_variance_is_that_of_blocks_cut_from_the_whole_series(
            values in proptest::collection::vec(-3.0..3.0f64, 0..200),
        ) {
            let (all, count) = (blocks(&values), values.len() as u64);
            let found: Vec<_> = all.variances(count).collect();
            for (level, found) in found.iter().enumerate() {
                let means: Vec<f64> =
                    values.chunks_exact(1 << level).map(|block| block.iter().sum::<f64>() / block.len() as f64).collect();
                let n = means.len() as f64;
                let mean = means.iter().sum::<f64>() / n;
                let variance = means.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0) / n;
                prop_assert!((found / (1.0 + (2.0 / (n - 1.0)).sqrt()) - variance).abs() < 1e-9, "{level}");
            }
            prop_assert_eq!(found.is_empty(), count < FEWEST_BLOCKS);
        }
    }

    #[test]
    fn values_that_come_in_runs_tell_as_much_as_one_of_each_run() {
        // A fixed pattern without order of its own.
        let bit = |n: u64| f64::from(u8::from((n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60) & 1 == 1));
        let alone: Vec<_> = (0..512).map(bit).collect();
        let runs: Vec<_> = (0..512).map(|n| bit(n / 8)).collect();
        let ratio = blocks(&runs).variance(512) / blocks(&alone).variance(512);
        assert!((5.0..14.0).contains(&ratio), "{ratio}");
    }
}

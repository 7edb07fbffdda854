//! What is remembered of many answers: counts and sums, whatever their number.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::number::number;
use super::{Blocks, Look};

/// Pictures darker than this have no detail to speak of.
const DARK: f64 = 24.0;

/// One answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Given<'a> {
    /// Its rank.
    pub rank: &'a str,
    /// Its depth; a kingdom counts 1.
    pub depth: u16,
    /// The probability of its best leaf.
    pub best_leaf: f64,
}

/// Answers, each the first of a track: a single frame's, as those the calibration was measured with.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Answers {
    /// How many.
    pub count: u64,
    /// Which of them were of a rank, by rank; `root` is "an organism".
    ranks: BTreeMap<String, Blocks>,
    /// Sum of their depths.
    depths: f64,
    /// Probabilities of their best leaves.
    best: Blocks,
}

impl Answers {
    /// Takes an answer in.
    pub fn add(&mut self, &Given { rank, depth, best_leaf }: &Given<'_>) {
        self.count += 1;
        if !self.ranks.contains_key(rank) {
            self.ranks.insert(rank.into(), Blocks::default());
        }
        for (of, blocks) in &mut self.ranks {
            blocks.add(f64::from(u8::from(of == rank)), self.count);
        }
        self.depths += f64::from(depth);
        self.best.add(best_leaf, self.count);
    }

    /// Share of the answers at each rank.
    #[must_use]
    pub fn shares(&self) -> BTreeMap<String, f64> {
        let share = |(rank, of): (&String, &Blocks)| (rank.clone(), of.total() / number(self.count));
        self.ranks.iter().map(share).collect()
    }

    /// Their mean depth, where there are any.
    #[must_use]
    pub fn mean_depth(&self) -> Option<f64> {
        (self.count > 0).then(|| self.depths / number(self.count))
    }

    /// Mean probability of the best leaf and the variance of that mean, where there are any.
    #[must_use]
    pub fn best_leaf(&self) -> Option<(f64, f64)> {
        (self.count > 0).then(|| (self.best.total() / number(self.count), self.best.variance(self.count)))
    }

    /// How many times as uncertain their mix is as that of as many answers that do not depend on each other, at least
    /// 1: the mean of the design effects of the ranks (Rao & Scott 1981). Answers that are all alike do not tell.
    #[must_use]
    pub fn design_effect(&self) -> f64 {
        let count = number(self.count);
        let mut levels: Vec<f64> = Vec::new();
        for blocks in self.ranks.values() {
            for (level, variance) in blocks.variances(self.count).enumerate() {
                if levels.len() <= level {
                    levels.push(0.0);
                }
                if let Some(sum) = levels.get_mut(level) {
                    *sum += variance * count / blocks.total().max(1.0);
                }
            }
        }
        let free = number(self.ranks.len().saturating_sub(1).max(1) as u64);
        levels.into_iter().map(|sum| sum * count / free).fold(1.0, f64::max)
    }
}

/// Pictures of one size, a few a minute.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Looks {
    /// Pixels; decoded smaller, the same scene is sharper.
    pub size: (u32, u32),
    /// How many.
    pub count: u64,
    /// Those of them that are bright enough for their sharpness to count.
    pub bright: u64,
    /// Logarithms of their sharpness: a ratio is what matters.
    sharpness: Blocks,
    /// Sum of their brightness.
    brightness: f64,
}

impl Looks {
    /// Takes a picture in; one of another size begins anew.
    pub fn add(&mut self, look: Look) {
        if self.size != look.size {
            *self = Self { size: look.size, ..Self::default() };
        }
        self.count += 1;
        self.brightness += look.brightness;
        if look.brightness >= DARK {
            self.bright += 1;
            self.sharpness.add(look.sharpness.max(1e-6).ln(), self.bright);
        }
    }

    /// Mean logarithm of their sharpness and the variance of that mean, where there are any.
    #[must_use]
    pub fn sharpness(&self) -> Option<(f64, f64)> {
        let count = self.bright;
        (count > 0).then(|| (self.sharpness.total() / number(count), self.sharpness.variance(count)))
    }

    /// Mean brightness, 0 to 255, where there are any.
    #[must_use]
    pub fn mean_brightness(&self) -> Option<f64> {
        (self.count > 0).then(|| self.brightness / number(self.count))
    }
}

/// Both.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Answers.
    pub answers: Answers,
    /// Pictures.
    pub looks: Looks,
}

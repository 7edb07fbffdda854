//! How right and how specific answers are.

use std::collections::{BTreeMap, BTreeSet};

use fieldmark_models::specificity::Threshold;

use super::Judged;

/// What "specific" is measured in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Specificity {
    /// Depth in the tree; a kingdom has 1.
    #[default]
    Depth,
    /// Information gained, as a share of what a leaf gives (Deng et al. 2012, DARTS).
    Information,
}

/// Figures of a set of answers at one threshold.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct Figures {
    /// Share of answers that are the true taxon or one above it.
    pub accuracy: f64,
    /// Mean depth of the answers.
    pub mean_depth: f64,
    /// Mean information of the answers, 0 to 1.
    pub mean_information: f64,
    /// Share of the answers at each rank.
    pub ranks: BTreeMap<String, f64>,
    /// Answers.
    pub n: usize,
    /// Groups they come from.
    pub groups: usize,
}

impl Figures {
    /// Those of `judged` at `threshold`.
    #[must_use]
    pub fn of(judged: &[Judged], threshold: Threshold) -> Self {
        let (mut right, mut depth, mut information) = (0u32, 0.0, 0.0);
        let mut ranks: BTreeMap<&str, u32> = BTreeMap::new();
        for step in judged.iter().map(|answer| answer.at(threshold)) {
            right += u32::from(step.right);
            depth += f64::from(step.depth);
            information += step.information;
            *ranks.entry(step.rank.name()).or_default() += 1;
        }
        let of_all = |sum: f64| sum / judged.len().max(1) as f64;
        Self {
            accuracy: of_all(right.into()),
            mean_depth: of_all(depth),
            mean_information: of_all(information).clamp(0.0, 1.0),
            ranks: ranks.into_iter().map(|(rank, n)| (rank.to_owned(), of_all(n.into()))).collect(),
            n: judged.len(),
            groups: judged.iter().map(|answer| answer.group).collect::<BTreeSet<_>>().len(),
        }
    }

    /// The mean of several, each counting the same; counts are those of all together.
    #[must_use]
    pub fn mean(all: &[Self]) -> Self {
        let share = 1.0 / all.len().max(1) as f64;
        let mut mean = Self::default();
        for figures in all {
            mean.accuracy += figures.accuracy * share;
            mean.mean_depth += figures.mean_depth * share;
            mean.mean_information += figures.mean_information * share;
            for (rank, part) in &figures.ranks {
                *mean.ranks.entry(rank.clone()).or_default() += part * share;
            }
            mean.n += figures.n;
            // With several halvings every group is judged again and again: it stays one group.
            mean.groups = if all.len() > 1 { mean.groups.max(2 * figures.groups) } else { figures.groups };
        }
        mean.clamped()
    }

    /// The 95 % Wilson interval of the accuracy. It counts groups: pictures of one stand and fall together.
    #[must_use]
    pub fn interval(&self) -> (f64, f64) {
        wilson(self.accuracy, self.groups)
    }

    /// Mean specificity, in the metric chosen.
    #[must_use]
    pub fn specificity(&self, metric: Specificity) -> f64 {
        match metric {
            Specificity::Depth => self.mean_depth,
            Specificity::Information => self.mean_information,
        }
    }

    /// A sum of shares may pass 1 in its last bit.
    fn clamped(mut self) -> Self {
        self.accuracy = self.accuracy.min(1.0);
        self.mean_information = self.mean_information.clamp(0.0, 1.0);
        self.ranks.values_mut().for_each(|share| *share = share.min(1.0));
        self
    }
}

/// The 95 % Wilson score interval of a share `accuracy` seen in `n` independent cases.
#[must_use]
pub fn wilson(accuracy: f64, n: usize) -> (f64, f64) {
    let (n, z) = (n.max(1) as f64, 1.96f64);
    let (middle, spread) =
        (accuracy + z * z / (2.0 * n), accuracy * (1.0 - accuracy) / n + z * z / (4.0 * n * n));
    let (half, scale) = (z * spread.sqrt(), 1.0 + z * z / n);
    (((middle - half) / scale).clamp(0.0, 1.0), ((middle + half) / scale).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::wilson;

    #[test]
    fn the_interval_is_wilsons() {
        // 81 of 100: 0.7222 to 0.8749 (Wilson 1927, z = 1.96).
        let (low, high) = wilson(0.81, 100);
        assert!((low - 0.7222).abs() < 1e-3 && (high - 0.8749).abs() < 1e-3, "{low} {high}");
    }
}

//! A run's losses in as many columns as a terminal has room for.

/// Most columns of a curve.
pub(super) const COLUMNS: usize = 60;

/// Means of equally many numbers each, of all numbers so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct History {
    /// So many numbers make a mean; 0 counts as 1.
    each: usize,
    begun: Vec<f64>,
    means: Vec<f64>,
}

impl History {
    /// Adds the next number; one that is none is left out.
    pub(super) fn add(&mut self, number: f64) {
        if !number.is_finite() {
            return;
        }
        self.begun.push(number);
        if self.begun.len() < self.each.max(1) {
            return;
        }
        self.means.push(mean(&self.begun));
        self.begun.clear();
        if self.means.len() > COLUMNS {
            // Half as many of twice as many numbers; the odd one is begun again.
            let odd = if self.means.len() % 2 == 1 { self.means.pop() } else { None };
            self.means = self.means.chunks_exact(2).map(mean).collect();
            self.begun = odd.map(|of_each| vec![of_each; self.each.max(1)]).unwrap_or_default();
            self.each = 2 * self.each.max(1);
        }
    }

    /// The lowest and the highest mean; none before the first.
    pub(super) fn range(&self) -> Option<(f64, f64)> {
        let lowest = self.means.iter().copied().reduce(f64::min)?;
        Some((lowest, self.means.iter().copied().fold(lowest, f64::max)))
    }

    /// The curve in blocks of eight heights, the highest row first; each row as long as there are means.
    pub(super) fn rows(&self, count: usize) -> Vec<String> {
        const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let (lowest, highest) = self.range().unwrap_or_default();
        let levels = count * 8;
        let height = |value: f64| {
            let share = if highest > lowest { (value - lowest) / (highest - lowest) } else { 0.0 };
            1 + (share * (levels - 1) as f64).round() as usize
        };
        let row = |row: usize| {
            let below = (count - 1 - row) * 8;
            self.means.iter().map(|&value| BLOCKS[height(value).saturating_sub(below).min(8)]).collect()
        };
        (0..count).map(row).collect()
    }
}

fn mean(numbers: &[f64]) -> f64 {
    numbers.iter().sum::<f64>() / numbers.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_falls_from_the_top_to_the_bottom() {
        let mut history = History::default();
        (0..16).rev().for_each(|number| history.add(f64::from(number)));
        history.add(f64::NAN);
        assert_eq!(history.rows(2), ["█▇▆▅▄▃▂▁        ", "█████████▇▆▅▄▃▂▁"].map(str::to_owned));
        assert_eq!(history.range(), Some((0.0, 15.0)));
        assert_eq!(History::default().rows(1), [""]);
    }

    #[test]
    fn however_many_numbers_fit_and_keep_their_mean() {
        let mut history = History::default();
        for number in 0..1000 {
            history.add(f64::from(number));
            assert!(history.means.len() <= COLUMNS);
        }
        assert!(history.means.len() > COLUMNS / 2, "{}", history.means.len());
        assert!(history.means.windows(2).all(|pair| pair[0] < pair[1]));
        let (counted, each) = (history.means.len() * history.each, history.each as f64);
        assert_eq!(history.means.last().copied(), Some(counted as f64 - (each + 1.0) / 2.0));
    }
}

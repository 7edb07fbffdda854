//! How often which magnitude occurs, and where to cut it off.

/// Bins of a histogram.
const BINS: usize = 4096;

/// Magnitudes counted in equal bins from 0 to a power of two, which doubles when a larger one comes: so any two
/// histograms can be brought to the same bins and added.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    counts: Vec<f64>,
    /// The range is `2^exponent`.
    exponent: i32,
    largest: f32,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0.0; BINS], exponent: -40, largest: 0.0 }
    }
}

/// A way to find the range of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// The largest magnitude seen.
    MinMax,
    /// The magnitude that 99.99 % of the numbers do not pass.
    Percentile,
    /// The cut that loses least information (Kullback-Leibler divergence from the histogram).
    Entropy,
    /// The cut with the least squared error.
    Mse,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::MinMax, Self::Percentile, Self::Entropy, Self::Mse];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::MinMax => "min-max",
            Self::Percentile => "percentile",
            Self::Entropy => "entropy",
            Self::Mse => "mse",
        }
    }
}

impl Histogram {
    /// Counts the magnitudes of `values`. What is no number is passed over.
    pub fn count(&mut self, values: &[f32]) {
        let largest =
            values.iter().map(|value| value.abs()).filter(|value| value.is_finite()).fold(0.0, f32::max);
        self.largest = self.largest.max(largest);
        while f64::from(largest) > self.range() {
            self.grow();
        }
        let per_bin = BINS as f64 / self.range();
        for value in values.iter().filter(|value| value.is_finite()) {
            let bin = (f64::from(value.abs()) * per_bin) as usize;
            self.counts[bin.min(BINS - 1)] += 1.0;
        }
    }

    /// Adds the counts of `other`.
    pub fn add(&mut self, other: &Self) {
        let mut other = other.clone();
        while other.exponent < self.exponent {
            other.grow();
        }
        while self.exponent < other.exponent {
            self.grow();
        }
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
        self.largest = self.largest.max(other.largest);
    }

    fn range(&self) -> f64 {
        f64::from(self.exponent).exp2()
    }

    fn grow(&mut self) {
        let halved: Vec<f64> = self.counts.as_chunks::<2>().0.iter().map(|[low, high]| low + high).collect();
        self.counts.fill(0.0);
        self.counts[..BINS / 2].copy_from_slice(&halved);
        self.exponent += 1;
    }

    /// The range by `method` where `levels` magnitudes are told apart, 0 being one: always positive, never above the largest seen.
    #[must_use]
    pub fn cut(&self, method: Method, levels: usize) -> f32 {
        let largest = self.largest.max(f32::MIN_POSITIVE * 1e6);
        let cut = match method {
            Method::MinMax => return largest,
            Method::Percentile => self.percentile(0.9999),
            Method::Entropy => self.least(levels, |bins| self.divergence(bins, levels)),
            Method::Mse => self.least(levels, |bins| self.squared_error(bins, levels)),
        };
        (cut as f32).clamp(largest / 1000.0, largest)
    }

    fn edge(&self, bins: usize) -> f64 {
        bins as f64 * self.range() / BINS as f64
    }

    fn percentile(&self, share: f64) -> f64 {
        let wanted = share * self.counts.iter().sum::<f64>();
        let mut below = 0.0;
        let cut = self.counts.iter().position(|count| {
            below += count;
            below >= wanted
        });
        self.edge(cut.unwrap_or(BINS - 1) + 1)
    }

    /// The cut after the number of bins with the least `loss`.
    fn least(&self, levels: usize, loss: impl Fn(usize) -> f64) -> f64 {
        let used = self.counts.iter().rposition(|&count| count > 0.0).map_or(1, |last| last + 1);
        let start = levels.min(used);
        let cuts = (start..=used).step_by((used / 256).max(1)).chain([used]);
        let best = cuts.map(|bins| (loss(bins), bins)).min_by(|a, b| a.0.total_cmp(&b.0));
        self.edge(best.map_or(used, |(_, bins)| bins))
    }

    /// Expected squared error of one number when magnitudes after `bins` are cut off.
    fn squared_error(&self, bins: usize, levels: usize) -> f64 {
        let (cut, width) = (self.edge(bins), self.edge(1));
        let last = (levels - 1) as f64;
        let step = cut / last;
        let error = |bin: usize| {
            let value = (bin as f64 + 0.5) * width;
            // Below a step's width the error within the bin counts too: numbers are spread over it evenly.
            let rounded = (value / step).round().min(last) * step;
            (value - rounded).powi(2)
        };
        self.counts.iter().enumerate().map(|(bin, count)| count * error(bin)).sum()
    }

    /// Kullback-Leibler divergence of the quantised from the cut histogram (Migacz 2017).
    fn divergence(&self, bins: usize, levels: usize) -> f64 {
        let mut cut = self.counts[..bins].to_vec();
        // Zeros cost nothing at any cut, and after a ReLU they would outweigh everything else.
        if let [zeros, next, ..] = &mut cut[..] {
            *zeros = zeros.min(*next);
        }
        let outside: f64 = self.counts[bins..].iter().sum();
        let mut coarse = vec![(0.0, 0u32); levels];
        let level = |bin: usize| bin * levels / bins;
        for (bin, &count) in cut.iter().enumerate().filter(|(_, count)| **count > 0.0) {
            coarse[level(bin)].0 += count;
            coarse[level(bin)].1 += 1;
        }
        if let Some(last) = cut.last_mut() {
            *last += outside;
        }
        let (whole, quantised): (f64, f64) = (cut.iter().sum(), coarse.iter().map(|(count, _)| count).sum());
        let mut divergence = 0.0;
        for (bin, &count) in cut.iter().enumerate().filter(|(_, count)| **count > 0.0) {
            let (sum, filled) = coarse[level(bin)];
            // A bin that only what was cut off falls into has no counterpart: a small share stands for it.
            let counterpart =
                if filled == 0 { 1e-6 } else { (sum / f64::from(filled) / quantised).max(1e-12) };
            divergence += count / whole * (count / whole / counterpart).ln();
        }
        divergence
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Of a signed byte: 0 to 127.
    const LEVELS: usize = 128;

    #[test]
    fn an_outlier_is_cut_off_by_all_but_min_max() {
        let mut values: Vec<f32> = (0..100_000).map(|i| (i % 1000) as f32 / 1000.0).collect();
        values.push(50.0);
        let mut histogram = Histogram::default();
        histogram.count(&values);
        assert!((histogram.cut(Method::MinMax, LEVELS) - 50.0).abs() < f32::EPSILON);
        for method in [Method::Percentile, Method::Entropy] {
            assert!(histogram.cut(method, LEVELS) < 5.0, "{method:?} {}", histogram.cut(method, LEVELS));
        }
        // The squared error of one number 49 off is that of 100 000 numbers at a step of 0.17.
        assert!(histogram.cut(Method::Mse, LEVELS) < 50.0);
    }

    #[test]
    fn what_was_never_seen_still_has_a_positive_range() {
        for method in Method::ALL {
            assert!(Histogram::default().cut(method, LEVELS) > 0.0);
        }
    }

    proptest! {
        #[test]
        fn counting_together_is_counting_apart_and_adding(
            a in prop::collection::vec(-100f32..100.0, 0..50), b in prop::collection::vec(-1f32..1.0, 0..50)
        ) {
            let (mut together, mut left, mut right) =
                (Histogram::default(), Histogram::default(), Histogram::default());
            together.count(&a);
            together.count(&b);
            left.count(&a);
            right.count(&b);
            left.add(&right);
            // Doubling moves a number by less than a bin.
            for method in Method::ALL {
                let (one, other) = (together.cut(method, LEVELS), left.cut(method, LEVELS));
                prop_assert!((one - other).abs() <= 0.05 * one.max(other), "{method:?} {one} {other}");
            }
            prop_assert_eq!(together.counts.iter().sum::<f64>(), left.counts.iter().sum::<f64>());
        }
    }
}

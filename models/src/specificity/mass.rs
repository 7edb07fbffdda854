//! Prefix sums over the leaves: the probability of any node is one difference.

use super::ProbabilityError;

/// How far the sum of the leaf probabilities may be from 1 before the network is not believed.
const SUM_TOLERANCE: f64 = 1e-2;

/// Runs of leaves that are summed side by side. A running sum waits for its own last addition; several of them
/// wait together.
const RUNS: usize = 16;
const ABREAST: usize = 4;

/// Sums of leaf masses, from the first leaf up to any other.
#[derive(Debug, Clone, Default)]
pub(super) struct Mass {
    /// `within[i]`: the mass of the leaves of `i`'s run before `i`. `[leaves + 1]`.
    within: Vec<f64>,
    /// Mass of all runs before each, and of all of them.
    before: Vec<f64>,
    /// A run is `1 << run` leaves long.
    run: u32,
    /// Probabilities times weights, where there are weights. `[leaves]`.
    weighted: Vec<f32>,
    total: f64,
}

impl Mass {
    /// Sums `probabilities`, `[leaves]`, times `weights`; gives the output with the most of it, or with the most
    /// probability where the weights leave nothing.
    pub(super) fn sum(
        &mut self,
        probabilities: &[f32],
        weights: Option<&[f32]>,
    ) -> Result<usize, ProbabilityError> {
        check(probabilities)?;
        let Some(weights) = weights else {
            self.sum_runs(probabilities);
            return Ok(largest(probabilities));
        };
        let mut weighted = std::mem::take(&mut self.weighted);
        weighted.clear();
        weighted.extend(probabilities.iter().zip(weights).map(|(p, w)| p * w));
        self.sum_runs(&weighted);
        let best = largest(if self.total > 0.0 { &weighted } else { probabilities });
        self.weighted = weighted;
        Ok(best)
    }

    /// Everything there is.
    pub(super) fn total(&self) -> f64 {
        self.total
    }

    /// The mass of the leaves from `start` up to `end`; never more than that of leaves around them.
    pub(super) fn between(&self, start: usize, end: usize) -> f64 {
        self.up_to(end) - self.up_to(start)
    }

    /// Never falls from one leaf to the next: rounding is monotone, and a run begins with the sum its
    /// predecessor ended with.
    fn up_to(&self, leaf: usize) -> f64 {
        self.before[leaf >> self.run] + self.within[leaf]
    }

    fn sum_runs(&mut self, masses: &[f32]) {
        let length = masses.len().div_ceil(RUNS).next_power_of_two();
        self.run = length.trailing_zeros();
        // Everything below the last is written anew; clearing it first would cost as much as summing.
        self.within.resize(masses.len() + 1, 0.0);
        self.within[masses.len()] = 0.0;
        self.before.clear();
        self.before.push(0.0);
        let (mut masses_left, mut within_left) = (masses, self.within.as_mut_slice());
        while masses_left.len() >= ABREAST * length {
            let (masses, masses_rest) = masses_left.split_at(ABREAST * length);
            let (within, within_rest) = within_left.split_at_mut(ABREAST * length);
            for sum in sum_abreast(masses, within, length) {
                self.before.push(sum);
            }
            (masses_left, within_left) = (masses_rest, within_rest);
        }
        for (masses, within) in masses_left.chunks(length).zip(within_left.chunks_mut(length)) {
            let mut sum = 0.0;
            for (mass, within) in masses.iter().zip(within.iter_mut()) {
                *within = sum;
                sum += f64::from(*mass);
            }
            // The last run, where it is not full, ends with the sum of all its leaves.
            if let Some(past) = within.get_mut(masses.len()) {
                *past = sum;
            }
            self.before.push(sum);
        }
        for run in 1..self.before.len() {
            self.before[run] += self.before[run - 1];
        }
        self.total = self.before.last().copied().unwrap_or(0.0);
    }
}

/// Running sums of four runs of `length` masses, one beside the other; their totals.
fn sum_abreast(masses: &[f32], within: &mut [f64], length: usize) -> [f64; ABREAST] {
    let (m0, rest) = masses.split_at(length);
    let (m1, rest) = rest.split_at(length);
    let (m2, m3) = rest.split_at(length);
    let (w0, rest) = within.split_at_mut(length);
    let (w1, rest) = rest.split_at_mut(length);
    let (w2, w3) = rest.split_at_mut(length);
    let mut sums = [0.0; ABREAST];
    let masses = m0.iter().zip(m1).zip(m2).zip(m3);
    let within = w0.iter_mut().zip(w1).zip(w2).zip(w3);
    for ((((m0, m1), m2), m3), (((w0, w1), w2), w3)) in masses.zip(within) {
        (*w0, *w1, *w2, *w3) = (sums[0], sums[1], sums[2], sums[3]);
        sums[0] += f64::from(*m0);
        sums[1] += f64::from(*m1);
        sums[2] += f64::from(*m2);
        sums[3] += f64::from(*m3);
    }
    sums
}

/// Refuses what is no distribution.
fn check(probabilities: &[f32]) -> Result<(), ProbabilityError> {
    const LANES: usize = 16;
    let (mut sums, mut all_fine) = ([0.0f32; LANES], true);
    let mut total = 0.0;
    // In blocks, so that single precision sums of many small numbers stay close enough to judge 1 by.
    for block in probabilities.chunks(64 * LANES) {
        let chunks = block.chunks_exact(LANES);
        for &value in chunks.remainder() {
            all_fine &= (0.0..=f32::MAX).contains(&value);
            total += f64::from(value);
        }
        for chunk in chunks {
            for (sum, &value) in sums.iter_mut().zip(chunk) {
                all_fine &= (0.0..=f32::MAX).contains(&value);
                *sum += value;
            }
        }
        total += sums.iter().map(|&sum| f64::from(sum)).sum::<f64>();
        sums = [0.0; LANES];
    }
    if !all_fine {
        let is_wrong = |value: &f32| !(0.0..=f32::MAX).contains(value);
        let output = probabilities.iter().position(is_wrong).unwrap_or_default();
        return Err(ProbabilityError::Value { output, value: probabilities[output] });
    }
    if (total - 1.0).abs() <= SUM_TOLERANCE { Ok(()) } else { Err(ProbabilityError::Sum(total)) }
}

/// The first of the largest.
fn largest(masses: &[f32]) -> usize {
    let largest = masses.iter().fold(0.0f32, |largest, &mass| if mass > largest { mass } else { largest });
    masses.iter().position(|&mass| mass == largest).unwrap_or_default()
}

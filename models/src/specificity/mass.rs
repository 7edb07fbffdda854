//! Prefix sums over the leaves: the probability of any node is one difference.

use super::ProbabilityError;

/// How far the sum of the leaf probabilities may be from 1 before the network is not believed.
const SUM_TOLERANCE: f64 = 1e-2;

/// Leaves between two stored sums. A sum for every leaf would cost more to write than it saves to read: a search
/// asks for a few hundred of them.
const BLOCK: usize = 8;

/// Sums of leaf masses, from the first leaf up to any other.
#[derive(Debug, Clone, Default)]
pub(super) struct Mass {
    /// Probabilities, times weights where there are weights. `[leaves]`.
    masses: Vec<f32>,
    /// Mass of all leaves before each block, and of all of them.
    before: Vec<f64>,
}

impl Mass {
    /// Sums `probabilities`, `[leaves]`, times `weights`; gives the output with the most of it, or with the most
    /// probability where the weights leave nothing.
    pub(super) fn sum(
        &mut self,
        probabilities: &[f32],
        weights: Option<&[f32]>,
    ) -> Result<usize, ProbabilityError> {
        self.masses.clear();
        self.masses.extend_from_slice(probabilities);
        let (largest, total) = self.sum_blocks().ok_or_else(|| no_probability(probabilities))?;
        if (total - 1.0).abs() > SUM_TOLERANCE {
            return Err(ProbabilityError::Sum(total));
        }
        let Some(weights) = weights else { return Ok(first(&self.masses, largest)) };
        for (mass, weight) in self.masses.iter_mut().zip(weights) {
            *mass *= weight;
        }
        match self.sum_blocks() {
            Some((largest, total)) if total > 0.0 => Ok(first(&self.masses, largest)),
            _ => Ok(first(probabilities, largest)),
        }
    }

    /// Everything there is.
    pub(super) fn total(&self) -> f64 {
        self.before.last().copied().unwrap_or(0.0)
    }

    /// The mass of the leaves from `start` up to `end`; never more than that of leaves around them.
    pub(super) fn between(&self, start: usize, end: usize) -> f64 {
        self.up_to(end) - self.up_to(start)
    }

    /// The mass of the leaves before `leaf`. Never falls from one leaf to the next: rounding is monotone, and a
    /// block begins with the sum its predecessor ended with.
    pub(super) fn up_to(&self, leaf: usize) -> f64 {
        let block = leaf / BLOCK;
        match (self.before.get(block), self.masses.get(block * BLOCK..leaf)) {
            (Some(before), Some(rest)) => before + sum(rest),
            _ => self.total(),
        }
    }

    /// Fills `before`; gives the largest mass and the sum of all, or `None` where one is no number from 0 upwards.
    fn sum_blocks(&mut self) -> Option<(f32, f64)> {
        self.before.clear();
        let (mut largest, mut all_fine, mut total) = ([0.0f32; BLOCK], true, 0.0);
        let blocks = self.masses.chunks_exact(BLOCK);
        let rest = blocks.remainder();
        for block in blocks {
            for (largest, &mass) in largest.iter_mut().zip(block) {
                all_fine &= is_mass(mass);
                *largest = if mass > *largest { mass } else { *largest };
            }
            self.before.push(total);
            total += sum(block);
        }
        self.before.push(total);
        if !rest.is_empty() {
            total += sum(rest);
            self.before.push(total);
        }
        all_fine &= rest.iter().all(|&mass| is_mass(mass));
        let largest = largest.iter().chain(rest).fold(0.0f32, |largest, &mass| largest.max(mass));
        all_fine.then_some((largest, total))
    }
}

fn sum(masses: &[f32]) -> f64 {
    masses.iter().fold(0.0, |sum, &mass| sum + f64::from(mass))
}

fn is_mass(value: f32) -> bool {
    (0.0..=f32::MAX).contains(&value)
}

fn no_probability(probabilities: &[f32]) -> ProbabilityError {
    let output = probabilities.iter().position(|&value| !is_mass(value)).unwrap_or_default();
    ProbabilityError::Value { output, value: probabilities[output] }
}

/// Where `mass` stands first.
fn first(masses: &[f32], mass: f32) -> usize {
    const RUN: usize = 64;
    let holds = |run: &[f32]| run.iter().fold(false, |found, &other| found | (other == mass));
    let start = masses.chunks(RUN).position(holds).unwrap_or_default() * RUN;
    start + masses[start..].iter().position(|&other| other == mass).unwrap_or_default()
}

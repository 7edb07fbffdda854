//! The numbers that a byte of a quantised value can stand for.

/// Largest byte of a symmetric range, of values and of weights.
pub(super) const LARGEST: f32 = 127.0;
/// Steps from the smallest byte to the largest.
const STEPS: f32 = 255.0;

/// Whole multiples of `step`, from `lowest` to `highest`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Grid {
    /// Distance of two neighbours: the scale of Q and DQ.
    pub(super) step: f32,
    /// In steps.
    pub(super) lowest: f32,
    /// In steps.
    pub(super) highest: f32,
}

impl Grid {
    /// Of magnitudes up to `range`: of both signs, or, where values are `centred` before they are quantised, from 0.
    pub(super) fn new(range: f32, centred: bool) -> Self {
        if centred {
            Self { step: range / STEPS, lowest: 0.0, highest: STEPS }
        } else {
            Self { step: range / LARGEST, lowest: -LARGEST - 1.0, highest: LARGEST }
        }
    }

    /// Magnitudes that are told apart, 0 being one.
    pub(super) fn levels(centred: bool) -> usize {
        if centred { 256 } else { 128 }
    }

    /// `number` rounded to it.
    pub(super) fn rounded(&self, number: f32) -> f32 {
        (number / self.step).round_ties_even().clamp(self.lowest, self.highest) * self.step
    }

    /// What is taken from a value so that its steps are signed bytes.
    pub(super) fn centre(&self) -> f32 {
        (self.lowest + LARGEST + 1.0) * self.step
    }
}

//! Counts as numbers to calculate with.

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub(in crate::observe) fn number(count: u64) -> f64 {
    count as f64
}

//! Calibration photographs as the network sees them, halved: ranges come from one half, judgement from the other.

use std::collections::BTreeMap;

use fieldmark_models::package::Package;

use super::engine::Sample;
use crate::dataset::{self, Photo};
use crate::recalibrate::read;

/// Views of `photos`: those of every other individual to calibrate with, those of the others to judge by.
///
/// # Errors
/// If a photograph cannot be read, or there is only one individual.
pub fn samples(package: &Package, photos: &[Photo]) -> anyhow::Result<(Vec<Sample>, Vec<Sample>)> {
    let mut sides: BTreeMap<usize, bool> = BTreeMap::new();
    let (mut calibration, mut judging) = (Vec::new(), Vec::new());
    for (photo, group) in photos.iter().zip(dataset::individuals(photos)) {
        let turn = sides.len().is_multiple_of(2);
        let side = *sides.entry(group).or_insert(turn);
        let truth = photo.lowest_known(package.taxonomy());
        let sample = Sample::new(&read(&photo.path)?, package.views(), truth, group)?;
        if side { calibration.push(sample) } else { judging.push(sample) }
    }
    spread(&mut calibration);
    if judging.is_empty() {
        return Err(super::QuantiseError::TooFew(sides.len()).into());
    }
    Ok((calibration, judging))
}

/// Any first ones of `samples` are from all along them: tables stand in the order of their taxa. (Multiples of the golden ratio
/// lie evenly, however many are taken.)
fn spread<T>(samples: &mut Vec<T>) {
    let place = |number: usize| (number as f64 * 0.618_033_988_749_895).fract();
    let mut placed: Vec<(f64, T)> = std::mem::take(samples)
        .into_iter()
        .enumerate()
        .map(|(number, sample)| (place(number), sample))
        .collect();
    placed.sort_by(|one, other| one.0.total_cmp(&other.0));
    samples.extend(placed.into_iter().map(|(_, sample)| sample));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_few_samples_are_from_all_along_them() {
        let mut samples: Vec<usize> = (0..88).collect();
        spread(&mut samples);
        for taken in [8, 22, 64] {
            let mut first = samples[..taken].to_vec();
            first.sort_unstable();
            let widest = first.windows(2).map(|pair| pair[1] - pair[0]).max();
            assert!(widest.is_some_and(|widest| widest <= 3 * 88 / taken), "{taken}: {first:?}");
        }
        samples.sort_unstable();
        assert_eq!(samples, (0..88).collect::<Vec<_>>());
    }
}

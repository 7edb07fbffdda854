//! Calibration photographs as the network sees them, halved: ranges come from one half, judgement from the other.

use std::collections::BTreeMap;

use fieldmark_models::package::Package;

use super::engine::Sample;
use crate::dataset::Photo;
use crate::recalibrate::{group, read};

/// Views of `photos`: those of every other individual to calibrate with, those of the others to judge by.
///
/// # Errors
/// If a photograph cannot be read, or there is only one individual.
pub fn samples(package: &Package, photos: &[Photo]) -> anyhow::Result<(Vec<Sample>, Vec<Sample>)> {
    let mut sides: BTreeMap<usize, bool> = BTreeMap::new();
    let (mut calibration, mut judging) = (Vec::new(), Vec::new());
    for photo in photos {
        let group = group(photos, photo);
        let turn = sides.len().is_multiple_of(2);
        let side = *sides.entry(group).or_insert(turn);
        let truth = photo.lowest_known(package.taxonomy());
        let sample = Sample::new(&read(&photo.path)?, package.views(), truth, group)?;
        if side { calibration.push(sample) } else { judging.push(sample) }
    }
    if judging.is_empty() {
        return Err(super::QuantiseError::TooFew(sides.len()).into());
    }
    Ok((calibration, judging))
}

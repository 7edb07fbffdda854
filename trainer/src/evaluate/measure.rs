//! The figures: top-1 by rank, the calibration curve, and how unseen species are answered.

use std::collections::BTreeMap;

use fieldmark_models::calibration::{Calibration, CalibrationError};

use super::{
    Confusion, Curve, Reliability, SizeClass, TaxonFigures, Trial, Trials, Unseen, by_size, confusion,
    reliability, taxa, top1, unseen,
};
use crate::calibrate::{self, judge};
use crate::pictures::Kind;

/// Everything that is reported of a recipe.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Measured {
    /// Share of right best leaves by rank, on plain pictures of seen species: mean over splits and its
    /// standard deviation.
    pub top1: BTreeMap<String, (f64, f64)>,
    /// The same on backgrounds no training picture has.
    pub top1_held_out_backgrounds: BTreeMap<String, (f64, f64)>,
    /// Species top-1 by how many photographs of the species were trained on.
    pub by_size: Vec<SizeClass>,
    /// Thresholds, with the figures of the half they were not fitted to.
    pub calibration: Calibration,
    /// Accuracy and specificity over all thresholds, on plain pictures of seen species.
    pub curve: Curve,
    /// What is taken for what, at every rank from kingdom down.
    pub confusion: Vec<Confusion>,
    /// The best leaves' probabilities beside what came of them, as the network gives them and as the package does.
    pub reliability: [Reliability; 2],
    /// Every leaf that was asked about, the worst first.
    pub taxa: Vec<TaxonFigures>,
    /// At each target: how photographs of species left out of training are answered.
    pub unseen: Vec<Unseen>,
}

/// Measures `trials`.
///
/// # Errors
/// If the figures are no calibration, which means there were no trials.
pub fn measure(trials: &Trials, settings: &calibrate::Settings) -> Result<Measured, CalibrationError> {
    // Pictures as they are classified, not composites: a threshold is only as good as its pictures are like those
    // of the field.
    let seen = trials.cases(Trial::is_plain);
    let strangers = trials.cases(|trial| !trial.seen && trial.kind == Kind::Plain);
    let calibration = calibrate::calibrate(&seen, settings)?;
    let temperature = calibration.temperature();
    let judged = judge(&seen.iter().collect::<Vec<_>>(), temperature);
    let strangers = judge(&strangers.iter().collect::<Vec<_>>(), temperature);
    let unseen = calibration.curve().iter().map(|point| unseen::unseen(point, &strangers)).collect();
    Ok(Measured {
        top1: top1::by_rank(trials, Kind::Plain),
        top1_held_out_backgrounds: top1::by_rank(trials, Kind::HeldOutBackground),
        by_size: by_size::by_size(trials),
        calibration,
        curve: Curve::of(&judged),
        confusion: confusion::by_rank(trials),
        reliability: [1.0, temperature].map(|temperature| reliability::reliability(trials, temperature)),
        taxa: taxa::by_taxon(trials, temperature),
        unseen,
    })
}

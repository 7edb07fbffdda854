//! How sure an answer has to be: asked for as an accuracy or as a cut-off, used as a cut-off.

use fieldmark_models::calibration::{Calibration, CalibrationError};
use fieldmark_models::specificity::Threshold;

/// As people ask for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sureness {
    /// The share of answers that should be right, in `(0, 1)`.
    Target(f64),
    /// The cut-off itself.
    Threshold(Threshold),
}

/// As it is used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CutOff {
    /// The cut-off.
    pub threshold: Threshold,
    /// The accuracy it was measured for, where one was asked for.
    pub target: Option<f64>,
}

impl Sureness {
    /// The cut-off, looked up in the model's `calibration` where an accuracy is asked for.
    ///
    /// # Errors
    /// If nobody measured an accuracy that high.
    pub fn cut_off(self, calibration: &Calibration) -> Result<CutOff, CalibrationError> {
        match self {
            Self::Threshold(threshold) => Ok(CutOff { threshold, target: None }),
            Self::Target(target) => {
                let threshold = calibration.point_for(target)?.threshold;
                Ok(CutOff { threshold, target: Some(target) })
            }
        }
    }
}

//! `calibration.toml`: which threshold reaches which accuracy, as measured on pictures the network never saw.
//!
//! Four thresholds stand beside each target. Hill climbing is the paper's (section 3.3). The exact one is the lowest
//! at which the share of right answers reaches the target on the pictures at hand. The other two promise something of
//! pictures to come, as long as they are like those at hand: `average` is the split-conformal rank
//! ceil((n + 1) target) (Vovk, Gammerman & Shafer 2005), right for a share of at least the target on average over
//! calibrations; `confident` is the rank whose Clopper-Pearson lower bound (1934) reaches the target, right for at
//! least that share with the calibration's confidence.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::specificity::Threshold;

/// What was measured, and the temperature that is already in the graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, try_from = "Measured", into = "Measured")]
pub struct Calibration {
    n: u64,
    temperature: f64,
    confidence: f64,
    curve: Vec<Point>,
}

/// What a threshold promises of pictures to come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Guarantee {
    /// Nothing: the paper's hill climbing.
    #[default]
    None,
    /// The target is reached on average over calibrations.
    Average,
    /// The target is reached with the calibration's confidence.
    Confident,
}

/// One line of the curve: asking for `target` means deciding at `threshold`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// Accuracy asked for, in `(0, 1)`.
    pub target: f64,
    /// Cut-off found for it by hill climbing.
    pub threshold: Threshold,
    /// The lowest cut-off that reaches it on the calibration pictures.
    pub exact: Threshold,
    /// Reaches it on average over calibrations.
    pub average: Threshold,
    /// Reaches it with the calibration's confidence; 1, which only the root passes, where there are too few
    /// pictures to say so.
    pub confident: Threshold,
    /// Share of right answers (the true taxon or one above it) on pictures the cut-off was not fitted to.
    pub accuracy: f64,
    /// Lower end of the 95 % confidence interval of `accuracy`.
    pub accuracy_low: f64,
    /// Upper end of the 95 % confidence interval of `accuracy`.
    pub accuracy_high: f64,
    /// Mean depth of the answers; a kingdom counts 1.
    pub mean_depth: f64,
    /// Share of the answers at each rank.
    pub ranks: BTreeMap<String, f64>,
}

/// The file as it stands on disk.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Measured {
    n: u64,
    temperature: f64,
    confidence: f64,
    curve: Vec<Point>,
}

impl Point {
    /// The cut-off that gives `guarantee`.
    #[must_use]
    pub fn threshold_for(&self, guarantee: Guarantee) -> Threshold {
        match guarantee {
            Guarantee::None => self.threshold,
            Guarantee::Average => self.average,
            Guarantee::Confident => self.confident,
        }
    }
}

/// Why numbers are no calibration, or a target cannot be had.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CalibrationError {
    /// Nothing was measured.
    #[error("the calibration curve is empty")]
    Empty,
    /// Softmax divides by it.
    #[error("temperature {0} is not a positive number")]
    Temperature(f64),
    /// A guarantee that is none, or certain.
    #[error("confidence {0} is not between 0 and 1")]
    Confidence(f64),
    /// Targets ascend, and a higher target never has a lower threshold.
    #[error("the calibration curve is not ascending at target {0}")]
    NotAscending(f64),
    /// A share or target outside its range.
    #[error("{what} is {value} at target {target}, outside 0..=1")]
    Range {
        /// Which number.
        what: &'static str,
        /// Its value.
        value: f64,
        /// The point it stands in.
        target: f64,
    },
    /// Nobody measured that much.
    #[error(
        "a target of {asked} was not measured for this model: its calibration ends at {highest}; ask for that or less, or give a threshold"
    )]
    TargetTooHigh {
        /// Accuracy asked for.
        asked: f64,
        /// Highest target of the curve.
        highest: f64,
    },
}

impl Calibration {
    /// A calibration over `n` pictures, whose `confident` thresholds hold with probability `confidence`.
    ///
    /// # Errors
    /// If a number is out of range or the curve is empty or not ascending.
    pub fn new(
        n: u64,
        temperature: f64,
        confidence: f64,
        curve: Vec<Point>,
    ) -> Result<Self, CalibrationError> {
        if curve.is_empty() {
            return Err(CalibrationError::Empty);
        }
        if !(temperature.is_finite() && temperature > 0.0) {
            return Err(CalibrationError::Temperature(temperature));
        }
        if !(confidence > 0.0 && confidence < 1.0) {
            return Err(CalibrationError::Confidence(confidence));
        }
        curve.iter().try_for_each(check_point)?;
        for pair in curve.windows(2) {
            let falls = |of: fn(&Point) -> Threshold| of(&pair[0]) > of(&pair[1]);
            let threshold_falls = falls(|p| p.threshold)
                || falls(|p| p.exact)
                || falls(|p| p.average)
                || falls(|p| p.confident);
            if pair[0].target >= pair[1].target || threshold_falls {
                return Err(CalibrationError::NotAscending(pair[1].target));
            }
        }
        Ok(Self { n, temperature, confidence, curve })
    }

    /// Number of pictures the curve was measured on.
    #[must_use]
    pub fn n(&self) -> u64 {
        self.n
    }

    /// The temperature that divides the logits; it is part of the graph.
    #[must_use]
    pub fn temperature(&self) -> f64 {
        self.temperature
    }

    /// Probability with which a `confident` threshold keeps its promise.
    #[must_use]
    pub fn confidence(&self) -> f64 {
        self.confidence
    }

    /// The curve, by ascending target.
    #[must_use]
    pub fn curve(&self) -> &[Point] {
        &self.curve
    }

    /// The point to decide by for an accuracy of `target`: the lowest measured target that is no lower.
    ///
    /// # Errors
    /// If `target` is above what was measured, or no number.
    pub fn point_for(&self, target: f64) -> Result<&Point, CalibrationError> {
        let highest = self.curve.last().map_or(0.0, |point| point.target);
        self.curve
            .iter()
            // 0.9 typed by a person and 0.9 computed by a trainer differ in the last bit.
            .find(|point| point.target >= target - 1e-9)
            .ok_or(CalibrationError::TargetTooHigh { asked: target, highest })
    }
}

fn check_point(point: &Point) -> Result<(), CalibrationError> {
    let shares = [
        ("target", point.target),
        ("accuracy", point.accuracy),
        ("accuracy_low", point.accuracy_low),
        ("accuracy_high", point.accuracy_high),
    ];
    for (what, value) in
        shares.into_iter().chain(point.ranks.values().map(|&share| ("a rank's share", share)))
    {
        if !(0.0..=1.0).contains(&value) {
            return Err(CalibrationError::Range { what, value, target: point.target });
        }
    }
    Ok(())
}

impl TryFrom<Measured> for Calibration {
    type Error = CalibrationError;

    fn try_from(measured: Measured) -> Result<Self, CalibrationError> {
        Self::new(measured.n, measured.temperature, measured.confidence, measured.curve)
    }
}

impl From<Calibration> for Measured {
    fn from(calibration: Calibration) -> Self {
        let Calibration { n, temperature, confidence, curve } = calibration;
        Self { n, temperature, confidence, curve }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(target: f64, threshold: f64) -> Point {
        let threshold = Threshold::new(threshold).expect("a threshold");
        Point {
            target,
            threshold,
            exact: threshold,
            average: threshold,
            confident: Threshold::CERTAIN,
            accuracy: 0.9,
            accuracy_low: 0.85,
            accuracy_high: 0.94,
            mean_depth: 4.5,
            ranks: BTreeMap::from([("genus".into(), 0.25), ("species".into(), 0.75)]),
        }
    }

    #[test]
    fn a_target_between_two_points_gets_the_safer_one() {
        let calibration =
            Calibration::new(10, 1.0, 0.95, vec![point(0.8, 0.4), point(0.9, 0.6)]).expect("a curve");
        assert_eq!(calibration.point_for(0.85).expect("a point").threshold.value(), 0.6);
        assert_eq!(calibration.point_for(0.1).expect("a point").threshold.value(), 0.4);
        assert!(matches!(calibration.point_for(0.95), Err(CalibrationError::TargetTooHigh { .. })));
        assert!(calibration.point_for(f64::NAN).is_err());
    }

    #[test]
    fn curves_that_cannot_be_are_refused() {
        assert_eq!(Calibration::new(1, 1.0, 0.95, vec![]), Err(CalibrationError::Empty));
        assert!(Calibration::new(1, 1.0, 1.0, vec![point(0.9, 0.5)]).is_err());
        assert!(Calibration::new(1, 0.0, 0.95, vec![point(0.9, 0.5)]).is_err());
        assert!(Calibration::new(1, 1.0, 0.95, vec![point(0.9, 0.5), point(0.8, 0.6)]).is_err());
        assert!(Calibration::new(1, 1.0, 0.95, vec![point(0.8, 0.7), point(0.9, 0.6)]).is_err());
        assert!(Calibration::new(1, 1.0, 0.95, vec![point(1.5, 0.7)]).is_err());
    }

    #[test]
    fn a_calibration_file_has_these_fields() {
        let calibration = Calibration::new(480, 1.25, 0.95, vec![point(0.9, 0.5)]).expect("a curve");
        let text = toml::to_string(&calibration).expect("TOML");
        insta::assert_snapshot!(text);
        assert_eq!(toml::from_str::<Calibration>(&text).expect("own file"), calibration);
    }
}

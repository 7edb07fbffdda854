//! Accuracy against specificity, over all thresholds.

use fieldmark_models::specificity::Threshold;

use crate::calibrate::{Figures, Judged, Specificity};

/// Thresholds a curve is taken at.
const POINTS: u32 = 200;

/// The answers at one threshold.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct CurvePoint {
    /// The cut-off.
    pub threshold: f64,
    /// What is answered there.
    #[serde(flatten)]
    pub figures: Figures,
}

/// From everything named to nothing but the root.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Curve {
    /// By rising threshold.
    pub points: Vec<CurvePoint>,
    /// Area under hierarchical risk (share of wrong answers) over hierarchical coverage (mean information of the
    /// answers: 0 at the root, 1 at a leaf), divided by the coverage reached: the mean risk on the way from saying
    /// nothing to saying as much as the network can (Goren, Galil & El-Yaniv 2024). Lower is better.
    pub hierarchical_aurc: f64,
    /// Hierarchical coverage reached at threshold 0.
    pub hierarchical_coverage: f64,
}

impl Curve {
    /// Of `judged`.
    #[must_use]
    pub fn of(judged: &[Judged]) -> Self {
        let point = |step: u32| {
            let threshold = Threshold::new(f64::from(step) / f64::from(POINTS)).unwrap_or(Threshold::CERTAIN);
            CurvePoint { threshold: threshold.value(), figures: Figures::of(judged, threshold) }
        };
        let points: Vec<CurvePoint> = (0..=POINTS).map(point).collect();
        let hierarchical_coverage = points.first().map_or(0.0, |point| point.figures.mean_information);
        Self { hierarchical_aurc: aurc(&points), hierarchical_coverage, points }
    }

    /// `(specificity, accuracy)` in the metric chosen.
    #[must_use]
    pub fn against(&self, metric: Specificity) -> Vec<(f64, f64)> {
        self.points.iter().map(|point| (point.figures.specificity(metric), point.figures.accuracy)).collect()
    }
}

/// By trapezia; the root, which is never wrong, stands at coverage 0.
fn aurc(points: &[CurvePoint]) -> f64 {
    let mut by_coverage: Vec<(f64, f64)> =
        points.iter().map(|point| (point.figures.mean_information, 1.0 - point.figures.accuracy)).collect();
    by_coverage.push((0.0, 0.0));
    by_coverage.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let area: f64 = by_coverage
        .windows(2)
        .map(|pair| (pair[1].0 - pair[0].0) * f64::midpoint(pair[0].1, pair[1].1))
        .sum();
    let reached = by_coverage.last().map_or(0.0, |&(coverage, _)| coverage);
    if reached > 0.0 { area / reached } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(mean_information: f64, accuracy: f64) -> CurvePoint {
        CurvePoint { threshold: 0.5, figures: Figures { mean_information, accuracy, ..Figures::default() } }
    }

    #[test]
    fn the_area_is_the_mean_risk_over_the_coverage_reached() {
        // Risk rises from 0 at coverage 0 to 0.4 at 0.8 in a straight line.
        assert!((aurc(&[point(0.8, 0.6), point(0.4, 0.8)]) - 0.2).abs() < 1e-12);
        // Never wrong.
        assert_eq!(aurc(&[point(0.8, 1.0), point(0.1, 1.0)]), 0.0);
        assert_eq!(aurc(&[point(0.0, 1.0)]), 0.0);
    }
}

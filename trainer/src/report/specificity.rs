//! How right answers are, how specific, and whether their probabilities mean what they say.

use std::fmt::Write as _;

use fieldmark_models::calibration::Calibration;

use super::chart::{Axes, Line, chart};
use crate::calibrate::Specificity;
use crate::evaluate::{Measured, Reliability};

/// The section on specificity control.
#[must_use]
pub fn calibration(calibration: &Calibration) -> String {
    let mut html = format!(
        "<h2>Specificity control</h2><p>Temperature {:.3}, {} answers. Accuracy and depth are those of the hill-climbed \
         threshold on photographs it was not fitted to. <code>average</code> and <code>confident</code> promise the target \
         of pictures like these: on average over calibrations, and with probability {:.2}.</p><div class=wide tabindex=0>\
         <table><tr><th>target<th>hill climbing<th>exact<th>average<th>confident<th>accuracy<th>95 %<th>mean depth",
        calibration.temperature(),
        calibration.n(),
        calibration.confidence(),
    );
    for point in calibration.curve() {
        let _ = write!(
            html,
            "<tr><td>{:.2}<td>{:.3}<td>{:.3}<td>{:.3}<td>{:.3}<td>{:.3}<td>{:.3} to {:.3}<td>{:.2}",
            point.target,
            point.threshold.value(),
            point.exact.value(),
            point.average.value(),
            point.confident.value(),
            point.accuracy,
            point.accuracy_low,
            point.accuracy_high,
            point.mean_depth
        );
    }
    html.push_str("</table></div>");
    html
}

/// Depth against target accuracy (the paper's Figure 3), and accuracy against depth over all thresholds.
pub(super) fn curves(html: &mut String, measured: &Measured) -> anyhow::Result<()> {
    let points: Vec<(f64, f64)> =
        measured.calibration.curve().iter().map(|point| (point.target, point.mean_depth)).collect();
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return Ok(()) };
    let across = (first.0 - 0.02, (last.0 + 0.02).min(1.0));
    let deepest = points.iter().map(|point| point.1).fold(1.0, f64::max).ceil();
    html.push_str("<h2>Depth against target accuracy</h2>");
    let axes = Axes {
        describes: "Mean depth of the answers by target accuracy",
        x: "target accuracy",
        y: "mean depth of the answers",
        across,
        up: (0.0, deepest),
    };
    html.push_str(&chart(&axes, &[Line { name: "answers".into(), points, marked: true }])?);
    html.push_str("<h2>Accuracy against depth</h2>");
    let metric = Specificity::Depth;
    html.push_str(&against(&[("answers".into(), measured.curve.against(metric))], metric)?);
    Ok(())
}

/// Accuracy against `metric` over all thresholds, a line a curve.
///
/// # Errors
/// If it cannot be drawn.
pub fn against(curves: &[(String, Vec<(f64, f64)>)], metric: Specificity) -> anyhow::Result<String> {
    let all = || curves.iter().flat_map(|(_, points)| points);
    let deepest = all().map(|point| point.0).fold(1.0, f64::max);
    let what = match metric {
        Specificity::Depth => "mean depth of the answers",
        Specificity::Information => "mean information of the answers",
    };
    let describes = format!("Accuracy by {what}, over all thresholds");
    let lowest = all().map(|point| point.1).fold(1.0, f64::min);
    let axes = Axes {
        describes: &describes,
        x: what,
        y: "accuracy",
        across: (0.0, deepest),
        up: ((lowest - 0.02).max(0.0), 1.0),
    };
    let line = |(name, points): &(String, Vec<_>)| Line {
        name: name.clone(),
        points: points.clone(),
        marked: false,
    };
    chart(&axes, &curves.iter().map(line).collect::<Vec<_>>())
}

/// The reliability diagram.
pub(super) fn reliability(html: &mut String, measured: &Measured) -> anyhow::Result<()> {
    let [plain, tempered] = &measured.reliability;
    let line = |name: String, of: &Reliability| Line {
        name,
        points: of.bins.iter().map(|bin| (bin.probability, bin.accuracy)).collect(),
        marked: true,
    };
    let _ = write!(
        html,
        "<h2>Reliability</h2><p>Share of right best leaves by their probability. Expected calibration error {:.3} as the \
         network gives them, {:.3} at the package's temperature, which was fitted to the same pictures.</p>",
        plain.expected_calibration_error, tempered.expected_calibration_error
    );
    let axes = Axes {
        describes: "Share of right best leaves by their probability",
        x: "probability of the best leaf",
        y: "share that is right",
        across: (0.0, 1.0),
        up: (0.0, 1.0),
    };
    let lines = [
        line("as the network gives them".into(), plain),
        line(format!("at temperature {:.2}", tempered.temperature), tempered),
        Line {
            name: "what a probability promises".into(),
            points: vec![(0.0, 0.0), (1.0, 1.0)],
            marked: false,
        },
    ];
    html.push_str(&chart(&axes, &lines)?);
    Ok(())
}

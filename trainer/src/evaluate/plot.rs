//! The curves as pictures.

use std::path::Path;

use anyhow::Context as _;
use plotters::prelude::*;

use super::Curve;
use crate::calibrate::Specificity;

const SIZE: (u32, u32) = (720, 480);

/// Draws accuracy against `metric` for `curve` into the SVG file `path`.
///
/// # Errors
/// If it cannot be written.
pub fn plot(curve: &Curve, metric: Specificity, path: &Path) -> anyhow::Result<()> {
    let line = curve.against(metric);
    let (label, furthest) = match metric {
        Specificity::Depth => ("mean depth of the answers", line.iter().map(|p| p.0).fold(1.0, f64::max)),
        Specificity::Information => ("mean information of the answers", 1.0),
    };
    let lowest = line.iter().map(|p| p.1).fold(1.0, f64::min);
    let drawing = || -> Result<(), Box<dyn std::error::Error>> {
        let area = SVGBackend::new(path, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .margin(16)
            .x_label_area_size(44)
            .y_label_area_size(56)
            .build_cartesian_2d(0.0..furthest, (lowest - 0.02).max(0.0)..1.0)?;
        chart.configure_mesh().x_desc(label).y_desc("accuracy").draw()?;
        chart.draw_series(LineSeries::new(line.iter().copied(), &BLUE))?;
        area.present()?;
        Ok(())
    };
    drawing()
        .map_err(|error| anyhow::anyhow!("{error}"))
        .with_context(|| format!("cannot draw {}", path.display()))
}

//! Curves as SVG.

use plotters::prelude::*;

const SIZE: (u32, u32) = (720, 400);
/// Told apart without colour vision too (Okabe and Ito), and all of them legible on white.
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(120, 94, 0),
    RGBColor(0, 0, 0),
];

/// One line of a chart.
#[derive(Debug, Clone)]
pub struct Line {
    /// What it is called; not told where it is the only one.
    pub name: String,
    /// `(x, y)`.
    pub points: Vec<(f64, f64)>,
    /// Whether its points are marked: they are measured, what lies between them is not.
    pub marked: bool,
}

/// What a chart says of itself.
#[derive(Debug, Clone, Copy)]
pub struct Axes<'a> {
    /// For those who do not see it.
    pub describes: &'a str,
    /// Along the bottom.
    pub x: &'a str,
    /// Along the side.
    pub y: &'a str,
    /// From and to.
    pub across: (f64, f64),
    /// From and to.
    pub up: (f64, f64),
}

/// The colour of line number `number`.
fn colour(number: usize) -> RGBColor {
    COLOURS[number % COLOURS.len()]
}

/// An SVG element with `lines` in it, and what they are called under it.
///
/// # Errors
/// If it cannot be drawn.
pub fn chart(axes: &Axes<'_>, lines: &[Line]) -> anyhow::Result<String> {
    let mut svg = String::new();
    draw(&mut svg, axes, lines).map_err(|error| anyhow::anyhow!("cannot draw a chart: {error}"))?;
    let label = super::escape(axes.describes);
    let mut html = svg.replacen("<svg ", &format!("<svg role=\"img\" aria-label=\"{label}\" "), 1);
    if lines.len() > 1 {
        html.push_str("<ul class=lines>");
        for (number, line) in lines.iter().enumerate() {
            let RGBColor(red, green, blue) = colour(number);
            let swatch = format!("<span style=\"background:rgb({red},{green},{blue})\"></span>");
            html.push_str(&format!("<li>{swatch} {}</li>", super::escape(&line.name)));
        }
        html.push_str("</ul>");
    }
    Ok(html)
}

fn draw(svg: &mut String, axes: &Axes<'_>, lines: &[Line]) -> Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(56)
        .build_cartesian_2d(axes.across.0..axes.across.1, axes.up.0..axes.up.1)?;
    chart.configure_mesh().x_desc(axes.x).y_desc(axes.y).draw()?;
    for (number, line) in lines.iter().enumerate() {
        let colour = colour(number);
        chart.draw_series(LineSeries::new(line.points.iter().copied(), colour.stroke_width(2)))?;
        if line.marked {
            chart.draw_series(line.points.iter().map(|&point| Circle::new(point, 4, colour.filled())))?;
        }
    }
    area.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_says_what_it_shows_and_what_its_lines_are() {
        let axes = Axes { describes: "a < b", x: "depth", y: "accuracy", across: (0.0, 7.0), up: (0.0, 1.0) };
        let line =
            |name: &str| Line { name: name.into(), points: vec![(0.0, 0.1), (5.0, 0.9)], marked: true };
        let one = chart(&axes, &[line("one")]).expect("a chart");
        assert!(one.starts_with("<svg role=\"img\" aria-label=\"a &lt; b\""), "{one}");
        assert!(one.contains("accuracy") && one.matches("<circle").count() == 2 && !one.contains("<ul"));
        let two = chart(&axes, &[line("one"), line("two")]).expect("a chart");
        assert!(two.contains("one</li>") && two.contains("two</li>"), "{two}");
    }
}

//! Figures as tables.

use std::fmt::Write as _;

use super::chart::{Axes, Line, chart};
use super::escape;
use crate::evaluate::{Measured, SizeClass};

/// Confusions shown of a rank; all of them are in the figures as JSON.
const CONFUSIONS: usize = 12;

pub(super) fn top1(html: &mut String, measured: &Measured, training: Option<f64>) {
    let elsewhere = !measured.top1_held_out_backgrounds.is_empty();
    html.push_str("<h2>Best leaf, held-out photographs</h2><div class=wide tabindex=0><table><tr><th>rank<th>as they are");
    html.push_str(if elsewhere { "<th>on unseen backgrounds" } else { "" });
    for (rank, (mean, deviation)) in &measured.top1 {
        let _ = write!(html, "<tr><td>{rank}<td>{mean:.3} ± {deviation:.3}");
        if let Some((mean, deviation)) = measured.top1_held_out_backgrounds.get(rank) {
            let _ = write!(html, "<td>{mean:.3} ± {deviation:.3}");
        }
    }
    html.push_str("</table></div>");
    if let Some(training) = training {
        let _ = write!(
            html,
            "<p>On photographs that were trained on, unchanged: {training:.3} at the species. What lies between is overfitting.</p>"
        );
    }
}

/// Accuracy by class size (the paper's Figure 4).
pub(super) fn by_size(html: &mut String, measured: &Measured) -> anyhow::Result<()> {
    html.push_str(
        "<h2>By training photographs of the species</h2><div class=wide tabindex=0><table><tr><th>photographs<th>answers\
         <th>top-1",
    );
    for class in &measured.by_size {
        let to = class.to.map_or_else(|| "or more".into(), |to| format!("to {to}"));
        let _ = write!(html, "<tr><td>{} {to}<td>{}<td>{:.3}", class.from, class.n, class.top1);
    }
    html.push_str("</table></div>");
    if measured.by_size.len() > 1 {
        html.push_str(&sizes(&[("top-1".into(), &measured.by_size)])?);
    }
    Ok(())
}

/// Accuracy by class size, a line a run.
///
/// # Errors
/// If it cannot be drawn.
pub fn sizes(runs: &[(String, &[SizeClass])]) -> anyhow::Result<String> {
    let point = |class: &SizeClass| ((class.from as f64).log10(), class.top1);
    let largest = runs.iter().flat_map(|(_, classes)| *classes).map(|class| class.from).max().unwrap_or(1);
    let axes = Axes {
        describes: "Species top-1 by training photographs of the species",
        x: "training photographs of the species, at least (logarithm to base 10)",
        y: "top-1",
        across: (0.0, (largest as f64).log10().max(0.5)),
        up: (0.0, 1.0),
    };
    let line = |(name, classes): &(String, &[SizeClass])| Line {
        name: name.clone(),
        points: classes.iter().map(point).collect(),
        marked: true,
    };
    chart(&axes, &runs.iter().map(line).collect::<Vec<_>>())
}

pub(super) fn confusion(html: &mut String, measured: &Measured) {
    html.push_str("<h2>What is taken for what</h2>");
    for confusion in measured.confusion.iter().filter(|confusion| !confusion.mistaken.is_empty()) {
        let (right, n) = (confusion.right, confusion.n);
        let _ = write!(
            html,
            "<details><summary>{}: {right} of {n} right, {} confusions</summary><div class=wide tabindex=0><table>\
             <tr><th>it is<th class=name>taken for<th>times<th>of its pictures",
            escape(&confusion.rank),
            confusion.mistaken.len()
        );
        for mistaken in confusion.mistaken.iter().take(CONFUSIONS) {
            let share = 100.0 * mistaken.n as f64 / mistaken.of.max(1) as f64;
            let _ = write!(
                html,
                "<tr><td>{}<td class=name>{}<td>{}<td>{share:.0} %",
                escape(&mistaken.truth),
                escape(&mistaken.answer),
                mistaken.n
            );
        }
        html.push_str("</table></div></details>");
    }
}

pub(super) fn unseen(html: &mut String, measured: &Measured) {
    html.push_str(
        "<h2>Species left out of training</h2><div class=wide tabindex=0><table><tr><th>target<th>answers\
         <th>true ancestors<th>of those at order or deeper<th>mean depth",
    );
    for row in &measured.unseen {
        let _ = write!(
            html,
            "<tr><td>{:.2}<td>{}<td>{:.3}<td>{:.3} of {}<td>{:.2}",
            row.target, row.n, row.correct, row.specific.0, row.specific.1, row.mean_depth
        );
    }
    html.push_str("</table></div>");
}

//! `report.html`: how good the model is, for people.

use std::fmt::Write as _;

use fieldmark_models::calibration::Calibration;
use fieldmark_models::taxonomy::Taxonomy;

use super::Identity;
use crate::evaluate::Measured;

/// The page. It loads nothing from elsewhere.
#[must_use]
pub fn report(identity: &Identity<'_>, taxonomy: &Taxonomy, measured: &Measured) -> String {
    let mut html = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        html,
        "<!doctype html><meta charset=utf-8><title>{name} {version}</title>\
         <style>body{{font:16px/1.5 sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem}}\
         table{{border-collapse:collapse}}td,th{{border:1px solid #999;padding:.2rem .6rem;text-align:right}}</style>\
         <h1>{name} {version}</h1><p>{leaves} leaves of {taxa} taxa · {preset} · {measured_on}</p>",
        name = escape(identity.name),
        version = identity.version,
        leaves = taxonomy.leaf_count(),
        taxa = taxonomy.len() - 1,
        preset = identity.preset,
        measured_on = escape(identity.measured_on),
    );
    top1(&mut html, measured);
    by_size(&mut html, measured);
    html.push_str(&calibration(&measured.calibration));
    if measured.unseen.iter().any(|unseen| unseen.n > 0) {
        unseen(&mut html, measured);
    }
    html.push_str("<h2>Sources</h2><ul>");
    for source in identity.provenance {
        let _ = write!(html, "<li>{}</li>", escape(source));
    }
    html.push_str("</ul>");
    html
}

fn top1(html: &mut String, measured: &Measured) {
    html.push_str(
        "<h2>Best leaf, held-out photographs</h2><table><tr><th>rank<th>as they are<th>on unseen backgrounds",
    );
    for (rank, (mean, deviation)) in &measured.top1 {
        let other = measured.top1_held_out_backgrounds.get(rank);
        let other = other.map_or_else(String::new, |(mean, deviation)| format!("{mean:.3} ± {deviation:.3}"));
        let _ = write!(html, "<tr><td>{rank}<td>{mean:.3} ± {deviation:.3}<td>{other}");
    }
    html.push_str("</table>");
}

fn by_size(html: &mut String, measured: &Measured) {
    html.push_str(
        "<h2>By training photographs of the species</h2><table><tr><th>photographs<th>answers<th>top-1",
    );
    for class in &measured.by_size {
        let to = class.to.map_or_else(String::new, |to| to.to_string());
        let _ = write!(html, "<tr><td>{} to {to}<td>{}<td>{:.3}", class.from, class.n, class.top1);
    }
    html.push_str("</table>");
}

/// The section on specificity control.
#[must_use]
pub fn calibration(calibration: &Calibration) -> String {
    let mut html = format!(
        "<h2>Specificity control</h2><p>Temperature {:.3}, {} answers. Accuracy and depth are those of the hill-climbed \
         threshold on photographs it was not fitted to. `average` and `confident` promise the target of pictures like \
         these: on average over calibrations, and with probability {:.2}.</p><table><tr><th>target<th>hill climbing\
         <th>exact<th>average<th>confident<th>accuracy<th>95 %<th>mean depth",
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
    html.push_str("</table>");
    html
}

fn unseen(html: &mut String, measured: &Measured) {
    html.push_str(
        "<h2>Species left out of training</h2><table><tr><th>target<th>answers<th>true ancestors\
         <th>of those at order or deeper<th>mean depth",
    );
    for row in &measured.unseen {
        let _ = write!(
            html,
            "<tr><td>{:.2}<td>{}<td>{:.3}<td>{:.3} of {}<td>{:.2}",
            row.target, row.n, row.correct, row.specific.0, row.specific.1, row.mean_depth
        );
    }
    html.push_str("</table>");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

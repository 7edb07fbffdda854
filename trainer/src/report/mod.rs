//! `report.html`: how good a model is, for people. One page that loads nothing from elsewhere.

mod chart;
mod specificity;
mod tables;
mod taxa;

use std::fmt::Write as _;

use fieldmark_models::taxonomy::Taxonomy;

use crate::evaluate::Measured;
use crate::package::Identity;

pub use chart::{Axes, Line, chart};
pub use specificity::{against, calibration};
pub use tables::sizes;
pub use taxa::Photograph;

/// How a page ends.
const END: &str = "</main></html>";
const STYLE: &str = include_str!("report.css");

/// What a page is made of.
#[derive(Clone, Copy)]
pub struct Content<'a> {
    /// Whose figures they are.
    pub identity: &'a Identity<'a>,
    /// What it tells apart.
    pub taxonomy: &'a Taxonomy,
    /// The figures.
    pub measured: &'a Measured,
    /// Species top-1 on training photographs, where it was asked.
    pub training_top1: Option<f64>,
    /// Pictures for the page.
    pub photograph: &'a Photograph<'a>,
}

/// The page of a run, pictures of its photographs included.
///
/// # Errors
/// If a chart cannot be drawn.
pub fn report(content: &Content<'_>) -> anyhow::Result<String> {
    let Content { identity, taxonomy, measured, training_top1, photograph } = *content;
    let title = format!("{} {}", identity.name, identity.version);
    let mut html = head(&title);
    let _ = write!(
        html,
        "<p>{leaves} leaves of {taxa} taxa · {preset} · {measured_on}</p>",
        leaves = taxonomy.leaf_count(),
        taxa = taxonomy.len() - 1,
        preset = escape(identity.preset),
        measured_on = escape(identity.measured_on),
    );
    tables::top1(&mut html, measured, training_top1);
    tables::by_size(&mut html, measured)?;
    html.push_str(&calibration(&measured.calibration));
    specificity::curves(&mut html, measured)?;
    specificity::reliability(&mut html, measured)?;
    tables::confusion(&mut html, measured);
    html.push_str(&taxa::taxa(&measured.taxa, photograph));
    if measured.unseen.iter().any(|unseen| unseen.n > 0) {
        tables::unseen(&mut html, measured);
    }
    html.push_str("<h2>Sources</h2><ul>");
    for source in identity.provenance {
        let _ = write!(html, "<li>{}</li>", escape(source));
    }
    html.push_str("</ul>");
    html.push_str(END);
    Ok(html)
}

/// Everything up to the content of a page called `title`.
#[must_use]
pub fn head(title: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>{title}</title><style>{STYLE}</style><main><h1>{title}</h1>"
    )
}

/// `page` with `section` at its end.
#[must_use]
pub fn with(page: &str, section: &str) -> String {
    format!("{}{section}{END}", page.strip_suffix(END).unwrap_or(page))
}

/// `text` as it stands in HTML.
#[must_use]
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

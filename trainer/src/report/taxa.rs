//! The taxa that are known best and worst, with the photograph that was hardest.

use std::fmt::Write as _;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fieldmark_models::picture::Picture;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use image::{DynamicImage, RgbImage};

use super::escape;
use crate::evaluate::TaxonFigures;

/// Taxa at each end.
const SHOWN: usize = 12;
/// Longest side of a picture.
const SIDE: u32 = 128;
const QUALITY: u8 = 80;

/// Where a photograph of the set lies; none where pictures are not to be in the page.
pub type Photograph<'a> = dyn Fn(usize) -> Option<PathBuf> + 'a;

/// Both ends of `taxa`, which come the worst first.
#[must_use]
pub(super) fn taxa(taxa: &[TaxonFigures], photograph: &Photograph<'_>) -> String {
    let shown = SHOWN.min(taxa.len().div_ceil(2));
    let mut html = String::new();
    let worst = &taxa[..shown];
    let best: Vec<&TaxonFigures> = taxa[shown..].iter().rev().take(SHOWN).collect();
    if !worst.is_empty() {
        html.push_str("<h2>Worst taxa</h2>");
        list(&mut html, worst.iter(), photograph);
    }
    if !best.is_empty() {
        html.push_str("<h2>Best taxa</h2>");
        list(&mut html, best.into_iter(), photograph);
    }
    html
}

fn list<'t>(html: &mut String, taxa: impl Iterator<Item = &'t TaxonFigures>, photograph: &Photograph<'_>) {
    html.push_str("<ul class=taxa>");
    for figures in taxa {
        let picture = photograph(figures.hardest).and_then(|path| thumbnail(&path));
        let picture = picture.map_or_else(String::new, |data| {
            format!("<img alt=\"its hardest photograph\" src=\"data:image/jpeg;base64,{data}\">")
        });
        let common =
            figures.common_name.as_deref().map_or_else(String::new, |name| format!(" {}", escape(name)));
        let _ = write!(
            html,
            "<li>{picture}<span><i>{}</i>{common}<br>{} of {} right, mean probability {:.2}<br>{} to train on</span></li>",
            escape(&figures.taxon),
            figures.right,
            figures.n,
            figures.probability,
            figures.trained_on
        );
    }
    html.push_str("</ul>");
}

/// The picture at `path` in small, as base64 of a JPEG; none where it cannot be read.
fn thumbnail(path: &Path) -> Option<String> {
    let picture = Picture::decode(&std::fs::read(path).ok()?).ok()?;
    let (width, height) = (picture.width(), picture.height());
    let whole = DynamicImage::from(RgbImage::from_raw(width, height, picture.into_rgb())?);
    let mut jpeg = Cursor::new(Vec::new());
    let small = whole.resize(SIDE, SIDE, FilterType::Triangle).into_rgb8();
    JpegEncoder::new_with_quality(&mut jpeg, QUALITY).encode_image(&small).ok()?;
    Some(STANDARD.encode(jpeg.into_inner()))
}

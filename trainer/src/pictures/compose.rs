//! Laying a cut-out on a background.

use std::fs;
use std::path::PathBuf;

use fieldmark_models::picture::{MID_GREY, Picture};
use image::imageops::{FilterType, crop_imm, resize};
use image::{Rgb, RgbImage, Rgba, RgbaImage};
use rand::RngExt as _;
use rand::rngs::StdRng;

use super::PicturesError;

/// Side of a composed picture in pixels: about twice what the network sees, so that the crop view is sharp.
const SIDE: u32 = 520;

/// Background photographs, each reduced once.
#[derive(Debug, Clone)]
pub struct Backgrounds {
    training: Vec<RgbImage>,
    held_out: Vec<RgbImage>,
}

impl Backgrounds {
    /// Reads both sets.
    ///
    /// # Errors
    /// If one cannot be read; the message ends with `hint`.
    pub fn read(training: &[PathBuf], held_out: &[PathBuf], hint: &str) -> Result<Self, PicturesError> {
        let read = |paths: &[PathBuf]| -> Result<Vec<RgbImage>, PicturesError> {
            paths.iter().map(|path| read_background(path, hint)).collect()
        };
        Ok(Self { training: read(training)?, held_out: read(held_out)? })
    }
}

fn read_background(path: &PathBuf, hint: &str) -> Result<RgbImage, PicturesError> {
    let hint = format!("; {hint}");
    let bytes = fs::read(path).map_err(|source| PicturesError::File { path: path.clone(), source, hint })?;
    let failed = |source| PicturesError::Decode { path: path.clone(), source };
    let picture = Picture::decode(&bytes).map_err(failed)?;
    let (width, height) = (picture.width(), picture.height());
    let factor = f64::from(2 * SIDE) / f64::from(width.min(height));
    let scaled = |side: u32| ((f64::from(side) * factor) as u32).max(SIDE);
    let image = RgbImage::from_raw(width, height, picture.into_rgb()).unwrap_or_default();
    Ok(resize(&image, scaled(width), scaled(height), FilterType::Triangle))
}

/// What a cut-out is laid on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placement {
    Grey,
    Rendered,
    Photograph,
    HeldOut,
}

/// The cut-out, drawn to a square as the network will see it, scaled and moved, on a background.
pub(super) fn compose(
    cutout: &RgbaImage,
    placement: Placement,
    backgrounds: &Backgrounds,
    random: &mut StdRng,
) -> Result<Picture, PicturesError> {
    let (smallest, largest) = match placement {
        Placement::Grey => (0.75, 1.1),
        Placement::Rendered | Placement::Photograph => (0.55, 1.05),
        Placement::HeldOut => (0.6, 1.0),
    };
    let mut canvas = match placement {
        Placement::Grey => RgbImage::from_pixel(SIDE, SIDE, Rgb([MID_GREY; 3])),
        Placement::Rendered => rendered(random),
        Placement::Photograph => part_of(&backgrounds.training, random),
        Placement::HeldOut => part_of(&backgrounds.held_out, random),
    };
    let share: f64 = random.random_range(smallest..largest);
    let stretch = random.random_range(-0.1..0.1f64).exp();
    let side = |factor: f64| ((f64::from(SIDE) * share * factor) as u32).max(8);
    let scaled = resize(&premultiplied(cutout), side(stretch), side(1.0 / stretch), FilterType::Triangle);
    let mut place = |length: u32| {
        let free = i64::from(SIDE) - i64::from(length);
        random.random_range(free.min(0)..=free.max(0))
    };
    let (left, top) = (place(scaled.width()), place(scaled.height()));
    lay(&scaled, &mut canvas, left, top);
    Picture::from_image(canvas).map_err(PicturesError::Rendered)
}

fn lay(premultiplied: &RgbaImage, canvas: &mut RgbImage, left: i64, top: i64) {
    for (x, y, source) in premultiplied.enumerate_pixels() {
        let (x, y) = (i64::from(x) + left, i64::from(y) + top);
        let inside = |v: i64| (0..i64::from(SIDE)).contains(&v);
        if inside(x) && inside(y) {
            let target = canvas.get_pixel_mut(x as u32, y as u32);
            let rest = 255 - u32::from(source.0[3]);
            for channel in 0..3 {
                let below = (u32::from(target.0[channel]) * rest + 127) / 255;
                target.0[channel] = (u32::from(source.0[channel]) + below).min(255) as u8;
            }
        }
    }
}

/// Resampling mixes neighbours: colours of transparent pixels must count nothing.
fn premultiplied(cutout: &RgbaImage) -> RgbaImage {
    let mut out = cutout.clone();
    for Rgba([red, green, blue, alpha]) in out.pixels_mut() {
        for channel in [red, green, blue] {
            *channel = ((u32::from(*channel) * u32::from(*alpha) + 127) / 255) as u8;
        }
    }
    out
}

/// A colour field, a gradient or smooth noise: a few random colours, drawn large.
fn rendered(random: &mut StdRng) -> RgbImage {
    let cells = [1, 2, random.random_range(3..9)][random.random_range(0..3)];
    let noise = RgbImage::from_fn(cells, cells, |_, _| Rgb(random.random()));
    resize(&noise, SIDE, SIDE, FilterType::CatmullRom)
}

fn part_of(photographs: &[RgbImage], random: &mut StdRng) -> RgbImage {
    if photographs.is_empty() {
        return rendered(random);
    }
    let photograph = &photographs[random.random_range(0..photographs.len())];
    let shortest = photograph.width().min(photograph.height());
    let side = (f64::from(shortest) * random.random_range(0.4..1.0)) as u32;
    let left = random.random_range(0..=photograph.width() - side);
    let top = random.random_range(0..=photograph.height() - side);
    resize(&crop_imm(photograph, left, top, side, side).to_image(), SIDE, SIDE, FilterType::Triangle)
}

//! Golden pictures rendered by the project: free for anyone to pass on, and rich enough in colours and edges
//! that a wrong engine gives other probabilities.

use std::io::Cursor;

use fieldmark_models::package::{Golden, GoldenPicture};
use fieldmark_models::picture::Picture;
use fieldmark_models::views::{ViewRenderer, ViewSet};
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};

use crate::features::{FeaturesError, Runner};
use crate::pictures::PicturesError;

/// Rounding of float engines on these networks stays a hundred times below this.
const TOLERANCE: f32 = 1e-3;
/// Side in pixels.
const SIDE: u32 = 160;

/// Name and content of a picture file.
pub type PictureFile = (String, Vec<u8>);

/// Renders the pictures and asks `model` about them.
///
/// # Errors
/// If the model does not run.
pub fn golden_pictures(model: &[u8], views: &ViewSet) -> Result<(Golden, Vec<PictureFile>), FeaturesError> {
    let runner = Runner::new(model, views)?;
    let mut renderer = ViewRenderer::new();
    let mut golden = Golden { tolerance: TOLERANCE, picture: Vec::new() };
    let mut files = Vec::new();
    for (name, paint) in [("petals.png", petals as fn(f32, f32) -> [f32; 3]), ("stripes.png", stripes)] {
        let image = render(paint);
        let picture = Picture::from_image(image.clone()).map_err(PicturesError::Rendered)?;
        golden.picture.push(GoldenPicture {
            file: format!("golden/{name}"),
            licence: "CC0-1.0".into(),
            attribution: "rendered by fieldmark-trainer".into(),
            probabilities: runner.run(&picture, &mut renderer)?,
        });
        let mut bytes = Cursor::new(Vec::new());
        // Writing a PNG to memory fails only when memory does.
        let _ = DynamicImage::ImageRgb8(image).write_to(&mut bytes, ImageFormat::Png);
        files.push((name.to_owned(), bytes.into_inner()));
    }
    Ok((golden, files))
}

fn render(paint: fn(f32, f32) -> [f32; 3]) -> RgbImage {
    let place = |v: u32| 2.0 * (v as f32 + 0.5) / SIDE as f32 - 1.0;
    RgbImage::from_fn(SIDE, SIDE, |x, y| {
        Rgb(paint(place(x), place(y)).map(|c| (c.clamp(0.0, 1.0) * 255.0) as u8))
    })
}

/// Five petals around a yellow disc on a green ground.
fn petals(x: f32, y: f32) -> [f32; 3] {
    let (radius, angle) = (x.hypot(y), y.atan2(x));
    if radius < 0.2 {
        [0.95, 0.8, 0.1]
    } else if radius < 0.45 + 0.35 * (5.0 * angle).cos().abs() {
        [0.85, 0.2 + 0.3 * radius, 0.6]
    } else {
        [0.15, 0.4 + 0.2 * (9.0 * x).sin(), 0.12]
    }
}

/// Curved dark stripes on a tawny ground.
fn stripes(x: f32, y: f32) -> [f32; 3] {
    let wave = (14.0 * (x + 0.25 * (3.0 * y).sin())).sin();
    if wave > 0.55 { [0.1, 0.08, 0.06] } else { [0.85 - 0.2 * y.abs(), 0.55 - 0.1 * y, 0.2] }
}

//! How sharp and how bright a picture is, from one pixel in sixteen.

use fieldmark_models::picture::Picture;

/// Pixels between two that are looked at, along each side.
const STEP: usize = 4;

/// What is seen of a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    /// Width and height of the picture, pixels.
    pub size: (u32, u32),
    /// Energy of the Laplacian in that of the picture: what fine detail there is, whatever the contrast. 0 for a flat
    /// picture; the same scene out of focus has a fraction of it.
    pub sharpness: f64,
    /// Mean of the green channel, 0 to 255.
    pub brightness: f64,
}

/// Looks at `picture`, whose green channel stands for its brightness.
#[must_use]
pub fn look(picture: &Picture) -> Look {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let rgb = picture.rgb();
    let green = |x: usize, y: usize| rgb.get((y * width + x) * 3 + 1).map_or(0.0, |&value| f64::from(value));
    let (mut count, mut sum, mut squares, mut energy) = (0u32, 0.0, 0.0, 0.0);
    for y in (1..height.saturating_sub(1)).step_by(STEP) {
        for x in (1..width.saturating_sub(1)).step_by(STEP) {
            let middle = green(x, y);
            let around = green(x - 1, y) + green(x + 1, y) + green(x, y - 1) + green(x, y + 1);
            let laplacian = around - 4.0 * middle;
            count += 1;
            sum += middle;
            squares += middle * middle;
            energy += laplacian * laplacian;
        }
    }
    let count = f64::from(count.max(1));
    let mean = sum / count;
    let variance = (squares / count - mean * mean).max(0.0);
    // A grey level of noise is no detail.
    let size = (picture.width(), picture.height());
    Look { size, sharpness: energy / count / (variance + 16.0), brightness: mean }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waves of so many pixels with so much contrast.
    fn waves(pixels: f64, contrast: f64) -> Picture {
        let (width, height) = (320u32, 240u32);
        let level = |x: u32, y: u32| {
            let wave = |at: u32| (f64::from(at) * std::f64::consts::TAU / pixels).sin();
            (128.0 + contrast * wave(x) * wave(y)) as u8
        };
        let rgb = (0..height).flat_map(|y| (0..width).flat_map(move |x| [level(x, y); 3])).collect();
        Picture::from_rgb(width, height, rgb).expect("a picture")
    }

    #[test]
    fn what_is_out_of_focus_has_a_fraction_of_the_sharpness_whatever_the_light() {
        let (sharp, soft) = (look(&waves(5.0, 90.0)), look(&waves(25.0, 90.0)));
        assert!(sharp.sharpness > 20.0 * soft.sharpness, "{sharp:?} {soft:?}");
        let dim = look(&waves(5.0, 45.0));
        assert!((dim.sharpness / sharp.sharpness - 1.0).abs() < 0.1, "{dim:?} {sharp:?}");
        assert!((sharp.brightness - 128.0).abs() < 3.0);
    }

    #[test]
    fn any_picture_has_a_look() {
        for (width, height) in [(1, 1), (2, 9), (3, 3)] {
            let pixels = vec![200; (width * height * 3) as usize];
            let seen = look(&Picture::from_rgb(width, height, pixels).expect("a picture"));
            assert!(seen.sharpness.abs() < 1e-9, "{seen:?}");
        }
    }
}

//! The paper's colour changes (section 4): brightness, contrast, saturation, hue.

use fieldmark_models::picture::Picture;
use rand::RngExt as _;
use rand::rngs::StdRng;

/// Brightness ±12.5 %, contrast ±50 %, saturation ±50 %, hue ± `hue` of the colour circle.
pub(super) fn recolour(picture: Picture, hue: f32, random: &mut StdRng) -> Picture {
    let brightness = random.random_range(-0.125..0.125f32) * 255.0;
    let contrast = random.random_range(0.5..1.5f32);
    let saturation = random.random_range(0.5..1.5f32);
    let turn = if hue > 0.0 { random.random_range(-hue..hue) } else { 0.0 } * std::f32::consts::TAU;
    let (width, height) = (picture.width(), picture.height());
    let mut rgb = picture.into_rgb();
    let mean = rgb.iter().map(|&byte| f64::from(byte)).sum::<f64>() / rgb.len().max(1) as f64;
    let mean = mean as f32 + brightness;
    let (sin, cos) = turn.sin_cos();
    for pixel in rgb.chunks_exact_mut(3) {
        let [red, green, blue] = [pixel[0], pixel[1], pixel[2]]
            .map(|byte| (f32::from(byte) + brightness - mean) * contrast + mean);
        // YIQ: luma, and chroma as a plane in which hue is an angle and saturation a length.
        let luma = 0.299 * red + 0.587 * green + 0.114 * blue;
        let i = (0.596 * red - 0.274 * green - 0.322 * blue) * saturation;
        let q = (0.211 * red - 0.523 * green + 0.312 * blue) * saturation;
        let (i, q) = (cos * i - sin * q, sin * i + cos * q);
        let mixed =
            [luma + 0.956 * i + 0.621 * q, luma - 0.272 * i - 0.647 * q, luma - 1.106 * i + 1.703 * q];
        for (byte, value) in pixel.iter_mut().zip(mixed) {
            *byte = value.round().clamp(0.0, 255.0) as u8;
        }
    }
    #[expect(clippy::unwrap_used, reason = "the same pixels in the same size")]
    Picture::from_rgb(width, height, rgb).unwrap()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn colours_change_and_sizes_do_not() {
        let before = Picture::from_rgb(8, 4, (0..96).collect()).expect("a picture");
        let after = recolour(before.clone(), 0.2, &mut StdRng::seed_from_u64(1));
        assert_eq!((after.width(), after.height()), (8, 4));
        assert_ne!(after, before);
    }
}

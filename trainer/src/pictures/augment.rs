//! The paper's random changes (section 4): crop, horizontal flip, brightness, contrast, saturation, hue.

use fieldmark_models::picture::Picture;
use fieldmark_models::views::FractionBox;
use rand::RngExt as _;
use rand::rngs::StdRng;
use serde::Deserialize;

/// How far pictures may be changed; the defaults are the paper's.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Augmentation {
    /// Sides of the smallest part that is shown, as a share of the picture's. The paper names no number.
    pub smallest_side: f64,
    /// Whether every other picture is mirrored.
    pub flip: bool,
    /// Largest change of brightness, as a share of white.
    pub brightness: f32,
    /// Largest change of contrast, as a share of it.
    pub contrast: f32,
    /// Largest change of saturation, as a share of it.
    pub saturation: f32,
    /// Largest change of hue, as a share of the colour circle.
    pub hue: f32,
}

impl Default for Augmentation {
    fn default() -> Self {
        Self { smallest_side: 0.75, flip: true, brightness: 0.125, contrast: 0.5, saturation: 0.5, hue: 0.2 }
    }
}

impl Augmentation {
    /// Whether every number is one that can be followed.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let shares = [self.brightness, self.contrast, self.saturation, self.hue];
        self.smallest_side > 0.0
            && self.smallest_side <= 1.0
            && shares.iter().all(|share| (0.0..=1.0).contains(share))
    }

    /// The picture as changed, and the part of it that is shown.
    #[must_use]
    pub fn apply(&self, picture: Picture, random: &mut StdRng) -> (Picture, FractionBox) {
        let side = random.random_range(self.smallest_side..=1.0);
        let mut edge = || random.random_range(0.0..=1.0 - side);
        let (left, top) = (edge(), edge());
        let end = |start: f64| (start + side).min(1.0);
        let region = FractionBox::new(left, top, end(left), end(top)).unwrap_or(FractionBox::FRAME);
        let picture = if self.flip && random.random() { mirrored(picture) } else { picture };
        (self.recolour(picture, random), region)
    }

    /// The picture with other colours.
    #[must_use]
    pub fn recolour(&self, picture: Picture, random: &mut StdRng) -> Picture {
        let mut within = |share: f32| if share > 0.0 { random.random_range(-share..share) } else { 0.0 };
        let brightness = within(self.brightness) * 255.0;
        let contrast = 1.0 + within(self.contrast);
        let saturation = 1.0 + within(self.saturation);
        let turn = within(self.hue) * std::f32::consts::TAU;
        let (width, height) = (picture.width(), picture.height());
        let mut rgb = picture.into_rgb();
        let mean = rgb.iter().map(|&byte| u64::from(byte)).sum::<u64>() as f64 / rgb.len().max(1) as f64;
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
                // To the nearest; the conversion itself keeps within a byte.
                *byte = (value + 0.5) as u8;
            }
        }
        #[expect(clippy::unwrap_used, reason = "the same pixels in the same size")]
        Picture::from_rgb(width, height, rgb).unwrap()
    }
}

/// Left and right exchanged.
fn mirrored(picture: Picture) -> Picture {
    let (width, height) = (picture.width(), picture.height());
    let mut rgb = picture.into_rgb();
    for row in rgb.chunks_exact_mut(3 * width as usize) {
        let pixels = width as usize;
        for pixel in 0..pixels / 2 {
            for channel in 0..3 {
                row.swap(3 * pixel + channel, 3 * (pixels - 1 - pixel) + channel);
            }
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
        let after = Augmentation::default().recolour(before.clone(), &mut StdRng::seed_from_u64(1));
        assert_eq!((after.width(), after.height()), (8, 4));
        assert_ne!(after, before);
    }

    #[test]
    fn a_mirror_image_of_a_mirror_image_is_the_picture() {
        let before = Picture::from_rgb(5, 2, (0..30).collect()).expect("a picture");
        let once = mirrored(before.clone());
        assert_eq!(once.rgb()[..3], before.rgb()[12..15]);
        assert_eq!(mirrored(once), before);
    }

    #[test]
    fn nothing_random_is_left_of_changes_of_zero() {
        let still = Augmentation {
            smallest_side: 1.0,
            flip: false,
            brightness: 0.0,
            contrast: 0.0,
            saturation: 0.0,
            hue: 0.0,
        };
        let before = Picture::from_rgb(8, 4, (0..96).collect()).expect("a picture");
        let (after, region) = still.apply(before.clone(), &mut StdRng::seed_from_u64(1));
        let largest = before.rgb().iter().zip(after.rgb()).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(largest <= Some(1), "the way to YIQ and back is rounded: {largest:?}");
        assert_eq!(region, FractionBox::FRAME);
    }
}

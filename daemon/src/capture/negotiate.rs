//! Which of a camera's formats, sizes and rates comes closest to what is wanted.

use std::cmp::Reverse;
use std::fmt;

use crate::config::{PixelFormat, V4lConfig};

/// Sizes a camera has in one format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sizes {
    /// One size, in pixels.
    One(u32, u32),
    /// Every size from the first to the second, in steps, all `(width, height)` in pixels.
    Steps {
        /// The smallest.
        least: (u32, u32),
        /// The largest.
        most: (u32, u32),
        /// From one to the next.
        step: (u32, u32),
    },
    /// The driver does not say.
    Unknown,
}

/// Something a camera offers.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer {
    /// The format.
    pub format: PixelFormat,
    /// Its sizes.
    pub sizes: Sizes,
    /// Most frames a second at that size, or the one closest to what is wanted; absent where the driver does
    /// not say.
    pub fastest: Option<f64>,
}

/// What is asked of the driver.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// The format.
    pub format: PixelFormat,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Frames a second.
    pub fps: f64,
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} x {} at {:.4} frames a second", self.format, self.width, self.height, self.fps)
    }
}

impl Sizes {
    /// The size that is at least as large as wanted each way, and not larger than need be; failing that, the
    /// largest.
    #[must_use]
    pub fn closest(&self, wanted: (u32, u32)) -> (u32, u32) {
        match *self {
            Self::One(width, height) => (width, height),
            Self::Unknown => wanted,
            Self::Steps { least, most, step } => {
                let side = |wanted: u32, least: u32, most: u32, step: u32| {
                    let steps = wanted.saturating_sub(least).div_ceil(step.max(1));
                    least.saturating_add(steps.saturating_mul(step)).min(most)
                };
                (side(wanted.0, least.0, most.0, step.0), side(wanted.1, least.1, most.1, step.1))
            }
        }
    }
}

/// The best of `offers`, or `None` where the camera has no format that is read (or not the one `wanted` names).
///
/// In this order: colour before grey; a size that covers the wanted one, the smallest such (failing that, the largest); a rate that
/// reaches the wanted one (failing that, the fastest); the format that costs least a frame.
#[must_use]
pub fn choose(wanted: &V4lConfig, offers: &[Offer]) -> Option<Choice> {
    let size = (wanted.width, wanted.height);
    let allowed = offers.iter().filter(|offer| wanted.format.is_none_or(|format| format == offer.format));
    let best = allowed.min_by(|a, b| preference(a, wanted).total_cmp(&preference(b, wanted)))?;
    let (width, height) = best.sizes.closest(size);
    let asked = f64::from(wanted.fps);
    let fps = best.fastest.map_or(asked, |fastest| fastest.min(asked));
    Some(Choice { format: best.format, width, height, fps })
}

/// Sorts offers, the best first.
#[derive(Debug, PartialEq)]
struct Preference {
    colourless: bool,
    too_small: bool,
    pixels: Result<u64, Reverse<u64>>,
    missing_fps: f64,
    cost: usize,
}

impl Preference {
    fn total_cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.colourless.cmp(&other.colourless))
            .then(self.too_small.cmp(&other.too_small))
            .then(self.pixels.cmp(&other.pixels))
            .then(self.missing_fps.total_cmp(&other.missing_fps))
            .then(self.cost.cmp(&other.cost))
    }
}

fn preference(offer: &Offer, wanted: &V4lConfig) -> Preference {
    let (width, height) = offer.sizes.closest((wanted.width, wanted.height));
    let too_small = width < wanted.width || height < wanted.height;
    let pixels = u64::from(width) * u64::from(height);
    let missing = offer.fastest.map_or(0.0, |fastest| (f64::from(wanted.fps) - fastest).max(0.0));
    Preference {
        colourless: offer.format == PixelFormat::Grey,
        too_small,
        pixels: if too_small { Err(Reverse(pixels)) } else { Ok(pixels) },
        // 29.97 is 30.
        missing_fps: if missing < 0.1 { 0.0 } else { missing },
        cost: PixelFormat::ALL.iter().position(|&format| format == offer.format).unwrap_or(usize::MAX),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::config::DeviceAddress;

    fn wanted(width: u32, height: u32, fps: u32, format: Option<PixelFormat>) -> V4lConfig {
        let device = DeviceAddress::Path("/dev/video0".into());
        V4lConfig { device, width, height, fps, format, controls: BTreeMap::new() }
    }

    fn offer(format: PixelFormat, width: u32, height: u32, fps: f64) -> Offer {
        Offer { format, sizes: Sizes::One(width, height), fastest: Some(fps) }
    }

    /// A USB 2 webcam: uncompressed video is slow beyond VGA.
    fn webcam() -> Vec<Offer> {
        use PixelFormat::{Mjpg, Yuyv};
        vec![
            offer(Mjpg, 1920, 1080, 30.0),
            offer(Mjpg, 1280, 720, 30.0),
            offer(Mjpg, 640, 480, 30.0),
            offer(Yuyv, 1920, 1080, 5.0),
            offer(Yuyv, 1280, 720, 10.0),
            offer(Yuyv, 640, 480, 30.0),
        ]
    }

    fn chosen(width: u32, height: u32, fps: u32, format: Option<PixelFormat>) -> String {
        let choice = choose(&wanted(width, height, fps, format), &webcam());
        choice.map_or("nothing".into(), |choice| choice.to_string())
    }

    #[test]
    fn uncompressed_where_it_is_fast_enough_and_jpeg_where_not() {
        assert_eq!(chosen(1280, 720, 10, None), "YUYV 1280 x 720 at 10.0000 frames a second");
        assert_eq!(chosen(1280, 720, 30, None), "MJPG 1280 x 720 at 30.0000 frames a second");
        assert_eq!(
            chosen(1280, 720, 10, Some(PixelFormat::Mjpg)),
            "MJPG 1280 x 720 at 10.0000 frames a second"
        );
        assert_eq!(chosen(1280, 720, 10, Some(PixelFormat::Nv12)), "nothing");
    }

    #[test]
    fn the_smallest_size_that_covers_or_else_the_largest() {
        assert_eq!(chosen(800, 600, 30, None), "MJPG 1280 x 720 at 30.0000 frames a second");
        assert_eq!(chosen(3840, 2160, 30, None), "MJPG 1920 x 1080 at 30.0000 frames a second");
    }

    #[test]
    fn stepwise_sizes_are_rounded_up_inside_their_limits() {
        let sizes = Sizes::Steps { least: (320, 180), most: (1920, 1080), step: (16, 2) };
        assert_eq!(sizes.closest((1000, 501)), (1008, 502));
        assert_eq!(sizes.closest((100, 100)), (320, 180));
        assert_eq!(sizes.closest((9999, 9999)), (1920, 1080));
    }

    fn offers() -> impl Strategy<Value = Vec<Offer>> {
        let one = (0..6usize, 16..4000u32, 16..4000u32, proptest::option::of(1.0..60.0f64));
        let offer = |(format, width, height, fastest): (usize, u32, u32, Option<f64>)| {
            let format = PixelFormat::ALL[format];
            Offer { format, sizes: Sizes::One(width, height), fastest }
        };
        proptest::collection::vec(one.prop_map(offer), 0..20)
    }

    proptest! {
        #[test]
        fn nothing_offered_is_better_than_what_is_chosen(
            offers in offers(), width in 16..4000u32, height in 16..4000u32, fps in 1..60u32,
        ) {
            let wanted = wanted(width, height, fps, None);
            let Some(choice) = choose(&wanted, &offers) else {
                prop_assert!(offers.is_empty());
                return Ok(());
            };
            let size = |offer: &Offer| offer.sizes.closest((width, height));
            let chosen =
                |offer: &Offer| offer.format == choice.format && size(offer) == (choice.width, choice.height);
            prop_assert!(offers.iter().any(chosen));
            let covers = |(w, h): (u32, u32)| w >= width && h >= height;
            let area = |(w, h): (u32, u32)| u64::from(w) * u64::from(h);
            let got = (choice.width, choice.height);
            let alike = offers.iter().filter(|other| {
                (other.format == PixelFormat::Grey) == (choice.format == PixelFormat::Grey)
            });
            for other in alike.map(size) {
                if covers(got) {
                    prop_assert!(!covers(other) || area(other) >= area(got));
                } else {
                    prop_assert!(!covers(other) && area(other) <= area(got));
                }
            }
        }
    }
}

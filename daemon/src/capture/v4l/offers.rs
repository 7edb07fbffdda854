//! What a device offers, as its driver lists it.

use std::io;

use v4l::frameinterval::FrameIntervalEnum;
use v4l::framesize::FrameSizeEnum;
use v4l::video::Capture as _;
use v4l::{Device, FourCC};

use super::guarded;
use crate::capture::{Offer, Sizes};
use crate::config::PixelFormat;

/// What a device offers.
pub(super) struct Offers {
    /// The formats that are read, at every size.
    pub(super) readable: Vec<Offer>,
    /// Four characters of every format there is.
    pub(super) all: Vec<String>,
}

/// All of a device's offers; rates of stepwise sizes are those at the size closest to `wanted`.
pub(super) fn offers(device: &Device, wanted: (u32, u32)) -> io::Result<Offers> {
    let mut offers = Offers { readable: Vec::new(), all: Vec::new() };
    for description in guarded(|| device.enum_formats())? {
        offers.all.push(String::from_utf8_lossy(&description.fourcc.repr).into_owned());
        let Some(format) = PixelFormat::from_fourcc(description.fourcc.repr) else { continue };
        for sizes in sizes(device, description.fourcc) {
            let rates = rates(device, description.fourcc, sizes.closest(wanted));
            offers.readable.push(Offer { format, sizes, fastest: rates.into_iter().reduce(f64::max) });
        }
    }
    Ok(offers)
}

/// The sizes of a format. Not every driver lists them.
pub(super) fn sizes(device: &Device, fourcc: FourCC) -> Vec<Sizes> {
    let listed = guarded(|| device.enum_framesizes(fourcc)).unwrap_or_default();
    let sizes = listed.iter().map(|listed| match &listed.size {
        FrameSizeEnum::Discrete(size) => Sizes::One(size.width, size.height),
        FrameSizeEnum::Stepwise(steps) => Sizes::Steps {
            least: (steps.min_width, steps.min_height),
            most: (steps.max_width, steps.max_height),
            step: (steps.step_width, steps.step_height),
        },
    });
    let sizes: Vec<_> = sizes.collect();
    if sizes.is_empty() { vec![Sizes::Unknown] } else { sizes }
}

/// Frames a second at a size, one number for each rate listed, the fastest for a range.
pub(super) fn rates(device: &Device, fourcc: FourCC, (width, height): (u32, u32)) -> Vec<f64> {
    let listed = guarded(|| device.enum_frameintervals(fourcc, width, height)).unwrap_or_default();
    let intervals = listed.iter().map(|listed| match &listed.interval {
        FrameIntervalEnum::Discrete(interval) => interval,
        FrameIntervalEnum::Stepwise(steps) => &steps.min,
    });
    let rates = intervals.map(|interval| f64::from(interval.denominator) / f64::from(interval.numerator));
    rates.filter(|rate| rate.is_finite() && *rate > 0.0).collect()
}

//! Uncompressed video to RGB, made smaller on the way where the views need no more.
//!
//! A frame is reduced by adding up the rows of a block and then its columns before the colours are turned, so
//! that the costly step is done once for a block of pixels and not for each.

//!
//! Everything on the way of a row is inlined, so that all of it is compiled for the vectors it runs on.

use fieldmark_models::vectors::widest;

use super::layout::{Colour, FrameFlaw, Layout, Matrix};
use crate::config::PixelFormat;

/// Bits after the point of a sample while its colour is turned.
const SAMPLE_POINT: u32 = 6;
/// Bits after the point of a turned channel.
const CHANNEL_POINT: u32 = 4;

/// Turns YUV into RGB in fixed point. Numbers are kept to 16 bits, which processors multiply eight at a time.
#[derive(Debug, Clone, Copy)]
struct Turn {
    luma_offset: i16,
    luma: i16,
    red_v: i16,
    green_u: i16,
    green_v: i16,
    blue_u: i16,
}

impl Turn {
    /// From the weights of red and blue in luma (ITU-R BT.601-7 and BT.709-6, section 3).
    fn new(colour: Colour) -> Self {
        let (red, blue) = match colour.matrix {
            Matrix::Bt601 => (0.299, 0.114),
            Matrix::Bt709 => (0.2126, 0.0722),
        };
        let green = 1.0 - red - blue;
        let (luma, chroma, luma_offset) = if colour.full_range {
            (1.0, 1.0, 0)
        } else {
            (255.0 / 219.0, 255.0 / 224.0, 16 << SAMPLE_POINT)
        };
        let fixed = |number: f64, point: i32| (number * f64::from(point).exp2()).round() as i16;
        Self {
            luma_offset,
            luma: fixed(luma, 14),
            red_v: fixed(2.0 * (1.0 - red) * chroma, 13),
            green_u: fixed(2.0 * (1.0 - blue) * blue / green * chroma, 13),
            green_v: fixed(2.0 * (1.0 - red) * red / green * chroma, 13),
            blue_u: fixed(2.0 * (1.0 - blue) * chroma, 13),
        }
    }

    /// Turns a row. All slices have the same length.
    #[inline(always)]
    fn row(&self, [y, u, v]: [&[i16]; 3], [red, green, blue]: [&mut [u8]; 3]) {
        // The high half of a product: 6 + 14 or 7 + 13 bits after the point, less 16. Sums stay below 2^14.
        let times = |sample: i16, factor: i16| ((i32::from(sample) * i32::from(factor)) >> 16) as i16;
        let channel =
            |value: i16| ((value + (1 << (CHANNEL_POINT - 1))) >> CHANNEL_POINT).clamp(0, 255) as u8;
        let samples = y.iter().zip(u).zip(v);
        for ((((&y, &u), &v), red), (green, blue)) in samples.zip(red).zip(green.iter_mut().zip(blue)) {
            let luma = times(y - self.luma_offset, self.luma);
            let centred = |sample: i16| (sample - (128 << SAMPLE_POINT)) << 1;
            let (u, v) = (centred(u), centred(v));
            *red = channel(luma + times(v, self.red_v));
            *green = channel(luma - times(u, self.green_u) - times(v, self.green_v));
            *blue = channel(luma + times(u, self.blue_u));
        }
    }
}

/// Working memory of the reduction: rows on their way.
#[derive(Debug, Default)]
pub struct Reducer {
    sums: Vec<u16>,
    luma: Vec<u16>,
    chroma: Vec<u16>,
    yuv: [Vec<i16>; 3],
    rgb: [Vec<u8>; 3],
}

impl Reducer {
    /// Converts uncompressed `bytes` into `rgb` `[height / reduction, width / reduction, 3]`, whatever that held.
    /// Each pixel is the mean of a block, `reduction` (1, 2, 4 or 8) pixels each way.
    ///
    /// # Errors
    /// If `bytes` are too few, or the sides do not fit format and reduction.
    pub fn convert(
        &mut self,
        bytes: &[u8],
        layout: Layout,
        reduction: u32,
        rgb: &mut Vec<u8>,
    ) -> Result<(), FrameFlaw> {
        layout.check(bytes)?;
        let fits = |side: u32| matches!(reduction, 1 | 2 | 4 | 8) && side.is_multiple_of(reduction);
        if !fits(layout.width) || !fits(layout.height) || layout.format == PixelFormat::Mjpg {
            return Err(FrameFlaw::Sides(layout));
        }
        let width = (layout.width / reduction) as usize;
        rgb.resize(width * (layout.height / reduction) as usize * 3, 0);
        self.yuv.iter_mut().for_each(|plane| plane.resize(width, 0));
        self.rgb.iter_mut().for_each(|plane| plane.resize(width, 0));
        widest(
            #[inline(always)]
            || match reduction {
                1 => self.blocks::<1>(bytes, layout, rgb),
                2 => self.blocks::<2>(bytes, layout, rgb),
                4 => self.blocks::<4>(bytes, layout, rgb),
                _ => self.blocks::<8>(bytes, layout, rgb),
            },
        );
        Ok(())
    }

    #[inline(always)]
    fn blocks<const N: usize>(&mut self, bytes: &[u8], layout: Layout, rgb: &mut [u8]) {
        let (stride, row_bytes) = (layout.stride, layout.row_bytes());
        let turn = Turn::new(layout.colour);
        let (first, second) = bytes.split_at((stride * layout.height as usize).min(bytes.len()));
        let out_rows = rgb.chunks_exact_mut((layout.width as usize / N * 3).max(1));
        for (number, out) in out_rows.enumerate() {
            match layout.format {
                PixelFormat::Yuyv | PixelFormat::Uyvy if N == 1 => {}
                PixelFormat::Yuyv | PixelFormat::Uyvy => {
                    add_rows(first, stride, row_bytes, number * N, N, &mut self.sums);
                }
                PixelFormat::Nv12 => {
                    add_rows(first, stride, row_bytes, number * N, N, &mut self.luma);
                    // Two rows of luma share one of chroma.
                    let (from, rows) = if N == 1 { (number / 2, 1) } else { (number * N / 2, N / 2) };
                    add_rows(second, stride, row_bytes, from, rows, &mut self.chroma);
                    pack::<N>(&self.luma, &self.chroma, &mut self.sums);
                }
                PixelFormat::Rgb3 | PixelFormat::Grey | PixelFormat::Mjpg => {
                    add_rows(first, stride, row_bytes, number * N, N, &mut self.sums);
                    match layout.format {
                        PixelFormat::Rgb3 => colours::<N>(&mut self.sums, out),
                        _ => greys::<N>(&mut self.sums, out),
                    }
                    continue;
                }
            }
            let mut half = N;
            while half > 2 {
                fold::<4>(&mut self.sums);
                half /= 2;
            }
            let (Self { sums, yuv: [y, u, v], rgb: [red, green, blue], .. }, out) = (&mut *self, out);
            // Rows that are not added up are taken as they are.
            let row = first.get(number * stride..).and_then(|rest| rest.get(..row_bytes)).unwrap_or_default();
            match (layout.format, N) {
                (PixelFormat::Uyvy, 1) => split::<1, 1, u8>(row, y, u, v),
                (PixelFormat::Yuyv, 1) => split::<1, 0, u8>(row, y, u, v),
                (PixelFormat::Uyvy, _) => split::<N, 1, u16>(sums, y, u, v),
                _ => split::<N, 0, u16>(sums, y, u, v),
            }
            turn.row([y, u, v], [red, green, blue]);
            weave(red, green, blue, out);
        }
    }
}

/// `sums` becomes the sum of `rows` rows of `plane` from row `from` on: at most 8 * 255.
#[inline(always)]
fn add_rows(plane: &[u8], stride: usize, row_bytes: usize, from: usize, rows: usize, sums: &mut Vec<u16>) {
    sums.resize(row_bytes, 0);
    let row = |number: usize| plane.get(number * stride..).unwrap_or_default();
    for (sum, &byte) in sums.iter_mut().zip(row(from)) {
        *sum = u16::from(byte);
    }
    for number in from + 1..from + rows {
        for (sum, &byte) in sums.iter_mut().zip(row(number)) {
            *sum += u16::from(byte);
        }
    }
}

/// Brings planes of luma and chroma, which are sums of N and N / 2 rows (of one, where N is 1), into the order of
/// YUYV.
#[inline(always)]
fn pack<const N: usize>(luma: &[u16], chroma: &[u16], sums: &mut Vec<u16>) {
    sums.resize(luma.len() * 2, 0);
    let weight = if N == 1 { 1 } else { 2 };
    let pairs = luma.as_chunks::<2>().0.iter().zip(chroma.as_chunks::<2>().0);
    for (([y0, y1], [u, v]), packed) in pairs.zip(sums.as_chunks_mut::<4>().0) {
        *packed = [*y0, u * weight, *y1, v * weight];
    }
}

/// Adds every second group of `GROUP` to the one before it.
#[inline(always)]
fn fold<const GROUP: usize>(sums: &mut Vec<u16>) {
    let groups = sums.len() / (2 * GROUP);
    for group in 0..groups {
        for lane in 0..GROUP {
            sums[group * GROUP + lane] =
                sums[group * 2 * GROUP + lane] + sums[(group * 2 + 1) * GROUP + lane];
        }
    }
    sums.truncate(groups * GROUP);
}

/// Takes packed sums apart into samples, with luma at every second number from `LUMA` on. Where N is 1 the two
/// pixels of a group share their chroma, else a group is one pixel.
#[inline(always)]
fn split<const N: usize, const LUMA: usize, S: Copy + Into<u16>>(
    sums: &[S],
    y: &mut [i16],
    u: &mut [i16],
    v: &mut [i16],
) {
    let groups = sums.as_chunks::<4>().0.iter();
    let (at_u, at_v) = (1 - LUMA, 3 - LUMA);
    let fixed = |sum: u16, point: u32| (sum << point).cast_signed();
    let at = |group: &[S; 4], lane: usize| -> u16 { group[lane].into() };
    if N == 1 {
        let planes =
            y.as_chunks_mut::<2>().0.iter_mut().zip(u.as_chunks_mut::<2>().0).zip(v.as_chunks_mut::<2>().0);
        for (group, ((y, u), v)) in groups.zip(planes) {
            *y = [fixed(at(group, LUMA), SAMPLE_POINT), fixed(at(group, LUMA + 2), SAMPLE_POINT)];
            *u = [fixed(at(group, at_u), SAMPLE_POINT); 2];
            *v = [fixed(at(group, at_v), SAMPLE_POINT); 2];
        }
        return;
    }
    // Sums of N * N samples of luma and half as many of chroma: the division is in the point.
    let point = SAMPLE_POINT - 2 * N.ilog2();
    for (group, ((y, u), v)) in groups.zip(y.iter_mut().zip(u).zip(v)) {
        *y = fixed(at(group, LUMA) + at(group, LUMA + 2), point);
        *u = fixed(at(group, at_u), point + 1);
        *v = fixed(at(group, at_v), point + 1);
    }
}

/// Brings three planes together, pixel by pixel.
#[inline(always)]
fn weave(red: &[u8], green: &[u8], blue: &[u8], out: &mut [u8]) {
    let (red4, red) = red.as_chunks::<4>();
    let (green4, green) = green.as_chunks::<4>();
    let (blue4, blue) = blue.as_chunks::<4>();
    let (out4, out) = out.as_chunks_mut::<12>();
    for (((r, g), b), out) in red4.iter().zip(green4).zip(blue4).zip(out4) {
        *out = [r[0], g[0], b[0], r[1], g[1], b[1], r[2], g[2], b[2], r[3], g[3], b[3]];
    }
    for (((&r, &g), &b), out) in red.iter().zip(green).zip(blue).zip(out.as_chunks_mut::<3>().0) {
        *out = [r, g, b];
    }
}

/// The mean of a block of N pixels each way.
#[inline(always)]
fn mean<const N: usize>(sum: u16) -> u8 {
    let samples = (N * N) as u16;
    ((sum + samples / 2) / samples) as u8
}

#[inline(always)]
fn colours<const N: usize>(sums: &mut Vec<u16>, out: &mut [u8]) {
    (0..N.ilog2()).for_each(|_| fold::<3>(sums));
    sums.iter().zip(out).for_each(|(&sum, out)| *out = mean::<N>(sum));
}

#[inline(always)]
fn greys<const N: usize>(sums: &mut Vec<u16>, out: &mut [u8]) {
    (0..N.ilog2()).for_each(|_| fold::<1>(sums));
    sums.iter().zip(out.as_chunks_mut::<3>().0).for_each(|(&sum, out)| *out = [mean::<N>(sum); 3]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Y, U and V (or R, G and B) of one pixel, found by address, unaware of rows, sums and reductions.
    fn sample(bytes: &[u8], layout: Layout, x: usize, y: usize) -> [f64; 3] {
        let at = |offset: usize| f64::from(bytes[offset]);
        let row = y * layout.stride;
        match layout.format {
            PixelFormat::Yuyv => [at(row + 2 * x), at(row + x / 2 * 4 + 1), at(row + x / 2 * 4 + 3)],
            PixelFormat::Uyvy => [at(row + 2 * x + 1), at(row + x / 2 * 4), at(row + x / 2 * 4 + 2)],
            PixelFormat::Nv12 => {
                let chroma = (layout.height as usize + y / 2) * layout.stride + x / 2 * 2;
                [at(row + x), at(chroma), at(chroma + 1)]
            }
            PixelFormat::Rgb3 => [at(row + 3 * x), at(row + 3 * x + 1), at(row + 3 * x + 2)],
            _ => [at(row + x); 3],
        }
    }

    /// The standards' formulas in floating point.
    fn standard(layout: Layout, [y, u, v]: [f64; 3]) -> [f64; 3] {
        if matches!(layout.format, PixelFormat::Rgb3 | PixelFormat::Grey) {
            return [y, u, v];
        }
        let (y, u, v) = if layout.colour.full_range {
            (y, u - 128.0, v - 128.0)
        } else {
            ((y - 16.0) * 255.0 / 219.0, (u - 128.0) * 255.0 / 224.0, (v - 128.0) * 255.0 / 224.0)
        };
        let rgb = match layout.colour.matrix {
            Matrix::Bt601 => [y + 1.402 * v, y - 0.344_136 * u - 0.714_136 * v, y + 1.772 * u],
            Matrix::Bt709 => [y + 1.5748 * v, y - 0.187_324 * u - 0.468_124 * v, y + 1.8556 * u],
        };
        rgb.map(|channel| channel.clamp(0.0, 255.0))
    }

    fn naive(bytes: &[u8], layout: Layout, reduction: usize, x: usize, y: usize) -> [f64; 3] {
        let mut mean = [0.0; 3];
        for (dx, dy) in (0..reduction * reduction).map(|i| (i % reduction, i / reduction)) {
            let sample = sample(bytes, layout, x * reduction + dx, y * reduction + dy);
            mean.iter_mut().zip(sample).for_each(|(sum, value)| *sum += value);
        }
        standard(layout, mean.map(|sum| sum / (reduction * reduction) as f64))
    }

    fn layouts() -> impl Strategy<Value = (Layout, u32)> {
        let formats = PixelFormat::ALL.into_iter().filter(|&format| format != PixelFormat::Mjpg);
        let format = proptest::sample::select(formats.collect::<Vec<_>>());
        let reduction = proptest::sample::select(vec![1, 2, 4, 8]);
        (format, reduction, 1..4u32, 1..4u32, 0..9usize, any::<bool>(), any::<bool>()).prop_map(
            |(format, reduction, columns, rows, padding, wide, full_range)| {
                let step = reduction.max(2);
                let matrix = if wide { Matrix::Bt709 } else { Matrix::Bt601 };
                let colour = Colour { matrix, full_range };
                let tight = Layout::new(format, columns * step, rows * step, 0, colour);
                (Layout { stride: tight.stride + padding, ..tight }, reduction)
            },
        )
    }

    proptest! {
        #[test]
        fn every_format_and_reduction_is_what_the_standard_says(
            (layout, reduction) in layouts(), noise in proptest::collection::vec(any::<u8>(), 64),
        ) {
            let needed = layout.needed().expect("sides that fit");
            let bytes: Vec<u8> = noise.iter().cycle().enumerate().take(needed)
                .map(|(i, byte)| byte.wrapping_add((i / 64) as u8)).collect();
            let mut rgb = vec![7; 5];
            Reducer::default().convert(&bytes, layout, reduction, &mut rgb).expect("a frame");
            let (width, reduction) = ((layout.width / reduction) as usize, reduction as usize);
            prop_assert_eq!(rgb.len(), width * (layout.height as usize / reduction) * 3);
            for (i, pixel) in rgb.chunks(3).enumerate() {
                let expected = naive(&bytes, layout, reduction, i % width, i / width);
                for (&got, expected) in pixel.iter().zip(expected) {
                    prop_assert!((f64::from(got) - expected).abs() <= 1.0, "{layout:?}: {pixel:?} {expected:?}");
                }
            }
        }

        #[test]
        fn any_bytes_are_a_frame_or_an_error(
            bytes in proptest::collection::vec(any::<u8>(), 0..400), format in 0..6usize, width in 0..40u32,
            height in 0..40u32, stride in 0..60usize, reduction in 0..9u32,
        ) {
            let layout = Layout { format: PixelFormat::ALL[format], width, height, stride, colour: Colour::default() };
            let mut rgb = Vec::new();
            let tight = Layout::new(layout.format, width, height, stride, layout.colour);
            if reduction > 0 && Reducer::default().convert(&bytes, tight, reduction, &mut rgb).is_ok() {
                prop_assert!(tight.needed().is_ok_and(|needed| needed <= bytes.len()));
            }
        }
    }

    #[test]
    fn black_white_and_red_are_what_they_should_be() {
        let layout = Layout::new(PixelFormat::Yuyv, 4, 1, 0, Colour::default());
        let mut rgb = Vec::new();
        let bytes = [16, 128, 235, 128, 81, 90, 81, 240];
        Reducer::default().convert(&bytes, layout, 1, &mut rgb).expect("a row");
        let expected = [0, 0, 0, 255, 255, 255, 254, 0, 0, 254, 0, 0];
        assert!(rgb.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 1), "{rgb:?}");
    }
}

//! Uncompressed video to RGB, made smaller on the way where the views need no more.
//!
//! A frame is reduced by adding up the rows of a block and then its columns before the colours are turned, so
//! that the costly step is done once for a block of pixels and not for each.

use super::layout::{Colour, FrameFlaw, Layout, Matrix};
use crate::config::PixelFormat;

/// Bits after the point.
const POINT: u32 = 16;

/// Turns YUV into RGB in fixed point.
#[derive(Debug, Clone, Copy)]
struct Turn {
    luma_offset: i32,
    luma: i32,
    red_v: i32,
    green_u: i32,
    green_v: i32,
    blue_u: i32,
}

impl Turn {
    /// From the weights of red and blue in luma (ITU-R BT.601-7 and BT.709-6, section 3).
    fn new(colour: Colour) -> Self {
        let (red, blue) = match colour.matrix {
            Matrix::Bt601 => (0.299, 0.114),
            Matrix::Bt709 => (0.2126, 0.0722),
        };
        let green = 1.0 - red - blue;
        let (luma, chroma, luma_offset) =
            if colour.full_range { (1.0, 1.0, 0) } else { (255.0 / 219.0, 255.0 / 224.0, 16) };
        let fixed = |number: f64| (number * f64::from(1 << POINT)).round() as i32;
        Self {
            luma_offset,
            luma: fixed(luma),
            red_v: fixed(2.0 * (1.0 - red) * chroma),
            green_u: fixed(2.0 * (1.0 - blue) * blue / green * chroma),
            green_v: fixed(2.0 * (1.0 - red) * red / green * chroma),
            blue_u: fixed(2.0 * (1.0 - blue) * chroma),
        }
    }

    #[inline]
    fn rgb(&self, y: i32, u: i32, v: i32) -> [u8; 3] {
        let luma = (y - self.luma_offset) * self.luma + (1 << (POINT - 1));
        let (u, v) = (u - 128, v - 128);
        let channel = |value: i32| (value >> POINT).clamp(0, 255) as u8;
        [
            channel(luma + self.red_v * v),
            channel(luma - self.green_u * u - self.green_v * v),
            channel(luma + self.blue_u * u),
        ]
    }
}

/// Working memory of the reduction: sums of rows.
#[derive(Debug, Default)]
pub struct Reducer {
    first: Vec<u16>,
    second: Vec<u16>,
}

impl Reducer {
    /// Converts uncompressed `bytes` into `rgb` `[height / reduction, width / reduction, 3]`, whatever that held.
    /// Each pixel is the rounded mean of a block, `reduction` (1, 2, 4 or 8) pixels each way.
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
        rgb.resize((layout.width / reduction) as usize * (layout.height / reduction) as usize * 3, 0);
        match reduction {
            1 => self.blocks::<1>(bytes, layout, rgb),
            2 => self.blocks::<2>(bytes, layout, rgb),
            4 => self.blocks::<4>(bytes, layout, rgb),
            _ => self.blocks::<8>(bytes, layout, rgb),
        }
        Ok(())
    }

    fn blocks<const N: usize>(&mut self, bytes: &[u8], layout: Layout, rgb: &mut [u8]) {
        let (stride, row_bytes) = (layout.stride, layout.row_bytes());
        let turn = Turn::new(layout.colour);
        let (first, second) = bytes.split_at((stride * layout.height as usize).min(bytes.len()));
        let out_rows = rgb.chunks_exact_mut((layout.width as usize / N * 3).max(1));
        for (number, out) in out_rows.enumerate() {
            add_rows(first, stride, row_bytes, number * N, N, &mut self.first);
            match layout.format {
                PixelFormat::Yuyv => packed::<N, 0>(&self.first, turn, out),
                PixelFormat::Uyvy => packed::<N, 1>(&self.first, turn, out),
                PixelFormat::Nv12 => {
                    // Below a reduction of 2 two rows share one of chroma.
                    let (from, rows) = if N == 1 { (number / 2, 1) } else { (number * N / 2, N / 2) };
                    add_rows(second, stride, row_bytes, from, rows, &mut self.second);
                    planes::<N>(&self.first, &self.second, turn, out);
                }
                PixelFormat::Rgb3 => colours::<N>(&self.first, out),
                PixelFormat::Grey => greys::<N>(&self.first, out),
                PixelFormat::Mjpg => {}
            }
        }
    }
}

/// `sums` becomes the sum of `rows` rows of `plane` from row `from` on: at most 8 * 255.
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

/// The rounded mean of `count` numbers with this sum. `count` is a constant power of two after inlining.
#[inline]
fn mean(sum: u32, count: usize) -> i32 {
    ((sum as usize + count / 2) / count) as i32
}

#[inline]
fn sum_each(values: &[u16], from: usize, step: usize) -> u32 {
    values.iter().skip(from).step_by(step).map(|&value| u32::from(value)).sum()
}

/// 4:2:2 with luma at byte `LUMA` of every two.
fn packed<const N: usize, const LUMA: usize>(sums: &[u16], turn: Turn, out: &mut [u8]) {
    let (u, v) = (1 - LUMA, 3 - LUMA);
    if N == 1 {
        for (pair, out) in sums.as_chunks::<4>().0.iter().zip(out.as_chunks_mut::<6>().0) {
            let pair = pair.map(i32::from);
            let [r0, g0, b0] = turn.rgb(pair[LUMA], pair[u], pair[v]);
            let [r1, g1, b1] = turn.rgb(pair[LUMA + 2], pair[u], pair[v]);
            *out = [r0, g0, b0, r1, g1, b1];
        }
        return;
    }
    for (block, out) in sums.chunks_exact(2 * N).zip(out.as_chunks_mut::<3>().0) {
        let luma = mean(sum_each(block, LUMA, 2), N * N);
        let chroma = |from| mean(sum_each(block, from, 4), N * N / 2);
        *out = turn.rgb(luma, chroma(u), chroma(v));
    }
}

/// 4:2:0 in two planes: luma sums of N rows, chroma sums of N / 2 rows (of one, where N is 1).
fn planes<const N: usize>(luma: &[u16], chroma: &[u16], turn: Turn, out: &mut [u8]) {
    if N == 1 {
        let pairs = luma.as_chunks::<2>().0.iter().zip(chroma.as_chunks::<2>().0);
        for ((luma, chroma), out) in pairs.zip(out.as_chunks_mut::<6>().0) {
            let ([y0, y1], [u, v]) = (luma.map(i32::from), chroma.map(i32::from));
            let ([r0, g0, b0], [r1, g1, b1]) = (turn.rgb(y0, u, v), turn.rgb(y1, u, v));
            *out = [r0, g0, b0, r1, g1, b1];
        }
        return;
    }
    let blocks = luma.chunks_exact(N).zip(chroma.chunks_exact(N));
    for ((luma, chroma), out) in blocks.zip(out.as_chunks_mut::<3>().0) {
        let mean_chroma = |from| mean(sum_each(chroma, from, 2), N * N / 4);
        *out = turn.rgb(mean(sum_each(luma, 0, 1), N * N), mean_chroma(0), mean_chroma(1));
    }
}

fn colours<const N: usize>(sums: &[u16], out: &mut [u8]) {
    for (block, out) in sums.chunks_exact(3 * N).zip(out.as_chunks_mut::<3>().0) {
        *out = [0, 1, 2].map(|channel| mean(sum_each(block, channel, 3), N * N) as u8);
    }
}

fn greys<const N: usize>(sums: &[u16], out: &mut [u8]) {
    for (block, out) in sums.chunks_exact(N).zip(out.as_chunks_mut::<3>().0) {
        *out = [mean(sum_each(block, 0, 1), N * N) as u8; 3];
    }
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
        standard(layout, mean.map(|sum| (sum / (reduction * reduction) as f64).round()))
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
        assert_eq!(rgb, [0, 0, 0, 255, 255, 255, 254, 0, 0, 254, 0, 0]);
    }
}

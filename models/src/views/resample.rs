//! Resampling with a triangle filter over the whole footprint of each output pixel: separable, in fixed point, with
//! weights that are computed once for each way of cutting a view out of frames of one size, and kept.
//!
//! To the byte this is the bilinear convolution of `fast_image_resize` (which is Pillow's), the resampler the shipped
//! models were trained with; a test holds them together. That crate makes its weights anew for every call.
//!
//! Rows are added up first. The rows of a block then stand column by column in a strip, so that adding up columns is
//! the same work: sums of bytes that lie side by side.

mod sum;

use sum::{BYTES, Sum, with_widest};

/// Rows of a block: with a pixel in four bytes, a column of them is what is added up at once.
const LANES: usize = BYTES / 4;
/// Axes of cuts that are remembered: a grid of tiles has as many as its rows and columns together, for each view.
const REMEMBERED: usize = 256;
/// Most bits after the point of a weight: room for a byte and two bits of overflow in 32.
const MOST_BITS: u32 = 32 - 8 - 2;

/// One axis of a cut: `length` pixels from `start` on, out of `side`, become `out`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Span {
    side: u32,
    start: f64,
    length: f64,
    out: u32,
}

/// Which input pixels an output pixel is made of: `count` from `from` on, with weights from `first` on.
#[derive(Debug, Clone, Copy)]
struct Taps {
    from: usize,
    first: usize,
    count: usize,
}

/// The weights of one axis, with `bits` after the point.
#[derive(Debug)]
struct Axis {
    span: Span,
    bits: u32,
    taps: Vec<Taps>,
    weights: Vec<i16>,
}

impl Axis {
    fn new(span: Span) -> Self {
        if f64::from(span.out) == span.length && span.start.fract() == 0.0 {
            return Self::copying(span);
        }
        // As the sum and difference of edges, to the last bit.
        let scale = (span.start + span.length - span.start) / f64::from(span.out);
        let radius = scale.max(1.0);
        let (mut taps, mut exact) = (Vec::with_capacity(span.out as usize), Vec::new());
        for out in 0..span.out {
            let centre = span.start + (f64::from(out) + 0.5) * scale;
            let low = (centre - radius).floor().max(0.0) as u32;
            let high = (centre + radius).ceil().min(f64::from(span.side)) as u32;
            let (first, mut from) = (exact.len(), low);
            for at in low..high {
                let weight = triangle((f64::from(at) - (centre - 0.5)) * (1.0 / radius));
                // Nothing of the picture is read for the sake of a weight of zero.
                if at == from && weight == 0.0 {
                    from += 1;
                } else {
                    exact.push(weight);
                }
            }
            let sum: f64 = exact.iter().skip(first).sum();
            if sum != 0.0 {
                exact.iter_mut().skip(first).for_each(|weight| *weight /= sum);
            }
            while exact.len() > first && exact.last() == Some(&0.0) {
                exact.pop();
            }
            taps.push(Taps { from: from as usize, first, count: exact.len() - first });
        }
        let bits = bits(exact.iter().copied().fold(0.0, f64::max));
        let scale = f64::from(1 << bits);
        let weights = exact.iter().map(|weight| (weight * scale).round() as i16).collect();
        Self { span, bits, taps, weights }
    }

    /// The axis along which nothing is resampled.
    fn copying(span: Span) -> Self {
        const BITS: u32 = 14;
        let taps =
            (0..span.out as usize).map(|out| Taps { from: span.start as usize + out, first: 0, count: 1 });
        Self { span, bits: BITS, taps: taps.collect(), weights: vec![1 << BITS] }
    }

    /// Input pixels that are read at all, the first and one after the last.
    fn reach(&self) -> (usize, usize) {
        let end = |taps: &Taps| taps.from + taps.count;
        (self.taps.first().map_or(0, |taps| taps.from), self.taps.iter().map(end).max().unwrap_or(0))
    }

    fn weights(&self, taps: Taps) -> &[i16] {
        self.weights.get(taps.first..taps.first + taps.count).unwrap_or_default()
    }
}

fn triangle(x: f64) -> f64 {
    (1.0 - x.abs()).max(0.0)
}

/// As many bits after the point as let the largest weight be a 16-bit number.
fn bits(largest: f64) -> u32 {
    let fits = |bits: &u32| (largest * f64::from(1 << (bits + 1))).round() < f64::from(1 << 15);
    (0..MOST_BITS - 1).find(|bits| !fits(bits)).unwrap_or(MOST_BITS - 1)
}

/// Where a view is cut out of frames of one size.
#[derive(Debug, Clone, Copy)]
struct Plan<'a> {
    horizontal: &'a Axis,
    vertical: &'a Axis,
}

/// One column of pixels of a block, a byte beside each pixel so that it is moved as one.
type Column = [[u8; 4]; LANES];

/// Resamples RGB pictures. Once it has seen a cut it allocates nothing for it.
#[derive(Debug, Default)]
pub(super) struct Resampler {
    axes: Vec<Axis>,
    /// Where the axis stands that gives way next.
    oldest: usize,
    row: Vec<u8>,
    strip: Vec<Column>,
}

impl Resampler {
    /// The box `(left, top, width, height)` of `rgb` `[height, width, 3]` becomes `out` `[size, size, 3]`. The box has
    /// to lie inside.
    pub(super) fn resample(
        &mut self,
        rgb: &[u8],
        (width, height): (u32, u32),
        (left, top, box_width, box_height): (f64, f64, f64, f64),
        size: u32,
        out: &mut [u8],
    ) {
        let across = Span { side: width, start: left, length: box_width, out: size };
        let down = Span { side: height, start: top, length: box_height, out: size };
        let Self { axes, oldest, row, strip } = self;
        let horizontal = recall(axes, oldest, across, None);
        let vertical = recall(axes, oldest, down, Some(horizontal));
        let (Some(horizontal), Some(vertical)) = (axes.get(horizontal), axes.get(vertical)) else { return };
        let plan = Plan { horizontal, vertical };
        let (first, end) = plan.horizontal.reach();
        let used = (end - first) * 3;
        strip.resize(end - first, Column::default());
        // At least what is added up at once, and a byte behind the last pixel.
        row.resize((used + 1).max(BYTES), 0);
        let source = Source { rgb, row_bytes: width as usize * 3, first, used };
        with_widest(Drawing { plan, source, row, strip, out });
    }
}

/// Where the axis of this span stands, made where there is none. The one at `kept` does not give way for it.
fn recall(axes: &mut Vec<Axis>, oldest: &mut usize, span: Span, kept: Option<usize>) -> usize {
    if let Some(known) = axes.iter().position(|axis| axis.span == span) {
        return known;
    }
    if axes.len() < REMEMBERED {
        axes.push(Axis::new(span));
        return axes.len() - 1;
    }
    let next = *oldest % REMEMBERED;
    let place = if kept == Some(next) { (next + 1) % REMEMBERED } else { next };
    *oldest = place + 1;
    axes[place] = Axis::new(span);
    place
}

/// `used` bytes of each row of a picture, from the column `first` on.
#[derive(Clone, Copy)]
struct Source<'a> {
    rgb: &'a [u8],
    row_bytes: usize,
    first: usize,
    used: usize,
}

/// One view on its way.
struct Drawing<'a> {
    plan: Plan<'a>,
    source: Source<'a>,
    row: &'a mut [u8],
    strip: &'a mut [Column],
    out: &'a mut [u8],
}

impl sum::Work for Drawing<'_> {
    #[inline(always)]
    fn run(self, sum: impl Sum) {
        let Self { plan, source, row, strip, out } = self;
        let out_bytes = plan.horizontal.taps.len() * 3;
        for (rows, block) in plan.vertical.taps.chunks(LANES).zip(out.chunks_mut(out_bytes * LANES)) {
            for (lane, &taps) in rows.iter().enumerate() {
                source.add_rows(sum, taps.from, plan.vertical.weights(taps), plan.vertical.bits, row);
                place(row, lane, strip);
            }
            for (at, &taps) in plan.horizontal.taps.iter().enumerate() {
                let weights = plan.horizontal.weights(taps);
                let columns = strip.get(taps.from - source.first..).unwrap_or_default();
                let column =
                    sum.of(columns.as_flattened().as_flattened(), BYTES, weights, plan.horizontal.bits);
                let pixels = column.as_chunks::<4>().0;
                for (row, [red, green, blue, _]) in block.chunks_exact_mut(out_bytes).zip(pixels) {
                    if let Some(out) = row.get_mut(at * 3..at * 3 + 3) {
                        out.copy_from_slice(&[*red, *green, *blue]);
                    }
                }
            }
        }
    }
}

impl Source<'_> {
    /// The weighted sum of the rows from `top` on.
    #[inline(always)]
    fn add_rows(&self, sum: impl Sum, top: usize, weights: &[i16], bits: u32, row: &mut [u8]) {
        let from = |at: usize| self.rgb.get(top * self.row_bytes + self.first * 3 + at..).unwrap_or_default();
        let whole = self.used / BYTES * BYTES;
        let mut put = |at: usize, bytes: [u8; BYTES]| {
            if let Some(out) = row.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
                *out = bytes;
            }
        };
        for at in (0..whole).step_by(BYTES) {
            put(at, sum.of(from(at), self.row_bytes, weights, bits));
        }
        if whole < self.used {
            // What is left is done together with what was done before it; very small pictures are not so long.
            match self.used.checked_sub(BYTES) {
                Some(at) => put(at, sum.of(from(at), self.row_bytes, weights, bits)),
                None => {
                    for (at, out) in row.iter_mut().enumerate().take(self.used) {
                        *out = sum::of_one(from(at), self.row_bytes, weights, bits);
                    }
                }
            }
        }
    }
}

/// The pixels of `row` become the row `lane` of `strip`.
#[inline(always)]
fn place(row: &[u8], lane: usize, strip: &mut [Column]) {
    let lane = lane % LANES;
    for (pixel, column) in row.windows(4).step_by(3).zip(strip) {
        if let Some(pixel) = pixel.first_chunk() {
            column[lane] = *pixel;
        }
    }
}

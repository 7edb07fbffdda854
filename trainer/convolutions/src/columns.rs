//! Images as columns: what lies under each window, `[channels * kernel, positions]` an image, and back.

use rayon::prelude::*;

use crate::geometry::{Geometry, Row};

/// The columns of `images`, `[n, C, H, W]`: `[n, C * kernel, positions]`.
pub(crate) fn spread(geometry: &Geometry, images: &[f32]) -> Vec<f32> {
    let [channels, height, width] = geometry.input;
    let (positions, kernel) = (geometry.positions(), geometry.kernel[0] * geometry.kernel[1]);
    let count = images.len() / (channels * height * width).max(1);
    let mut columns = vec![0.0; count * geometry.taps() * positions];
    let channels = columns.par_chunks_mut((kernel * positions).max(1));
    channels.zip(images.par_chunks(height * width)).for_each(|(columns, channel)| {
        for (tap, row) in columns.chunks_exact_mut(positions).enumerate() {
            let tap = [tap / geometry.kernel[1], tap % geometry.kernel[1]];
            if geometry.keeps_width() {
                shift_tap(geometry, tap, channel, row);
            } else {
                spread_tap(geometry, tap, channel, row);
            }
        }
    });
    columns
}

/// What lies under one tap of each window; zeros outside are there already.
fn spread_tap(geometry: &Geometry, tap: [usize; 2], channel: &[f32], row: &mut [f32]) {
    for Row { from, windows } in geometry.rows(tap) {
        let kept = &mut row[windows];
        if geometry.stride[1] == 1 {
            kept.copy_from_slice(&channel[from..from + kept.len()]);
        } else {
            for (kept, &number) in kept.iter_mut().zip(channel[from..].iter().step_by(geometry.stride[1])) {
                *kept = number;
            }
        }
    }
}

/// The same where lines of windows are as long as the input's, so that a tap is the input moved: all lines at once, and then
/// zeros for the windows that have the tap beside the input. (Lines are short: one by one they cost more than the copying.)
fn shift_tap(geometry: &Geometry, tap: [usize; 2], channel: &[f32], row: &mut [f32]) {
    let width = geometry.input[2];
    let (of_tap, of_border) = (tap[0] * width + tap[1], geometry.before[0] * width + geometry.before[1]);
    let (from, to) = (of_tap.saturating_sub(of_border), of_border.saturating_sub(of_tap));
    let there = channel.get(from..).unwrap_or_default();
    for (kept, number) in row.iter_mut().skip(to).zip(there) {
        *kept = *number;
    }
    let inside = geometry.inside(1, tap[1]);
    if inside != (0..width) {
        for line in row.chunks_exact_mut(width) {
            line[..inside.start].fill(0.0);
            line[inside.end..].fill(0.0);
        }
    }
}

/// The sums of what windows say of each number of the input: `columns` `[n, C * kernel, positions]` to `[n, C, H, W]`.
pub(crate) fn gathered(geometry: &Geometry, columns: &[f32]) -> Vec<f32> {
    let [channels, height, width] = geometry.input;
    let (positions, kernel) = (geometry.positions(), geometry.kernel[0] * geometry.kernel[1]);
    let count = columns.len() / (geometry.taps() * positions).max(1);
    let mut images = vec![0.0; count * channels * height * width];
    let channels = images.par_chunks_mut((height * width).max(1));
    channels.zip(columns.par_chunks(kernel * positions)).for_each(|(channel, columns)| {
        for (tap, row) in columns.chunks_exact(positions).enumerate() {
            gather_tap(geometry, [tap / geometry.kernel[1], tap % geometry.kernel[1]], row, channel);
        }
    });
    images
}

fn gather_tap(geometry: &Geometry, tap: [usize; 2], row: &[f32], channel: &mut [f32]) {
    for Row { from, windows } in geometry.rows(tap) {
        let (sums, said) = (&mut channel[from..], &row[windows]);
        if geometry.stride[1] == 1 {
            for (sum, number) in sums.iter_mut().zip(said) {
                *sum += number;
            }
        } else {
            for (sum, number) in sums.iter_mut().step_by(geometry.stride[1]).zip(said) {
                *sum += number;
            }
        }
    }
}

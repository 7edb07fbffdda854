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
            spread_tap(geometry, [tap / geometry.kernel[1], tap % geometry.kernel[1]], channel, row);
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

//! Gradients of convolutions in which every channel has a window of its own.

use rayon::prelude::*;

use crate::geometry::{Geometry, Row};

/// Partial sums of a dot product, which the compiler makes a vector of.
const LANES: usize = 16;

/// `[C, 1, kernel height, kernel width]` of `input` `[N, C, H, W]` and the output's gradient `[N, C, H', W']`.
pub(crate) fn weight_gradient(geometry: &Geometry, input: &[f32], gradient: &[f32]) -> Vec<f32> {
    let [channels, height, width] = geometry.input;
    let (map, positions) = (height * width, geometry.positions());
    let [down, right] = geometry.kernel;
    let mut weights = vec![0.0; channels * down * right];
    weights.par_chunks_mut(down * right).enumerate().for_each(|(channel, window)| {
        for image in 0..geometry.images {
            let plane = image * channels + channel;
            let input = &input[plane * map..][..map];
            let gradient = &gradient[plane * positions..][..positions];
            for (tap, sum) in window.iter_mut().enumerate() {
                *sum += tap_gradient(geometry, [tap / right, tap % right], input, gradient);
            }
        }
    });
    weights
}

fn tap_gradient(geometry: &Geometry, tap: [usize; 2], input: &[f32], gradient: &[f32]) -> f32 {
    let of_row = |Row { from, windows }| {
        let gradient = &gradient[windows];
        if geometry.stride[1] == 1 {
            dot(&input[from..from + gradient.len()], gradient)
        } else {
            let under = input[from..].iter().step_by(geometry.stride[1]);
            under.zip(gradient).map(|(a, b)| a * b).sum::<f32>()
        }
    };
    geometry.rows(tap).map(of_row).sum()
}

/// The sum of products, in [`LANES`] parts.
fn dot(left: &[f32], right: &[f32]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (whole, rest) = (left.chunks_exact(LANES), right.chunks_exact(LANES));
    let ends = whole.remainder().iter().zip(rest.remainder());
    let tail: f32 = ends.map(|(a, b)| a * b).sum();
    for (left, right) in whole.zip(rest) {
        for (lane, (a, b)) in lanes.iter_mut().zip(left.iter().zip(right)) {
            *lane += a * b;
        }
    }
    lanes.iter().sum::<f32>() + tail
}

/// `[N, C, H, W]` of `weights` `[C, 1, kernel height, kernel width]` and the output's gradient `[N, C, H', W']`.
pub(crate) fn input_gradient(geometry: &Geometry, weights: &[f32], gradient: &[f32]) -> Vec<f32> {
    let [channels, height, width] = geometry.input;
    let (map, positions) = (height * width, geometry.positions());
    let [down, right] = geometry.kernel;
    let mut images = vec![0.0; geometry.images * channels * map];
    let planes = images.par_chunks_mut(map.max(1)).zip(gradient.par_chunks(positions)).enumerate();
    planes.for_each(|(plane, (image, gradient))| {
        let window = &weights[plane % channels * down * right..][..down * right];
        for (tap, &weight) in window.iter().enumerate() {
            add_tap(geometry, [tap / right, tap % right], weight, gradient, image);
        }
    });
    images
}

fn add_tap(geometry: &Geometry, tap: [usize; 2], weight: f32, gradient: &[f32], image: &mut [f32]) {
    for Row { from, windows } in geometry.rows(tap) {
        let (sums, gradient) = (&mut image[from..], &gradient[windows]);
        if geometry.stride[1] == 1 {
            for (sum, number) in sums.iter_mut().zip(gradient) {
                *sum += weight * number;
            }
        } else {
            for (sum, number) in sums.iter_mut().step_by(geometry.stride[1]).zip(gradient) {
                *sum += weight * number;
            }
        }
    }
}

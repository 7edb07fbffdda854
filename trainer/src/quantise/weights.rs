//! Weights as signed bytes, with a scale for every output channel.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use fieldmark_models::onnx::{Graph, Node, Tensor};

use super::grid::LARGEST;
use fieldmark_models::onnx::wiring::{Wiring, input};

/// Axis of a layer's weights that its output channels lie along.
pub(super) fn output_axis(node: &Node, dims: usize) -> usize {
    match node.op_type.as_str() {
        "Conv" => 0,
        "Gemm" if node.int("transB", 0) != 0 => 0,
        _ => dims.saturating_sub(1),
    }
}

/// How many channels lie along `axis`, and which of them each position is of.
fn channels(dims: &[i64], axis: usize) -> (usize, impl Fn(usize) -> usize) {
    let side = |side: &i64| usize::try_from(*side).unwrap_or(0);
    let count = dims.get(axis).map_or(1, side).max(1);
    let inner: usize = dims.iter().skip(axis + 1).map(side).product::<usize>().max(1);
    (count, move |position| position / inner % count)
}

/// Bytes and scales of `values` along `axis`. A channel of zeros has the scale 1.
pub(super) fn per_channel(values: &[f32], dims: &[i64], axis: usize) -> (Vec<i8>, Vec<f32>) {
    let (count, channel) = channels(dims, axis);
    let mut scales = vec![0f32; count];
    for (position, value) in values.iter().enumerate() {
        let scale = &mut scales[channel(position)];
        *scale = scale.max(value.abs() / LARGEST);
    }
    scales.iter_mut().filter(|scale| **scale < f32::MIN_POSITIVE).for_each(|scale| *scale = 1.0);
    let byte = |(position, value): (usize, &f32)| {
        (value / scales[channel(position)]).round_ties_even().clamp(-LARGEST, LARGEST) as i8
    };
    (values.iter().enumerate().map(byte).collect(), scales)
}

/// The weights of `layer` as they are after rounding; `None` if they are not floats.
pub(super) fn rounded_weights(layer: &Node, tensor: &Tensor) -> Option<Vec<f32>> {
    let axis = output_axis(layer, tensor.dims.len());
    let (bytes, scales) = per_channel(&tensor.floats()?, &tensor.dims, axis);
    let (_, channel) = channels(&tensor.dims, axis);
    let weight = |(position, &byte): (usize, &i8)| f32::from(byte) * scales[channel(position)];
    Some(bytes.iter().enumerate().map(weight).collect())
}

/// Output channels of `layer` with the weights `tensor`.
pub(super) fn output_channels(layer: &Node, tensor: &Tensor) -> usize {
    channels(&tensor.dims, output_axis(layer, tensor.dims.len())).0
}

/// The sum of the weights of every output channel of `layer`, as they are after rounding; `None` if they are not floats.
pub(super) fn channel_sums(layer: &Node, tensor: &Tensor) -> Option<Vec<f32>> {
    let (count, channel) = channels(&tensor.dims, output_axis(layer, tensor.dims.len()));
    let mut sums = vec![0f64; count];
    for (position, weight) in rounded_weights(layer, tensor)?.into_iter().enumerate() {
        sums[channel(position)] += f64::from(weight);
    }
    Some(sums.into_iter().map(|sum| sum as f32).collect())
}

/// `graph`, in which `layers` have the weights `rounded`, by name, where there are such.
pub(super) fn replaced<'g>(
    graph: &'g Graph,
    rounded: &BTreeMap<String, Tensor>,
    layers: &[String],
) -> Cow<'g, Graph> {
    if rounded.is_empty() {
        return Cow::Borrowed(graph);
    }
    let wiring = Wiring::new(graph);
    let read = |layer: &String| input(wiring.maker(layer)?, 1);
    let read: BTreeSet<&str> = layers.iter().filter_map(read).collect();
    let mut out = graph.clone();
    for tensor in out.initializer.iter_mut().filter(|tensor| read.contains(tensor.name.as_str())) {
        if let Some(rounded) = rounded.get(&tensor.name) {
            *tensor = rounded.clone();
        }
    }
    Cow::Owned(out)
}

//! The int8 graph: Q/DQ pairs with constant scales on activations, signed bytes with a DQ for weights.

use std::collections::{BTreeMap, BTreeSet};

use fieldmark_models::onnx::{Attribute, Graph, Node, Tensor};

use super::placement::Placement;
use fieldmark_models::onnx::wiring::{Wiring, input, output};

/// Name of the zero point of all activations.
const ZERO: &str = "zero.int8";
/// Largest byte that is used: the range is symmetric.
const LARGEST: f32 = 127.0;

/// The numbers that make a placement a graph.
#[derive(Debug, Clone, Default)]
pub struct Numbers {
    /// Range of each scale group.
    pub ranges: BTreeMap<usize, f32>,
    /// What is added to the bias of a layer, by channel.
    pub bias: BTreeMap<String, Vec<f32>>,
}

/// `graph` with `placement` made explicit.
#[must_use]
pub fn explicit(graph: &Graph, placement: &Placement, numbers: &Numbers) -> Graph {
    let wiring = Wiring::new(graph);
    let mut out = Graph { node: Vec::new(), ..graph.clone() };
    out.initializer.push(Tensor::of_bytes(ZERO, &[], &[0]));
    for input in &graph.input {
        pair(&mut out, &input.name, placement, numbers);
    }
    let int8: BTreeSet<&str> = placement.layers.iter().map(String::as_str).collect();
    let mut stored = BTreeSet::new();
    for (position, node) in graph.node.iter().enumerate() {
        let mut node = node.clone();
        for (slot, value) in node.input.iter_mut().enumerate() {
            if placement.edges.contains(&(position, slot)) {
                *value = format!("{value}.dq");
            }
        }
        if int8.contains(output(&node)) {
            weights(&mut out, &wiring, &mut node, &mut stored);
            bias(&mut out, &wiring, &mut node, numbers);
        }
        let made = node.output.clone();
        out.node.push(node);
        made.iter().for_each(|value| pair(&mut out, value, placement, numbers));
    }
    let read: BTreeSet<&str> = out.node.iter().flat_map(|node| &node.input).map(String::as_str).collect();
    let unread: BTreeSet<String> = out
        .initializer
        .iter()
        .map(|tensor| tensor.name.clone())
        .filter(|name| !read.contains(name.as_str()))
        .collect();
    out.initializer.retain(|tensor| !unread.contains(&tensor.name));
    out
}

fn pair(out: &mut Graph, value: &str, placement: &Placement, numbers: &Numbers) {
    let Some(group) = placement.groups.get(value) else { return };
    let range = numbers.ranges.get(group).copied().unwrap_or(1.0);
    let scale = format!("scale.{group}");
    if !out.initializer.iter().any(|tensor| tensor.name == scale) {
        out.initializer.push(Tensor::of_floats(&scale, &[], &[range / LARGEST]));
    }
    let (quantised, back) = (format!("{value}.q"), format!("{value}.dq"));
    out.node.push(node("QuantizeLinear", &quantised, [value, &scale, ZERO]));
    out.node.push(node("DequantizeLinear", &back, [&quantised, &scale, ZERO]));
}

fn node(op: &str, name: &str, inputs: [&str; 3]) -> Node {
    Node {
        input: inputs.map(Into::into).into(),
        output: vec![name.into()],
        name: name.into(),
        op_type: op.into(),
        ..Node::default()
    }
}

/// Axis of a layer's weights that its output channels lie along.
fn output_axis(node: &Node, dims: usize) -> usize {
    match node.op_type.as_str() {
        "Conv" => 0,
        "Gemm" if node.int("transB", 0) != 0 => 0,
        _ => dims.saturating_sub(1),
    }
}

/// Weights as bytes, one scale an output channel. Layers that share weights share the bytes; each has a DQ of its own,
/// so that an engine can fuse it.
fn weights(out: &mut Graph, wiring: &Wiring<'_>, node: &mut Node, stored: &mut BTreeSet<String>) {
    let Some(name) = input(node, 1).map(str::to_owned) else { return };
    let Some(tensor) = wiring.constant(&name) else { return };
    let Some(values) = tensor.floats() else { return };
    let axis = output_axis(node, tensor.dims.len());
    let parts = [format!("{name}.int8"), format!("{name}.scale"), format!("{name}.zero")];
    if stored.insert(name.clone()) {
        let (bytes, scales) = per_channel(&values, &tensor.dims, axis);
        let channels = [scales.len() as i64];
        out.initializer.push(Tensor::of_bytes(&parts[0], &tensor.dims, &bytes));
        out.initializer.push(Tensor::of_floats(&parts[1], &channels, &scales));
        out.initializer.push(Tensor::of_bytes(&parts[2], &channels, &vec![0; scales.len()]));
    }
    let back = format!("{}.weight.dq", output(node));
    let mut dequantize = self::node("DequantizeLinear", &back, parts.each_ref().map(String::as_str));
    dequantize.attribute.push(Attribute::of_int("axis", axis as i64));
    out.node.push(dequantize);
    node.input[1] = back;
}

/// Bytes and scales of `values` along `axis`. A channel of zeros has the scale 1.
fn per_channel(values: &[f32], dims: &[i64], axis: usize) -> (Vec<i8>, Vec<f32>) {
    let side = |side: &i64| usize::try_from(*side).unwrap_or(0);
    let channels = dims.get(axis).map_or(1, side).max(1);
    let inner: usize = dims.iter().skip(axis + 1).map(side).product::<usize>().max(1);
    let channel = |position: usize| position / inner % channels;
    let mut scales = vec![0f32; channels];
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
    let inner: i64 = tensor.dims.iter().skip(axis + 1).product();
    let inner = usize::try_from(inner).unwrap_or(1).max(1);
    let scale = |position: usize| scales[position / inner % scales.len()];
    Some(bytes.iter().enumerate().map(|(position, &byte)| f32::from(byte) * scale(position)).collect())
}

fn bias(out: &mut Graph, wiring: &Wiring<'_>, node: &mut Node, numbers: &Numbers) {
    let Some(shift) = numbers.bias.get(output(node)) else { return };
    let old = input(node, 2).and_then(|name| wiring.constant(name)).and_then(Tensor::floats);
    let old = old.unwrap_or_else(|| vec![0.0; shift.len()]);
    let new: Vec<f32> = old.iter().zip(shift).map(|(old, shift)| old + shift).collect();
    let name = format!("{}.bias", output(node));
    out.initializer.retain(|tensor| tensor.name != name);
    out.initializer.push(Tensor::of_floats(&name, &[new.len() as i64], &new));
    node.input.resize(2, String::new());
    node.input.push(name);
}

//! The int8 graph: Q/DQ pairs with constant scales on activations, signed bytes with a DQ for weights.

use std::collections::{BTreeMap, BTreeSet};

use fieldmark_models::onnx::{Attribute, Graph, Node, Tensor};

use super::centring::Centring;
use super::grid::Grid;
use super::padding::apart;
use super::placement::Placement;
use super::weights::{output_axis, per_channel};
use fieldmark_models::onnx::wiring::{Wiring, input, output};

/// Name of the zero point of all activations.
const ZERO: &str = "zero.int8";

/// The numbers that make a placement a graph.
#[derive(Debug, Clone, Default)]
pub struct Numbers {
    /// Range of each scale group.
    pub ranges: BTreeMap<usize, f32>,
    /// What is added to the bias of a layer, by channel.
    pub bias: BTreeMap<String, Vec<f32>>,
}

impl Numbers {
    fn grid(&self, placement: &Placement, group: usize) -> Grid {
        placement.grid(group, self.ranges.get(&group).copied().unwrap_or(1.0))
    }
}

/// `graph` with `placement` made explicit.
#[must_use]
pub fn explicit(graph: &Graph, placement: &Placement, numbers: &Numbers) -> Graph {
    let wiring = Wiring::new(graph);
    let mut out = Graph { node: Vec::new(), ..graph.clone() };
    out.initializer.push(Tensor::of_bytes(ZERO, &[], &[0]));
    for input in &graph.input {
        pair(&mut out, &input.name, &input.name, placement, numbers);
    }
    let centring = Centring::of(&wiring, placement, |group| numbers.grid(placement, group));
    let int8: BTreeSet<&str> = placement.layers.iter().map(String::as_str).collect();
    let mut stored = BTreeSet::new();
    for (position, node) in graph.node.iter().enumerate() {
        if let Some(exact) = centring.instead.get(output(node)) {
            pair(&mut out, exact, output(node), placement, numbers);
            continue;
        }
        let mut node = node.clone();
        for (slot, value) in node.input.iter_mut().enumerate() {
            if placement.edges.contains(&(position, slot)) {
                *value = format!("{value}.dq");
            }
        }
        let is_int8 = int8.contains(output(&node));
        let corrected = numbers.bias.get(output(&node)).filter(|_| is_int8);
        let shifts: Vec<_> = corrected.into_iter().chain(centring.shifts.get(output(&node))).collect();
        if placement.padded.contains(output(&node)) {
            pad(&mut out, graph, position, &mut node, placement, numbers);
        }
        if is_int8 {
            weights(&mut out, &wiring, &mut node, &mut stored);
        }
        bias(&mut out, &wiring, &mut node, &shifts);
        let made = node.output.clone();
        out.node.push(node);
        made.iter().for_each(|value| pair(&mut out, value, value, placement, numbers));
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

/// The pair of `value`, which reads `from`.
fn pair(out: &mut Graph, from: &str, value: &str, placement: &Placement, numbers: &Numbers) {
    let Some(group) = placement.groups.get(value) else { return };
    let grid = numbers.grid(placement, *group);
    let scale = format!("scale.{group}");
    if !out.initializer.iter().any(|tensor| tensor.name == scale) {
        out.initializer.push(Tensor::of_floats(&scale, &[], &[grid.step]));
    }
    quantised(out, from, value, &scale);
}

/// The pair of `value` itself; gives the name of what DQ makes.
fn quantised(out: &mut Graph, from: &str, value: &str, scale: &str) -> String {
    let (bytes, back) = (format!("{value}.q"), format!("{value}.dq"));
    out.node.push(node("QuantizeLinear", &bytes, [from, scale, ZERO]));
    out.node.push(node("DequantizeLinear", &back, [&bytes, scale, ZERO]));
    back
}

/// The padding of `node`, which stands at `position` of `graph`, with a pair before it and one behind.
fn pad(
    out: &mut Graph,
    graph: &Graph,
    position: usize,
    node: &mut Node,
    placement: &Placement,
    numbers: &Numbers,
) {
    let exact = graph.node.get(position).and_then(|node| input(node, 0));
    let group = exact.and_then(|value| placement.groups.get(value));
    let (Some(&group), Some(value)) = (group, input(node, 0).map(str::to_owned)) else { return };
    let (name, scale) = (format!("{}.padded", output(node)), format!("scale.{group}"));
    let filling = -numbers.grid(placement, group).centre();
    if let Some(padding) = apart(out, node, (&value, filling), &name) {
        out.node.push(padding);
        node.input[0] = quantised(out, &name, &name, &scale);
    }
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

/// `graph` with `shifts` added to the biases of its layers, in float still.
#[must_use]
pub(super) fn corrected(graph: &Graph, shifts: &BTreeMap<String, Vec<f32>>) -> Graph {
    let wiring = Wiring::new(graph);
    let mut out = Graph { node: Vec::new(), ..graph.clone() };
    for node in &graph.node {
        let mut node = node.clone();
        let shift: Vec<_> = shifts.get(output(&node)).into_iter().collect();
        bias(&mut out, &wiring, &mut node, &shift);
        out.node.push(node);
    }
    out
}

/// Adds `shifts` to the bias of `node`.
fn bias(out: &mut Graph, wiring: &Wiring<'_>, node: &mut Node, shifts: &[&Vec<f32>]) {
    let Some(first) = shifts.first() else { return };
    let old = input(node, 2).and_then(|name| wiring.constant(name)).and_then(Tensor::floats);
    let mut new = old.unwrap_or_else(|| vec![0.0; first.len()]);
    for shift in shifts {
        new.iter_mut().zip(*shift).for_each(|(bias, shift)| *bias += shift);
    }
    let name = format!("{}.bias", output(node));
    out.initializer.retain(|tensor| tensor.name != name);
    out.initializer.push(Tensor::of_floats(&name, &[new.len() as i64], &new));
    node.input.resize(2, String::new());
    node.input.push(name);
}

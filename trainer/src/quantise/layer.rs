//! What is a layer, and what only hands its numbers on.

use fieldmark_models::onnx::wiring::{Wiring, input, output};
use fieldmark_models::onnx::{Graph, Node, data_type};

/// Operators whose output has the numbers of their first input: the scale passes through.
pub(super) const MOVES: [&str; 4] = ["Flatten", "MaxPool", "Reshape", "Transpose"];

/// Whether `node` is a layer with constant float weights.
#[must_use]
pub(super) fn is_layer(wiring: &Wiring<'_>, node: &Node) -> bool {
    let weights = input(node, 1).and_then(|name| wiring.constant(name));
    matches!(node.op_type.as_str(), "Conv" | "Gemm" | "MatMul")
        && weights.is_some_and(|weights| weights.data_type == data_type::FLOAT)
}

/// Names of all layers of `graph`.
#[must_use]
pub fn layers(graph: &Graph) -> Vec<String> {
    let wiring = Wiring::new(graph);
    graph.node.iter().filter(|node| is_layer(&wiring, node)).map(|node| output(node).to_owned()).collect()
}

/// Padding (top, left, bottom, right) and strides of `node`; ONNX's defaults where it says nothing.
pub(super) fn window(node: &Node) -> ([usize; 4], [usize; 2]) {
    let numbers = |name: &str| {
        let ints = node.attribute(name).map_or(&[][..], |attribute| &attribute.ints);
        ints.iter().map(|&number| usize::try_from(number).unwrap_or(0)).collect::<Vec<_>>()
    };
    let pads = numbers("pads").try_into().unwrap_or([0; 4]);
    (pads, numbers("strides").try_into().unwrap_or([1; 2]))
}

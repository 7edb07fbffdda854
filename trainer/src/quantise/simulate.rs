//! The float equivalent of an int8 graph: each Q becomes divide, round to even and clip, each DQ a product. Made of
//! the graph itself, so that it says what the file says; float engines that cannot be trusted with Q/DQ can run it.

use fieldmark_models::onnx::{Graph, Node, Tensor};

use fieldmark_models::onnx::wiring::{Wiring, input, output};

/// `graph` without Q/DQ. What is not of signed bytes with zero points of 0 (see [`crate::lint`]) is left as it is.
#[must_use]
pub fn simulate(graph: &Graph) -> Graph {
    let wiring = Wiring::new(graph);
    let mut out = Graph { node: Vec::new(), ..graph.clone() };
    out.initializer.push(Tensor::of_floats("simulated.low", &[], &[-128.0]));
    out.initializer.push(Tensor::of_floats("simulated.high", &[], &[127.0]));
    for node in &graph.node {
        let value = output(node);
        match (node.op_type.as_str(), input(node, 0), input(node, 1)) {
            ("QuantizeLinear", Some(from), Some(scale)) => {
                let (steps, whole) = (format!("{value}.steps"), format!("{value}.whole"));
                out.node.push(float_node("Div", &steps, &[from, scale]));
                out.node.push(float_node("Round", &whole, &[&steps]));
                out.node.push(float_node("Clip", value, &[&whole, "simulated.low", "simulated.high"]));
            }
            ("DequantizeLinear", Some(from), Some(scale)) => match dequantised(&wiring, node) {
                Some(values) => {
                    let dims = wiring.constant(from).map_or(&[][..], |tensor| &tensor.dims);
                    out.initializer.push(Tensor::of_floats(value, dims, &values));
                }
                None => out.node.push(float_node("Mul", value, &[from, scale])),
            },
            _ => out.node.push(node.clone()),
        }
    }
    let bytes = fieldmark_models::onnx::data_type::INT8;
    out.initializer.retain(|tensor| tensor.data_type != bytes);
    out
}

/// A node whose one output has its name.
pub(super) fn float_node(op: &str, name: &str, inputs: &[&str]) -> Node {
    Node {
        input: inputs.iter().map(|&input| input.into()).collect(),
        output: vec![name.into()],
        name: name.into(),
        op_type: op.into(),
        ..Node::default()
    }
}

/// The floats of a DQ over a constant.
fn dequantised(wiring: &Wiring<'_>, node: &Node) -> Option<Vec<f32>> {
    let tensor = wiring.constant(input(node, 0)?)?;
    let scales = wiring.constant(input(node, 1)?)?.floats()?;
    let axis = usize::try_from(node.int("axis", 1)).ok()?;
    let inner: usize =
        tensor.dims.iter().skip(axis + 1).map(|&side| usize::try_from(side).unwrap_or(0)).product();
    let scale = |position: usize| match scales.len() {
        1 => scales[0],
        channels => scales[position / inner.max(1) % channels.max(1)],
    };
    let bytes = tensor.integers()?;
    (!scales.is_empty())
        .then(|| bytes.iter().enumerate().map(|(position, &byte)| byte as f32 * scale(position)).collect())
}

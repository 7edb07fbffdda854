//! Convolutions and matrix products: what their data, weights and bias come from.

use fieldmark_models::onnx::Node;

use super::pairs::{is_of_weights, scales};
use super::{Finding, Rule};
use fieldmark_models::onnx::wiring::{Wiring, input};

pub(super) fn check(wiring: &Wiring<'_>, node: &Node, findings: &mut Vec<Finding>) {
    let mut found = |rule, fix: String| findings.push(Finding::new(rule, node, fix));
    let (data, weights) = (dequantizer(wiring, node, 0), dequantizer(wiring, node, 1));
    if dequantizer(wiring, node, 2).is_some() {
        found(Rule::FloatBias, "its bias comes from a DequantizeLinear: keep biases as floats".into());
    }
    match (data, weights) {
        (Some(_), None) => {
            found(
                Rule::DataAndWeights,
                "its data is quantised and its weights are not: quantise both".into(),
            );
        }
        (None, Some(_)) => {
            found(
                Rule::DataAndWeights,
                "its weights are quantised and its data is not: quantise both".into(),
            );
        }
        _ => {}
    }
    let Some(weights) = weights.filter(|weights| is_of_weights(wiring, weights)) else { return };
    let Some(axis) = output_axis(node) else { return };
    match scales(wiring, weights).map(|scales| scales.len()) {
        Some(1) => found(
            Rule::WeightPerChannel,
            format!(
                "its weights have one scale: a scale for each output channel (axis {axis}) is more exact"
            ),
        ),
        Some(_) if weights.int("axis", 1) != axis => found(
            Rule::WeightAxis,
            format!(
                "its weights are scaled along axis {}, which NVIDIA's parser takes and answers wrongly: \
                 scale output channels, axis {axis}",
                weights.int("axis", 1)
            ),
        ),
        _ => {}
    }
}

fn dequantizer<'g>(wiring: &Wiring<'g>, node: &Node, slot: usize) -> Option<&'g Node> {
    wiring.maker(input(node, slot)?).filter(|maker| maker.op_type == "DequantizeLinear")
}

/// The axis of the weights that output channels lie along; `None` where it depends on more than the node.
fn output_axis(node: &Node) -> Option<i64> {
    match node.op_type.as_str() {
        "Conv" => Some(0),
        "ConvTranspose" => Some(1),
        "Gemm" => Some(if node.int("transB", 0) == 0 { 1 } else { 0 }),
        _ => None,
    }
}

//! Convolutions and matrix products: what their data, weights and bias come from.

use fieldmark_models::onnx::Node;

use super::pairs::{channel_axis, scales, weights};
use super::seams::dequantised;
use super::{Finding, Rule};
use fieldmark_models::onnx::wiring::{Wiring, input};

pub(super) fn check(wiring: &Wiring<'_>, node: &Node, findings: &mut Vec<Finding>) {
    let mut found = |rule, fix: String| findings.push(Finding::new(rule, node, fix));
    // A DQ may stand before what only moves numbers: engines pull it through.
    let data = input(node, 0).and_then(|data| dequantised(wiring, data));
    let back = dequantizer(wiring, node, 1);
    if dequantizer(wiring, node, 2).is_some() {
        found(Rule::FloatBias, "its bias comes from a DequantizeLinear: keep biases as floats".into());
    }
    match (data, back) {
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
    let Some(back) = back else { return };
    let Some(dims) = weights(wiring, back).map(|weights| &weights.dims) else { return };
    let Some(axis) = output_axis(node, dims.len()) else { return };
    let given = channel_axis(back, dims.len());
    let channels = usize::try_from(axis).ok().and_then(|axis| dims.get(axis)).copied();
    match scales(wiring, back).map(|scales| scales.len()) {
        Some(1) if channels == Some(1) => {}
        Some(1) => found(
            Rule::WeightPerChannel,
            format!(
                "its weights have one scale: a scale for each output channel (axis {axis}) is more exact"
            ),
        ),
        Some(_) if given != axis => found(
            Rule::WeightAxis,
            format!(
                "its weights are scaled along axis {given}, which NVIDIA's parser takes and answers wrongly: \
                 scale output channels, axis {axis}"
            ),
        ),
        _ => {}
    }
}

fn dequantizer<'g>(wiring: &Wiring<'g>, node: &Node, slot: usize) -> Option<&'g Node> {
    wiring.maker(input(node, slot)?).filter(|maker| maker.op_type == "DequantizeLinear")
}

/// The axis of weights of `sides` sides that output channels lie along; `None` where it depends on more than the node.
fn output_axis(node: &Node, sides: usize) -> Option<i64> {
    match node.op_type.as_str() {
        "Conv" => Some(0),
        "ConvTranspose" => Some(1),
        "MatMul" if sides == 2 => Some(1),
        "Gemm" => Some(if node.int("transB", 0) == 0 { 1 } else { 0 }),
        _ => None,
    }
}

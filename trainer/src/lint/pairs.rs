//! One QuantizeLinear or DequantizeLinear by itself: its scale, its zero point, its partner.

use fieldmark_models::onnx::{Node, Tensor, data_type};

use super::{Finding, Rule};
use fieldmark_models::onnx::wiring::{Wiring, input, output};

/// First operator set whose Q/DQ know an axis.
const WITH_AXIS: i64 = 13;

pub(super) fn check(wiring: &Wiring<'_>, node: &Node, opset: i64, findings: &mut Vec<Finding>) {
    let mut found = |rule, fix: String| findings.push(Finding::new(rule, node, fix));
    if opset < WITH_AXIS {
        found(
            Rule::OperatorSet,
            format!("operator set {opset} has no per-channel scales: export with {WITH_AXIS} or newer"),
        );
    }
    if let Some((rule, fix)) = wrong_scale(wiring, node) {
        found(rule, fix);
    }
    if let Some((rule, fix)) = wrong_zero_point(wiring, node) {
        found(rule, fix);
    }
    if let Some(fix) =
        if node.op_type == "QuantizeLinear" { quantize(wiring, node) } else { dequantize(wiring, node) }
    {
        found(Rule::Pair, fix);
    }
    if scales(wiring, node).is_some_and(|scales| scales.len() > 1) && weights(wiring, node).is_none() {
        found(
            Rule::ActivationPerTensor,
            "an activation has a scale for each channel, which NVIDIA's parser takes and answers wrongly: \
             give it one scale"
                .into(),
        );
    }
}

/// The scales of a Q or DQ, where they are constant.
pub(super) fn scales(wiring: &Wiring<'_>, node: &Node) -> Option<Vec<f32>> {
    wiring.constant(input(node, 1)?)?.floats()
}

/// The constant that a Q or DQ works on: directly, or through the Q before it.
pub(super) fn weights<'g>(wiring: &Wiring<'g>, node: &Node) -> Option<&'g Tensor> {
    let value = input(node, 0)?;
    let through = wiring.maker(value).filter(|maker| maker.op_type == "QuantizeLinear");
    wiring.constant(through.and_then(|maker| input(maker, 0)).unwrap_or(value))
}

/// The axis that the scales of a Q or DQ lie along, of a value of `sides` sides.
pub(super) fn channel_axis(node: &Node, sides: usize) -> i64 {
    let axis = node.int("axis", 1);
    if axis < 0 { axis + sides as i64 } else { axis }
}

fn wrong_scale(wiring: &Wiring<'_>, node: &Node) -> Option<(Rule, String)> {
    let constant = input(node, 1).and_then(|name| wiring.constant(name));
    let Some(scales) = constant.and_then(Tensor::floats) else {
        let fix = match constant {
            Some(_) => "its scale is no 32-bit floats, or not in this file: store it so",
            None => "its scale is not a constant in this file: store it as an initialiser",
        };
        return Some((Rule::ConstantScale, fix.into()));
    };
    if let Some(scale) = scales.iter().find(|scale| !(scale.is_finite() && **scale > 0.0)) {
        return Some((Rule::PositiveScale, format!("a scale is {scale}: give every channel a positive one")));
    }
    let dims = &weights(wiring, node)?.dims;
    if scales.len() > 1 || constant.is_some_and(|constant| constant.dims.len() == 1 && scales.len() != 1) {
        let axis = channel_axis(node, dims.len());
        let channels = usize::try_from(axis).ok().and_then(|axis| dims.get(axis)).copied();
        if channels != Some(scales.len() as i64) {
            let fix = format!(
                "{} scales for axis {axis} of a constant of shape {dims:?}: give one a channel",
                scales.len()
            );
            return Some((Rule::ScaleCount, fix));
        }
    }
    None
}

fn wrong_zero_point(wiring: &Wiring<'_>, node: &Node) -> Option<(Rule, String)> {
    let quantised = input(node, 0).and_then(|name| wiring.constant(name)).map(|constant| constant.data_type);
    let stored = quantised.filter(|&kind| node.op_type == "DequantizeLinear" && kind != data_type::INT8);
    if let Some(kind) = stored {
        let fix = match kind {
            data_type::INT32 => {
                "it dequantises a 32-bit integer, as biases are written: keep the bias as float"
            }
            _ => "its constant is not of signed bytes: store it as int8",
        };
        return Some((Rule::Int8, fix.into()));
    }
    let Some(name) = input(node, 2) else {
        // A DQ takes its type from what it reads; a Q without a zero point makes unsigned bytes.
        let fix = "without a zero point it makes unsigned bytes: give it an int8 zero point of 0";
        return (node.op_type == "QuantizeLinear").then(|| (Rule::Int8, fix.into()));
    };
    let Some(zero_point) = wiring.constant(name) else {
        return Some((Rule::Symmetric, "its zero point is not a constant: store an int8 0".into()));
    };
    if zero_point.data_type != data_type::INT8 {
        return Some((Rule::Int8, "its zero point is not int8: TensorRT's 8-bit integers are signed".into()));
    }
    let zero = zero_point.integers().is_some_and(|values| values.iter().all(|&value| value == 0));
    (!zero).then(|| {
        (
            Rule::Symmetric,
            "its zero point is not 0: calibrate symmetrically (ActivationSymmetric, WeightSymmetric)".into(),
        )
    })
}

fn quantize(wiring: &Wiring<'_>, node: &Node) -> Option<String> {
    let value = output(node);
    let mut readers = wiring.reading(value).peekable();
    if readers.peek().is_none() || wiring.is_output(value) {
        return Some("no DequantizeLinear reads it: quantised values come in pairs".into());
    }
    let other = readers.find(|(reader, slot)| reader.op_type != "DequantizeLinear" || *slot != 0)?;
    Some(format!("{} reads quantised values: put a DequantizeLinear before it", other.0.op_type))
}

fn dequantize(wiring: &Wiring<'_>, node: &Node) -> Option<String> {
    let value = input(node, 0).unwrap_or_default();
    if wiring.constant(value).is_some() {
        return None;
    }
    match wiring.maker(value) {
        Some(maker) if maker.op_type == "QuantizeLinear" => {
            let same = scales(wiring, maker) == scales(wiring, node);
            (!same)
                .then(|| "its scale is not that of the QuantizeLinear before it: give both the same".into())
        }
        _ => Some("no QuantizeLinear and no constant comes before it: quantised values come in pairs".into()),
    }
}

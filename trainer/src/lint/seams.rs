//! Where quantised and float values meet others: concats, residual adds, softmax, the outputs of the graph.

use fieldmark_models::onnx::Node;

use super::pairs::scales;
use super::{Finding, Rule};
use fieldmark_models::onnx::wiring::{Wiring, input, output};

/// Values whose numbers are those of another, moved or picked: a scale passes through them.
const MOVES: [&str; 8] =
    ["Flatten", "Identity", "MaxPool", "Reshape", "Squeeze", "Transpose", "Unsqueeze", "Slice"];

/// The scale that `value` was dequantised with, through operators that only move numbers.
fn scale(wiring: &Wiring<'_>, value: &str) -> Option<f32> {
    scales(wiring, dequantised(wiring, value)?)?.first().copied()
}

/// The DQ that `value` comes from, through operators that only move numbers.
pub(super) fn dequantised<'g>(wiring: &Wiring<'g>, value: &str) -> Option<&'g Node> {
    let mut maker = wiring.maker(value)?;
    // A graph whose nodes make a ring would be followed for ever.
    for _ in 0..wiring.graph().node.len() {
        match maker.op_type.as_str() {
            "DequantizeLinear" => return Some(maker),
            moves if MOVES.contains(&moves) => maker = wiring.maker(input(maker, 0)?)?,
            _ => return None,
        }
    }
    None
}

pub(super) fn concat(wiring: &Wiring<'_>, node: &Node, findings: &mut Vec<Finding>) {
    let constant = |value: &&String| wiring.constant(value).is_some();
    let inputs = node.input.iter().filter(|value| !constant(value));
    let all: Vec<Option<f32>> = inputs.map(|value| scale(wiring, value)).collect();
    let after = wiring.reading(output(node)).find(|(reader, _)| reader.op_type == "QuantizeLinear");
    let after = after.and_then(|(reader, _)| scales(wiring, reader)?.first().copied());
    let quantised: Vec<f32> = all.iter().copied().flatten().chain(after).collect();
    if quantised.windows(2).any(|pair| pair[0].to_bits() != pair[1].to_bits()) {
        let fix = format!("its inputs and output have scales {quantised:?}: give all of them the largest");
        findings.push(Finding::new(Rule::ConcatScale, node, fix));
    } else if !quantised.is_empty() && all.iter().any(Option::is_none) {
        let fix = "some of its inputs are quantised and others are not: quantise all, with one scale";
        findings.push(Finding::new(Rule::ConcatScale, node, fix));
    }
}

pub(super) fn residual(wiring: &Wiring<'_>, node: &Node, findings: &mut Vec<Finding>) {
    let [left, right] = &node.input[..] else { return };
    let branches = [(left, right), (right, left)];
    let skips: Vec<&String> = branches
        .into_iter()
        .filter(|(branch, _)| is_int8_layer(wiring, branch))
        .map(|(_, skip)| skip)
        .collect();
    let plain = |skip: &&String| wiring.constant(skip).is_none() && scale(wiring, skip).is_none();
    if !skips.is_empty() && skips.iter().all(plain) {
        let fix = format!(
            "the branch {} of a residual add is not quantised, so the sum is not fused into the convolution: \
             put QuantizeLinear and DequantizeLinear on it",
            skips[0]
        );
        findings.push(Finding::new(Rule::ResidualSkip, node, fix));
    }
}

/// Whether a quantised layer makes `value` for nobody else.
fn is_int8_layer(wiring: &Wiring<'_>, value: &str) -> bool {
    let quantised = |maker: &Node| {
        let layer = matches!(maker.op_type.as_str(), "Conv" | "ConvTranspose" | "Gemm" | "MatMul");
        layer && input(maker, 0).is_some_and(|data| scale(wiring, data).is_some())
    };
    wiring.maker(value).is_some_and(quantised) && wiring.readers(value).len() == 1
}

pub(super) fn softmax(wiring: &Wiring<'_>, node: &Node, findings: &mut Vec<Finding>) {
    let mut before = input(node, 0);
    // A temperature may stand between logits and softmax.
    for _ in 0..wiring.graph().node.len() {
        let scaling = before.and_then(|value| wiring.maker(value)).filter(|maker| {
            matches!(maker.op_type.as_str(), "Mul" | "Div")
                && input(maker, 1).is_some_and(|factor| wiring.constant(factor).is_some())
        });
        let Some(scaling) = scaling else { break };
        before = input(scaling, 0);
    }
    let logits = before.is_some_and(|value| scale(wiring, value).is_some());
    let after = wiring.reading(output(node)).any(|(reader, _)| reader.op_type == "QuantizeLinear");
    if logits || after {
        let what = if logits { "final logits are" } else { "probabilities are" };
        let fix = format!("{what} quantised: keep everything from the last layer on in float");
        findings.push(Finding::new(Rule::FloatSoftmax, node, fix));
    }
}

pub(super) fn graph_output(wiring: &Wiring<'_>, value: &str) -> Option<Finding> {
    let quantised = |maker: &&Node| matches!(maker.op_type.as_str(), "QuantizeLinear" | "DequantizeLinear");
    let maker = wiring.maker(value).filter(quantised)?;
    let fix = format!("the graph's output {value} is quantised: leave the graph's outputs in float");
    Some(Finding::new(Rule::FloatOutput, maker, fix))
}

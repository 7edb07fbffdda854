//! An int8 graph with unsigned activations, for processors.
//!
//! TensorRT takes signed activations with a zero point of 0 alone. The kernels of processors want the other form: only
//! where the quantised range begins at 0 does a Relu before it vanish into the rounding, and only then is the
//! convolution before that Relu computed in bytes at all; with signed activations ONNX Runtime computes it in floats.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;

use super::wiring::{Wiring, input, output};
use super::{Graph, Model, Node, Tensor, data_type};

/// Steps from 0 to the end of a signed byte's range, and of an unsigned byte's.
const STEPS: (f32, f32) = (127.0, 255.0);
const ZERO: &str = "unsigned.zero";
const MIDDLE: &str = "unsigned.middle";

/// The graph in `onnx`, with bytes from 0 to 255 in place of bytes from -128 to 127 wherever a Q with a zero point of 0
/// is read by its own DQs alone. Weights stay signed.
///
/// What may be negative keeps its scale, and its zero point becomes 128: every number stays what it was. What cannot be
/// has the whole byte for the range that half of it was for: numbers are rounded to steps about half as wide, and cut off
/// at the same end.
///
/// A file that [`Model`] does not hold the whole of, or that has no such pairs, comes back as it is.
#[must_use]
pub fn with_unsigned_activations(onnx: &[u8]) -> Cow<'_, [u8]> {
    let Ok(mut model) = Model::decode(onnx) else { return Cow::Borrowed(onnx) };
    let held = model.encoded_len() == onnx.len();
    let rewritten = held && model.graph.as_mut().is_some_and(rewrite);
    if rewritten { Cow::Owned(model.encode_to_vec()) } else { Cow::Borrowed(onnx) }
}

/// A Q and the DQs that read it, by position in the graph.
struct Pair {
    quantise: usize,
    dequantise: Vec<usize>,
    /// Whether what is quantised cannot be negative.
    positive: bool,
    scale: f32,
}

fn rewrite(graph: &mut Graph) -> bool {
    let pairs = pairs(graph);
    if pairs.is_empty() || graph.initializer.iter().any(|tensor| tensor.name.starts_with("unsigned.")) {
        return false;
    }
    let mut halved = BTreeMap::new();
    let mut changed = BTreeSet::new();
    for pair in &pairs {
        for position in std::iter::once(&pair.quantise).chain(&pair.dequantise) {
            let node = &mut graph.node[*position];
            node.input[2] = if pair.positive { ZERO } else { MIDDLE }.into();
            if pair.positive {
                let name = format!("unsigned.{}", node.input[1]);
                halved.insert(name.clone(), narrowed(pair.scale));
                node.input[1] = name;
            }
        }
        changed.extend(graph.node[pair.quantise].output.first().cloned());
    }
    let byte = |name: &str, value| Tensor {
        data_type: data_type::UINT8,
        name: name.into(),
        raw_data: vec![value],
        ..Tensor::default()
    };
    graph.initializer.extend([byte(ZERO, 0), byte(MIDDLE, 128)]);
    graph.initializer.extend(halved.iter().map(|(name, scale)| Tensor::of_floats(name, &[], &[*scale])));
    let read: BTreeSet<&String> = graph.node.iter().flat_map(|node| &node.input).collect();
    graph.initializer.retain(|tensor| read.contains(&tensor.name));
    // Their types were given for signed bytes.
    graph.value_info.retain(|value| !changed.contains(&value.name));
    true
}

/// The scale at which 255 steps reach no further than 127 steps of `scale` did: a Clip that ends there must be seen to
/// cut nothing off.
fn narrowed(scale: f32) -> f32 {
    let (signed, unsigned) = STEPS;
    let narrowed = scale * signed / unsigned;
    if narrowed * unsigned > scale * signed { narrowed.next_down() } else { narrowed }
}

fn pairs(graph: &Graph) -> Vec<Pair> {
    let wiring = Wiring::new(graph);
    let mut positive: BTreeSet<&str> = BTreeSet::new();
    let mut pairs = Vec::new();
    for (position, node) in graph.node.iter().enumerate() {
        if is_positive(node, &wiring, &positive) {
            positive.extend(node.output.iter().map(String::as_str));
        }
        let Some(scale) = signed_scale(node, &wiring) else { continue };
        let made = output(node);
        let own = |(reader, slot): (&Node, usize)| {
            reader.op_type == "DequantizeLinear" && slot == 0 && reader.input[1..] == node.input[1..]
        };
        if !wiring.is_output(made) && wiring.reading(made).all(own) {
            let dequantise = wiring.readers(made).iter().map(|&(reader, _)| reader).collect();
            pairs.push(Pair { quantise: position, dequantise, positive: positive.contains(made), scale });
        }
    }
    pairs
}

/// The scale of a Q with one for the whole tensor, signed bytes, and a zero point of 0.
fn signed_scale(node: &Node, wiring: &Wiring<'_>) -> Option<f32> {
    let ("QuantizeLinear", [_, scale, zero]) = (node.op_type.as_str(), &node.input[..]) else { return None };
    let zero = wiring.constant(zero)?;
    let is_signed_zero = zero.data_type == data_type::INT8 && zero.integers()? == [0];
    let [scale] = wiring.constant(scale)?.floats()?[..] else { return None };
    is_signed_zero.then_some(scale)
}

/// Whether nothing that `node` makes is below 0, given what is `positive` before it.
fn is_positive(node: &Node, wiring: &Wiring<'_>, positive: &BTreeSet<&str>) -> bool {
    let holds = |value: &String| positive.contains(value.as_str());
    match node.op_type.as_str() {
        "Relu" | "Sigmoid" | "Softmax" => true,
        "Clip" => {
            let least = input(node, 1).and_then(|name| wiring.constant(name));
            least.and_then(Tensor::floats).is_some_and(|least| least.iter().all(|&least| least >= 0.0))
        }
        "MaxPool" | "AveragePool" | "GlobalAveragePool" | "Reshape" | "Flatten" | "Transpose"
        | "QuantizeLinear" | "DequantizeLinear" => node.input.first().is_some_and(holds),
        "Concat" | "Add" | "Mul" => node.input.iter().all(holds),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn node(op: &str, inputs: &[&str], output: &str) -> Node {
        Node {
            input: inputs.iter().map(|name| (*name).to_owned()).collect(),
            output: vec![output.into()],
            op_type: op.into(),
            ..Node::default()
        }
    }

    fn pair(of: &str) -> [Node; 2] {
        let (bytes, back) = (format!("{of}.q"), format!("{of}.dq"));
        let quantise = node("QuantizeLinear", &[of, "scale", "zero"], &bytes);
        [quantise, node("DequantizeLinear", &[&bytes, "scale", "zero"], &back)]
    }

    /// `x`, quantised, then its Relu, quantised; weights beside them.
    fn signed(scale: f32) -> Model {
        let mut nodes = Vec::from(pair("x"));
        nodes.push(node("Relu", &["x.dq"], "y"));
        nodes.extend(pair("y"));
        nodes.push(node("DequantizeLinear", &["w", "scale", "zero"], "w.dq"));
        nodes.push(node("Mul", &["y.dq", "w.dq"], "z"));
        let zero = Tensor::of_bytes("zero", &[], &[0]);
        let constants =
            vec![zero, Tensor::of_floats("scale", &[], &[scale]), Tensor::of_bytes("w", &[1], &[-3])];
        let graph = Graph { node: nodes, initializer: constants, ..Graph::default() };
        Model { ir_version: 8, graph: Some(graph), ..Model::default() }
    }

    /// What a Q and its DQ make of `value` in `graph`.
    fn through(graph: &Graph, quantise: &str, value: f32) -> f32 {
        let q = graph.node.iter().find(|node| node.output == [quantise]).expect("a Q");
        let constant =
            |name: &str| graph.initializer.iter().find(|tensor| tensor.name == name).expect("there");
        let (scale, zero) = (constant(&q.input[1]).floats().expect("a scale")[0], constant(&q.input[2]));
        let ends = if zero.data_type == data_type::UINT8 { (0.0, 255.0) } else { (-128.0, 127.0) };
        let zero = zero.integers().expect("a zero point")[0] as f32;
        (((value / scale).round_ties_even() + zero).clamp(ends.0, ends.1) - zero) * scale
    }

    fn unsigned(model: &Model) -> Graph {
        let bytes = model.encode_to_vec();
        let Cow::Owned(rewritten) = with_unsigned_activations(&bytes) else { panic!("it was left as it is") };
        Model::decode(&rewritten[..]).expect("a model").graph.expect("a graph")
    }

    proptest! {
        #[test]
        fn numbers_are_what_they_were_or_nearer_to_what_was_rounded(scale in 1e-4f32..10.0, steps in -300f32..300.0) {
            let before = signed(scale);
            let (after, before) = (unsigned(&before), before.graph.expect("a graph"));
            let value = steps * scale;
            prop_assert_eq!(through(&after, "x.q", value), through(&before, "x.q", value));
            let value = value.max(0.0);
            let (fine, coarse) = (through(&after, "y.q", value), through(&before, "y.q", value));
            prop_assert!(fine <= 127.0 * scale, "{} is above the range", fine);
            prop_assert!((fine - value.min(127.0 * scale)).abs() <= 0.2500 * scale, "{} became {}", value, fine);
            prop_assert!((fine - coarse).abs() <= 0.7501 * scale, "{} and {}", fine, coarse);
        }

        #[test]
        fn damaged_files_are_left_as_they_are(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(matches!(with_unsigned_activations(&bytes), Cow::Borrowed(left) if left == bytes));
        }

        #[test]
        fn what_comes_of_a_file_with_a_wrong_byte_can_be_read(at in any::<proptest::sample::Index>(), byte: u8) {
            let mut bytes = signed(0.5).encode_to_vec();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            match with_unsigned_activations(&bytes) {
                Cow::Borrowed(left) => prop_assert_eq!(left, &bytes),
                Cow::Owned(rewritten) => prop_assert!(Model::decode(&rewritten[..]).is_ok()),
            }
        }
    }

    #[test]
    fn weights_stay_signed_and_nothing_is_left_that_nobody_reads() {
        let graph = unsigned(&signed(0.5));
        let weights = graph.node.iter().find(|node| node.output == ["w.dq"]).expect("weights");
        assert_eq!(weights.input, ["w", "scale", "zero"]);
        let names: BTreeSet<_> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
        assert_eq!(names, BTreeSet::from(["zero", "scale", "w", ZERO, MIDDLE, "unsigned.scale"]));
    }

    #[test]
    fn what_a_model_does_not_hold_is_left_as_it_is() {
        let mut bytes = signed(0.5).encode_to_vec();
        // Field 14 of a model: metadata.
        bytes.extend([14 << 3 | 2, 0]);
        assert!(matches!(with_unsigned_activations(&bytes), Cow::Borrowed(_)));
    }

    #[test]
    fn a_quantised_value_that_others_read_too_is_left_as_it_is() {
        let mut model = signed(0.5);
        let graph = model.graph.as_mut().expect("a graph");
        graph.node.push(node("Cast", &["x.q"], "read"));
        graph.node.push(node("Cast", &["y.q"], "too"));
        assert!(matches!(with_unsigned_activations(&model.encode_to_vec()), Cow::Borrowed(_)));
    }
}

//! The graph in 16-bit floats. Pictures come in as bytes and probabilities leave as 32-bit floats; what sums many
//! squares or powers stays in 32 bits, where 65 504 is no limit.

use std::collections::{BTreeMap, BTreeSet};

use fieldmark_models::onnx::{Attribute, Graph, Node, Tensor, data_type};

use super::simulate::float_node;
use fieldmark_models::onnx::wiring::{Wiring, output};

/// Operators that stay in 32 bits.
const WIDE: [&str; 8] =
    ["Softmax", "LogSoftmax", "ReduceL2", "ReduceSum", "ReduceSumSquare", "ReduceMean", "Div", "Exp"];
/// Largest 16-bit float.
const LARGEST: f32 = 65_504.0;

/// Weights that 16-bit floats cannot hold.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("constant {name} has the value {value}, which is no 16-bit float: there can be no float16 file")]
pub struct TooLarge {
    /// Name of the constant.
    pub name: String,
    /// The value.
    pub value: f32,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Half,
    Float,
}

/// `graph` with 16-bit floats between its inputs and outputs.
///
/// # Errors
/// If a weight is too large.
pub fn half(graph: &Graph) -> Result<Graph, TooLarge> {
    let wiring = Wiring::new(graph);
    let mut out = Graph { node: Vec::new(), initializer: Vec::new(), ..graph.clone() };
    let mut kinds: BTreeMap<String, Kind> = BTreeMap::new();
    let mut casts = BTreeSet::new();
    let mut constants: BTreeMap<String, Tensor> = BTreeMap::new();
    for node in &graph.node {
        let mut node = node.clone();
        let floats = node.input.iter().any(|value| {
            kinds.contains_key(value)
                || wiring.constant(value).is_some_and(|t| t.data_type == data_type::FLOAT)
        });
        let leaves = node.output.iter().any(|value| wiring.is_output(value));
        let wide = WIDE.contains(&node.op_type.as_str()) || leaves;
        let kind = if wide { Kind::Float } else { Kind::Half };
        for value in &mut node.input {
            if let Some(tensor) = wiring.constant(value) {
                let narrow = tensor.data_type == data_type::FLOAT && kind == Kind::Half;
                let name = if narrow { format!("{value}.half") } else { value.clone() };
                if !constants.contains_key(&name) {
                    let tensor = if narrow { halved(tensor, &name)? } else { tensor.clone() };
                    constants.insert(name.clone(), Tensor { name: name.clone(), ..tensor });
                }
                *value = name;
            } else if kinds.get(value).is_some_and(|made| *made != kind) {
                *value = cast(&mut out, &mut casts, value, kind);
            }
        }
        if node.op_type == "Cast" && node.int("to", 0) == i64::from(data_type::FLOAT) {
            kinds.insert(output(&node).into(), Kind::Float);
        } else if floats && node.op_type != "Cast" {
            kinds.extend(node.output.iter().map(|value| (value.clone(), kind)));
        }
        out.node.push(node);
    }
    out.initializer = constants.into_values().collect();
    Ok(out)
}

fn cast(out: &mut Graph, casts: &mut BTreeSet<String>, value: &str, kind: Kind) -> String {
    let (name, to) = match kind {
        Kind::Half => (format!("{value}.to_half"), data_type::FLOAT16),
        Kind::Float => (format!("{value}.to_float"), data_type::FLOAT),
    };
    if casts.insert(name.clone()) {
        let to = Attribute::of_int("to", to.into());
        out.node.push(Node { attribute: vec![to], ..float_node("Cast", &name, &[value]) });
    }
    name
}

fn halved(tensor: &Tensor, name: &str) -> Result<Tensor, TooLarge> {
    let values = tensor.floats().unwrap_or_default();
    if let Some(&value) = values.iter().find(|value| value.is_nan() || value.abs() > LARGEST) {
        return Err(TooLarge { name: tensor.name.clone(), value });
    }
    let raw_data = values.iter().flat_map(|&value| half::f16::from_f32(value).to_le_bytes()).collect();
    Ok(Tensor {
        dims: tensor.dims.clone(),
        data_type: data_type::FLOAT16,
        name: name.into(),
        raw_data,
        ..Tensor::default()
    })
}

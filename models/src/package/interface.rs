//! Does the graph take the views the manifest names, and answer for the leaves the taxonomy has?

use std::fmt;

use prost::Message as _;

use crate::onnx::{Side, ValueInfo, data_type, interface};
use crate::views::ViewSet;

/// Name of the output: probabilities `[N, leaves]`.
pub const PROBABILITIES: &str = "probabilities";

/// Why a graph does not fit its package.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InterfaceError {
    /// Not protobuf, or no graph in it.
    #[error("this is no ONNX model: {0}")]
    NotOnnx(String),
    /// Inputs must be the views, in order; the one output is `probabilities`.
    #[error("the graph's {kind}s are [{found}], the package needs [{expected}]")]
    Names {
        /// `input` or `output`.
        kind: &'static str,
        /// Names in the graph.
        found: String,
        /// Names needed.
        expected: String,
    },
    /// Type or shape of one of them.
    #[error("graph {kind} {name:?} is {found}, the package needs {expected}")]
    Tensor {
        /// `input` or `output`.
        kind: &'static str,
        /// Name of the value.
        name: String,
        /// As it stands in the graph.
        found: String,
        /// As the views and the taxonomy need it.
        expected: String,
    },
}

/// Checks the graph in `onnx` against DESIGN 4.2: an input `uint8 [N, H, W, 3]` for each view and an output
/// `probabilities`: `float [N, leaves]`.
///
/// # Errors
/// At the first thing that does not fit.
pub fn check_interface(onnx: &[u8], views: &ViewSet, leaves: usize) -> Result<(), InterfaceError> {
    let model = interface::Model::decode(onnx).map_err(|error| InterfaceError::NotOnnx(error.to_string()))?;
    let graph = model.graph.ok_or_else(|| InterfaceError::NotOnnx("it holds no graph".into()))?;
    let size = i64::from(views.input_size());
    let picture =
        Signature { elem_type: data_type::UINT8, sides: vec![None, Some(size), Some(size), Some(3)] };
    let inputs: Vec<_> = views.views().iter().map(|view| (view.name.as_str(), &picture)).collect();
    check("input", &graph.input, &inputs)?;
    let leaves = i64::try_from(leaves).unwrap_or(i64::MAX);
    let probabilities = Signature { elem_type: data_type::FLOAT, sides: vec![None, Some(leaves)] };
    check("output", &graph.output, &[(PROBABILITIES, &probabilities)])
}

/// Element type and sides; `None` stands for the number of regions N.
#[derive(PartialEq, Eq)]
struct Signature {
    elem_type: i32,
    sides: Vec<Option<i64>>,
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.elem_type {
            data_type::FLOAT => f.write_str("float")?,
            data_type::UINT8 => f.write_str("uint8")?,
            other => write!(f, "data type {other}")?,
        }
        let side = |side: &Option<i64>| side.map_or_else(|| "N".to_owned(), |length| length.to_string());
        write!(f, " [{}]", self.sides.iter().map(side).collect::<Vec<_>>().join(", "))
    }
}

fn check(
    kind: &'static str,
    found: &[ValueInfo],
    expected: &[(&str, &Signature)],
) -> Result<(), InterfaceError> {
    if !found.iter().map(|value| value.name.as_str()).eq(expected.iter().map(|(name, _)| *name)) {
        let found = found.iter().map(|value| value.name.as_str()).collect::<Vec<_>>().join(", ");
        let expected = expected.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        return Err(InterfaceError::Names { kind, found, expected });
    }
    for (value, (name, expected)) in found.iter().zip(expected) {
        let found = signature(value);
        if found != **expected {
            let (found, expected) = (found.to_string(), expected.to_string());
            return Err(InterfaceError::Tensor { kind, name: (*name).into(), found, expected });
        }
    }
    Ok(())
}

fn signature(value: &ValueInfo) -> Signature {
    let tensor = value.value_type.as_ref().and_then(|value_type| value_type.tensor.as_ref());
    let dimensions = tensor.and_then(|tensor| tensor.shape.as_ref()).map_or(&[][..], |shape| &shape.dim);
    let side = |side: &Option<Side>| match side {
        Some(Side::Fixed(length)) => Some(*length),
        Some(Side::Named(_)) | None => None,
    };
    Signature {
        elem_type: tensor.map_or(0, |tensor| tensor.elem_type),
        sides: dimensions.iter().map(|dimension| side(&dimension.side)).collect(),
    }
}

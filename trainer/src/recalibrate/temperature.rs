//! A graph's temperature, changed.

use fieldmark_models::onnx::{Model, Node, Tensor, data_type};
use fieldmark_models::package::PROBABILITIES;
use prost::Message as _;

/// Name of the factor before the softmax.
const FACTOR: &str = "inverse_temperature";

/// A graph that cannot be changed without losing something.
#[derive(Debug, thiserror::Error)]
pub enum NotOurs {
    /// No ONNX.
    #[error("the model is no ONNX: {0}")]
    Decode(#[from] prost::DecodeError),
    /// It has fields nobody here knows.
    #[error(
        "the model has parts that fieldmark-trainer does not write and would lose; change it where it was made"
    )]
    Foreign,
    /// There is nothing to put a temperature before.
    #[error("the model's output {PROBABILITIES} does not come from a Softmax")]
    NoSoftmax,
}

/// The model in `onnx`, if our types hold all of it.
///
/// # Errors
/// If it is no ONNX, or has parts that would be lost.
pub fn ours(onnx: &[u8]) -> Result<Model, NotOurs> {
    let model = Model::decode(onnx)?;
    if model.encode_to_vec() == onnx { Ok(model) } else { Err(NotOurs::Foreign) }
}

/// `onnx` with its logits divided by `temperature` before the softmax.
///
/// # Errors
/// If the graph is not one that fieldmark-trainer writes.
pub fn with_temperature(onnx: &[u8], temperature: f64) -> Result<Vec<u8>, NotOurs> {
    let mut model = ours(onnx)?;
    let graph = model.graph.as_mut().ok_or(NotOurs::NoSoftmax)?;
    let makes_probabilities = |node: &Node| node.op_type == "Softmax" && node.output == [PROBABILITIES];
    let softmax = graph.node.iter().position(makes_probabilities).ok_or(NotOurs::NoSoftmax)?;
    let factor = (1.0 / temperature) as f32;
    if let Some(constant) = graph.initializer.iter_mut().find(|constant| constant.name == FACTOR) {
        let old = constant.raw_data.first_chunk().map_or(1.0, |&bytes| f32::from_le_bytes(bytes));
        constant.raw_data = (old * factor).to_le_bytes().to_vec();
        return Ok(model.encode_to_vec());
    }
    let logits = graph.node[softmax].input.first().cloned().ok_or(NotOurs::NoSoftmax)?;
    let scaled = format!("{FACTOR}.logits");
    graph.initializer.push(Tensor {
        dims: vec![1],
        data_type: data_type::FLOAT,
        name: FACTOR.into(),
        raw_data: factor.to_le_bytes().to_vec(),
        ..Tensor::default()
    });
    graph.node[softmax].input = vec![scaled.clone()];
    graph.node.insert(
        softmax,
        Node {
            input: vec![logits, FACTOR.into()],
            output: vec![scaled.clone()],
            name: scaled,
            op_type: "Mul".into(),
            attribute: Vec::new(),
        },
    );
    Ok(model.encode_to_vec())
}

#[cfg(test)]
mod tests {
    use fieldmark_models::onnx::Graph;

    use super::*;

    fn softmax_of(input: &str) -> Vec<u8> {
        let node = Node {
            input: vec![input.into()],
            output: vec![PROBABILITIES.into()],
            op_type: "Softmax".into(),
            ..Node::default()
        };
        let graph = Graph { node: vec![node], ..Graph::default() };
        Model { ir_version: 8, graph: Some(graph), ..Model::default() }.encode_to_vec()
    }

    #[test]
    fn a_second_temperature_multiplies_the_first() {
        let twice = with_temperature(&with_temperature(&softmax_of("logits"), 2.0).expect("once"), 4.0);
        let graph = Model::decode(twice.expect("twice").as_slice()).expect("a model").graph.expect("a graph");
        assert_eq!(graph.node.len(), 2);
        assert_eq!(graph.initializer[0].raw_data, 0.125f32.to_le_bytes());
        assert_eq!(graph.node[0].input, ["logits", FACTOR]);
        assert_eq!(graph.node[1].input, graph.node[0].output);
    }

    #[test]
    fn a_graph_with_parts_that_would_be_lost_is_refused() {
        let mut onnx = softmax_of("logits");
        // Field 9, a text, which the types here do not have.
        onnx.extend([0x4a, 1, b'x']);
        assert!(matches!(with_temperature(&onnx, 2.0), Err(NotOurs::Foreign)));
        assert!(matches!(with_temperature(b"\xff\xff", 2.0), Err(NotOurs::Decode(_))));
        let no_softmax = Model { graph: Some(Graph::default()), ..Model::default() }.encode_to_vec();
        assert!(matches!(with_temperature(&no_softmax, 2.0), Err(NotOurs::NoSoftmax)));
    }
}

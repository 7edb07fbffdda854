//! A graph under construction: nodes and constants by name, each constant once.

use std::collections::HashSet;

use fieldmark_models::onnx::{Attribute, Graph, Model, Node, OperatorSet, Tensor, ValueInfo, data_type};
use prost::Message as _;

/// Operator set of what is written: the newest that TensorRT 8.5, ONNX Runtime and tract all read.
const OPSET: i64 = 17;
/// File format version that goes with it.
const IR_VERSION: i64 = 8;

#[derive(Default)]
pub(super) struct GraphBuilder {
    graph: Graph,
    constants: HashSet<String>,
}

impl GraphBuilder {
    /// A picture input `uint8 [N, size, size, 3]`.
    pub(super) fn picture_input(&mut self, name: &str, size: u32) {
        let size = i64::from(size);
        self.graph.input.push(ValueInfo::tensor(
            name,
            data_type::UINT8,
            &[None, Some(size), Some(size), Some(3)],
        ));
    }

    /// An output `float [N, width]`.
    pub(super) fn output(&mut self, name: &str, width: usize) {
        self.graph.output.push(ValueInfo::tensor(name, data_type::FLOAT, &[None, Some(width as i64)]));
    }

    /// A float constant; a name that is already there is that constant.
    pub(super) fn constant(&mut self, name: &str, dims: &[usize], values: &[f32]) -> String {
        let raw = values.iter().flat_map(|value| value.to_le_bytes());
        self.tensor(name, dims, data_type::FLOAT, || raw.collect())
    }

    fn tensor(&mut self, name: &str, dims: &[usize], kind: i32, raw: impl FnOnce() -> Vec<u8>) -> String {
        if self.constants.insert(name.into()) {
            let dims = dims.iter().map(|&side| side as i64).collect();
            let tensor =
                Tensor { dims, data_type: kind, name: name.into(), raw_data: raw(), ..Tensor::default() };
            self.graph.initializer.push(tensor);
        }
        name.into()
    }

    /// A node whose one output has the node's name.
    pub(super) fn node(
        &mut self,
        op: &str,
        name: &str,
        inputs: &[&str],
        attributes: Vec<Attribute>,
    ) -> String {
        self.graph.node.push(Node {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![name.into()],
            name: name.into(),
            op_type: op.into(),
            attribute: attributes,
        });
        name.into()
    }

    pub(super) fn finish(mut self, name: &str) -> Vec<u8> {
        self.graph.name = name.into();
        let model = Model {
            ir_version: IR_VERSION,
            producer_name: env!("CARGO_PKG_NAME").into(),
            producer_version: env!("CARGO_PKG_VERSION").into(),
            graph: Some(self.graph),
            opset_import: vec![OperatorSet { domain: String::new(), version: OPSET }],
        };
        model.encode_to_vec()
    }
}

pub(super) fn ints(name: &str, values: &[usize]) -> Attribute {
    let ints: Vec<i64> = values.iter().map(|&value| value as i64).collect();
    Attribute::of_ints(name, &ints)
}

//! TensorRT's rules for explicit quantisation, checked on any ONNX: what its parser or builder refuses, what it takes
//! and then answers wrongly, and what costs it a fusion.
//!
//! The rules are those of NVIDIA's developer guide, "Working with Quantized Types": symmetric int8, a positive
//! build-time scale, per-tensor activations, per-output-channel weights, and no operators that are quantised in
//! another way.

mod layers;
mod pairs;
mod rule;
mod seams;

use fieldmark_models::onnx::{Graph, Model};
use prost::Message as _;

use fieldmark_models::onnx::wiring::Wiring;

pub use rule::{Finding, Rule, Severity};

/// A file that is no model.
#[derive(Debug, thiserror::Error)]
pub enum LintError {
    /// No ONNX.
    #[error("this is no ONNX model: {0}")]
    Decode(#[from] prost::DecodeError),
    /// Nothing in it.
    #[error("this is no ONNX model: it holds no graph")]
    NoGraph,
}

/// Everything in `onnx` that breaks a rule, in the order of its nodes. A graph without any quantisation breaks none.
///
/// # Errors
/// If it is no ONNX model.
pub fn lint(onnx: &[u8]) -> Result<Vec<Finding>, LintError> {
    let model = Model::decode(onnx)?;
    let graph = model.graph.as_ref().ok_or(LintError::NoGraph)?;
    Ok(lint_model(&model, graph))
}

fn lint_model(model: &Model, graph: &Graph) -> Vec<Finding> {
    let wiring = Wiring::new(graph);
    let standard = model.opset_import.iter().find(|set| set.domain.is_empty() || set.domain == "ai.onnx");
    let opset = standard.map_or(0, |set| set.version);
    let mut findings = Vec::new();
    for node in &graph.node {
        match node.op_type.as_str() {
            "QuantizeLinear" | "DequantizeLinear" => pairs::check(&wiring, node, opset, &mut findings),
            "Conv" | "ConvTranspose" | "Gemm" | "MatMul" => layers::check(&wiring, node, &mut findings),
            "Concat" => seams::concat(&wiring, node, &mut findings),
            "Add" => seams::residual(&wiring, node, &mut findings),
            "Softmax" | "LogSoftmax" => seams::softmax(&wiring, node, &mut findings),
            other => {
                findings.extend(other_quantisation(other).map(|fix| Finding::new(Rule::Operator, node, fix)));
            }
        }
    }
    findings.extend(graph.output.iter().filter_map(|output| seams::graph_output(&wiring, &output.name)));
    findings
}

/// Operators that are quantised in another way, and what to have instead.
fn other_quantisation(operator: &str) -> Option<String> {
    let instead = match operator {
        "DynamicQuantizeLinear" => "a QuantizeLinear with a constant scale",
        "QLinearConv" | "ConvInteger" => "a float Conv between DequantizeLinear and QuantizeLinear",
        "QLinearMatMul" | "MatMulInteger" | "QGemm" | "DynamicQuantizeMatMul" | "MatMulIntegerToFloat" => {
            "a float MatMul or Gemm between DequantizeLinear and QuantizeLinear"
        }
        other if other.starts_with("QLinear") => {
            "the float operator between DequantizeLinear and QuantizeLinear"
        }
        _ => return None,
    };
    Some(format!("{operator} is not explicit quantisation: write {instead}"))
}

#[cfg(test)]
mod tests;

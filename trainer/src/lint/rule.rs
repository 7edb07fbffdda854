//! The rules by name, and what was found against them.

use std::fmt;

use fieldmark_models::onnx::Node;
use fieldmark_models::onnx::wiring::output;

/// What a finding means for the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It runs, slower or less exactly than it could.
    Advice,
    /// It is refused, or answered wrongly.
    Error,
}

/// One rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// Per-channel scales exist from operator set 13 on.
    OperatorSet,
    /// No QLinear, integer or dynamically quantised operators.
    Operator,
    /// Quantised values are signed bytes.
    Int8,
    /// Zero points are 0.
    Symmetric,
    /// Scales are constants of the graph.
    ConstantScale,
    /// Scales are positive and finite.
    PositiveScale,
    /// As many scales as channels of an axis that is there.
    ScaleCount,
    /// A QuantizeLinear is read by DequantizeLinear only, and a DequantizeLinear reads one or a constant.
    Pair,
    /// Activations have one scale.
    ActivationPerTensor,
    /// Weights are scaled along their output channels.
    WeightAxis,
    /// Weights have a scale for each output channel.
    WeightPerChannel,
    /// Data and weights of a layer are quantised both or neither.
    DataAndWeights,
    /// Biases are floats.
    FloatBias,
    /// All inputs of a concat have one scale.
    ConcatScale,
    /// The skip branch of a residual add is quantised.
    ResidualSkip,
    /// Softmax and final logits are floats.
    FloatSoftmax,
    /// What leaves the graph is float.
    FloatOutput,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 17] = [
        Self::OperatorSet,
        Self::Operator,
        Self::Int8,
        Self::Symmetric,
        Self::ConstantScale,
        Self::PositiveScale,
        Self::ScaleCount,
        Self::Pair,
        Self::ActivationPerTensor,
        Self::WeightAxis,
        Self::WeightPerChannel,
        Self::DataAndWeights,
        Self::FloatBias,
        Self::ConcatScale,
        Self::ResidualSkip,
        Self::FloatSoftmax,
        Self::FloatOutput,
    ];

    /// Its name, as it is printed.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OperatorSet => "operator-set",
            Self::Operator => "operator",
            Self::Int8 => "int8",
            Self::Symmetric => "symmetric",
            Self::ConstantScale => "constant-scale",
            Self::PositiveScale => "positive-scale",
            Self::ScaleCount => "scale-count",
            Self::Pair => "pair",
            Self::ActivationPerTensor => "activation-per-tensor",
            Self::WeightAxis => "weight-axis",
            Self::WeightPerChannel => "weight-per-channel",
            Self::DataAndWeights => "data-and-weights",
            Self::FloatBias => "float-bias",
            Self::ConcatScale => "concat-scale",
            Self::ResidualSkip => "residual-skip",
            Self::FloatSoftmax => "float-softmax",
            Self::FloatOutput => "float-output",
        }
    }

    /// What breaking it means.
    #[must_use]
    pub fn severity(self) -> Severity {
        match self {
            Self::WeightPerChannel | Self::ResidualSkip => Severity::Advice,
            _ => Severity::Error,
        }
    }
}

/// A node that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// Name of the node, or of the value it makes where it has none.
    pub node: String,
    /// What is wrong and what to do.
    pub fix: String,
}

impl Finding {
    pub(super) fn new(rule: Rule, node: &Node, fix: impl Into<String>) -> Self {
        let name = if node.name.is_empty() { output(node) } else { &node.name };
        Self { rule, node: name.into(), fix: fix.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.rule.severity() {
            Severity::Error => "error",
            Severity::Advice => "advice",
        };
        write!(f, "{severity} [{}] {}: {}", self.rule.name(), self.node, self.fix)
    }
}

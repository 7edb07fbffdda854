use fieldmark_models::onnx::{
    Attribute, Graph, Model, Node, OperatorSet, Tensor, ValueInfo, attribute_kind, data_type,
};
use proptest::prelude::*;
use prost::Message as _;

use super::*;

fn node(op: &str, name: &str, inputs: &[&str]) -> Node {
    Node {
        input: inputs.iter().map(|&input| input.into()).collect(),
        output: vec![name.into()],
        name: name.into(),
        op_type: op.into(),
        ..Node::default()
    }
}

fn with_int(mut node: Node, name: &str, int: i64) -> Node {
    node.attribute.push(Attribute::of_int(name, int));
    node
}

/// `value` through QuantizeLinear and DequantizeLinear with the constant `scale`.
fn pair(graph: &mut Graph, value: &str, scale: &str) {
    let (quantised, back) = (format!("{value}.q"), format!("{value}.dq"));
    graph.node.push(node("QuantizeLinear", &quantised, &[value, scale, "zero"]));
    graph.node.push(node("DequantizeLinear", &back, &[&quantised, scale, "zero"]));
}

/// Convolution, residual add, concat, classifier and softmax, quantised as TensorRT wants it.
fn good() -> Graph {
    let mut graph = Graph {
        initializer: vec![
            Tensor::of_floats("small", &[], &[0.1]),
            Tensor::of_floats("large", &[], &[0.2]),
            Tensor::of_floats("w.scale", &[2], &[0.1, 0.3]),
            Tensor::of_floats("bias", &[2], &[1.0, 2.0]),
            Tensor::of_bytes("zero", &[], &[0]),
            Tensor::of_bytes("zeros", &[2], &[0, 0]),
            Tensor::of_bytes("w", &[2, 2, 1, 1], &[1, 2, 3, 4]),
            Tensor::of_bytes("v", &[2, 4], &[1; 8]),
        ],
        input: vec![ValueInfo::tensor("x", data_type::FLOAT, &[None, Some(2), Some(1), Some(1)])],
        output: vec![ValueInfo::tensor("probabilities", data_type::FLOAT, &[None, Some(2)])],
        ..Graph::default()
    };
    pair(&mut graph, "x", "small");
    let weights = |name: &str, source: &str| {
        with_int(node("DequantizeLinear", name, &[source, "w.scale", "zeros"]), "axis", 0)
    };
    graph.node.push(weights("w.dq", "w"));
    graph.node.push(node("Conv", "conv", &["x.dq", "w.dq", "bias"]));
    graph.node.push(node("Add", "sum", &["conv", "x.dq"]));
    pair(&mut graph, "sum", "large");
    graph.node.push(node("MaxPool", "pool", &["sum.dq"]));
    graph.node.push(node("Concat", "cat", &["sum.dq", "pool"]));
    pair(&mut graph, "cat", "large");
    graph.node.push(weights("v.dq", "v"));
    graph.node.push(with_int(node("Gemm", "logits", &["cat.dq", "v.dq", "bias"]), "transB", 1));
    graph.node.push(node("Mul", "warm", &["logits", "small"]));
    graph.node.push(node("Softmax", "probabilities", &["warm"]));
    graph
}

fn encoded(graph: Graph, opset: i64) -> Vec<u8> {
    let opset_import = vec![OperatorSet { domain: String::new(), version: opset }];
    Model { ir_version: 8, graph: Some(graph), opset_import, ..Model::default() }.encode_to_vec()
}

fn named<'g>(graph: &'g mut Graph, name: &str) -> &'g mut Node {
    graph.node.iter_mut().find(|node| node.name == name).expect("a node")
}

fn constant<'g>(graph: &'g mut Graph, name: &str) -> &'g mut Tensor {
    graph.initializer.iter_mut().find(|tensor| tensor.name == name).expect("a constant")
}

type Damage = fn(&mut Graph);

/// Other ways to write it that break no rule.
const SOUND: &[(&str, Damage)] = &[
    ("an axis that counts from the end", |g| {
        named(g, "w.dq").attribute[0].int = -4;
        named(g, "v.dq").attribute[0].int = -2;
    }),
    ("weights of a product the other way round", |g| {
        named(g, "logits").attribute.clear();
        named(g, "v.dq").attribute[0].int = -1;
        *constant(g, "v") = Tensor::of_bytes("v", &[4, 2], &[1; 8]);
    }),
    ("data that only move between their DQ and the layer", |g| {
        let pool = node("MaxPool", "moved", &["x.dq"]);
        let conv = g.node.iter().position(|node| node.name == "conv").expect("a layer");
        g.node.insert(conv, pool);
        named(g, "conv").input[0] = "moved".into();
    }),
    ("one scale for the one output channel there is", |g| {
        named(g, "w.dq").input[1] = "one.scale".into();
        named(g, "w.dq").input[2] = "one.zero".into();
        *constant(g, "w") = Tensor::of_bytes("w", &[1, 2, 1, 1], &[1, 2]);
        g.initializer.push(Tensor::of_floats("one.scale", &[1], &[0.1]));
        g.initializer.push(Tensor::of_bytes("one.zero", &[1], &[0]));
    }),
];

#[test]
fn what_breaks_no_rule_is_let_alone_however_it_is_written() {
    for (way, write) in SOUND {
        let mut graph = good();
        write(&mut graph);
        assert_eq!(lint(&encoded(graph, 17)).expect("a model"), [], "{way}");
    }
}

/// One damaged graph a line: the rule it breaks, the node it breaks it at, and the damage.
const DAMAGED: &[(Rule, &str, Damage)] = &[
    (Rule::Operator, "conv", |g| named(g, "conv").op_type = "QLinearConv".into()),
    (Rule::Operator, "conv", |g| named(g, "conv").op_type = "ConvInteger".into()),
    (Rule::Operator, "logits", |g| named(g, "logits").op_type = "QLinearMatMul".into()),
    (Rule::Operator, "x.q", |g| named(g, "x.q").op_type = "DynamicQuantizeLinear".into()),
    (Rule::Int8, "x.q", |g| drop(named(g, "x.q").input.pop())),
    (Rule::Int8, "sum.q", |g| constant(g, "zero").data_type = data_type::UINT8),
    (Rule::Int8, "w.dq", |g| constant(g, "w").data_type = data_type::UINT8),
    (Rule::Symmetric, "x.q", |g| constant(g, "zero").raw_data = vec![3]),
    (Rule::Symmetric, "w.dq", |g| constant(g, "zeros").raw_data = vec![0, 0xff]),
    (Rule::ConstantScale, "x.q", |g| named(g, "x.q").input[1] = "x".into()),
    (Rule::ConstantScale, "x.dq", |g| constant(g, "small").data_location = 1),
    (Rule::PositiveScale, "x.q", |g| *constant(g, "small") = Tensor::of_floats("small", &[], &[0.0])),
    (Rule::PositiveScale, "w.dq", |g| {
        *constant(g, "w.scale") = Tensor::of_floats("w.scale", &[2], &[0.1, -0.1]);
    }),
    (Rule::PositiveScale, "cat.q", |g| *constant(g, "large") = Tensor::of_floats("large", &[], &[f32::NAN])),
    (Rule::ScaleCount, "w.dq", |g| {
        *constant(g, "w.scale") = Tensor::of_floats("w.scale", &[3], &[0.1; 3]);
    }),
    (Rule::Pair, "x.q", |g| named(g, "conv").input[0] = "x.q".into()),
    (Rule::Pair, "sum.dq", |g| named(g, "sum.dq").input[0] = "sum".into()),
    (Rule::Pair, "x.dq", |g| named(g, "x.dq").input[1] = "large".into()),
    (Rule::ActivationPerTensor, "x.q", |g| named(g, "x.q").input[1] = "w.scale".into()),
    (Rule::WeightAxis, "conv", |g| named(g, "w.dq").attribute[0].int = 1),
    (Rule::WeightAxis, "logits", |g| named(g, "logits").attribute.clear()),
    (Rule::WeightAxis, "logits", |g| {
        named(g, "logits").op_type = "MatMul".into();
        *constant(g, "v") = Tensor::of_bytes("v", &[2, 2], &[1; 4]);
    }),
    (Rule::WeightPerChannel, "conv", |g| {
        named(g, "w.dq").input = ["w", "small", "zero"].map(Into::into).into();
    }),
    (Rule::DataAndWeights, "conv", |g| named(g, "conv").input[0] = "x".into()),
    (Rule::DataAndWeights, "logits", |g| named(g, "logits").input[1] = "w.scale".into()),
    (Rule::FloatBias, "conv", |g| named(g, "conv").input[2] = "v.dq".into()),
    (Rule::ConcatScale, "cat", |g| named(g, "cat").input[0] = "x.dq".into()),
    (Rule::ConcatScale, "cat", |g| named(g, "cat").input[1] = "sum".into()),
    (Rule::ResidualSkip, "sum", |g| named(g, "sum").input[1] = "x".into()),
    (Rule::FloatSoftmax, "probabilities", |g| named(g, "probabilities").input[0] = "cat.dq".into()),
    (Rule::FloatSoftmax, "probabilities", |g| named(g, "warm").input[0] = "cat.dq".into()),
    (Rule::FloatOutput, "cat.dq", |g| g.output[0].name = "cat.dq".into()),
];

#[test]
fn a_graph_as_tensorrt_wants_it_breaks_no_rule() {
    assert_eq!(lint(&encoded(good(), 17)).expect("a model"), []);
}

#[test]
fn every_rule_is_broken_by_a_graph_of_its_own_and_found_with_its_node() {
    for (number, (rule, name, damage)) in DAMAGED.iter().enumerate() {
        let mut graph = good();
        damage(&mut graph);
        let findings = lint(&encoded(graph, 17)).expect("a model");
        let found = findings.iter().any(|finding| finding.rule == *rule && finding.node == *name);
        assert!(found, "fixture {number}: {} at {name} is not among {findings:?}", rule.name());
    }
    for rule in Rule::ALL.into_iter().filter(|&rule| rule != Rule::OperatorSet) {
        assert!(DAMAGED.iter().any(|damaged| damaged.0 == rule), "no fixture breaks {}", rule.name());
    }
    let old = lint(&encoded(good(), 12)).expect("a model");
    assert!(old.iter().any(|finding| finding.rule == Rule::OperatorSet));
}

#[test]
fn a_finding_says_where_what_and_what_to_do() {
    let mut graph = good();
    named(&mut graph, "cat").input[0] = "x.dq".into();
    let findings = lint(&encoded(graph, 17)).expect("a model");
    insta::assert_snapshot!(findings[0], @"error [concat-scale] cat: its inputs and output have scales [0.1, 0.2, 0.2]: give all of them the largest");
}

#[test]
fn scales_in_constant_nodes_and_typed_fields_are_read() {
    let mut graph = good();
    let value = Tensor { raw_data: vec![], float_data: vec![0.1], ..Tensor::of_floats("", &[], &[0.1]) };
    graph.initializer.retain(|tensor| tensor.name != "small");
    let mut small = node("Constant", "small", &[]);
    small.attribute.push(Attribute {
        name: "value".into(),
        tensor: Some(value),
        kind: attribute_kind::TENSOR,
        ..Attribute::default()
    });
    graph.node.insert(0, small);
    assert_eq!(lint(&encoded(graph, 17)).expect("a model"), []);
}

#[test]
fn files_that_are_no_models_are_refused() {
    assert!(matches!(lint(b"\xff\xff\xff"), Err(LintError::Decode(_))));
    assert!(matches!(lint(b""), Err(LintError::NoGraph)));
}

proptest! {
    #[test]
    fn damaged_models_never_stop_the_program(at in any::<prop::sample::Index>(), byte: u8, cut: bool) {
        let mut bytes = encoded(good(), 17);
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        let _ = lint(&bytes);
    }

    #[test]
    fn rewired_graphs_never_stop_the_program(
        wires in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..6)
    ) {
        let mut graph = good();
        let names: Vec<String> = graph.node.iter().map(|node| node.name.clone()).collect();
        for (node, source) in wires {
            let node = node.index(graph.node.len());
            if let Some(input) = graph.node[node].input.first_mut() {
                *input = names[source.index(names.len())].clone();
            }
        }
        prop_assert!(lint(&encoded(graph, 17)).is_ok());
    }
}

//! A tiny real model: red pictures are honey bees, green ones are oaks of either of two species. Its graph has the
//! operators of a real one.

use std::collections::BTreeMap;
use std::path::Path;

use fieldmark_models::calibration::{Calibration, Point};
use fieldmark_models::onnx::{self, Side, data_type};
use fieldmark_models::package::{Draft, Golden, GoldenPicture, Quantisation, QuantisedFiles};
use fieldmark_models::specificity::Threshold;
use fieldmark_models::taxonomy::{Lineage, Rank, Taxonomy, TaxonomyBuilder};
use fieldmark_models::views::{View, ViewSet};
use prost::Message as _;

const SIDE: i64 = 32;

/// Weights from [red, green, blue] of the whole and of the crop view to the three leaves.
const WEIGHTS: [[f32; 3]; 6] =
    [[4.0, -4.0, -4.0], [-4.0, 4.0, 4.0], [0.0; 3], [4.0, -4.0, -4.0], [-4.0, 4.0, 4.0], [0.0; 3]];

fn tensor(name: &str, dims: &[i64], data: &[f32]) -> onnx::Tensor {
    let raw_data = data.iter().flat_map(|number| number.to_le_bytes()).collect();
    onnx::Tensor {
        dims: dims.into(),
        data_type: data_type::FLOAT,
        name: name.into(),
        raw_data,
        ..onnx::Tensor::default()
    }
}

fn node(op_type: &str, input: &[&str], output: &str, attribute: Vec<onnx::Attribute>) -> onnx::Node {
    let input = input.iter().map(|&name| name.into()).collect();
    let (name, op_type) = (output.to_owned(), op_type.to_owned());
    onnx::Node { input, output: vec![output.into()], name, op_type, attribute }
}

/// uint8 pixels to a column's features: scaled, convolved with stride and asymmetric pads, clipped.
fn column(view: &str) -> Vec<onnx::Node> {
    let name = |step: &str| format!("{view}_{step}");
    let pads = vec![
        onnx::Attribute::of_ints("kernel_shape", &[3, 3]),
        onnx::Attribute::of_ints("strides", &[2, 2]),
        onnx::Attribute::of_ints("pads", &[0, 0, 1, 1]),
    ];
    vec![
        node(
            "Cast",
            &[view],
            &name("float"),
            vec![onnx::Attribute::of_int("to", i64::from(data_type::FLOAT))],
        ),
        node(
            "Transpose",
            &[&name("float")],
            &name("chw"),
            vec![onnx::Attribute::of_ints("perm", &[0, 3, 1, 2])],
        ),
        node("Mul", &[&name("chw"), "scale"], &name("scaled"), vec![]),
        node("Conv", &[&name("scaled"), "stem"], &name("stem"), pads),
        node("Clip", &[&name("stem"), "zero", "six"], &name("out"), vec![]),
    ]
}

fn graph(leaves: usize, flaw: Flaw) -> Vec<u8> {
    // The stem passes every channel's top left pixel on.
    let stem: Vec<f32> = (0..81).map(|i| if i % 9 == 0 && (i / 9) % 4 == 0 { 1.0 } else { 0.0 }).collect();
    let head: Vec<f32> = WEIGHTS.iter().flat_map(|row| (0..leaves).map(|leaf| row[leaf % 3])).collect();
    let mut nodes = column("whole");
    nodes.extend(column("crop"));
    nodes.extend([
        node("Concat", &["whole_out", "crop_out"], "merged", vec![onnx::Attribute::of_int("axis", 1)]),
        node("GlobalAveragePool", &["merged"], "pooled", vec![]),
        node("Flatten", &["pooled"], "features", vec![onnx::Attribute::of_int("axis", 1)]),
        node("Gemm", &["features", "head", "bias"], "logits", vec![]),
    ]);
    let broken = matches!(flaw, Flaw::NotNumbers | Flaw::NotNumbersForGreen);
    if broken {
        // The logarithm of the red part less a half is no number for green pictures.
        nodes.extend([
            node("Gemm", &["features", "probe", "probe_bias"], "probed", vec![]),
            node("Log", &["probed"], "logarithm", vec![]),
            node("Mul", &["logarithm", "tiny"], "small", vec![]),
            node("Add", &["logits", "small"], "spoilt", vec![]),
        ]);
    }
    let last = if broken { "spoilt" } else { "logits" };
    let operator = if flaw == Flaw::Operator { "Mystery" } else { "Softmax" };
    nodes.push(node(operator, &[last], "probabilities", vec![onnx::Attribute::of_int("axis", -1)]));
    let probe_bias = if flaw == Flaw::NotNumbers { -10.0 } else { -0.5 };
    let leaves_i64 = i64::try_from(leaves).expect("few leaves");
    let graph = onnx::Graph {
        node: nodes,
        name: "toy".into(),
        initializer: vec![
            tensor("scale", &[], &[1.0 / 255.0]),
            tensor("zero", &[], &[0.0]),
            tensor("six", &[], &[6.0]),
            tensor("stem", &[3, 3, 3, 3], &stem),
            tensor("head", &[6, leaves_i64], &head),
            tensor("bias", &[leaves_i64], &vec![0.0; leaves]),
            tensor("probe", &[6, 1], &[1.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
            tensor("probe_bias", &[1], &[probe_bias]),
            tensor("tiny", &[], &[1e-30]),
        ],
        input: ["whole", "crop"]
            .map(|name| {
                onnx::ValueInfo::tensor(name, data_type::UINT8, &[None, Some(SIDE), Some(SIDE), Some(3)])
            })
            .into(),
        output: vec![onnx::ValueInfo::tensor("probabilities", data_type::FLOAT, &[None, Some(leaves_i64)])],
        value_info: vec![],
    };
    let opset_import = vec![onnx::OperatorSet { domain: String::new(), version: 17 }];
    onnx::Model { ir_version: 8, graph: Some(graph), opset_import, ..Default::default() }.encode_to_vec()
}

/// The whole graph in signed bytes up to the average, as TensorRT wants it: Q/DQ on pixels and on what is concatenated, the
/// stem's weights by channel.
fn int8_graph() -> Vec<u8> {
    let mut model = onnx::Model::decode(&graph(3, Flaw::None)[..]).expect("a model");
    let graph = model.graph.as_mut().expect("a graph");
    let constants = [
        tensor("step", &[], &[1.0 / 127.0]),
        onnx::Tensor::of_bytes("middle", &[], &[0]),
        onnx::Tensor::of_bytes("middles", &[3], &[0; 3]),
        tensor("stem_steps", &[3], &[1.0 / 127.0; 3]),
        onnx::Tensor::of_bytes(
            "stem_bytes",
            &[3, 3, 3, 3],
            &std::array::from_fn::<i8, 81, _>(|i| if i % 9 == 0 && (i / 9) % 4 == 0 { 127 } else { 0 }),
        ),
    ];
    graph.initializer.retain(|tensor| tensor.name != "stem");
    graph.initializer.extend(constants);
    // One of its own for each column, so that an engine can fuse it.
    let weights = ["whole", "crop"].map(|view| {
        let axis = vec![onnx::Attribute::of_int("axis", 0)];
        node("DequantizeLinear", &["stem_bytes", "stem_steps", "middles"], &format!("{view}_weights"), axis)
    });
    let mut nodes = Vec::from(weights);
    for mut made in std::mem::take(&mut graph.node) {
        for value in
            made.input.iter_mut().filter(|value| value.ends_with("_scaled") || value.ends_with("_out"))
        {
            value.push_str("_dq");
        }
        if made.op_type == "Conv" {
            made.input[1] = made.output[0].replace("_stem", "_weights");
        }
        let value = made.output[0].clone();
        nodes.push(made);
        if value.ends_with("_scaled") || value.ends_with("_out") {
            let (bytes, back) = (format!("{value}_q"), format!("{value}_dq"));
            nodes.push(node("QuantizeLinear", &[&value, "step", "middle"], &bytes, vec![]));
            nodes.push(node("DequantizeLinear", &[&bytes, "step", "middle"], &back, vec![]));
        }
    }
    graph.node = nodes;
    model.encode_to_vec()
}

fn taxonomy() -> Taxonomy {
    let mut builder = TaxonomyBuilder::new();
    for (kingdom, genus, species, common) in [
        ("Animalia", "Apis", "Apis mellifera", "honey bee"),
        ("Plantae", "Quercus", "Quercus petraea", "sessile oak"),
        ("Plantae", "Quercus", "Quercus robur", "English oak"),
    ] {
        let levels = [(Rank::Kingdom, kingdom), (Rank::Genus, genus), (Rank::Species, species)];
        builder.insert(&Lineage::new(levels).expect("a lineage"), Some(common));
    }
    builder.build().expect("a tree")
}

fn calibration() -> Calibration {
    let point = |target, threshold| Point {
        target,
        threshold: Threshold::new(threshold).expect("a threshold"),
        exact: Threshold::new(threshold).expect("a threshold"),
        average: Threshold::new(threshold).expect("a threshold"),
        confident: Threshold::CERTAIN,
        accuracy: target,
        accuracy_low: target - 0.05,
        accuracy_high: 1.0,
        mean_depth: 2.5,
        ranks: BTreeMap::from([("species".into(), 1.0)]),
    };
    Calibration::new(100, 1.0, 0.95, vec![point(0.8, 0.4), point(0.9, 0.6)]).expect("a curve")
}

/// A red picture's answer, by hand: logits 8, -8, -8.
fn golden_answer() -> Vec<f32> {
    let logits = [8.0_f32, -8.0, -8.0].map(f32::exp);
    logits.map(|logit| logit / logits.iter().sum::<f32>()).into()
}

/// How a package is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// Not at all.
    None,
    /// Its graph answers for one leaf more than the taxonomy has.
    Leaves,
    /// Its golden answers are another network's.
    Golden,
    /// Its graph has an operator that there is none of.
    Operator,
    /// It answers with numbers that are none.
    NotNumbers,
    /// It does so for green pictures only, which are not among the golden ones.
    NotNumbersForGreen,
}

/// What a toy package is like.
#[derive(Debug, Clone, Copy)]
pub struct Toy {
    pub version: (u64, u64, u64),
    pub flaw: Flaw,
    /// Bytes that no compression shortens.
    pub filler: usize,
}

pub fn write_package(path: &Path, flaw: Flaw) {
    write_toy(path, Toy { version: (0, 1, 0), flaw, filler: 0 });
}

/// Text that does not repeat itself.
fn filler(bytes: usize, seed: u64) -> String {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[(state >> 33) as usize % 64]
    };
    // Six bits a letter.
    (0..bytes * 4 / 3).map(|_| char::from(next())).collect()
}

pub fn write_toy(path: &Path, toy: Toy) {
    write(path, toy, None);
}

/// A toy with a model in int8 beside the float one.
pub fn write_quantised(path: &Path) {
    write(path, Toy { version: (0, 1, 0), flaw: Flaw::None, filler: 0 }, Some(int8_graph()));
}

fn write(path: &Path, toy: Toy, int8: Option<Vec<u8>>) {
    let view = |name: &str, magnification| View { name: name.into(), magnification };
    let views = ViewSet::new(vec![view("whole", 1.0), view("crop", 2.0)], 32).expect("views");
    let mut probabilities = golden_answer();
    if toy.flaw == Flaw::Golden {
        probabilities.reverse();
    }
    let picture = GoldenPicture {
        file: "golden/red.png".into(),
        licence: "CC0-1.0".into(),
        attribution: "rendered by the project".into(),
        probabilities,
    };
    let (major, minor, patch) = toy.version;
    let (taxonomy, calibration) = (taxonomy(), calibration());
    let golden = Golden { tolerance: 1e-4, picture: vec![picture] };
    let golden_int8 = Golden { tolerance: 0.05, ..golden.clone() };
    let quantised = int8.map(|int8| QuantisedFiles {
        int8,
        fp16: None,
        quantisation: Quantisation { layers: 3, int8_layers: 2, float_layers: vec!["logits".into()] },
        calibration: &calibration,
        golden: &golden_int8,
        record: String::new(),
    });
    let draft = Draft {
        name: "toy",
        version: semver::Version::new(major, minor, patch),
        created: jiff::Timestamp::UNIX_EPOCH,
        preset: "efficientnet-lite0",
        licence: "CC0-1.0",
        provenance: vec!["rendered by the project".into()],
        views: &views,
        taxonomy: &taxonomy,
        calibration: &calibration,
        golden: &golden,
        golden_pictures: vec![("red.png".into(), super::picture::png([255, 0, 0]))],
        model: graph(if toy.flaw == Flaw::Leaves { 4 } else { 3 }, toy.flaw),
        quantised,
        report: format!("<p>toy {}", filler(toy.filler, major * 10_007 + minor * 101 + patch)),
    };
    draft.write(std::fs::File::create(path).expect("a file")).expect("a package");
}

use fieldmark_models::calibration::{Calibration, Point};
use fieldmark_models::onnx::{Attribute, Graph, Model, Node, OperatorSet, Tensor, ValueInfo, data_type};
use fieldmark_models::package::{Draft, Golden, MODEL_FP16, MODEL_INT8, QUANTISATION};
use fieldmark_models::picture::Picture;
use fieldmark_models::specificity::Threshold;
use fieldmark_models::taxonomy::{Lineage, Rank, Taxonomy, TaxonomyBuilder};
use fieldmark_models::views::{View, ViewSet};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::simulate::float_node;
use super::*;
use crate::lint::lint;

const SIDE: i64 = 16;
const LEAVES: usize = 4;
/// Of [`toy`].
const LAYERS: usize = 6;

struct Toy {
    graph: Graph,
    random: StdRng,
}

impl Toy {
    fn add(&mut self, op: &str, name: &str, inputs: &[&str], attribute: Vec<Attribute>) {
        self.graph.node.push(Node { attribute, ..float_node(op, name, inputs) });
    }

    fn weights(&mut self, name: &str, dims: &[i64]) {
        if !self.graph.initializer.iter().any(|tensor| tensor.name == name) {
            let count = dims.iter().product::<i64>();
            let fan = (count / dims[0]) as f32;
            let values: Vec<f32> =
                (0..count).map(|_| self.random.random_range(-1.0..1.0f32) * (3.0 / fan).sqrt()).collect();
            self.graph.initializer.push(Tensor::of_floats(name, dims, &values));
        }
    }

    fn conv(&mut self, name: &str, input: &str, weights: &str, dims: &[i64]) {
        self.weights(weights, dims);
        self.weights(&format!("{weights}.bias"), &dims[..1]);
        let pad = dims[2] / 2;
        let bias = format!("{weights}.bias");
        self.add("Conv", name, &[input, weights, &bias], vec![Attribute::of_ints("pads", &[pad; 4])]);
    }

    fn column(&mut self, view: &str) {
        let name = |part: &str| format!("{view}.{part}");
        let sides = [None, Some(SIDE), Some(SIDE), Some(3)];
        self.graph.input.push(ValueInfo::tensor(view, data_type::UINT8, &sides));
        self.add("Cast", &name("float"), &[view], vec![Attribute::of_int("to", 1)]);
        self.add(
            "Transpose",
            &name("planes"),
            &[&name("float")],
            vec![Attribute::of_ints("perm", &[0, 3, 1, 2])],
        );
        self.add("Mul", &name("input"), &[&name("planes"), "byte"], vec![]);
        self.conv(&name("stem"), &name("input"), "stem", &[8, 3, 3, 3]);
        let (scale, shift, mean, variance) = ("bn.scale", "bn.shift", "bn.mean", "bn.variance");
        self.add("BatchNormalization", &name("bn"), &[&name("stem"), scale, shift, mean, variance], vec![]);
        self.add("Relu", &name("relu"), &[&name("bn")], vec![]);
        self.conv(&name("block"), &name("relu"), "block", &[8, 8, 3, 3]);
        self.add("Add", &name("sum"), &[&name("block"), &name("relu")], vec![]);
        let attributes =
            vec![Attribute::of_ints("kernel_shape", &[2, 2]), Attribute::of_ints("strides", &[2, 2])];
        self.add("MaxPool", &name("pool"), &[&name("sum")], attributes);
    }
}

/// Two columns that share weights, a batch norm, a residual add, a pool, a concat and a classifier.
pub(super) fn toy() -> Model {
    two_columns(|toy| toy.add("GlobalAveragePool", "pool", &["merge"], vec![]))
}

/// The same with two branches behind the merge, which meet in a concat; nothing there pads.
pub(super) fn branched() -> Model {
    two_columns(|toy| {
        toy.add("Relu", "merge.relu", &["merge"], vec![]);
        for branch in ["left", "right"] {
            toy.conv(branch, "merge.relu", &format!("{branch}.weight"), &[4, 8, 1, 1]);
            toy.add("Relu", &format!("{branch}.relu"), &[branch], vec![]);
        }
        toy.add("Concat", "branches", &["left.relu", "right.relu"], vec![Attribute::of_int("axis", 1)]);
        toy.conv("up", "branches", "up.weight", &[8, 8, 1, 1]);
        toy.add("GlobalAveragePool", "pool", &["up"], vec![]);
    })
}

/// With a convolution behind the merge that pads what cannot be negative.
pub(super) fn padded() -> Model {
    two_columns(|toy| {
        toy.add("Relu", "merge.relu", &["merge"], vec![]);
        toy.conv("wide", "merge.relu", "wide.weight", &[8, 8, 3, 3]);
        toy.add("GlobalAveragePool", "pool", &["wide"], vec![]);
    })
}

/// Of [`padded`].
pub(super) fn padded_apart() -> Exceptions {
    Exceptions { padded: ["wide".to_owned()].into(), ..Exceptions::default() }
}

pub(super) fn in_float(layers: impl IntoIterator<Item = String>) -> Exceptions {
    Exceptions { float: layers.into_iter().collect(), ..Exceptions::default() }
}

/// `behind` gives `pool` from `merge`.
fn two_columns(behind: impl FnOnce(&mut Toy)) -> Model {
    let mut toy = Toy { graph: Graph::default(), random: StdRng::seed_from_u64(7) };
    toy.graph.initializer.push(Tensor::of_floats("byte", &[], &[1.0 / 255.0]));
    for (name, value) in [("scale", 1.5), ("shift", 0.1), ("mean", 0.05), ("variance", 0.5)] {
        toy.graph.initializer.push(Tensor::of_floats(&format!("bn.{name}"), &[8], &[value; 8]));
    }
    toy.column("whole");
    toy.column("crop");
    toy.add("Concat", "merge.concat", &["whole.pool", "crop.pool"], vec![Attribute::of_int("axis", 1)]);
    toy.conv("merge", "merge.concat", "merge.weight", &[8, 16, 1, 1]);
    behind(&mut toy);
    toy.add("Flatten", "feature", &["pool"], vec![Attribute::of_int("axis", 1)]);
    toy.weights("classifier", &[LEAVES as i64, 8]);
    toy.weights("classifier.bias", &[LEAVES as i64]);
    let transposed = vec![Attribute::of_int("transB", 1)];
    toy.add("Gemm", "logits", &["feature", "classifier", "classifier.bias"], transposed);
    toy.add("Softmax", "probabilities", &["logits"], vec![Attribute::of_int("axis", 1)]);
    let sides = [None, Some(LEAVES as i64)];
    toy.graph.output.push(ValueInfo::tensor("probabilities", data_type::FLOAT, &sides));
    let opset_import = vec![OperatorSet { domain: String::new(), version: 17 }];
    Model { ir_version: 8, graph: Some(toy.graph), opset_import, ..Model::default() }
}

fn views() -> ViewSet {
    let view = |name: &str, magnification| View { name: name.into(), magnification };
    ViewSet::new(vec![view("whole", 1.0), view("crop", 2.0)], SIDE as u32).expect("views")
}

fn taxonomy() -> Taxonomy {
    let mut builder = TaxonomyBuilder::new();
    for name in ["Animalia", "Chromista", "Fungi", "Plantae"] {
        builder.insert(&Lineage::new([(Rank::Kingdom, name)]).expect("a lineage"), None);
    }
    builder.build().expect("a tree")
}

fn calibration() -> Calibration {
    let threshold = Threshold::new(0.4).expect("a threshold");
    let point = Point {
        target: 0.9,
        threshold,
        exact: threshold,
        average: threshold,
        confident: threshold,
        accuracy: 0.9,
        accuracy_low: 0.8,
        accuracy_high: 1.0,
        mean_depth: 1.0,
        ranks: std::collections::BTreeMap::from([("kingdom".into(), 1.0)]),
    };
    Calibration::new(10, 1.0, 0.95, vec![point]).expect("a curve")
}

pub(super) fn package() -> Package {
    let (views, taxonomy, calibration) = (views(), taxonomy(), calibration());
    let draft = Draft {
        name: "toy",
        version: semver::Version::new(0, 1, 0),
        created: jiff::Timestamp::UNIX_EPOCH,
        preset: "toy",
        licence: "Apache-2.0",
        provenance: vec!["rendered by the project".into()],
        views: &views,
        taxonomy: &taxonomy,
        calibration: &calibration,
        golden: &Golden { tolerance: 0.01, picture: vec![] },
        golden_pictures: vec![],
        model: encoded(&toy(), toy().graph.expect("a graph")),
        quantised: None,
        report: "<p>good".into(),
    };
    let mut bytes = Vec::new();
    draft.write(&mut bytes).expect("a package");
    Package::read(&bytes[..]).expect("own package")
}

/// Pictures of random colour fields.
pub(super) fn samples(package: &Package, seed: u64) -> Vec<Sample> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut sample = |group: usize| {
        let rgb: Vec<u8> = (0..8 * 8 * 3).map(|_| random.random()).collect();
        let picture = Picture::from_rgb(8, 8, rgb).expect("a picture");
        let truth = package.taxonomy().leaf(group % LEAVES).expect("a leaf");
        Sample::new(&picture, package.views(), truth, group).expect("views")
    };
    (0..12).map(&mut sample).collect()
}

pub(super) fn settings() -> Settings {
    let target = Target { agreement: 0.9, drop: 0.1, depth: 0.1 };
    Settings { target, probes: 8, accuracy: 0.9, fine_tuning: None }
}

fn quantised(package: &Package) -> (Quantised, Vec<Sample>) {
    let (calibration, judging) = (samples(package, 1), samples(package, 2));
    let quantised =
        quantise(package, &calibration, &judging, &settings(), &|_| ()).expect("a quantised model");
    (quantised, judging)
}

#[test]
fn a_quantised_model_breaks_no_rule_and_answers_like_the_original() {
    let package = package();
    let (quantised, _) = quantised(&package);
    assert_eq!(lint(&quantised.int8).expect("a model"), []);
    assert_eq!(quantised.record.layers, LAYERS);
    assert_eq!(quantised.record.int8_layers.len() + quantised.record.float_layers.len(), LAYERS);
    let difference = quantised.record.fidelity.largest_difference;
    assert!(difference > 0.0 && difference < 0.05, "{difference}");
    assert!(quantised.record.folding_difference < FOLDING);
}

#[test]
fn a_package_with_int8_is_read_back_with_thresholds_of_its_own() {
    let (package, folder) = (package(), tempfile::tempdir().expect("a folder"));
    let (quantised, judging) = quantised(&package);
    let int8 = quantised.int8.clone();
    let version = semver::Version::new(0, 1, 1);
    let to = Destination { version, folder: folder.path(), calibrate: None };
    let path = write(&package, quantised, &judging, &to).expect("written");
    let read = Package::open(&path).expect("own package");
    assert_eq!(read.file(MODEL_INT8), Some(&int8[..]));
    assert!(read.calibration_int8().is_some() && read.golden_int8().is_some());
    let precision = |path| read.manifest().file(path).and_then(|file| file.precision.clone());
    assert_eq!(precision(MODEL_INT8).as_deref(), Some("int8"));
    assert_eq!(precision(MODEL_FP16).as_deref(), Some("float16"));
    let record = String::from_utf8_lossy(read.file(QUANTISATION).expect("a record")).into_owned();
    let record: toml::Table = record.parse().expect("TOML");
    assert!(record["tensor"].as_array().is_some_and(|tensors| tensors.len() > 5), "{record}");
    assert_eq!(read.manifest().quantisation.as_ref().map(|all| all.layers), u32::try_from(LAYERS).ok());
}

#[test]
fn what_meets_in_a_concat_has_one_scale_through_pools() {
    let graph = fold(&toy().graph.expect("a graph"));
    let placement = place(&graph, &Exceptions::default());
    let group = |value: &str| placement.groups.get(value).copied().expect(value);
    assert_eq!(group("whole.sum"), group("crop.sum"));
    assert_eq!(group("whole.pool"), group("merge.concat"));
    assert_ne!(group("whole.input"), group("crop.input"));
    assert!(!placement.groups.contains_key("merge") && !placement.groups.contains_key("logits"));
}

#[test]
fn a_layer_left_in_float_is_not_touched() {
    let graph = fold(&toy().graph.expect("a graph"));
    let placement = place(&graph, &in_float(["logits".to_owned()]));
    assert_eq!(placement.layers.len(), LAYERS - 1);
    let int8 = explicit(&graph, &placement, &Numbers::default());
    let logits = int8.node.iter().find(|node| node.name == "logits").expect("the classifier");
    assert_eq!(logits.input, ["feature", "classifier", "classifier.bias"]);
}

#[test]
fn what_cannot_be_negative_is_centred_unless_somebody_pads_or_adds_it() {
    let graph = fold(&branched().graph.expect("a graph"));
    let placement = place(&graph, &Exceptions::default());
    let centred = |placement: &Placement, value: &str| placement.centred.contains(&placement.groups[value]);
    assert!(centred(&placement, "merge.relu") && centred(&placement, "branches"));
    assert_eq!(placement.groups["left.relu"], placement.groups["right.relu"]);
    for signed in ["whole.input", "whole.relu", "merge.concat"] {
        assert!(!centred(&placement, signed), "{signed}");
    }
    // One of two readers in float reads the value itself.
    let partly = place(&graph, &in_float(["left".to_owned()]));
    assert!(!centred(&partly, "merge.relu") && centred(&partly, "branches"));
}

#[test]
fn a_centred_value_has_steps_of_half_the_width_and_no_relu() {
    let graph = fold(&branched().graph.expect("a graph"));
    let placement = place(&graph, &Exceptions::default());
    let int8 = explicit(&graph, &placement, &Numbers::default());
    let quantise = int8.node.iter().find(|node| node.name == "merge.relu.q").expect("a Q");
    assert_eq!(quantise.input[0], "merge");
    let scale = int8.initializer.iter().find(|tensor| tensor.name == quantise.input[1]);
    assert_eq!(scale.and_then(Tensor::floats), Some(vec![1.0 / 255.0]));
    let rectified: Vec<&str> =
        int8.node.iter().filter(|node| node.op_type == "Relu").map(|node| &*node.name).collect();
    assert_eq!(rectified, ["whole.relu", "crop.relu"]);
}

#[test]
fn padding_apart_fills_in_the_byte_that_stands_for_nothing() {
    let model = padded();
    let graph = fold(model.graph.as_ref().expect("a graph"));
    let within = place(&graph, &Exceptions::default());
    let apart = place(&graph, &padded_apart());
    let group = apart.groups["merge.relu"];
    assert!(within.padded.is_empty() && !within.centred.contains(&group));
    assert_eq!((&apart.padded, &apart.groups), (&padded_apart().padded, &within.groups));
    assert!(apart.centred.contains(&group));
    let int8 = explicit(&graph, &apart, &Numbers::default());
    assert_eq!(lint(&encoded(&model, int8.clone())).expect("a model"), []);
    let node = |name: &str| int8.node.iter().find(|node| node.name == name).expect("a node");
    let constant =
        |name: &str| int8.initializer.iter().find(|tensor| tensor.name == name).expect("a constant");
    assert!(!int8.node.iter().any(|node| node.name == "merge.relu"), "its cut is that of Q");
    let padding = node("wide.padded");
    assert_eq!(padding.input[0], "merge.relu.dq");
    assert_eq!(constant(&padding.input[1]).integers(), Some(vec![0, 0, 1, 1, 0, 0, 1, 1]));
    assert_eq!(constant(&padding.input[2]).floats(), Some(vec![-128.0 / 255.0]));
    assert_eq!(node("wide.padded.q").input[1], node("merge.relu.q").input[1], "one scale");
    assert_eq!(node("wide").input[0], "wide.padded.dq");
    assert_eq!(node("wide").attribute("pads").map(|pads| &pads.ints[..]), Some(&[0; 4][..]));
}

#[test]
fn folding_takes_batch_norms_away() {
    let graph = fold(&toy().graph.expect("a graph"));
    assert!(graph.node.iter().all(|node| node.op_type != "BatchNormalization"));
}

#[test]
fn weights_too_large_for_16_bits_are_told() {
    let mut graph = toy().graph.expect("a graph");
    for tensor in &mut graph.initializer {
        if tensor.name == "merge.weight" {
            *tensor = Tensor::of_floats("merge.weight", &[8, 16, 1, 1], &[1e6; 128]);
        }
    }
    assert_eq!(half(&graph).expect_err("a refusal").name, "merge.weight");
}

/// The answers that thresholds were found on are those of a graph at the temperature that was found with them.
#[test]
fn thresholds_found_anew_are_of_the_graph_that_is_written() {
    let (package, folder) = (package(), tempfile::tempdir().expect("a folder"));
    let (quantised, judging) = quantised(&package);
    let before = quantised.answers.clone();
    let settings = crate::calibrate::Settings { targets: vec![0.5], confidence: 0.9, halvings: 3, seed: 1 };
    let version = semver::Version::new(0, 1, 1);
    let to = Destination { version, folder: folder.path(), calibrate: Some(&settings) };
    let read =
        Package::open(&write(&package, quantised, &judging, &to).expect("written")).expect("a package");
    let calibration = read.calibration_int8().expect("thresholds");
    let temperature = calibration.temperature() / package.calibration().temperature();
    assert!((temperature - 1.0).abs() > 0.01, "labels at random are answered too surely: {temperature}");
    let int8 = crate::recalibrate::ours(read.file(MODEL_INT8).expect("a model")).expect("ours");
    let graph = simulate(int8.graph.as_ref().expect("a graph"));
    let engine = Engine::new(&int8, &graph, &["probabilities".into()], package.views()).expect("an engine");
    for (after, before) in engine.rows(&judging).expect("answers").iter().zip(&before) {
        let tempered: Vec<f64> = before.iter().map(|p| f64::from(*p).powf(1.0 / temperature)).collect();
        let sum: f64 = tempered.iter().sum();
        for (after, tempered) in after.iter().zip(tempered) {
            assert!((f64::from(*after) - tempered / sum).abs() < 1e-4, "{after} {}", tempered / sum);
        }
    }
}

#[test]
fn thresholds_brought_over_to_the_same_answers_stay() {
    let package = package();
    let (quantised, judging) = quantised(&package);
    let answers = fidelity::judged(package.taxonomy(), &judging, &quantised.float_answers);
    let same = transport(package.calibration(), &answers, &answers).expect("a calibration");
    assert_eq!(&same, package.calibration());
}

#[test]
fn equalised_layers_answer_as_before_with_channels_nearer_each_other() {
    equalised_as_before(None);
}

/// As the one channel that dwarfs all others does, which it was.
#[test]
fn a_clip_that_cuts_something_off_goes_on_cutting_it_off() {
    equalised_as_before(Some(8.0));
}

fn equalised_as_before(clip: Option<f32>) {
    let (package, mut model) = (package(), toy());
    // A chain without a residual add, whose first layer gives one channel that dwarfs the others.
    let graph = model.graph.as_mut().expect("a graph");
    for node in &mut graph.node {
        let passed_over = |value: &String| value.replace(".sum", ".block").replace(".bn", ".stem");
        if [".pool", ".relu"].iter().any(|end| node.name.ends_with(end)) {
            node.input = node.input.iter().map(passed_over).collect();
        }
    }
    graph.node.retain(|node| !node.name.ends_with(".sum") && !node.name.ends_with(".bn"));
    let mut stem = graph
        .initializer
        .iter()
        .find(|tensor| tensor.name == "stem")
        .and_then(Tensor::floats)
        .expect("weights");
    stem.iter_mut().take(27).for_each(|weight| *weight = weight.abs() * 20.0);
    for tensor in &mut graph.initializer {
        if tensor.name == "stem" {
            *tensor = Tensor::of_floats("stem", &[8, 3, 3, 3], &stem);
        }
    }
    if let Some(end) = clip {
        graph.initializer.push(Tensor::of_floats("clip.low", &[], &[0.0]));
        graph.initializer.push(Tensor::of_floats("clip.high", &[], &[end]));
        for node in graph.node.iter_mut().filter(|node| node.op_type == "Relu") {
            node.op_type = "Clip".into();
            node.input.extend(["clip.low".into(), "clip.high".into()]);
        }
    }
    let graph = fold(graph);
    let samples = samples(&package, 3);
    let (even, pairs) = super::equalise::equalise(&model, &graph, &samples, package.views())
        .expect("equalised")
        .expect("a pair");
    assert_eq!(pairs, 1, "stem and block, shared by both columns");
    let run = |graph: &Graph, value: &str| {
        let engine = Engine::new(&model, graph, &[value.into()], package.views()).expect("an engine");
        engine.rows(&samples).expect("answers")
    };
    let (before, after) = (run(&graph, "probabilities"), run(&even, "probabilities"));
    for (one, other) in before.iter().flatten().zip(after.iter().flatten()) {
        assert!((one - other).abs() < 1e-5, "{one} {other}");
    }
    let spread = |graph: &Graph| {
        let maps = run(graph, "whole.relu");
        let pixels = maps[0].len() / 8;
        let largest = |channel: usize| {
            let of = |map: &Vec<f32>| {
                map[channel * pixels..(channel + 1) * pixels].iter().copied().fold(0f32, f32::max)
            };
            maps.iter().map(of).fold(0f32, f32::max)
        };
        let mut all: Vec<f32> = (0..8).map(largest).filter(|&largest| largest > 0.0).collect();
        all.sort_by(f32::total_cmp);
        all[all.len() - 1] / all[all.len() / 2]
    };
    assert!(spread(&even) < spread(&graph) / 2.0, "{} {}", spread(&even), spread(&graph));
}

/// Fine-tuning starts from these, so they have to be what was measured.
#[test]
fn biases_corrected_in_float_are_those_that_the_int8_graph_has() {
    for model in [toy(), branched()] {
        let package = package();
        let graph = fold(model.graph.as_ref().expect("a graph"));
        let full = place(&graph, &Exceptions::default());
        let channels: BTreeMap<String, Vec<f32>> = full
            .layers
            .iter()
            .zip(1u8..)
            .filter_map(|(layer, number)| {
                let wiring = fieldmark_models::onnx::wiring::Wiring::new(&graph);
                let node = wiring.maker(layer).filter(|node| node.op_type == "Conv")?;
                let outputs = usize::try_from(wiring.constant(&node.input[1])?.dims[0]).ok()?;
                Some((layer.clone(), vec![0.01 * f32::from(number); outputs]))
            })
            .collect();
        let ranges: BTreeMap<usize, f32> = full.groups.values().map(|&group| (group, 2.0)).collect();
        let with = Numbers { ranges: ranges.clone(), bias: channels.clone() };
        let without = Numbers { ranges, bias: BTreeMap::new() };
        let answers = |graph: &Graph, numbers: &Numbers| {
            let graph = simulate(&explicit(graph, &full, numbers));
            let engine = Engine::new(&model, &graph, &["probabilities".into()], package.views());
            engine.expect("an engine").rows(&samples(&package, 3)).expect("answers")
        };
        let corrected = super::explicit::corrected(&graph, &channels);
        assert_eq!(answers(&corrected, &without), answers(&graph, &with));
        assert_ne!(answers(&graph, &without), answers(&graph, &with));
    }
}

#[test]
fn fine_tuning_brings_the_answers_nearer() {
    let (package, mut model) = (package(), toy());
    // Sharp answers, which rounding moves.
    let graph = model.graph.as_mut().expect("a graph");
    for tensor in graph.initializer.iter_mut().filter(|tensor| tensor.name == "classifier") {
        let sharp: Vec<f32> = tensor.floats().expect("weights").iter().map(|weight| weight * 60.0).collect();
        *tensor = Tensor::of_floats("classifier", &[LEAVES as i64, 8], &sharp);
    }
    let (graph, samples) = (fold(graph), samples(&package, 1));
    let full = place(&graph, &Exceptions::default());
    let answers = Engine::new(&model, &graph, &["probabilities".into()], package.views()).expect("an engine");
    let answers = answers.rows(&samples).expect("answers");
    // A range that cuts nothing and is far too wide.
    let ranges: Ranges = full.groups.values().map(|&group| (group, (Method::MinMax, 20.0))).collect();
    let settings = FineTuning { epochs: 12, rate: 3e-4 };
    let mut tuner = tune::Tuner::new((&graph, &full, &ranges), (&samples, answers), SIDE as usize, settings);
    let epochs: Vec<f64> = (0..12).map(|_| tuner.epoch().expect("an epoch")).collect();
    assert!(epochs[0] > 1e-4, "rounding shows: {epochs:?}");
    assert!(epochs[11] < epochs[0] / 2.0, "{epochs:?}");
    assert_ne!(tuner.graph(), graph);
}

#[test]
fn fine_tuning_is_done_where_the_target_is_missed_and_nowhere_else() {
    let package = package();
    let (calibration, judging) = (samples(&package, 1), samples(&package, 2));
    let epochs_of = |target: Target| {
        let fine_tuning = Some(FineTuning { epochs: 2, rate: 1e-6 });
        let settings = Settings { target, fine_tuning, ..settings() };
        let quantised = quantise(&package, &calibration, &judging, &settings, &|_| ());
        quantised.expect("a quantised model").record.fine_tuning.len()
    };
    assert_eq!(epochs_of(settings().target), 0);
    // More than all can never agree.
    assert_eq!(epochs_of(Target { agreement: 1.1, ..settings().target }), 2);
}

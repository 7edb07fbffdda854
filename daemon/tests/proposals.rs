//! Regions that a real ONNX detector proposes, in the daemon: every red thing on grey is found, named and followed.
#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod field;

use std::path::Path;

use field::{Broker, Field, Listener, free_port};
use fieldmark_daemon::region::{Detector, Look};
use fieldmark_models::onnx::{self, data_type};
use fieldmark_models::picture::Picture;
use fieldmark_models::views::FractionBox;
use prost::Message as _;
use serde_json::Value;

/// Pixels of the detector's picture, and of a cell of its grid.
const SIDE: i64 = 64;
const CELL: i64 = 8;
const CELLS: i64 = SIDE / CELL;

fn tensor(name: &str, dims: &[i64], data: &[f32]) -> onnx::Tensor {
    let raw_data = data.iter().flat_map(|number| number.to_le_bytes()).collect();
    let (dims, name) = (dims.into(), name.into());
    onnx::Tensor { dims, data_type: data_type::FLOAT, name, raw_data, ..onnx::Tensor::default() }
}

fn node(op_type: &str, input: &[&str], output: &str, attribute: Vec<onnx::Attribute>) -> onnx::Node {
    let input = input.iter().map(|&name| name.into()).collect();
    onnx::Node { input, output: vec![output.into()], name: output.into(), op_type: op_type.into(), attribute }
}

/// In the layout of the YOLO family, `[1, 5, N]`: a box a cell of the grid, its score how much redder than grey it is.
fn write_detector(path: &Path) {
    let (count, pixel) = (CELLS * CELLS, |cell: i64| (cell * CELL + CELL / 2) as f32);
    let centres =
        (0..count).map(|cell| pixel(cell % CELLS)).chain((0..count).map(|cell| pixel(cell / CELLS)));
    let boxes: Vec<f32> = centres.chain((0..2 * count).map(|_| CELL as f32)).collect();
    let axis = onnx::Attribute::of_int("axis", 1);
    let pool = vec![
        onnx::Attribute::of_ints("kernel_shape", &[CELL, CELL]),
        onnx::Attribute::of_ints("strides", &[CELL, CELL]),
    ];
    let shape = onnx::Tensor {
        dims: vec![3],
        data_type: data_type::INT64,
        name: "shape".into(),
        raw_data: [1i64, 1, count].iter().flat_map(|number| number.to_le_bytes()).collect(),
        ..onnx::Tensor::default()
    };
    let graph = onnx::Graph {
        node: vec![
            node("AveragePool", &["image"], "cells", pool),
            node(
                "Conv",
                &["cells", "red"],
                "redness",
                vec![onnx::Attribute::of_ints("kernel_shape", &[1, 1])],
            ),
            node("Reshape", &["redness", "shape"], "scores", vec![]),
            node("Concat", &["boxes", "scores"], "output", vec![axis]),
        ],
        name: "redness".into(),
        initializer: vec![
            tensor("red", &[1, 3, 1, 1], &[1.0, -0.5, -0.5]),
            tensor("boxes", &[1, 4, count], &boxes),
            shape,
        ],
        input: vec![onnx::ValueInfo::tensor(
            "image",
            data_type::FLOAT,
            &[Some(1), Some(3), Some(SIDE), Some(SIDE)],
        )],
        output: vec![onnx::ValueInfo::tensor("output", data_type::FLOAT, &[Some(1), Some(5), Some(count)])],
        value_info: vec![],
    };
    let opset_import = vec![onnx::OperatorSet { domain: String::new(), version: 17 }];
    let model = onnx::Model { ir_version: 8, graph: Some(graph), opset_import, ..Default::default() };
    std::fs::write(path, model.encode_to_vec()).expect("write");
}

/// Grey, with red squares of a cell's size in these cells of a 16 x 16 grid of 256 pixels.
fn scene(cells: &[(u32, u32)]) -> image::RgbImage {
    image::RgbImage::from_fn(256, 256, |x, y| {
        let red = cells.contains(&(x / 16, y / 16));
        image::Rgb(if red { [255, 0, 0] } else { [128, 64, 64] })
    })
}

#[test]
fn a_detector_finds_things_tile_by_tile_once_each() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("redness.onnx");
    write_detector(&path);
    let mut detector = Detector::open(&path, 0.6).expect("a detector");
    let cells = [(2, 3), (9, 3), (7, 8), (13, 14)];
    let picture = Picture::from_image(scene(&cells)).expect("a picture");
    let look = Look { part: FractionBox::FRAME, tile_px: Some(128.0), overlap: 0.5 };
    let found = detector.boxes(&picture, look).expect("boxes");
    assert_eq!(found.len(), cells.len(), "{found:?}");
    for (x, y) in cells {
        let middle = [(f64::from(x) + 0.5) / 16.0, (f64::from(y) + 0.5) / 16.0];
        let around = |found: &&FractionBox| {
            let [left, top, right, bottom] = found.edges();
            (left..right).contains(&middle[0]) && (top..bottom).contains(&middle[1])
        };
        assert_eq!(found.iter().filter(around).count(), 1, "{x} {y}: {found:?}");
    }
}

#[test]
fn around_its_network_a_detector_asks_for_no_memory_once_warm() {
    use tract_onnx::prelude::*;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("redness.onnx");
    write_detector(&path);
    let mut detector = Detector::open(&path, 0.6).expect("a detector");
    let picture = Picture::from_image(scene(&[(2, 3), (9, 3), (7, 8)])).expect("a picture");
    let look = Look { part: FractionBox::FRAME, tile_px: Some(128.0), overlap: 0.5 };
    let network = tract_onnx::onnx().with_ignore_output_shapes(true).model_for_path(&path).expect("a model");
    let shape = InferenceFact::dt_shape(f32::datum_type(), [1, 3, 64, 64]);
    let network = network.with_input_fact(0, shape).expect("an input");
    let network = network.into_optimized().and_then(IntoRunnable::into_runnable).expect("a plan");
    let input = Arc::new(Tensor::zero::<f32>(&[1, 3, 64, 64]).expect("a tensor"));
    let mut look = || {
        detector.boxes(&picture, look).expect("boxes");
    };
    let run = || {
        network.run(tvec!(TValue::from_const(Arc::clone(&input)))).expect("a run");
    };
    (0..3).for_each(|_| look());
    (0..3).for_each(|_| run());
    let counted = |action: &mut dyn FnMut()| allocation_counter::measure(action).count_total;
    let (network, whole) = (counted(&mut { run }), counted(&mut look));
    println!(
        "{network} requests for memory of tract for each tile, {whole} for nine tiles and all around them"
    );
    assert_eq!(whole, 9 * network);
}

#[test]
fn what_is_no_detector_is_refused_with_what_to_give() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("none.onnx");
    std::fs::write(&path, b"no onnx").expect("write");
    for path in [path, folder.path().join("absent.onnx")] {
        let error = Detector::open(&path, 0.5).map(|_| ()).expect_err("a refusal").to_string();
        assert!(error.contains(".onnx") && error.contains("give an ONNX with one square picture"), "{error}");
    }
}

#[test]
fn all_things_of_a_frame_are_named_and_not_the_best_alone() {
    let port = free_port();
    let _broker = Broker::start(port);
    let broker = format!("[mqtt]\nurl = \"mqtt://127.0.0.1:{port}\"\n");
    let lines = "rate_hz = 10.0\ntracks = true\n[camera.pond.regions]\nkind = \"detector\"\ndetector = \"DETECTOR\"\n\
                 score = 0.6\ntile_px = 128.0\nmargin = 1.0";
    let field = Field::new(&broker, 0, lines, "");
    write_detector(&field.path("redness.onnx"));
    scene(&[(2, 3), (9, 3), (13, 14)]).save(field.path("pictures/a.png")).expect("a picture");
    let config = field.path("fieldmark.toml");
    let text = std::fs::read_to_string(&config).expect("a configuration");
    std::fs::write(&config, text.replace("DETECTOR", &field.text("redness.onnx"))).expect("write");
    let listener = Listener::start(port, "311");
    let mut daemon = field.start();
    listener.wait("fieldmark/n1/pond/detection", |heard| heard.len() >= 3);
    field.stop(&mut daemon, &listener);
    let events: Vec<Value> = listener
        .on("fieldmark/n1/pond/detection")
        .iter()
        .map(|text| serde_json::from_str(text).expect("JSON"))
        .collect();
    let of = |kind: &str| events.iter().filter(|event| event["type"] == kind).count();
    assert_eq!((of("new"), of("end")), (3, 3), "{events:?}");
    assert!(events.iter().all(|event| event["taxon"]["name"] == "Apis mellifera"), "{events:?}");
    let mut names: Vec<_> = events.iter().map(|event| event["region"]["name"].as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names, [Some("d1"), Some("d2"), Some("d3")]);
}

#[test]
fn a_detector_comes_into_force_with_a_reload() {
    let port = free_port();
    let _broker = Broker::start(port);
    let broker = format!("[mqtt]\nurl = \"mqtt://127.0.0.1:{port}\"\n");
    let field = Field::new(&broker, 0, "rate_hz = 10.0\ntracks = false", "");
    write_detector(&field.path("redness.onnx"));
    scene(&[(2, 3), (9, 3)]).save(field.path("pictures/a.png")).expect("a picture");
    let listener = Listener::start(port, "311");
    let mut daemon = field.start();
    let topic = "fieldmark/n1/pond/detection";
    listener.wait(topic, |heard| heard.last().is_some_and(|text| text.contains("\"name\":\"frame\"")));
    let config = field.path("fieldmark.toml");
    let text = std::fs::read_to_string(&config).expect("a configuration");
    let rules = format!(
        "\n[camera.pond.regions]\nkind = \"detector\"\ndetector = {:?}\nscore = 0.6\ntile_px = 128.0\nmargin = 1.0\n",
        field.text("redness.onnx")
    );
    std::fs::write(&config, text + &rules).expect("write");
    daemon.signal("-HUP");
    for name in ["d1", "d2"] {
        let named = format!("\"name\":\"{name}\"");
        listener.wait(topic, |heard| heard.iter().any(|text| text.contains(&named)));
    }
    field.stop(&mut daemon, &listener);
}

#[test]
fn what_moves_is_named_where_it_moves_and_stillness_costs_nothing() {
    let port = free_port();
    let _broker = Broker::start(port);
    let broker = format!("[mqtt]\nurl = \"mqtt://127.0.0.1:{port}\"\nmetrics_s = 0.2\n");
    let lines = "rate_hz = 20.0\ntracks = true\n[camera.pond.regions]\nkind = \"motion\"\nmargin = 1.0";
    let field = Field::new(&broker, 0, lines, "");
    // A red square goes to and fro in one corner; nothing else changes.
    for (name, cells) in [("a", [(2, 3), (3, 3), (2, 4), (3, 4)]), ("b", [(4, 3), (5, 3), (4, 4), (5, 4)])] {
        scene(&cells).save(field.path(&format!("pictures/{name}.png"))).expect("a picture");
    }
    let listener = Listener::start(port, "311");
    let mut daemon = field.start();
    let topic = "fieldmark/n1/pond/detection";
    let heard = listener.wait(topic, |heard| !heard.is_empty());
    let event: Value = serde_json::from_str(&heard[0]).expect("JSON");
    assert_eq!((&event["region"]["name"], &event["taxon"]["name"]), (&"m1".into(), &"Apis mellifera".into()));
    let edges: Vec<f64> = serde_json::from_value(event["region"]["box"].clone()).expect("a box");
    let [left, top, right, bottom] = edges[..] else { panic!("{edges:?}") };
    assert!(left <= 0.13 && top <= 0.2 && right >= 0.37 && bottom >= 0.31, "{edges:?}");
    assert!(right < 0.5 && bottom < 0.45, "no more than what moved: {edges:?}");
    std::fs::remove_file(field.path("pictures/b.png")).expect("removed");
    let still = |text: &String| {
        let metrics: Value = serde_json::from_str(text).expect("JSON");
        metrics["cameras"]["pond"]["still"].as_u64().unwrap_or_default()
    };
    listener.wait("fieldmark/n1/metrics", |heard| heard.last().map(still) > Some(10));
    field.stop(&mut daemon, &listener);
}

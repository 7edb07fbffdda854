//! One suite for every engine: what is promised of one is promised of all, but for what [`IGNORED`] says.
//!
//! ONNX Runtime is also the judge of tract: two implementations that have nothing in common must agree on every model.
#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod field;

use std::path::{Path, PathBuf};
use std::time::Instant;

use field::{Broker, Flaw, Listener, free_port, write_package, write_quantised};
use fieldmark_daemon::config::load_text;
use fieldmark_daemon::decide::{Decider, Dial, Expected, Sureness};
use fieldmark_daemon::engine::{
    EngineError, EngineKind, EngineSettings, LoadedModel, OnnxRuntimeSettings, Phase, Precision,
    TractSettings,
};
use fieldmark_daemon::publish::BuildNotice;
use fieldmark_daemon::region::Region;
use fieldmark_models::picture::Picture;
use fieldmark_models::views::FractionBox;

/// Promises that an engine does not keep, and why. Nothing else is passed over.
const IGNORED: [(EngineKind, &str, &str); 2] = [
    (EngineKind::Tract, "no_allocation", "tract asks for memory for every intermediate value"),
    (EngineKind::TensorRt, "", "needs a GPU: tests/engines/run tests what goes without one"),
];

/// How far two engines' float probabilities may be apart.
const ALLOWED: f32 = 1e-4;

fn is_ignored(engine: EngineKind, promise: &str) -> bool {
    let fits = |(kind, what, _): &&(EngineKind, &str, &str)| {
        *kind == engine && (what.is_empty() || *what == promise)
    };
    match IGNORED.iter().find(fits) {
        Some((_, _, why)) => {
            eprintln!("SKIPPED: {promise} on {engine}: {why}");
            true
        }
        None => false,
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The library that `tests/install` puts into the virtual environment, or the one named in the environment.
fn library() -> PathBuf {
    if let Some(named) = std::env::var_os("ORT_DYLIB_PATH") {
        return named.into();
    }
    let list = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let lib = repository().join("work/venv/lib");
    let capi = list(&lib).map(|python| python.path().join("site-packages/onnxruntime/capi"));
    let mut libraries = capi.flat_map(|capi| list(&capi).map(|entry| entry.path()).collect::<Vec<_>>());
    let is_library = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libonnxruntime.so"))
    };
    libraries.find(is_library).expect("ONNX Runtime is needed: tests/install")
}

fn settings(engine: EngineKind, threads: usize) -> EngineSettings {
    EngineSettings {
        only: Some(engine),
        tract: TractSettings { threads: Some(threads) },
        onnxruntime: OnnxRuntimeSettings {
            library: Some(library()),
            threads: Some(threads),
            ..OnnxRuntimeSettings::default()
        },
        ..EngineSettings::default()
    }
}

fn open(package: &Path, settings: &EngineSettings) -> LoadedModel {
    LoadedModel::open(package, settings, &mut |_| ())
        .unwrap_or_else(|error| panic!("{}: {error}", package.display()))
}

/// The shipped package, the toy, and whatever lies in `work/packages`: `tests/run` makes one there.
fn packages(folder: &Path) -> Vec<PathBuf> {
    let toy = folder.join("toy.fieldmark");
    write_package(&toy, Flaw::None);
    let mut packages = vec![toy];
    for folder in ["models/packages", "work/packages"] {
        let entries = std::fs::read_dir(repository().join(folder)).into_iter().flatten();
        let files = entries.filter_map(Result::ok).map(|entry| entry.path());
        packages.extend(files.filter(|path| path.extension().is_some_and(|kind| kind == "fieldmark")));
    }
    packages
}

/// Pictures of waves and noise, another one for every region and view.
fn views(model: &LoadedModel, regions: usize) -> Vec<Vec<u8>> {
    let mut state = 12_345_u32;
    let mut noise = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) % 32
    };
    let bytes = model.views.view_bytes();
    let mut view = |number: usize| {
        let wave = |i: usize| 96.0 + 80.0 * ((i % 977) as f32 / (17 + number) as f32).sin();
        (0..bytes * regions).map(|i| wave(i) as u8 + noise() as u8).collect()
    };
    (0..model.views.views().len()).map(&mut view).collect()
}

fn answers(model: &mut LoadedModel, views: &[Vec<u8>], regions: usize) -> Vec<f32> {
    let mut probabilities = vec![0.0; regions * model.taxonomy.leaf_count()];
    model.engine.infer(views, regions, &mut probabilities).expect("probabilities");
    probabilities
}

fn largest_difference(one: &[f32], other: &[f32]) -> f32 {
    assert_eq!(one.len(), other.len());
    one.iter().zip(other).map(|(one, other)| (one - other).abs()).fold(0.0, f32::max)
}

fn each(promise: &str, mut keep: impl FnMut(EngineKind)) {
    EngineKind::ALL.into_iter().filter(|engine| !is_ignored(*engine, promise)).for_each(&mut keep);
}

#[test]
fn engines_agree_on_every_model_and_give_its_golden_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    for package in packages(folder.path()) {
        let mut judge = open(&package, &settings(EngineKind::OnnxRuntime, 1));
        let views = views(&judge, 2);
        let expected = answers(&mut judge, &views, 2);
        each("agreement", |engine| {
            for threads in [1, 2] {
                let mut model = open(&package, &settings(engine, threads));
                assert!(model.tested.largest_difference <= ALLOWED, "{:?}", model.tested);
                let difference = largest_difference(&answers(&mut model, &views, 2), &expected);
                let name = package.file_name().expect("a file").display();
                println!("{name}: {} on {threads} threads: {difference:.1e}", model.engine.name());
                assert!(difference <= ALLOWED, "{name}: {engine} on {threads} threads is {difference:e} off");
            }
        });
    }
}

#[test]
fn an_int8_model_answers_as_the_float_one_does_and_passes_its_own_golden_pictures() {
    let folder = tempfile::tempdir().expect("a folder");
    let package = folder.path().join("toy.fieldmark");
    write_quantised(&package);
    let mut int8 = settings(EngineKind::OnnxRuntime, 1);
    int8.onnxruntime.precision = Precision::Int8;
    let mut float = open(&package, &settings(EngineKind::OnnxRuntime, 1));
    let mut int8 = open(&package, &int8);
    assert_eq!((int8.engine.name(), int8.tested.tolerance), ("onnxruntime-int8", 0.05));
    assert!(int8.tested.largest_difference <= 0.01, "{:?}", int8.tested);
    let views = views(&float, 4);
    let (float, int8) = (answers(&mut float, &views, 4), answers(&mut int8, &views, 4));
    let difference = largest_difference(&float, &int8);
    // As many steps as a byte has: not the same numbers, and not far from them.
    assert!(difference > 0.0 && difference <= 0.02, "{difference:e}: {float:?} and {int8:?}");
}

#[test]
fn a_batch_answers_as_its_regions_one_by_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let package = packages(folder.path()).remove(0);
    each("batch", |engine| {
        let mut model = open(&package, &settings(engine, 2));
        let (views, bytes, leaves) =
            (views(&model, 5), model.views.view_bytes(), model.taxonomy.leaf_count());
        let together = answers(&mut model, &views, 5);
        for region in 0..5 {
            let one: Vec<Vec<u8>> =
                views.iter().map(|view| view[region * bytes..(region + 1) * bytes].to_vec()).collect();
            let alone = answers(&mut model, &one, 1);
            let difference = largest_difference(&alone, &together[region * leaves..(region + 1) * leaves]);
            assert!(difference <= 1e-6, "{engine}: region {region} is {difference:e} off");
        }
    });
}

#[test]
fn regions_of_a_frame_are_decided_together_as_they_are_one_by_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let package = packages(folder.path()).remove(0);
    let half = |left, right| FractionBox::new(left, 0.0, right, 1.0).expect("a box");
    let regions = [half(0.0, 0.5), half(0.5, 1.0), half(0.2, 0.9)];
    let regions = regions.map(|part| Region { part, ..Region::frame() });
    // Red on the left, green on the right.
    let pixel = |x: u32| if x < 40 { [255, 0, 0] } else { [0, 255, 0] };
    let rgb = (0..80 * 60).flat_map(|i| pixel(i % 80)).collect();
    let picture = Picture::from_rgb(80, 60, rgb).expect("a picture");
    each("regions", |engine| {
        let dial = Dial::everywhere(Sureness::Target(0.9));
        let model = open(&package, &settings(engine, 2));
        let mut decider = Decider::new(model, &dial, &Expected::default()).expect("a decider");
        decider.look(&picture, &regions).expect("a look");
        let begun = Instant::now();
        let together: Vec<_> =
            (0..regions.len()).map(|number| decider.answer(number, begun).expect("an answer")).collect();
        let names: Vec<_> = together.iter().map(|answer| answer.taxon.name.clone()).collect();
        assert_eq!(names[..2], ["Apis mellifera", "Quercus"], "{engine}");
        for (region, answer) in regions.iter().zip(&together) {
            let alone = decider.decide(&picture, region.part, None).expect("an answer");
            assert_eq!((&alone.taxon, alone.stop), (&answer.taxon, answer.stop), "{engine}");
            assert!((alone.probability - answer.probability).abs() < 1e-5, "{engine}");
        }
    });
}

#[test]
fn buffers_of_another_length_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let package = packages(folder.path()).remove(0);
    each("buffers", |engine| {
        let mut model = open(&package, &settings(engine, 2));
        let good = views(&model, 1);
        let mut short = good.clone();
        short[1].pop();
        let mut out = vec![0.0; model.taxonomy.leaf_count()];
        for (views, regions) in [(&short, 1), (&good, 2), (&good[..1].to_vec(), 1)] {
            let refused = model.engine.infer(views, regions, &mut out);
            assert!(matches!(refused, Err(EngineError::Buffer { .. })), "{engine}: {refused:?}");
        }
        out.pop();
        let refused = model.engine.infer(&good, 1, &mut out);
        assert!(matches!(refused, Err(EngineError::Buffer { .. })), "{engine}: {refused:?}");
    });
}

#[test]
fn once_warm_a_call_asks_for_no_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let package = packages(folder.path()).remove(0);
    each("no_allocation", |engine| {
        let mut model = open(&package, &settings(engine, 1));
        let views = views(&model, 2);
        let mut out = vec![0.0; 2 * model.taxonomy.leaf_count()];
        let mut call = || model.engine.infer(&views, 2, &mut out).expect("probabilities");
        (0..3).for_each(|_| call());
        let asked = allocation_counter::measure(|| (0..20).for_each(|_| call())).count_total;
        assert_eq!(asked, 0, "{engine}: {asked} requests for memory in 20 calls");
    });
}

#[test]
fn a_graph_with_an_operator_nobody_knows_is_refused_in_the_engines_words() {
    let folder = tempfile::tempdir().expect("a folder");
    let package = folder.path().join("strange.fieldmark");
    write_package(&package, Flaw::Operator);
    each("refusal", |engine| {
        let refused = LoadedModel::open(&package, &settings(engine, 1), &mut |_| ());
        let message = refused.err().expect("a refusal").to_string();
        assert!(message.contains(engine.as_str()) && message.contains("Mystery"), "{message}");
    });
}

#[test]
fn an_engine_that_gives_wrong_answers_is_not_used() {
    let folder = tempfile::tempdir().expect("a folder");
    let package = folder.path().join("wrong.fieldmark");
    write_package(&package, Flaw::Golden);
    each("golden", |engine| {
        let refused = LoadedModel::open(&package, &settings(engine, 1), &mut |_| ());
        let message = refused.err().expect("a refusal").to_string();
        assert!(message.contains("does not give the golden answers"), "{message}");
    });
}

#[test]
fn auto_passes_over_what_is_not_there_and_says_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let package = packages(folder.path()).remove(0);
    let mut absent = EngineSettings::default();
    absent.onnxruntime.library = Some("/nowhere/libonnxruntime.so".into());
    let model = open(&package, &absent);
    assert_eq!(model.engine.name(), "tract-f32");
    let reasons: Vec<_> = model.passed_over.iter().map(|passed| (passed.engine, &passed.reason)).collect();
    let [(EngineKind::TensorRt, tensorrt), (EngineKind::OnnxRuntime, onnxruntime)] = reasons[..] else {
        panic!("{reasons:?}")
    };
    assert!(!tensorrt.is_empty());
    assert!(onnxruntime.contains("/nowhere/libonnxruntime.so"), "{onnxruntime}");
    assert!(onnxruntime.contains("onnxruntime.library"), "{onnxruntime}");

    // Asked for by name, it is an error.
    let named = EngineSettings { only: Some(EngineKind::OnnxRuntime), ..absent };
    assert!(LoadedModel::open(&package, &named, &mut |_| ()).is_err());
    let mut int8 = settings(EngineKind::OnnxRuntime, 1);
    int8.onnxruntime.precision = Precision::Int8;
    let refused = LoadedModel::open(&package, &int8, &mut |_| ()).err().expect("a refusal").to_string();
    assert!(refused.contains("model.int8.onnx") && refused.contains("quantise the package"), "{refused}");
}

#[test]
fn a_build_is_told_to_the_broker_up_to_its_last_step() {
    let port = free_port();
    let _broker = Broker::start(port);
    let listener = Listener::start(port, "5");
    let text = format!(
        "node = \"n1\"\n[mqtt]\nurl = \"mqtt://127.0.0.1:{port}\"\n[camera.c]\nsource = \"files\"\nfolder = \"x\""
    );
    let mut notice = BuildNotice::new(&load_text(&text).expect("a configuration"));
    for percent in [0, 50, 100] {
        let step = "Building engine".into();
        notice.tell(&Phase::Building { engine: EngineKind::TensorRt, step, percent: Some(percent) });
    }
    drop(notice);
    let heard = listener.wait("fieldmark/n1/model/build", |heard| {
        heard.iter().any(|payload| payload.contains("\"progress\":1.0"))
    });
    assert!(heard.iter().all(|payload| payload.contains("\"engine\":\"tensorrt\"")), "{heard:?}");
}

#[test]
fn a_build_without_a_broker_goes_on_all_the_same() {
    let text = format!(
        "node = \"n1\"\n[mqtt]\nurl = \"mqtt://127.0.0.1:{}\"\n[camera.c]\nsource = \"files\"\nfolder = \"x\"",
        free_port()
    );
    let mut notice = BuildNotice::new(&load_text(&text).expect("a configuration"));
    notice.tell(&Phase::Building { engine: EngineKind::TensorRt, step: "Parsing".into(), percent: None });
    let begun = std::time::Instant::now();
    drop(notice);
    assert!(begun.elapsed() < std::time::Duration::from_secs(20), "the end waits for nobody");
}

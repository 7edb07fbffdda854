//! `fieldmarkd engine-selftest`: whether an engine answers as tract does, and how fast.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;
use clap::Args;
use fieldmark_models::package::{MODEL, MODEL_FP16, MODEL_INT8, Package};
use fieldmark_models::picture::Picture;
use fieldmark_models::views::{FractionBox, ViewSet};
use serde::Serialize;

use super::Failure;
use super::engine::EngineArguments;
use crate::engine::{
    EngineKind, EngineSettings, Eye, LoadedModel, PassedOver, Phase, Precision, shipped_package,
};

#[derive(Debug, Args)]
pub(super) struct SelfTestArguments {
    /// Package; the shipped one when absent.
    #[arg(long, value_name = "PACKAGE")]
    model: Option<PathBuf>,
    #[command(flatten)]
    engine: EngineArguments,
    /// Calls to time.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    calls: u32,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    model: String,
    engine: String,
    precision: Precision,
    passed_over: Vec<PassedOver>,
    pictures: usize,
    /// Against the golden answers of the precision.
    golden_difference: f32,
    golden_allowed: f32,
    /// Against tract's float answers to the same pictures.
    tract_difference: f32,
    tract_allowed: f32,
    best_leaves_as_tract: usize,
    p50_ms: f64,
    p99_ms: f64,
    layers: Vec<String>,
    trtexec: String,
    good: bool,
}

/// How far probabilities may be from tract's.
fn allowed(precision: Precision) -> f32 {
    match precision {
        Precision::F32 => 1e-4,
        Precision::Fp16 => 0.02,
        Precision::Int8 => 0.15,
    }
}

pub(super) fn execute(arguments: &SelfTestArguments) -> Result<(), Failure> {
    let path = match &arguments.model {
        Some(path) => path.clone(),
        None => shipped_package()?,
    };
    let mut tell = |phase: Phase| {
        if let Phase::Building { engine, step, percent } = phase {
            let percent = percent.map(|percent| format!(" {percent} %")).unwrap_or_default();
            eprintln!("{engine} builds: {step}{percent}");
        }
    };
    let package = Package::open(&path).map_err(anyhow::Error::from)?;
    let model = LoadedModel::open(&path, &arguments.engine.settings(), &mut tell)?;
    let tract = LoadedModel::open(&path, &EngineSettings::only(EngineKind::Tract), &mut |_| ())?;
    let report = test(&path, &package, model, tract, arguments.calls)?;
    if arguments.json {
        // Texts and numbers always become JSON.
        println!("{}", serde_json::to_string(&report).unwrap_or_default());
    } else {
        print(&report);
    }
    if report.good { Ok(()) } else { Err(Failure::told()) }
}

fn test(
    path: &Path,
    package: &Package,
    mut model: LoadedModel,
    mut tract: LoadedModel,
    calls: u32,
) -> anyhow::Result<Report> {
    let (mut difference, mut alike) = (0.0_f32, 0);
    let mut times = Vec::with_capacity(calls as usize);
    let golden = &package.golden().picture;
    for expected in golden {
        let bytes = package.file(&expected.file).unwrap_or_default();
        let picture = Picture::decode(bytes).with_context(|| expected.file.clone())?;
        let look = |model: &mut LoadedModel| {
            let mut eye = Eye::new(&model.views, model.taxonomy.leaf_count());
            let LoadedModel { views, engine, .. } = model;
            eye.look(views, engine.as_mut(), &picture, FractionBox::FRAME, None).map(<[f32]>::to_vec)
        };
        let (own, judge) = (look(&mut model)?, look(&mut tract)?);
        let apart = own.iter().zip(&judge).map(|(own, judge)| (own - judge).abs());
        difference = apart.fold(difference, f32::max);
        alike += usize::from(best(&own) == best(&judge));
    }
    let bytes = model.views.view_bytes();
    let views = vec![vec![128_u8; bytes]; model.views.views().len()];
    let mut out = vec![0.0; model.taxonomy.leaf_count()];
    for _ in 0..calls {
        let begun = Instant::now();
        model.engine.infer(&views, 1, &mut out)?;
        times.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    let precision = model.engine.precision();
    let tract_allowed = allowed(precision);
    Ok(Report {
        model: format!("{} {}", model.identity.name, model.identity.version),
        engine: model.engine.name().into(),
        precision,
        passed_over: model.passed_over,
        pictures: golden.len(),
        golden_difference: model.tested.largest_difference,
        golden_allowed: model.tested.tolerance,
        tract_difference: difference,
        tract_allowed,
        best_leaves_as_tract: alike,
        p50_ms: crate::service::quantile(&times, 0.5),
        p99_ms: crate::service::quantile(&times, 0.99),
        layers: precisions(model.engine.layers()),
        trtexec: trtexec(path, precision, &model.views),
        good: difference <= tract_allowed,
    })
}

fn best(probabilities: &[f32]) -> Option<usize> {
    (0..probabilities.len()).max_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]))
}

/// One line a layer: its name and the types of what it gives, of what TensorRT's inspector tells as JSON.
fn precisions(layers: &[String]) -> Vec<String> {
    let line = |layer: &String| {
        let Ok(value) = serde_json::from_str::<serde_json::Value>(layer) else { return layer.clone() };
        let Some(name) = value.get("Name").and_then(|name| name.as_str()) else { return layer.clone() };
        let outputs = value.get("Outputs").and_then(|outputs| outputs.as_array());
        let types =
            outputs.into_iter().flatten().filter_map(|output| output.get("Format/Datatype")?.as_str());
        format!("{name}: {}", types.collect::<Vec<_>>().join(", "))
    };
    layers.iter().map(line).collect()
}

/// What NVIDIA's own tool is to be called with, to compare times.
fn trtexec(package: &Path, precision: Precision, views: &ViewSet) -> String {
    let (file, flags) = match precision {
        Precision::F32 => (MODEL, "--noTF32"),
        Precision::Fp16 => (MODEL_FP16, "--fp16"),
        Precision::Int8 => (MODEL_INT8, "--fp16 --int8"),
    };
    let side = views.input_size();
    let shapes: Vec<_> =
        views.views().iter().map(|view| format!("{}:1x{side}x{side}x3", view.name)).collect();
    format!(
        "tar --zstd -xf {} {file} && trtexec --onnx={file} {flags} --shapes={} --useCudaGraph --useSpinWait",
        package.display(),
        shapes.join(",")
    )
}

fn print(report: &Report) {
    println!("{} on {}", report.model, report.engine);
    for passed in &report.passed_over {
        println!("passed over: {}: {}", passed.engine, passed.reason);
    }
    println!(
        "golden pictures: {} within {:.1e} (allowed {:.1e})",
        report.pictures, report.golden_difference, report.golden_allowed
    );
    println!(
        "{}    against tract in f32: within {:.1e} (allowed {:.1e}), {} of {} best leaves alike",
        if report.good { "ok" } else { "FAIL" },
        report.tract_difference,
        report.tract_allowed,
        report.best_leaves_as_tract,
        report.pictures
    );
    println!("one region: p50 {:.2} ms, p99 {:.2} ms", report.p50_ms, report.p99_ms);
    if report.layers.is_empty() {
        println!("layers: all in {}", report.precision);
    }
    for layer in &report.layers {
        println!("layer {layer}");
    }
    println!("to compare on a Jetson: {}", report.trtexec);
}

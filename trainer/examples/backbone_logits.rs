//! The plain network of a preset with published weights: its logits for one picture by the network that is trained and
//! by the graph that is exported, and that graph. For judging both against the library that published the weights.
//!
//! `backbone_logits PRESET WEIGHTS PICTURE.u8 CLASSES OUT`: `PICTURE.u8` holds `[side, side, 3]` RGB bytes; OUT gets
//! `trained.f32`, `exported.f32` and `model.onnx`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use burn::tensor::{Device, Tensor, TensorData};
use fieldmark_models::picture::Picture;
use fieldmark_models::views::{View, ViewRenderer, ViewSet};
use fieldmark_trainer::evaluate::logits;
use fieldmark_trainer::features::Runner;
use fieldmark_trainer::network::{
    Backbone, ColumnInit, NetworkSettings, NetworkWeights, Preset, export_features, export_model,
};
use fieldmark_trainer::training::{Mode, Network};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [preset, weights, picture, classes, out] = &arguments[..] else {
        anyhow::bail!("usage: backbone_logits PRESET WEIGHTS PICTURE.u8 CLASSES OUT");
    };
    let preset = Preset::named(preset)?;
    let (weights, classes) = (PathBuf::from(weights), classes.parse()?);
    let backbone = Backbone::read(&weights, &preset)?;
    let head = Backbone::read_classifier(&weights, &preset, classes)?;
    println!("parameters {}", preset.parameters(classes));
    println!("multiplications {}", preset.multiplications(classes));
    let settings = NetworkSettings {
        split: preset.split,
        merge: preset.merge,
        weights: Some(weights),
        crop_column: ColumnInit::Pretrained,
        whole_share: 1.0,
        seed: 1,
        preset,
    };
    let side = settings.preset.input_size;
    let views = ViewSet::new(vec![View { name: "whole".into(), magnification: 1.0 }], side)?;
    let network = NetworkWeights::of_backbone(&settings, &backbone, 1);
    let bytes = std::fs::read(picture).with_context(|| format!("cannot read {picture}"))?;

    let trained = Network::new(&settings, &network, &head, &Device::flex().autodiff());
    let input = planes(&bytes, &settings);
    let shape = [1, 3, side as usize, side as usize];
    let input = Tensor::from_data(TensorData::new(input, shape), &Device::flex());
    let pass = trained.pass(vec![input], Mode::Evaluation);
    write(Path::new(out), "trained.f32", &pass.logits.into_data().iter::<f32>().collect::<Vec<_>>())?;

    let runner = Runner::new(&export_features(&settings, &network, &views), &views)?;
    let picture = Picture::from_rgb(side, side, bytes)?;
    let feature = runner.run(&picture, &mut ViewRenderer::new())?;
    write(Path::new(out), "exported.f32", &logits(&head, &feature))?;

    let model = export_model(&settings, &network, &views, &head)?;
    std::fs::write(Path::new(out).join("model.onnx"), model).context("cannot write the model")
}

fn planes(bytes: &[u8], settings: &NetworkSettings) -> Vec<f32> {
    let normalisation = settings.preset.normalisation;
    (0..3)
        .flat_map(|channel| bytes.iter().skip(channel).step_by(3))
        .map(|&byte| (f32::from(byte) - normalisation.centre) / normalisation.width)
        .collect()
}

fn write(folder: &Path, name: &str, values: &[f32]) -> anyhow::Result<()> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    std::fs::write(folder.join(name), bytes).with_context(|| format!("cannot write {name}"))
}

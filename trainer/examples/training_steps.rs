//! Steps of training on one batch that never changes: what a step costs, and the losses that another program has to have
//! as well. Nothing is read or augmented, nothing is dropped.
//!
//! `training_steps PRESET CLASSES BATCH STEPS [START.safetensors [GRADIENTS.safetensors]]` prints a line of JSON: the loss
//! before each step and the seconds that each took. START gets what the steps begin with: every variable of the random network of
//! two views by its name, `views` `[2, N, 3, H, W]` and `labels` `[N]`. GRADIENTS gets what the next step would follow:
//! `float32.NAME` and `bfloat16.NAME` of every variable.

use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use burn::tensor::{Device, Tensor, TensorData};
use fieldmark_trainer::network::{Backbone, HeadWeights, NetworkSettings, NetworkWeights, Preset};
use fieldmark_trainer::training::{
    Adam, AdamSettings, Mode, Network, Precision, admitted, compute_here, pass_gradients,
};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

const VIEWS: usize = 2;
/// Of the auxiliary classifier's loss.
const AUXILIARY_WEIGHT: f64 = 0.4;
/// Of batch norm's running statistics.
const NORM_DECAY: f64 = 0.95;
const RATE: f64 = 0.001;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [preset, classes, batch, steps, start @ ..] = &arguments[..] else {
        anyhow::bail!(
            "usage: training_steps PRESET CLASSES BATCH STEPS [START.safetensors [GRADIENTS.safetensors]]"
        );
    };
    compute_here();
    let (classes, steps) = (classes.parse()?, steps.parse()?);
    let preset = Preset::named(preset)?;
    let examples = Examples::random(batch.parse()?, preset.input_size as usize, classes);
    let mut network = network(preset, classes);
    if let Some(path) = start.first() {
        write_start(Path::new(path), &network, &examples)?;
    }
    let (losses, seconds) = train(&mut network, &examples, steps);
    if let Some(path) = start.get(1) {
        write_gradients(Path::new(path), &network, &examples)?;
    }
    println!("{}", serde_json::json!({ "losses": losses, "seconds": seconds }));
    Ok(())
}

fn network(preset: Preset, classes: usize) -> Network {
    let features = preset.features();
    let settings = NetworkSettings::random(preset, 1);
    let weights = NetworkWeights::of_backbone(&settings, &Backbone::random(&settings.preset, 1), VIEWS);
    let head = HeadWeights::random(features, classes, &mut StdRng::seed_from_u64(1));
    Network::new(&settings, &weights, &head, &Device::flex().autodiff())
}

/// A batch whose pixels and labels are drawn.
struct Examples {
    /// `[N, 3, H, W]` of one view.
    shape: [usize; 4],
    views: Vec<Vec<f32>>,
    labels: Vec<usize>,
}

impl Examples {
    fn random(batch: usize, side: usize, classes: usize) -> Self {
        let mut random = StdRng::seed_from_u64(2);
        let shape = [batch, 3, side, side];
        let length = shape.iter().product();
        let mut view = || (0..length).map(|_| random.random_range(-1.0..1.0)).collect();
        let views = (0..VIEWS).map(|_| view()).collect();
        let labels = (0..batch).map(|_| random.random_range(0..classes)).collect();
        Self { shape, views, labels }
    }

    /// The views, and which class each picture is of, on `device`.
    fn tensors(&self, classes: usize, device: &Device) -> (Vec<Tensor<4>>, Tensor<2>) {
        let tensor = |view: &Vec<f32>| Tensor::from_data(TensorData::new(view.clone(), self.shape), device);
        let rows: Vec<Vec<usize>> = self.labels.iter().map(|&label| vec![label]).collect();
        (self.views.iter().map(tensor).collect(), admitted(&rows, classes, device))
    }
}

/// The loss before each of `steps`, and the seconds that it took.
fn train(network: &mut Network, examples: &Examples, steps: usize) -> (Vec<f32>, Vec<f64>) {
    let (views, mask) = examples.tensors(network.classes(), network.device());
    let settings = AdamSettings { epsilon: 1e-8, ..AdamSettings::default() };
    let mut adam = Adam::new(settings, &network.variables);
    let (mut losses, mut seconds) = (Vec::new(), Vec::new());
    for _ in 0..steps {
        let begun = Instant::now();
        let mode = mode(Precision::Float32);
        let made = pass_gradients(network, views.clone(), mask.clone(), mode, AUXILIARY_WEIGHT, 1.0);
        losses.push(made.loss);
        network.keep_statistics(made.batch_statistics, NORM_DECAY);
        adam.step(&mut network.variables, made.gradients, RATE);
        seconds.push(begun.elapsed().as_secs_f64());
    }
    (losses, seconds)
}

fn mode(precision: Precision) -> Mode {
    Mode::Training { dropout: 0.0, seed: 0, precision }
}

/// Name, shape and numbers of a tensor, as they are written.
type Named = (String, Vec<usize>, Vec<u8>);

fn write_start(path: &Path, network: &Network, examples: &Examples) -> anyhow::Result<()> {
    let variables = network.variables.all().iter();
    let mut tensors: Vec<Named> = variables
        .map(|variable| (variable.name.clone(), variable.shape.clone(), bytes(&variable.value)))
        .collect();
    let [batch, channels, height, width] = examples.shape;
    let pixels = examples.views.iter().flatten().copied().flat_map(f32::to_le_bytes).collect();
    tensors.push(("views".into(), vec![VIEWS, batch, channels, height, width], pixels));
    let labels = examples.labels.iter().flat_map(|&label| (label as f32).to_le_bytes()).collect();
    tensors.push(("labels".into(), vec![batch], labels));
    write(path, &tensors)
}

fn write_gradients(path: &Path, network: &Network, examples: &Examples) -> anyhow::Result<()> {
    let mut tensors = Vec::new();
    for (name, precision) in [("float32", Precision::Float32), ("bfloat16", Precision::BFloat16)] {
        let (views, mask) = examples.tensors(network.classes(), network.device());
        let found = pass_gradients(network, views, mask, mode(precision), AUXILIARY_WEIGHT, 1.0);
        let gradients = network.variables.all().iter().zip(&found.gradients);
        tensors.extend(gradients.filter_map(|(variable, gradient)| {
            let bytes = bytes(gradient.as_ref()?);
            Some((format!("{name}.{}", variable.name), variable.shape.clone(), bytes))
        }));
    }
    write(path, &tensors)
}

fn bytes(tensor: &Tensor<1>) -> Vec<u8> {
    tensor.clone().into_data().iter::<f32>().flat_map(f32::to_le_bytes).collect()
}

fn write(path: &Path, tensors: &[Named]) -> anyhow::Result<()> {
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| Ok((name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes)?)));
    let views: Vec<_> = views.collect::<anyhow::Result<_>>()?;
    let written = safetensors::serialize(views, None)?;
    std::fs::write(path, written).with_context(|| format!("cannot write {}", path.display()))
}

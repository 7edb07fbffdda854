//! Training the classifier on cached features.

use burn::module::{Module, Param};
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::{Device, Tensor, TensorData, activation::log_softmax};
use fieldmark_models::taxonomy::{TaxonIndex, Taxonomy};
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use super::{Frontier, mixed};
use crate::network::{Feature, HeadWeights};
use crate::recipe::{Mix, TrainSettings, TransferSettings};

/// One training picture: its feature at unit length and its label, which may be an inner taxon.
#[derive(Debug, Clone, Copy)]
pub struct Example<'a> {
    /// `[features]`.
    pub feature: &'a [f32],
    /// The lowest taxon that is known.
    pub label: TaxonIndex,
}

/// Rows of a classifier, one a class.
type Rows = Vec<Vec<f32>>;

/// `logits = scale * z W + b`.
#[derive(Module, Debug)]
struct Classifier {
    /// `[features, classes]`.
    weight: Param<Tensor<2>>,
    /// `[classes]`.
    bias: Param<Tensor<1>>,
}

/// Trains at each depth of `transfer` and then at the leaves of `taxonomy`.
#[must_use]
pub fn train_head(
    taxonomy: &Taxonomy,
    examples: &[Example<'_>],
    transfer: &TransferSettings,
    train: &TrainSettings,
    seed: u64,
) -> HeadWeights {
    let mut random = StdRng::seed_from_u64(seed);
    let width = examples.first().map_or(0, |example| example.feature.len());
    let mut stages: Vec<(Frontier, usize)> =
        transfer.depths.iter().map(|&depth| (Frontier::at_depth(taxonomy, depth), transfer.epochs)).collect();
    stages.push((Frontier::leaves(taxonomy), train.epochs));
    let mut previous: Option<(Frontier, Rows, Vec<f32>)> = None;
    for (frontier, epochs) in stages {
        let own = match transfer.mix {
            Mix::Random => xavier(frontier.taxa.len(), width, &mut random),
            Mix::Prototype => prototypes(taxonomy, &frontier, examples, width),
        };
        let (rows, bias) = match &previous {
            None => (own, vec![0.0; frontier.taxa.len()]),
            Some((shallower, rows, bias)) => {
                let parents = frontier.parents(taxonomy, shallower);
                let rows =
                    parents.iter().zip(&own).map(|(&p, own)| mixed(&rows[p], own, transfer.keep)).collect();
                (rows, parents.iter().map(|&parent| bias[parent]).collect())
            }
        };
        let (rows, bias) = fit(taxonomy, &frontier, examples, (rows, bias), train, epochs, &mut random);
        previous = Some((frontier, rows, bias));
    }
    let (_, rows, bias) = previous.unwrap_or_else(|| (Frontier { taxa: vec![] }, vec![], vec![]));
    HeadWeights {
        weight: rows.concat(),
        bias,
        scale: train.scale,
        temperature: 1.0,
        feature: Feature::UnitLength,
    }
}

/// Uniform in ± sqrt(6 / (in + out)).
fn xavier(classes: usize, width: usize, random: &mut StdRng) -> Rows {
    let limit = (6.0 / (classes + width) as f32).sqrt();
    (0..classes).map(|_| (0..width).map(|_| random.random_range(-limit..limit)).collect()).collect()
}

/// Mean feature of each class at unit length; a class known from partial labels alone gets their mean.
fn prototypes(taxonomy: &Taxonomy, frontier: &Frontier, examples: &[Example<'_>], width: usize) -> Rows {
    let mut sums = vec![vec![0.0; width]; frontier.taxa.len()];
    for example in examples {
        for class in frontier.admitted(taxonomy, example.label) {
            // A label above the class is no example of it, unless there is no other.
            let exact = taxonomy.contains(frontier.taxa[class], example.label);
            let weight = if exact { 1.0 } else { 1e-6 };
            for (sum, value) in sums[class].iter_mut().zip(example.feature) {
                *sum += weight * value;
            }
        }
    }
    sums.into_iter().map(crate::features::at_unit_length).collect()
}

/// Minimises the mean of `-log P(label)`, P being the sum over the classes that agree with the label.
fn fit(
    taxonomy: &Taxonomy,
    frontier: &Frontier,
    examples: &[Example<'_>],
    (rows, bias): (Rows, Vec<f32>),
    train: &TrainSettings,
    epochs: usize,
    random: &mut StdRng,
) -> (Rows, Vec<f32>) {
    if epochs == 0 || examples.is_empty() {
        return (rows, bias);
    }
    let device = Device::flex().autodiff();
    let (classes, width) = (rows.len(), rows[0].len());
    let columns: Vec<f32> = (0..width).flat_map(|f| rows.iter().map(move |row| row[f])).collect();
    let start = Tensor::<2>::from_data(TensorData::new(columns, [width, classes]), &device);
    let bias = Tensor::<1>::from_data(TensorData::new(bias, [classes]), &device);
    let mut classifier = Classifier {
        weight: Param::from_tensor(start.clone().detach()).set_require_grad(true),
        bias: Param::from_tensor(bias).set_require_grad(true),
    };
    let mut optimiser = AdamConfig::new().with_epsilon(1e-8).init();
    let steps = epochs * examples.len().div_ceil(train.batch_size);
    let mut step = 0;
    let mut order: Vec<usize> = (0..examples.len()).collect();
    for _ in 0..epochs {
        order.shuffle(random);
        for batch in order.chunks(train.batch_size) {
            let (features, admitted) = tensors(taxonomy, frontier, examples, batch, &device);
            let logits = features.matmul(classifier.weight.val()).mul_scalar(train.scale)
                + classifier.bias.val().unsqueeze::<2>();
            let agreed = (log_softmax(logits, 1).exp() * admitted).sum_dim(1).clamp_min(1e-9);
            let decay = (classifier.weight.val() - start.clone()).powf_scalar(2.0).sum().mul_scalar(train.l2);
            let loss = agreed.log().mean().neg() + decay;
            let gradients = GradientsParams::from_grads(loss.backward(), &classifier);
            let rate =
                train.learning_rate * 0.5 * (1.0 + (std::f64::consts::PI * step as f64 / steps as f64).cos());
            classifier = optimiser.step(rate, classifier, gradients);
            step += 1;
        }
    }
    let columns: Vec<f32> = classifier.weight.val().into_data().iter::<f32>().collect();
    let rows = (0..classes).map(|class| (0..width).map(|f| columns[f * classes + class]).collect()).collect();
    (rows, classifier.bias.val().into_data().iter::<f32>().collect())
}

fn tensors(
    taxonomy: &Taxonomy,
    frontier: &Frontier,
    examples: &[Example<'_>],
    batch: &[usize],
    device: &Device,
) -> (Tensor<2>, Tensor<2>) {
    let (classes, width) = (frontier.taxa.len(), examples[batch[0]].feature.len());
    let mut features = Vec::with_capacity(batch.len() * width);
    let mut admitted = vec![0.0f32; batch.len() * classes];
    for (row, &position) in batch.iter().enumerate() {
        features.extend_from_slice(examples[position].feature);
        for class in frontier.admitted(taxonomy, examples[position].label) {
            admitted[row * classes + class] = 1.0;
        }
    }
    (
        Tensor::from_data(TensorData::new(features, [batch.len(), width]), device),
        Tensor::from_data(TensorData::new(admitted, [batch.len(), classes]), device),
    )
}

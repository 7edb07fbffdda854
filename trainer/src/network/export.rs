//! The network as ONNX: its frozen part alone, for features, and the whole of it, for packages.

use fieldmark_models::package::PROBABILITIES;
use fieldmark_models::views::ViewSet;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::column::{Column, Maps};
use super::graph::{GraphBuilder, int, ints};
use super::weights::Unit;
use super::{Backbone, ColumnInit, NetworkSettings};

/// Name of the output of the feature graph.
const FEATURES: &str = "features";

/// Why a network cannot be put together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// Weights and width of the head do not agree.
    #[error("the head has {found} weights, {leaves} leaves of {features} features need {needed}")]
    Head {
        /// Weights given.
        found: usize,
        /// Leaves.
        leaves: usize,
        /// Width of the feature vector.
        features: usize,
        /// Weights needed.
        needed: usize,
    },
}

/// The trained head: `logits = (scale * W z + b) / temperature` with `z` the feature at unit length.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadWeights {
    /// `[leaves, features]`, row-major.
    pub weight: Vec<f32>,
    /// `[leaves]`.
    pub bias: Vec<f32>,
    /// Factor on the product.
    pub scale: f32,
    /// Divides the logits.
    pub temperature: f32,
}

/// The part that stays frozen: views in, `features`: float `[N, features]` out, not yet at unit length.
#[must_use]
pub fn export_features(settings: &NetworkSettings, backbone: &Backbone, views: &ViewSet) -> Vec<u8> {
    let mut graph = GraphBuilder::default();
    let features = frozen(&mut graph, settings, backbone, views);
    graph.node("Identity", FEATURES, &[&features], vec![]);
    graph.output(FEATURES, settings.preset.features);
    graph.finish(settings.preset.name)
}

/// The whole network as DESIGN 4.2 has it: views in, probabilities out.
///
/// # Errors
/// If the head does not fit the features.
pub fn export_model(
    settings: &NetworkSettings,
    backbone: &Backbone,
    views: &ViewSet,
    head: &HeadWeights,
) -> Result<Vec<u8>, NetworkError> {
    let (leaves, features) = (head.bias.len(), settings.preset.features);
    let (found, needed) = (head.weight.len(), leaves * features);
    if found != needed {
        return Err(NetworkError::Head { found, leaves, features, needed });
    }
    let mut graph = GraphBuilder::default();
    let value = frozen(&mut graph, settings, backbone, views);
    let length =
        graph.node("ReduceL2", "feature.length", &[&value], vec![ints("axes", &[1]), int("keepdims", 1)]);
    let unit = graph.node("Div", "feature.unit", &[&value, &length], vec![]);
    // Scale and temperature go into the weights: one product, nothing left to keep in step.
    let factor = head.scale / head.temperature;
    let weight: Vec<f32> = head.weight.iter().map(|value| value * factor).collect();
    let bias: Vec<f32> = head.bias.iter().map(|value| value / head.temperature).collect();
    let weight = graph.constant("classifier.weight", &[leaves, features], &weight);
    let bias = graph.constant("classifier.bias", &[leaves], &bias);
    let logits = graph.node("Gemm", "logits", &[&unit, &weight, &bias], vec![int("transB", 1)]);
    graph.node("Softmax", PROBABILITIES, &[&logits], vec![int("axis", 1)]);
    graph.output(PROBABILITIES, leaves);
    Ok(graph.finish(settings.preset.name))
}

/// Stem, columns, merge and tail up to the feature vector `[N, features]`.
fn frozen(
    graph: &mut GraphBuilder,
    settings: &NetworkSettings,
    backbone: &Backbone,
    views: &ViewSet,
) -> String {
    let preset = &settings.preset;
    let random = random_backbone(backbone, settings.seed);
    let mut merged = Vec::new();
    for (position, view) in views.views().iter().enumerate() {
        let fresh = position > 0 && settings.crop_column == ColumnInit::Random;
        let own = format!("{}.", view.name);
        let column = Column {
            preset,
            backbone: if fresh { &random } else { backbone },
            name: &view.name,
            weights: if fresh { &own } else { "backbone" },
        };
        let stem = Column { preset, backbone, name: &view.name, weights: "backbone" };
        let mut maps = normalised(graph, &view.name, views.input_size());
        for unit in 0..=settings.merge {
            let part = if unit <= settings.split { &stem } else { &column };
            maps = part.unit(graph, unit, &maps);
        }
        merged.push(maps);
    }
    let mut maps = merge(graph, settings, &merged);
    let tail = Column { preset, backbone, name: "tail", weights: "backbone" };
    for unit in settings.merge + 1..=preset.head() {
        maps = tail.unit(graph, unit, &maps);
    }
    let pooled = graph.node("GlobalAveragePool", "pool", &[&maps.value], vec![]);
    graph.node("Flatten", "feature", &[&pooled], vec![int("axis", 1)])
}

/// Bytes `[N, H, W, 3]` to centred floats `[N, 3, H, W]`: `(x - 127) / 128`, as the backbone was trained.
fn normalised(graph: &mut GraphBuilder, view: &str, size: u32) -> Maps {
    graph.picture_input(view, size);
    let float = graph.node("Cast", &format!("{view}.float"), &[view], vec![int("to", 1)]);
    let planes = vec![ints("perm", &[0, 3, 1, 2])];
    let planes = graph.node("Transpose", &format!("{view}.planes"), &[&float], planes);
    let (centre, width) =
        (graph.constant("centre", &[], &[127.0]), graph.constant("width", &[], &[1.0 / 128.0]));
    let centred = graph.node("Sub", &format!("{view}.centred"), &[&planes, &centre], vec![]);
    let value = graph.node("Mul", &format!("{view}.normalised"), &[&centred, &width], vec![]);
    Maps { value, side: size as usize }
}

/// Concat on channels and a 1x1 convolution back to one column's depth. One view needs neither.
///
/// Where the merge is the last unit, the columns are pooled first: pooling and a 1x1 convolution without an
/// activation between them commute, and this order does the work once instead of for every pixel.
fn merge(graph: &mut GraphBuilder, settings: &NetworkSettings, columns: &[Maps]) -> Maps {
    let [first, rest @ ..] = columns else { return Maps { value: String::new(), side: 1 } };
    if rest.is_empty() {
        return first.clone();
    }
    let channels = settings.preset.channels(settings.merge);
    let pool_first = settings.merge == settings.preset.head();
    let values: Vec<String> = columns
        .iter()
        .map(|column| match pool_first {
            true => {
                graph.node("GlobalAveragePool", &format!("{}.pool", column.value), &[&column.value], vec![])
            }
            false => column.value.clone(),
        })
        .collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    let stacked = graph.node("Concat", "merge.concat", &values, vec![int("axis", 1)]);
    let weight = mean_of_columns(channels, columns.len(), settings.whole_share);
    let weight = graph.constant("merge.weight", &[channels, channels * columns.len(), 1, 1], &weight);
    let value = graph.node("Conv", "merge", &[&stacked, &weight], vec![ints("kernel_shape", &[1, 1])]);
    Maps { value, side: if pool_first { 1 } else { first.side } }
}

/// `[channels, channels * columns]`: each output the weighted mean of the same channel of every column.
fn mean_of_columns(channels: usize, columns: usize, whole_share: f32) -> Vec<f32> {
    let rest = (1.0 - whole_share) / (columns - 1) as f32;
    let mut weight = vec![0.0; channels * channels * columns];
    for channel in 0..channels {
        for column in 0..columns {
            let share = if column == 0 { whole_share } else { rest };
            weight[channel * channels * columns + column * channels + channel] = share;
        }
    }
    weight
}

/// The same shapes with Xavier-uniform weights.
fn random_backbone(backbone: &Backbone, seed: u64) -> Backbone {
    let mut random = StdRng::seed_from_u64(seed);
    let mut fresh = |unit: &Unit| {
        let mut unit = unit.clone();
        for convolution in &mut unit.convolutions {
            let [out, input, height, width] = convolution.shape;
            let limit = (6.0 / ((out + input) * height * width) as f32).sqrt();
            convolution.weight.iter_mut().for_each(|value| *value = random.random_range(-limit..limit));
            convolution.bias.fill(0.0);
        }
        unit
    };
    Backbone { units: backbone.units.iter().map(&mut fresh).collect() }
}

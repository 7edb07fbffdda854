//! The network as ONNX: its part below the classifier alone, for features, and the whole of it, for packages.

use std::sync::Arc;

use fieldmark_models::onnx::Attribute;
use fieldmark_models::package::PROBABILITIES;
use fieldmark_models::views::ViewSet;

use super::NetworkSettings;
use super::assembly::{MergeWeights, NetworkWeights, mean_of_columns, merge_convolution};
use super::column::{Column, Maps};
use super::graph::{GraphBuilder, ints};
use super::head_weights::{Feature, HeadWeights};
use super::layer::MapShape;

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

/// Everything below the classifier: views in, `features`: float `[N, features]` out, as pooling gives them.
#[must_use]
pub fn export_features(settings: &NetworkSettings, weights: &NetworkWeights, views: &ViewSet) -> Vec<u8> {
    let mut graph = GraphBuilder::default();
    let features = below_classifier(&mut graph, settings, weights, views);
    graph.node("Identity", FEATURES, &[&features], vec![]);
    graph.output(FEATURES, settings.preset.features());
    graph.finish(settings.preset.name)
}

/// The whole network as DESIGN 4.2 has it: views in, probabilities out.
///
/// # Errors
/// If the head does not fit the features.
pub fn export_model(
    settings: &NetworkSettings,
    weights: &NetworkWeights,
    views: &ViewSet,
    head: &HeadWeights,
) -> Result<Vec<u8>, NetworkError> {
    let (leaves, features) = (head.bias.len(), settings.preset.features());
    let (found, needed) = (head.weight.len(), leaves * features);
    if found != needed {
        return Err(NetworkError::Head { found, leaves, features, needed });
    }
    let mut graph = GraphBuilder::default();
    let mut feature = below_classifier(&mut graph, settings, weights, views);
    if head.feature == Feature::UnitLength {
        let over_channels = vec![ints("axes", &[1]), Attribute::of_int("keepdims", 1)];
        let length = graph.node("ReduceL2", "feature.length", &[&feature], over_channels);
        feature = graph.node("Div", "feature.unit", &[&feature, &length], vec![]);
    }
    // Scale and temperature go into the weights: one product, nothing left to keep in step.
    let factor = head.scale / head.temperature;
    let weight: Vec<f32> = head.weight.iter().map(|value| value * factor).collect();
    let bias: Vec<f32> = head.bias.iter().map(|value| value / head.temperature).collect();
    let weight = graph.constant("classifier.weight", &[leaves, features], &weight);
    let bias = graph.constant("classifier.bias", &[leaves], &bias);
    let logits =
        graph.node("Gemm", "logits", &[&feature, &weight, &bias], vec![Attribute::of_int("transB", 1)]);
    graph.node("Softmax", PROBABILITIES, &[&logits], vec![Attribute::of_int("axis", 1)]);
    graph.output(PROBABILITIES, leaves);
    Ok(graph.finish(settings.preset.name))
}

/// Stem, columns, merge and tail up to the feature vector `[N, features]`.
fn below_classifier(
    graph: &mut GraphBuilder,
    settings: &NetworkSettings,
    weights: &NetworkWeights,
    views: &ViewSet,
) -> String {
    let preset = &settings.preset;
    let part = |name, constants| Column { name, constants, norm_epsilon: preset.norm_epsilon };
    let mut merged = Vec::new();
    for (view, column) in views.views().iter().zip(&weights.columns) {
        // Columns with the same weights store them once, under the first one's name.
        let same = weights.columns.iter().position(|other| Arc::ptr_eq(other, column));
        let owner = same.and_then(|same| views.views().get(same)).unwrap_or(view);
        let input = normalised(graph, settings, &view.name, views.input_size());
        let stem = part(&view.name, "shared");
        let maps = stem.stages(graph, &preset.stages[..=settings.split], &weights.shared, input);
        let own = part(&view.name, &owner.name);
        let stages = &preset.stages[settings.split + 1..=settings.merge];
        merged.push(own.stages(graph, stages, column, maps));
    }
    let tail = part("tail", "tail");
    let maps = merge(graph, settings, weights.merge.as_ref(), &merged);
    let maps = tail.stages(graph, &preset.stages[settings.merge + 1..], &weights.tail, maps);
    let pooled = graph.node("GlobalAveragePool", "pool", &[&maps.value], vec![]);
    graph.node("Flatten", "feature", &[&pooled], vec![Attribute::of_int("axis", 1)])
}

/// Values of the graph that have names of their own: no view may be called so.
pub const RESERVED: [&str; 8] =
    ["centre", "feature", "logits", "pool", "probabilities", "six", "width", "zero"];

/// Bytes `[N, H, W, 3]` to centred floats `[N, 3, H, W]`, as the backbone was trained.
fn normalised(graph: &mut GraphBuilder, settings: &NetworkSettings, view: &str, size: u32) -> Maps {
    graph.picture_input(view, size);
    let normalisation = settings.preset.normalisation;
    let float = graph.node("Cast", &format!("{view}.float"), &[view], vec![Attribute::of_int("to", 1)]);
    let planes = vec![ints("perm", &[0, 3, 1, 2])];
    let planes = graph.node("Transpose", &format!("{view}.planes"), &[&float], planes);
    let centre = graph.constant("centre", &[], &[normalisation.centre]);
    let width = graph.constant("width", &[], &[1.0 / normalisation.width]);
    let centred = graph.node("Sub", &format!("{view}.centred"), &[&planes, &centre], vec![]);
    let value = graph.node("Mul", &format!("{view}.normalised"), &[&centred, &width], vec![]);
    Maps { value, shape: MapShape { channels: 3, sides: [size as usize; 2] } }
}

/// Concat on channels and a 1x1 convolution back to one column's depth. One view needs neither.
///
/// Where a mean is the last stage, the columns are pooled first: pooling and a 1x1 convolution without an activation
/// between them commute, and this order does the work once instead of for every pixel.
fn merge(
    graph: &mut GraphBuilder,
    settings: &NetworkSettings,
    weights: Option<&MergeWeights>,
    columns: &[Maps],
) -> Maps {
    let [first, ..] = columns else {
        return Maps { value: String::new(), shape: MapShape { channels: 0, sides: [1, 1] } };
    };
    let Some(weights) = weights else { return first.clone() };
    let mean = matches!(weights, MergeWeights::Mean { .. });
    let pool_first = mean && settings.merge == settings.preset.last();
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
    let channels = first.shape.channels;
    let stacked = graph.node("Concat", "merge.concat", &values, vec![Attribute::of_int("axis", 1)]);
    let sides = if pool_first { [1, 1] } else { first.shape.sides };
    let stacked = Maps { value: stacked, shape: MapShape { channels: channels * columns.len(), sides } };
    match weights {
        MergeWeights::Mean { whole_share } => {
            let weight = mean_of_columns(channels, columns.len(), *whole_share);
            let weight = graph.constant("merge.weight", &[channels, channels * columns.len(), 1, 1], &weight);
            let square = vec![ints("kernel_shape", &[1, 1])];
            let value = graph.node("Conv", "merge", &[&stacked.value, &weight], square);
            Maps { value, shape: MapShape { channels, sides } }
        }
        MergeWeights::Convolution(weights) => {
            let whole =
                Column { name: "merge", constants: "merge", norm_epsilon: settings.preset.norm_epsilon };
            whole.convolution(graph, &merge_convolution(channels, columns.len()), weights, &stacked)
        }
    }
}

//! Cross-layer equalisation (Nagel et al., 2019, section 4.1): a convolution's channels are divided by factors, and the
//! convolution that reads them multiplies its weights by the same factors. The answers stay; channels that were small
//! beside others come nearer to them, so that one scale for all of them loses less.
//!
//! Weights have a scale of their own in every output channel, so what is made even is the data between the two, as
//! measured on pictures, against the weights that read it; of a depthwise convolution, whose input channels are its output
//! channels, the data alone. Only what keeps a positive factor may stand between. A clip at six does as long as nothing that it
//! let through is made smaller, and nothing that was seen is made larger than six: of that channel it then cuts off sooner what
//! was not seen, as the end of a range does.

use std::collections::{BTreeMap, BTreeSet};

use fieldmark_models::onnx::{Attribute, Graph, Model, Node, Tensor};
use fieldmark_models::views::ViewSet;
use rayon::prelude::*;

use super::QuantiseError;
use super::engine::{Engine, Sample};
use super::layer::is_layer;
use super::simulate::float_node;
use fieldmark_models::onnx::wiring::{Wiring, input, output};

/// Operators that give `c * y` for `c * x`, with `c` above 0.
const HOMOGENEOUS: [&str; 3] = ["AveragePool", "MaxPool", "Relu"];
/// Factors are kept within this and its inverse.
const LARGEST_FACTOR: f32 = 64.0;
/// How many times as large as what was seen of a channel a clip has to lie.
const SPARE: f32 = 1.25;
/// Channels below this share of the largest are empty: they are left as they are.
const EMPTY: f32 = 1e-6;

/// Weights that give channels and weights that read them, by name. Columns of a network can share both.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Pair {
    giving: String,
    bias: Option<String>,
    reading: String,
    depthwise: bool,
}

/// What lies between the two.
#[derive(Debug, Default)]
struct Between {
    /// What the second convolution reads: one a column.
    values: Vec<String>,
    /// Upper end of the lowest clip.
    clip: Option<f32>,
}

/// Every pair of `graph`.
fn pairs(wiring: &Wiring<'_>) -> BTreeMap<Pair, Between> {
    let mut found: BTreeMap<Pair, Between> = BTreeMap::new();
    for node in &wiring.graph().node {
        if let Some((pair, value, clip)) = pair(wiring, node) {
            let between = found.entry(pair).or_default();
            between.values.push(value);
            between.clip = lower(between.clip, clip);
        }
    }
    // Whoever shares a tensor has to be changed in the same way.
    found.retain(|pair, between| {
        let alone = |name: &String| wiring.readers(name).len() == between.values.len();
        alone(&pair.giving) && alone(&pair.reading) && pair.bias.as_ref().is_none_or(alone)
    });
    found
}

fn lower(one: Option<f32>, other: Option<f32>) -> Option<f32> {
    one.into_iter().chain(other).reduce(f32::min)
}

/// Upper end of `node`, a clip of what is below 0.
fn clip(wiring: &Wiring<'_>, node: &Node) -> Option<f32> {
    let end = |slot: usize| wiring.constant(input(node, slot)?)?.floats()?.first().copied();
    (node.op_type == "Clip" && end(1) == Some(0.0)).then(|| end(2)).flatten()
}

/// The pair that begins with `node`, the value its second convolution reads, and where that is clipped.
fn pair(wiring: &Wiring<'_>, node: &Node) -> Option<(Pair, String, Option<f32>)> {
    if node.op_type != "Conv" || !is_layer(wiring, node) {
        return None;
    }
    let (mut value, mut clipped) = (output(node), None);
    loop {
        let [(reader, 0)] = wiring.readers(value) else { return None };
        let reader = wiring.graph().node.get(*reader).filter(|_| !wiring.is_output(value))?;
        let end = clip(wiring, reader);
        if end.is_some() || HOMOGENEOUS.contains(&reader.op_type.as_str()) {
            (value, clipped) = (output(reader), lower(clipped, end));
            continue;
        }
        let name = |node: &Node, slot: usize| input(node, slot).map(str::to_owned);
        let channels = wiring.constant(input(node, 1)?)?.dims.first().copied()?;
        let takes = reader.op_type == "Conv" && is_layer(wiring, reader);
        let outputs = wiring.constant(input(reader, 1)?)?.dims.first().copied()?;
        let depthwise = reader.int("group", 1) == channels && outputs == channels;
        if !takes || (reader.int("group", 1) != 1 && !depthwise) {
            return None;
        }
        let pair = Pair { giving: name(node, 1)?, bias: name(node, 2), reading: name(reader, 1)?, depthwise };
        return Some((pair, value.to_owned(), clipped));
    }
}

/// `graph` equalised by what its values are on `samples`, and the number of its pairs; none where there is nothing to
/// make even.
///
/// # Errors
/// If the engine fails.
pub(super) fn equalise(
    model: &Model,
    graph: &Graph,
    samples: &[Sample],
    views: &ViewSet,
) -> Result<Option<(Graph, usize)>, QuantiseError> {
    let wiring = Wiring::new(graph);
    let pairs = pairs(&wiring);
    if pairs.is_empty() {
        return Ok(None);
    }
    let values: BTreeSet<&String> = pairs.values().flat_map(|between| &between.values).collect();
    let largest = largest(model, graph, &values, samples, views)?;
    let mut tensors: BTreeMap<String, Tensor> =
        graph.initializer.iter().map(|tensor| (tensor.name.clone(), tensor.clone())).collect();
    let mut made = 0;
    for (pair, between) in &pairs {
        let data = between.values.iter().filter_map(|value| largest.get(value)).fold(Vec::new(), at_most);
        if apply(&mut tensors, pair, &data, between.clip).is_some() {
            made += 1;
        }
    }
    let kept = graph.initializer.iter().map(|tensor| tensors.remove(&tensor.name).unwrap_or_default());
    Ok(Some((Graph { initializer: kept.collect(), ..graph.clone() }, made)))
}

/// The larger of both, channel by channel.
fn at_most(mut sum: Vec<f32>, other: &Vec<f32>) -> Vec<f32> {
    if sum.is_empty() {
        return other.clone();
    }
    sum.iter_mut().zip(other).for_each(|(sum, other)| *sum = sum.max(*other));
    sum
}

/// Largest magnitude in every channel of each of `values`.
fn largest(
    model: &Model,
    graph: &Graph,
    values: &BTreeSet<&String>,
    samples: &[Sample],
    views: &ViewSet,
) -> Result<BTreeMap<String, Vec<f32>>, QuantiseError> {
    let mut bench = graph.clone();
    let mut outputs = Vec::new();
    for (number, value) in values.iter().enumerate() {
        let (size, name) = (format!("equalise.{number}.size"), format!("equalise.{number}"));
        bench.node.push(float_node("Abs", &size, &[value]));
        let mut node = float_node("ReduceMax", &name, &[&size]);
        node.attribute = vec![Attribute::of_ints("axes", &[0, 2, 3]), Attribute::of_int("keepdims", 0)];
        bench.node.push(node);
        outputs.push(name);
    }
    let engine = Engine::new(model, &bench, &outputs, views)?;
    let both = |left: Vec<Vec<f32>>, right: Vec<Vec<f32>>| {
        if left.is_empty() {
            return right;
        }
        left.into_iter().zip(&right).map(|(left, right)| at_most(left, right)).collect()
    };
    let found = samples
        .par_iter()
        .map(|sample| engine.run(sample))
        .try_reduce(Vec::new, |left, right| Ok(both(left, right)))?;
    Ok(values.iter().map(|value| (*value).clone()).zip(found).collect())
}

/// Divides what `pair` gives and multiplies what it reads; `data` is the largest magnitude of every channel between, which is
/// clipped at `clip`.
fn apply(tensors: &mut BTreeMap<String, Tensor>, pair: &Pair, data: &[f32], clip: Option<f32>) -> Option<()> {
    let (giving, reading) = (tensors.get(&pair.giving)?, tensors.get(&pair.reading)?);
    let channels = data.len();
    let (mut gives, mut reads) = (giving.floats()?, reading.floats()?);
    let side = |side: &i64| usize::try_from(*side).unwrap_or(0);
    let window = reading.dims.iter().skip(2).map(side).product::<usize>();
    if channels == 0 || window == 0 {
        return None;
    }
    // A depthwise convolution has its channels along its outputs, any other along its inputs.
    let channel = |position: usize| position / window % channels;
    let mut weights = vec![0f32; channels];
    for (position, value) in reads.iter().enumerate() {
        let largest = &mut weights[channel(position)];
        *largest = largest.max(value.abs());
    }
    let factors = if pair.depthwise { of_data(data) } else { factors(data, &weights) };
    let factors = match clip {
        Some(clip) => below(clip, &factors, data),
        None => factors,
    };
    let fan = (gives.len() / channels).max(1);
    gives.chunks_mut(fan).zip(&factors).for_each(|(kernel, factor)| {
        kernel.iter_mut().for_each(|value| *value /= factor);
    });
    reads.iter_mut().enumerate().for_each(|(position, value)| *value *= factors[channel(position)]);
    let (giving, reading) = (
        Tensor::of_floats(&pair.giving, &giving.dims, &gives),
        Tensor::of_floats(&pair.reading, &reading.dims, &reads),
    );
    if let Some(name) = &pair.bias {
        let mut bias = tensors.get(name)?.floats()?;
        bias.iter_mut().zip(&factors).for_each(|(value, factor)| *value /= factor);
        tensors.insert(name.clone(), Tensor::of_floats(name, &[channels as i64], &bias));
    }
    tensors.insert(pair.giving.clone(), giving);
    tensors.insert(pair.reading.clone(), reading);
    Some(())
}

/// The share of the largest channel that every channel has.
fn of_data(data: &[f32]) -> Vec<f32> {
    let most = data.iter().copied().fold(0f32, f32::max);
    let factor =
        |&data: &f32| if data <= most * EMPTY { 1.0 } else { (data / most).max(1.0 / LARGEST_FACTOR) };
    data.iter().map(factor).collect()
}

/// `factors`, none of which makes `data` smaller, or so large that less than [`SPARE`] is left below `clip`.
fn below(clip: f32, factors: &[f32], data: &[f32]) -> Vec<f32> {
    let least = |data: &f32| (data * SPARE / clip).min(1.0);
    factors.iter().zip(data).map(|(factor, data)| factor.clamp(least(data), 1.0)).collect()
}

/// `sqrt(data / weights)` of every channel, such that data and weights of a channel span the same share of all channels';
/// scaled so that the largest channel of data stays.
fn factors(data: &[f32], weights: &[f32]) -> Vec<f32> {
    let top = |values: &[f32]| values.iter().copied().fold(0f32, f32::max);
    let (most_data, most_weights) = (top(data), top(weights));
    let raw = |(&data, &weights): (&f32, &f32)| {
        let empty = data <= most_data * EMPTY || weights <= most_weights * EMPTY;
        (!empty).then(|| (data / weights).sqrt())
    };
    let raw: Vec<Option<f32>> = data.iter().zip(weights).map(raw).collect();
    // What the largest channel becomes is what all others are seen against.
    let even =
        data.iter().zip(&raw).filter_map(|(data, factor)| Some(data / (*factor)?)).fold(0f32, f32::max);
    let unit = if even > 0.0 { most_data / even } else { 1.0 };
    raw.into_iter()
        .map(|factor| {
            factor.map_or(1.0, |factor| (factor / unit).clamp(1.0 / LARGEST_FACTOR, LARGEST_FACTOR))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_and_weights_of_a_channel_span_alike_afterwards() {
        let (data, weights) = ([8.0f32, 0.5, 2.0], [0.1f32, 0.4, 0.1]);
        let factors = factors(&data, &weights);
        let after: Vec<(f32, f32)> = (0..3)
            .map(|channel| (data[channel] / factors[channel], weights[channel] * factors[channel]))
            .collect();
        let ratio = after[0].0 / after[0].1;
        assert!(after.iter().all(|(data, weights)| (data / weights / ratio - 1.0).abs() < 1e-4), "{after:?}");
        let largest = after.iter().map(|(data, _)| *data).fold(0f32, f32::max);
        assert!((largest - 8.0).abs() < 1e-4, "the range of the data stays: {after:?}");
        // The smallest channel is a sixteenth of the largest before, and nearer after.
        assert!(after[1].0 / largest > 0.5 / 8.0);
    }

    #[test]
    fn nothing_that_was_seen_comes_near_a_clip_and_nothing_that_was_clipped_is_let_through() {
        let data = [6.0f32, 5.5, 3.0, 0.3, 0.0];
        let factors = below(6.0, &of_data(&data), &data);
        assert_eq!(factors[0], 1.0, "clipped where it was");
        assert_eq!(factors[1], 1.0, "too near to be made larger");
        for channel in [2, 3] {
            let after = data[channel] / factors[channel];
            assert!((after - 6.0 / SPARE).abs() < 1e-5, "{after}");
        }
        assert_eq!(factors[4], 1.0, "empty");
        assert_eq!(below(6.0, &[2.0], &[0.5]), [1.0]);
    }

    #[test]
    fn empty_channels_stay() {
        assert_eq!(factors(&[0.0, 1.0], &[1.0, 0.0]), [1.0, 1.0]);
    }
}

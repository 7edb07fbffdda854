//! Weights rounded so that what a layer gives moves least, and not each weight by itself: one may go up where the nearest
//! byte lies below, to make up for its neighbours. Weight by weight takes the byte that leaves least of the layer's
//! squared error, again and again until none moves (coordinate descent, as in COMQ, Zhang et al., 2024). Scales stay.
//!
//! What a layer reads is drawn from pictures and rounded as it will be. How errors move together is all that is looked at:
//! what they are on average is given back by biases.

use std::collections::{BTreeMap, BTreeSet};

use fieldmark_models::onnx::wiring::{Wiring, input, output};
use fieldmark_models::onnx::{Graph, Model, Tensor};
use fieldmark_models::views::ViewSet;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rayon::prelude::*;
use tract_onnx::prelude::tract_ndarray::{Array2, ArrayView2, Axis, s};

use super::engine::{Engine, Sample};
use super::grid::LARGEST;
use super::placement::Placement;
use super::reading::{Kernel, Layer, draw};
use super::weights::per_channel;
use super::{QuantiseError, Ranges};

/// Places that are drawn for each weight of an output channel, and how few and many they are.
const PLACES: (usize, usize, usize) = (4, 512, 8192);
/// Fewer places for each weight say too little.
const FEWEST: usize = 2;
/// Added to what inputs vary by themselves, as a share of their mean: what was not seen varies too.
const UNSEEN: f32 = 0.01;
/// Times that every weight is looked at. Most layers need fewer.
const SWEEPS: usize = 16;
/// Numbers read that are held at once: layers are done in parts.
const TOGETHER: usize = 64 << 20;

/// Weights, and the layers that share them.
struct Shared<'g> {
    weights: &'g Tensor,
    values: Vec<f32>,
    kernel: Kernel,
    layers: Vec<Layer<'g>>,
}

impl Shared<'_> {
    /// Places to draw from each picture in each layer.
    fn places(&self, pictures: usize) -> usize {
        let (each, fewest, most) = PLACES;
        let wanted = (each * self.kernel.fan()).clamp(fewest, most);
        wanted.div_ceil((pictures * self.layers.len()).max(1))
    }
}

/// The weights of the convolutions of `placement`, rounded; those of which too little can be seen are not among them.
///
/// # Errors
/// If the engine fails.
pub(super) fn round(
    model: &Model,
    graph: &Graph,
    placement: &Placement,
    ranges: &Ranges,
    samples: &[Sample],
    views: &ViewSet,
) -> Result<BTreeMap<String, Tensor>, QuantiseError> {
    let wiring = Wiring::new(graph);
    let mut rounded = BTreeMap::new();
    let (mut part, mut held) = (Vec::new(), 0);
    for shared in shared(&wiring, placement, ranges) {
        let drawn = shared.places(samples.len()) * samples.len() * shared.layers.len();
        held += drawn * shared.kernel.reads();
        part.push(shared);
        if held > TOGETHER {
            rounded.extend(round_part(model, graph, &std::mem::take(&mut part), samples, views)?);
            held = 0;
        }
    }
    rounded.extend(round_part(model, graph, &part, samples, views)?);
    Ok(rounded)
}

/// Convolutions in int8, those that share weights together.
fn shared<'g>(wiring: &Wiring<'g>, placement: &Placement, ranges: &Ranges) -> Vec<Shared<'g>> {
    let int8: BTreeSet<&str> = placement.layers.iter().map(String::as_str).collect();
    let mut all: BTreeMap<&str, Shared<'g>> = BTreeMap::new();
    let nodes =
        wiring.graph().node.iter().filter(|node| node.op_type == "Conv" && int8.contains(output(node)));
    for node in nodes {
        let (Some(value), Some(name)) = (input(node, 0), input(node, 1)) else { continue };
        let range = placement.groups.get(value).and_then(|group| Some((*group, ranges.get(group)?.1)));
        let weights = wiring.constant(name).and_then(|tensor| Some((tensor, tensor.floats()?)));
        let (Some((group, range)), Some((weights, values))) = (range, weights) else { continue };
        let Some(kernel) = Kernel::of(node, weights) else { continue };
        let layer = Layer { value, grid: placement.grid(group, range), node };
        let shared =
            all.entry(name).or_insert_with(|| Shared { weights, values, kernel, layers: Vec::new() });
        shared.layers.push(layer);
    }
    all.into_values().collect()
}

fn round_part(
    model: &Model,
    graph: &Graph,
    part: &[Shared<'_>],
    samples: &[Sample],
    views: &ViewSet,
) -> Result<Vec<(String, Tensor)>, QuantiseError> {
    if part.is_empty() {
        return Ok(Vec::new());
    }
    let read: BTreeSet<&str> =
        part.iter().flat_map(|shared| &shared.layers).map(|layer| layer.value).collect();
    let names: Vec<String> = read.iter().map(|&name| name.to_owned()).collect();
    let engine = Engine::new(model, graph, &names, views)?;
    let drawn = samples.par_iter().enumerate().map(|(number, sample)| {
        let values = engine.run(sample)?;
        let values: BTreeMap<&str, Vec<f32>> = read.iter().copied().zip(values).collect();
        let mut random = StdRng::seed_from_u64(number as u64);
        let of = |shared: &Shared<'_>| {
            let places = shared.places(samples.len());
            let mut rows = Vec::new();
            for layer in &shared.layers {
                let value = values.get(layer.value).map(Vec::as_slice).unwrap_or_default();
                draw(layer, shared.kernel, value, places, &mut random, &mut rows);
            }
            rows
        };
        Ok(part.iter().map(of).collect::<Vec<_>>())
    });
    let drawn = drawn.collect::<Result<Vec<Vec<Vec<f32>>>, QuantiseError>>()?;
    let one = |(number, shared): (usize, &Shared<'_>)| {
        let rows = drawn.iter().filter_map(|of_sample| of_sample.get(number)).flatten().copied().collect();
        let weights = from_rows(shared, rows)?;
        let Tensor { name, dims, .. } = shared.weights;
        Some((name.clone(), Tensor::of_floats(name, dims, &weights)))
    };
    Ok(part.par_iter().enumerate().filter_map(one).collect())
}

/// The weights of `shared`, rounded by the places `rows`; none where they are too few.
fn from_rows(shared: &Shared<'_>, rows: Vec<f32>) -> Option<Vec<f32>> {
    let Shared { kernel, values, .. } = shared;
    let (fan, reads) = (kernel.fan(), kernel.reads());
    let places = rows.len() / reads;
    if places < FEWEST * fan {
        return None;
    }
    let mut rows = Array2::from_shape_vec((places, reads), rows).ok()?;
    let mean = rows.mean_axis(Axis(0))?;
    rows -= &mean;
    let (bytes, scales) = per_channel(values, &shared.weights.dims, 0);
    let outputs = (scales.len() / kernel.groups).max(1);
    let covariances: Vec<Array2<f32>> = (0..kernel.groups)
        .map(|group| covariance(&rows.slice(s![.., group * fan..(group + 1) * fan])))
        .collect();
    let channels = values.par_chunks(fan).zip(bytes.par_chunks(fan)).zip(&scales).enumerate();
    let channels = channels.map(|(channel, ((exact, nearest), &scale))| {
        descend(exact, nearest, scale, &covariances[channel / outputs])
    });
    Some(channels.collect::<Vec<_>>().concat())
}

/// How the columns of `rows`, whose means are 0, vary together: `[columns, columns]`.
fn covariance(rows: &ArrayView2<'_, f32>) -> Array2<f32> {
    let mut both = rows.t().dot(rows) / rows.nrows().max(1) as f32;
    let mean = both.diag().mean().unwrap_or_default();
    both.diag_mut().iter_mut().for_each(|alone| *alone += UNSEEN * mean);
    both
}

/// `exact` weights of one output channel as multiples of `scale`: from the `nearest` bytes to those from which none can move
/// without a larger squared error, the weights' inputs varying by `covariance`. Bytes at the end of the range stay, and with
/// them the scale.
fn descend(exact: &[f32], nearest: &[i8], scale: f32, covariance: &Array2<f32>) -> Vec<f32> {
    let mut steps: Vec<f32> = nearest.iter().map(|&byte| f32::from(byte)).collect();
    let mut slope = vec![0f32; steps.len()];
    for ((step, exact), row) in steps.iter().zip(exact).zip(covariance.rows()) {
        add(&mut slope, step * scale - exact, row.as_slice());
    }
    for _ in 0..SWEEPS {
        let mut moved = false;
        for (at, row) in covariance.rows().into_iter().enumerate() {
            let alone = row[at];
            if alone <= 0.0 || f32::from(nearest[at]).abs() >= LARGEST {
                continue;
            }
            let best = (steps[at] - slope[at] / (alone * scale)).round_ties_even();
            let best = best.clamp(-LARGEST, LARGEST);
            let change = best - steps[at];
            if change != 0.0 {
                steps[at] = best;
                add(&mut slope, change * scale, row.as_slice());
                moved = true;
            }
        }
        if !moved {
            break;
        }
    }
    steps.into_iter().map(|step| step * scale).collect()
}

/// Adds `by` times `row`.
fn add(sum: &mut [f32], by: f32, row: Option<&[f32]>) {
    sum.iter_mut().zip(row.unwrap_or_default()).for_each(|(sum, value)| *sum += by * value);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::quantise::tests::{package, samples, toy};
    use crate::quantise::{Exceptions, Method, fold, place};

    fn error(exact: &[f32], rounded: &[f32], covariance: &Array2<f32>) -> f64 {
        let off: Vec<f64> =
            exact.iter().zip(rounded).map(|(exact, rounded)| f64::from(rounded - exact)).collect();
        let rows = covariance.rows().into_iter().zip(&off);
        rows.map(|(row, one)| row.iter().zip(&off).map(|(&v, other)| f64::from(v) * one * other).sum::<f64>())
            .sum()
    }

    proptest! {
        #[test]
        fn no_weights_are_worse_than_the_nearest_and_the_scale_is_theirs(
            exact in proptest::collection::vec(-1f32..1.0, 6),
            rows in proptest::collection::vec(-1f32..1.0, 6 * 20),
        ) {
            let rows = Array2::from_shape_vec((20, 6), rows).expect("rows");
            let covariance = covariance(&rows.view());
            let (bytes, scales) = per_channel(&exact, &[1, 6], 0);
            let nearest: Vec<f32> = bytes.iter().map(|&byte| f32::from(byte) * scales[0]).collect();
            let better = descend(&exact, &bytes, scales[0], &covariance);
            let (one, other) = (error(&exact, &better, &covariance), error(&exact, &nearest, &covariance));
            prop_assert!(one <= other * (1.0 + 1e-4) + 1e-12, "{one} {other}");
            // Rounded once more they are what they are.
            let (again, same) = per_channel(&better, &[1, 6], 0);
            prop_assert!((same[0] / scales[0] - 1.0).abs() < 1e-6);
            for (byte, weight) in again.iter().zip(&better) {
                prop_assert!((f32::from(*byte) * scales[0] - weight).abs() < scales[0] * 1e-3);
            }
        }
    }

    /// On other pictures than they were rounded by.
    #[test]
    fn layers_move_less_than_with_the_nearest_weights() {
        let (package, model) = (package(), toy());
        let graph = fold(model.graph.as_ref().expect("a graph"));
        let full = place(&graph, &Exceptions::default());
        let ranges: Ranges = full.groups.values().map(|&group| (group, (Method::MinMax, 4.0))).collect();
        let views = package.views();
        let seen = samples(&package, 1);
        let rounded = round(&model, &graph, &full, &ranges, &seen, views).expect("rounded");
        let wiring = Wiring::new(&graph);
        let (mut before, mut after) = (0.0, 0.0);
        let all = shared(&wiring, &full, &ranges);
        for shared in all.iter().filter(|shared| rounded.contains_key(&shared.weights.name)) {
            let kernel = shared.kernel;
            assert_eq!(kernel.groups, 1);
            let layer = &shared.layers[0];
            let engine = Engine::new(&model, &graph, &[layer.value.to_owned()], views).expect("an engine");
            let mut rows = Vec::new();
            let mut random = StdRng::seed_from_u64(9);
            for sample in &samples(&package, 2) {
                let value = engine.run(sample).expect("values").remove(0);
                draw(layer, kernel, &value, 40, &mut random, &mut rows);
            }
            let mut rows =
                Array2::from_shape_vec((rows.len() / kernel.reads(), kernel.reads()), rows).expect("rows");
            let mean = rows.mean_axis(Axis(0)).expect("a mean");
            rows -= &mean;
            let both = rows.t().dot(&rows) / rows.nrows() as f32;
            let (bytes, scales) = per_channel(&shared.values, &shared.weights.dims, 0);
            let better = rounded[&shared.weights.name].floats().expect("weights");
            for (channel, scale) in scales.iter().enumerate() {
                let span = channel * kernel.fan()..(channel + 1) * kernel.fan();
                let nearest: Vec<f32> =
                    bytes[span.clone()].iter().map(|&byte| f32::from(byte) * scale).collect();
                before += error(&shared.values[span.clone()], &nearest, &both);
                after += error(&shared.values[span.clone()], &better[span], &both);
            }
        }
        assert!(before > 0.0 && after < before * 0.8, "{before} {after}");
    }
}

//! What quantising one value does to the layers that read it, measured in the graph itself: beside every layer stands
//! a copy of it with quantised data and weights, and only the differences leave the graph. Errors of earlier layers do
//! not come in, so one pass over the pictures judges every candidate of every value.

use std::collections::{BTreeMap, BTreeSet};

use fieldmark_models::onnx::{Attribute, Graph, Model, Node, Tensor};
use fieldmark_models::views::ViewSet;

use super::engine::{Engine, Sample};
use super::grid::Grid;
use super::placement::Placement;
use super::ranges::Candidates;
use super::simulate::float_node;
use super::weights::rounded_weights;
use super::{QuantiseError, Ranges};
use fieldmark_models::onnx::wiring::{Wiring, input, output};

/// A scale group, and which of the ranges that were proposed for it.
type Candidate = (usize, usize);

/// Readers that are measured in one graph. An optimiser takes time with the square of a graph's nodes, and a reader brings about
/// thirty; of a graph for the first readers alone, what lies behind them is not computed.
const TOGETHER: usize = 32;

/// A layer that reads a quantised value, or the value itself where only adds and concats read it.
struct Reader<'g> {
    value: &'g str,
    layer: Option<&'g Node>,
}

fn readers<'g>(wiring: &Wiring<'g>, placement: &'g Placement) -> Vec<Reader<'g>> {
    let int8: BTreeSet<&str> = placement.layers.iter().map(String::as_str).collect();
    let mut all = Vec::new();
    for value in placement.groups.keys() {
        let layers: Vec<&Node> = wiring
            .reading(value)
            .filter(|(node, slot)| *slot == 0 && int8.contains(output(node)))
            .map(|(node, _)| node)
            .collect();
        if layers.is_empty() {
            all.push(Reader { value, layer: None });
        }
        all.extend(layers.into_iter().map(|layer| Reader { value, layer: Some(layer) }));
    }
    all
}

/// The graph with what is measured beside it.
struct Bench<'g> {
    wiring: Wiring<'g>,
    graph: Graph,
    constants: BTreeSet<String>,
    /// Weights of copies in place of the graph's, by name.
    rounded: &'g BTreeMap<String, Tensor>,
}

impl<'g> Bench<'g> {
    fn new(graph: &'g Graph, rounded: &'g BTreeMap<String, Tensor>) -> Self {
        Self { wiring: Wiring::new(graph), graph: graph.clone(), constants: BTreeSet::new(), rounded }
    }

    fn constant(&mut self, name: &str, dims: &[i64], values: &[f32]) {
        if self.constants.insert(name.into()) {
            self.graph.initializer.push(Tensor::of_floats(name, dims, values));
        }
    }

    fn node(&mut self, op: &str, name: &str, inputs: &[&str]) {
        self.graph.node.push(float_node(op, name, inputs));
    }

    /// `value` quantised to `grid` and back; gives the result's name.
    fn quantised(&mut self, value: &str, grid: Grid, name: &str) -> String {
        let [scale, steps, whole, cut, back] =
            ["scale", "steps", "whole", "cut", "back"].map(|part| format!("{name}.{part}"));
        if self.constants.contains(&scale) {
            return back;
        }
        let [low, high] = [grid.lowest, grid.highest].map(|end| format!("probe.{end}"));
        self.constant(&low, &[], &[grid.lowest]);
        self.constant(&high, &[], &[grid.highest]);
        self.constant(&scale, &[], &[grid.step]);
        self.node("Div", &steps, &[value, &scale]);
        self.node("Round", &whole, &[&steps]);
        self.node("Clip", &cut, &[&whole, &low, &high]);
        self.node("Mul", &back, &[&cut, &scale]);
        back
    }

    /// The difference that quantising makes: of the layer's output, or of the value. Gives its name and the float's.
    fn difference(&mut self, reader: &Reader<'_>, grid: Grid, name: &str) -> (String, String) {
        let back = self.quantised(reader.value, grid, &format!("probe.{}.{}", reader.value, grid.step));
        let (copy, float) = match reader.layer {
            None => (back, reader.value.to_owned()),
            Some(layer) => {
                let mut copy = layer.clone();
                copy.name = format!("{name}.copy");
                copy.output = vec![copy.name.clone()];
                copy.input[0] = back;
                let weights = input(layer, 1)
                    .and_then(|name| self.rounded.get(name).or_else(|| self.wiring.constant(name)));
                if let Some((tensor, values)) =
                    weights.and_then(|tensor| Some((tensor, rounded_weights(layer, tensor)?)))
                {
                    let rounded = format!("probe.{}", tensor.name);
                    self.constant(&rounded, &tensor.dims, &values);
                    copy.input[1] = rounded;
                }
                let made = copy.name.clone();
                self.graph.node.push(copy);
                (made, output(layer).to_owned())
            }
        };
        let difference = format!("{name}.difference");
        self.node("Sub", &difference, &[&float, &copy]);
        (difference, float)
    }

    fn energy(&mut self, value: &str, name: &str) {
        let mut node = float_node("ReduceSumSquare", name, &[value]);
        node.attribute.push(Attribute::of_int("keepdims", 0));
        self.graph.node.push(node);
    }
}

/// For every group the method whose range disturbs the layers that read it least, its range, and the relative squared
/// error that was measured.
///
/// # Errors
/// If the engine fails.
pub(super) fn choose(
    model: &Model,
    graph: &Graph,
    placement: &Placement,
    candidates: &Candidates,
    samples: &[Sample],
    views: &ViewSet,
) -> Result<(Ranges, BTreeMap<usize, f64>), QuantiseError> {
    let mut errors: BTreeMap<Candidate, f64> = BTreeMap::new();
    for readers in readers(&Wiring::new(graph), placement).chunks(TOGETHER) {
        for (key, error) in disturbances(model, graph, placement, candidates, readers, samples, views)? {
            *errors.entry(key).or_default() += error;
        }
    }
    let mut best: BTreeMap<usize, (usize, f64)> = BTreeMap::new();
    for ((group, candidate), error) in errors {
        let found = best.entry(group).or_insert((candidate, error));
        if error < found.1 {
            *found = (candidate, error);
        }
    }
    let ranges =
        best.iter().map(|(&group, &(candidate, _))| (group, candidates[&group][candidate])).collect();
    Ok((ranges, best.into_iter().map(|(group, (_, error))| (group, error)).collect()))
}

/// Of every group that `readers` read and every candidate for it, what the candidate's range does to the reader: the squared
/// error, relative to the values' own squares.
fn disturbances(
    model: &Model,
    graph: &Graph,
    placement: &Placement,
    candidates: &Candidates,
    readers: &[Reader<'_>],
    samples: &[Sample],
    views: &ViewSet,
) -> Result<Vec<(Candidate, f64)>, QuantiseError> {
    let nearest = BTreeMap::new();
    let mut bench = Bench::new(graph, &nearest);
    let mut outputs = Vec::new();
    let mut measured = Vec::new();
    for (number, reader) in readers.iter().enumerate() {
        let group = placement.groups[reader.value];
        for (candidate, (_, range)) in candidates[&group].iter().enumerate() {
            let name = format!("probe.{number}.{candidate}");
            let grid = placement.grid(group, *range);
            let (difference, float) = bench.difference(reader, grid, &name);
            let energies = [format!("{name}.error"), format!("{name}.whole")];
            bench.energy(&difference, &energies[0]);
            bench.energy(&float, &energies[1]);
            outputs.extend(energies);
            measured.push((group, candidate));
        }
    }
    let means = Engine::new(model, &bench.graph, &outputs, views)?.means(samples)?;
    let first = |value: &Vec<f64>| value.first().copied().unwrap_or_default();
    let relative = |energies: &[Vec<f64>]| first(&energies[0]) / first(&energies[1]).max(1e-30);
    Ok(measured.into_iter().zip(means.chunks_exact(2).map(relative)).collect())
}

/// What quantising data and weights takes from every channel of every int8 convolution on average: adding it to the
/// bias gives it back. Weights that are not among `rounded` go to the nearest byte.
///
/// # Errors
/// If the engine fails.
pub(super) fn bias_shifts(
    model: &Model,
    graph: &Graph,
    placement: &Placement,
    (ranges, rounded): (&Ranges, &BTreeMap<String, Tensor>),
    samples: &[Sample],
    views: &ViewSet,
) -> Result<BTreeMap<String, Vec<f32>>, QuantiseError> {
    let mut bench = Bench::new(graph, rounded);
    let (mut layers, mut outputs) = (Vec::new(), Vec::new());
    for (number, reader) in readers(&Wiring::new(graph), placement).iter().enumerate() {
        let Some(layer) = reader.layer.filter(|layer| layer.op_type == "Conv") else { continue };
        let group = placement.groups[reader.value];
        let grid = placement.grid(group, ranges[&group].1);
        let (difference, _) = bench.difference(reader, grid, &format!("probe.{number}"));
        let mean = format!("probe.{number}.mean");
        let mut node = float_node("ReduceMean", &mean, &[&difference]);
        node.attribute = vec![Attribute::of_ints("axes", &[0, 2, 3]), Attribute::of_int("keepdims", 0)];
        bench.graph.node.push(node);
        layers.push(output(layer).to_owned());
        outputs.push(mean);
    }
    let engine = Engine::new(model, &bench.graph, &outputs, views)?;
    let means = engine.means(samples)?;
    let narrow = |mean: Vec<f64>| mean.into_iter().map(|value| value as f32).collect();
    Ok(layers.into_iter().zip(means.into_iter().map(narrow)).collect())
}

//! The int8 graph as training sees it: numbers are rounded on the way forward, and gradients go through as if they were
//! not (Jacob et al., 2018, section 3). Knows the operators that the trainer writes.

use std::collections::{BTreeMap, HashMap};

use burn::tensor::activation::{log_softmax, relu};
use burn::tensor::module::{avg_pool2d, max_pool2d};
use burn::tensor::ops::{AvgPoolOptions, ConvOptions, MaxPoolOptions};
use burn::tensor::{Device, Tensor, TensorData};
use fieldmark_convolutions::convolution;
use fieldmark_models::onnx::{Graph, Node, Tensor as Constant};

use super::engine::Sample;
use super::grid::{Grid, LARGEST};
use super::layer::{is_layer, window};
use super::placement::Placement;
use super::{QuantiseError, Ranges};
use crate::training::{Handle, Variables};
use fieldmark_models::onnx::wiring::{Wiring, input, output};

/// A graph whose weights and biases can be trained, with the rounding of `placement` in it.
pub(super) struct Differentiable {
    graph: Graph,
    placement: Placement,
    ranges: BTreeMap<usize, f32>,
    handles: BTreeMap<String, Handle>,
    /// Weights and biases of all layers, each once.
    pub(super) variables: Variables,
    device: Device,
}

#[derive(Clone)]
enum Value {
    /// `[N, channels, height, width]`.
    Maps(Tensor<4>),
    /// `[N, features]`.
    Rows(Tensor<2>),
}

impl Differentiable {
    /// On `device`, which has gradients.
    pub(super) fn new(graph: &Graph, placement: &Placement, ranges: &Ranges, device: &Device) -> Self {
        let wiring = Wiring::new(graph);
        let (mut variables, mut handles) = (Variables::default(), BTreeMap::new());
        for node in graph.node.iter().filter(|node| is_layer(&wiring, node)) {
            for name in [1, 2].iter().filter_map(|&slot| input(node, slot)) {
                let tensor = wiring.constant(name).filter(|_| !handles.contains_key(name));
                let Some((tensor, values)) = tensor.and_then(|tensor| Some((tensor, tensor.floats()?)))
                else {
                    continue;
                };
                let shape: Vec<usize> =
                    tensor.dims.iter().map(|&side| usize::try_from(side).unwrap_or(0)).collect();
                let handle = variables.add(name.into(), &shape, &values, false, device);
                handles.insert(name.to_owned(), handle);
            }
        }
        Self {
            graph: graph.clone(),
            placement: placement.clone(),
            ranges: ranges.iter().map(|(&group, &(_, range))| (group, range)).collect(),
            handles,
            variables,
            device: device.clone(),
        }
    }

    /// The graph with the numbers as they are now, without rounding.
    pub(super) fn trained(&self) -> Graph {
        let mut graph = self.graph.clone();
        for tensor in &mut graph.initializer {
            if let Some(&handle) = self.handles.get(&tensor.name) {
                *tensor = Constant::of_floats(&tensor.name, &tensor.dims, &self.variables.numbers(handle));
            }
        }
        graph
    }

    /// Logarithms of the probabilities of `samples`: `[N, leaves]`.
    ///
    /// # Errors
    /// If there is an operator that is not known here.
    pub(super) fn log_probabilities(
        &self,
        samples: &[&Sample],
        side: usize,
    ) -> Result<Tensor<2>, QuantiseError> {
        let mut values: HashMap<&str, Value> = HashMap::new();
        for (view, named) in self.graph.input.iter().enumerate() {
            let bytes = samples.iter().filter_map(|sample| sample.views.get(view)).flatten();
            let pixels: Vec<f32> = bytes.map(|&byte| f32::from(byte)).collect();
            let data = TensorData::new(pixels, [samples.len(), side, side, 3]);
            values.insert(&named.name, Value::Maps(Tensor::from_data(data, &self.device)));
        }
        let wiring = Wiring::new(&self.graph);
        let mut pass = Pass { network: self, wiring, values, rounded: HashMap::new() };
        for (position, node) in self.graph.node.iter().enumerate() {
            if node.op_type == "Softmax" {
                let Value::Rows(logits) = pass.read(position, node, 0)? else { return Err(unknown(node)) };
                return Ok(log_softmax(logits, 1));
            }
            let value = pass.value(position, node)?;
            pass.values.insert(output(node), value);
        }
        Err(QuantiseError::Untrainable { node: "the graph".into(), operator: "no Softmax".into() })
    }
}

fn unknown(node: &Node) -> QuantiseError {
    QuantiseError::Untrainable { node: output(node).into(), operator: node.op_type.clone() }
}

/// `value`, rounded to `grid`, with the gradient of what is not cut off.
fn rounded<const D: usize>(value: Tensor<D>, grid: Grid) -> Tensor<D> {
    let [step, lowest, highest] = [grid.step, grid.lowest, grid.highest].map(f64::from);
    let cut = value.clamp(lowest * step, highest * step);
    let whole = cut.clone().detach().div_scalar(step).round().mul_scalar(step);
    straight_through(cut, whole)
}

/// The numbers of `whole` with the gradient of `exact`.
fn straight_through<const D: usize>(exact: Tensor<D>, whole: Tensor<D>) -> Tensor<D> {
    let lost = whole - exact.clone().detach();
    exact + lost.detach()
}

/// One pass through the nodes.
struct Pass<'n> {
    network: &'n Differentiable,
    wiring: Wiring<'n>,
    values: HashMap<&'n str, Value>,
    rounded: HashMap<&'n str, Value>,
}

impl<'n> Pass<'n> {
    /// What `node` reads in `slot`: rounded where the placement says so.
    fn read(&mut self, position: usize, node: &'n Node, slot: usize) -> Result<Value, QuantiseError> {
        let name = input(node, slot).ok_or_else(|| unknown(node))?;
        let placement = &self.network.placement;
        let group = placement.groups.get(name).filter(|_| placement.edges.contains(&(position, slot)));
        let grid = group.and_then(|group| Some(placement.grid(*group, *self.network.ranges.get(group)?)));
        let Some(grid) = grid else {
            return self.values.get(name).cloned().ok_or_else(|| unknown(node));
        };
        if let Some(value) = self.rounded.get(name) {
            return Ok(value.clone());
        }
        let value = match self.values.get(name).cloned().ok_or_else(|| unknown(node))? {
            Value::Maps(maps) => Value::Maps(rounded(maps, grid)),
            Value::Rows(rows) => Value::Rows(rounded(rows, grid)),
        };
        self.rounded.insert(name, value.clone());
        Ok(value)
    }

    fn maps(&mut self, position: usize, node: &'n Node, slot: usize) -> Result<Tensor<4>, QuantiseError> {
        match self.read(position, node, slot)? {
            Value::Maps(maps) => Ok(maps),
            Value::Rows(_) => Err(unknown(node)),
        }
    }

    fn scalar(&self, node: &Node, slot: usize) -> Result<f64, QuantiseError> {
        let values = input(node, slot).and_then(|name| self.wiring.constant(name)).and_then(Constant::floats);
        match values.as_deref() {
            Some(&[value]) => Ok(f64::from(value)),
            _ => Err(unknown(node)),
        }
    }

    /// What `node` gives.
    fn value(&mut self, position: usize, node: &'n Node) -> Result<Value, QuantiseError> {
        Ok(Value::Maps(match node.op_type.as_str() {
            // Inputs are made as floats.
            "Cast" | "Identity" => return self.read(position, node, 0),
            "Transpose" => self.maps(position, node, 0)?.permute([0, 3, 1, 2]),
            "Sub" => self.maps(position, node, 0)?.sub_scalar(self.scalar(node, 1)?),
            "Mul" => self.maps(position, node, 0)?.mul_scalar(self.scalar(node, 1)?),
            "Conv" => self.convolution(position, node)?,
            "Relu" => relu(self.maps(position, node, 0)?),
            "Clip" => {
                let (low, high) = (self.scalar(node, 1)?, self.scalar(node, 2)?);
                self.maps(position, node, 0)?.clamp(low, high)
            }
            "Add" => self.maps(position, node, 0)? + self.maps(position, node, 1)?,
            "Concat" => {
                let parts = (0..node.input.len()).map(|slot| self.maps(position, node, slot));
                Tensor::cat(parts.collect::<Result<_, _>>()?, 1)
            }
            "MaxPool" | "AveragePool" => pool(node, self.maps(position, node, 0)?)?,
            "GlobalAveragePool" => {
                let maps = self.maps(position, node, 0)?;
                let [count, channels, height, width] = maps.dims();
                maps.reshape([count, channels, height * width]).mean_dim(2).reshape([count, channels, 1, 1])
            }
            _ => return self.row_value(position, node).map(Value::Rows),
        }))
    }

    fn row_value(&mut self, position: usize, node: &'n Node) -> Result<Tensor<2>, QuantiseError> {
        if node.op_type == "Flatten" {
            return Ok(self.maps(position, node, 0)?.flatten(1, 3));
        }
        let Value::Rows(rows) = self.read(position, node, 0)? else { return Err(unknown(node)) };
        match node.op_type.as_str() {
            "ReduceL2" => Ok(rows.powi_scalar(2).sum_dim(1).sqrt()),
            "Div" => match self.read(position, node, 1)? {
                Value::Rows(lengths) => Ok(rows / lengths),
                Value::Maps(_) => Err(unknown(node)),
            },
            "Gemm" if node.int("transB", 0) != 0 => {
                let product = rows.matmul(self.weights(node)?.transpose());
                Ok(match self.bias(node) {
                    Some(bias) => product + bias.unsqueeze::<2>(),
                    None => product,
                })
            }
            _ => Err(unknown(node)),
        }
    }

    fn convolution(&mut self, position: usize, node: &'n Node) -> Result<Tensor<4>, QuantiseError> {
        let maps = self.maps(position, node, 0)?;
        let dims = input(node, 1).and_then(|name| self.wiring.constant(name)).map(|tensor| &tensor.dims[..]);
        let Some(&[outputs, inputs, height, width]) = dims else { return Err(unknown(node)) };
        let [outputs, inputs, height, width] =
            [outputs, inputs, height, width].map(|side| usize::try_from(side).unwrap_or(0));
        let weights = self.weights(node)?.reshape([outputs, inputs, height, width]);
        let ([top, left, bottom, right], strides) = window(node);
        let groups = usize::try_from(node.int("group", 1)).map_err(|_| unknown(node))?;
        let padding = [(top, bottom), (left, right)];
        let options = ConvOptions::new_with_padding(strides, padding, [1, 1], groups);
        Ok(convolution(maps, weights, self.bias(node), options))
    }

    /// `[outputs, all else]`, rounded channel by channel where the layer is in int8.
    fn weights(&self, node: &Node) -> Result<Tensor<2>, QuantiseError> {
        let handle = input(node, 1).and_then(|name| self.network.handles.get(name));
        let handle = *handle.ok_or_else(|| unknown(node))?;
        let tensor = input(node, 1).and_then(|name| self.wiring.constant(name));
        let outputs = tensor.and_then(|tensor| usize::try_from(*tensor.dims.first()?).ok());
        let outputs = outputs.filter(|&outputs| outputs > 0).ok_or_else(|| unknown(node))?;
        let flat = self.network.variables.value(handle, false);
        let [count] = flat.dims();
        let exact: Tensor<2> = flat.reshape([outputs, count / outputs]);
        if !self.network.placement.layers.iter().any(|layer| layer == output(node)) {
            return Ok(exact);
        }
        let scale = exact
            .clone()
            .detach()
            .abs()
            .max_dim(1)
            .div_scalar(f64::from(LARGEST))
            .clamp_min(f32::MIN_POSITIVE);
        let whole = (exact.clone().detach() / scale.clone()).round() * scale;
        Ok(straight_through(exact, whole))
    }

    fn bias(&self, node: &Node) -> Option<Tensor<1>> {
        let handle = self.network.handles.get(input(node, 2)?)?;
        Some(self.network.variables.value(*handle, false))
    }
}

fn pool(node: &Node, maps: Tensor<4>) -> Result<Tensor<4>, QuantiseError> {
    let kernel = node.attribute("kernel_shape").map(|attribute| &attribute.ints[..]);
    let Some(&[height, width]) = kernel else { return Err(unknown(node)) };
    let kernel = [height, width].map(|side| usize::try_from(side).unwrap_or(1));
    let ([top, left, bottom, right], stride) = window(node);
    if (top, left) != (bottom, right) {
        return Err(unknown(node));
    }
    let padding = [top, left];
    Ok(match node.op_type.as_str() {
        "MaxPool" => max_pool2d(maps, MaxPoolOptions::new(kernel).with_stride(stride).with_padding(padding)),
        _ => {
            let counted = node.int("count_include_pad", 0) != 0;
            let options = AvgPoolOptions::new(kernel).with_stride(stride).with_padding(padding);
            avg_pool2d(maps, options.with_count_include_pad(counted))
        }
    })
}

#[cfg(test)]
mod tests {
    use fieldmark_models::onnx::Model;

    use super::*;
    use crate::quantise::explicit::{Numbers, explicit};
    use crate::quantise::tests::{branched, in_float, package, padded, padded_apart, samples, toy};
    use crate::quantise::{Exceptions, Method, encoded, fold, place, simulate};
    use crate::training::numbers;

    fn answers(network: &Differentiable, samples: &[Sample], side: usize) -> Vec<f32> {
        let all: Vec<&Sample> = samples.iter().collect();
        let logarithms = network.log_probabilities(&all, side).expect("a pass");
        let count = logarithms.dims().iter().product::<usize>();
        numbers(&logarithms.exp().inner().reshape([count]))
    }

    /// Burn on the graph's description against tract on the graph, without rounding and with.
    #[test]
    fn a_pass_is_what_the_engine_answers() {
        passes_are_alike(&toy(), &Exceptions::default());
    }

    /// Here a value less its middle and biases that make up for it, there the value itself.
    #[test]
    fn a_pass_is_what_the_engine_answers_of_centred_values() {
        passes_are_alike(&branched(), &Exceptions::default());
    }

    /// Here a convolution that pads with 0, there one behind a Pad that fills in what stands for it.
    #[test]
    fn a_pass_is_what_the_engine_answers_of_padding_apart() {
        passes_are_alike(&padded(), &padded_apart());
    }

    fn passes_are_alike(model: &Model, exceptions: &Exceptions) {
        let package = package();
        let samples = samples(&package, 5);
        let graph = fold(model.graph.as_ref().expect("a graph"));
        let full = place(&graph, exceptions);
        let ranges: Ranges = full.groups.values().map(|&group| (group, (Method::MinMax, 2.5))).collect();
        let side = package.views().input_size() as usize;
        let engine = |graph: &Graph| {
            let runner = super::super::Engine::new(model, graph, &["probabilities".into()], package.views());
            runner.expect("an engine").rows(&samples).expect("answers").concat()
        };
        let numbers =
            Numbers { ranges: ranges.iter().map(|(&g, &(_, r))| (g, r)).collect(), ..Default::default() };
        let int8 = simulate(&explicit(&graph, &full, &numbers));
        assert!(!encoded(model, int8.clone()).is_empty());
        let everything_float = place(&graph, &in_float(full.layers.iter().cloned()));
        for (placement, expected, allowed) in
            [(&everything_float, engine(&graph), 1e-5), (&full, engine(&int8), 2e-3)]
        {
            let network = Differentiable::new(&graph, placement, &ranges, &Device::flex().autodiff());
            let found = answers(&network, &samples, side);
            let difference = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
            assert!(difference < allowed, "{difference} for {} layers in int8", placement.layers.len());
        }
        assert!(
            engine(&graph).iter().zip(engine(&int8)).any(|(a, b)| (a - b).abs() > 1e-4),
            "rounding shows"
        );
    }
}

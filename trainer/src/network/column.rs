//! Stages as graph nodes.

use fieldmark_models::onnx::Attribute;

use super::graph::{GraphBuilder, ints};
use super::layer::{Activation, Convolution, Layer, MapShape, Pool, PoolKind};
use super::stage::Stage;
use super::weights::ConvolutionWeights;

/// Stages of one part of the network: which nodes they make and which constants they read.
pub(super) struct Column<'a> {
    /// Prefix of the node names, such as `whole`.
    pub name: &'a str,
    /// Prefix of the constants: columns that share weights share it.
    pub constants: &'a str,
    /// Of the batch norm layers that are folded away.
    pub norm_epsilon: f32,
}

/// A value in the graph and its shape.
#[derive(Clone)]
pub(super) struct Maps {
    pub value: String,
    pub shape: MapShape,
}

impl Column<'_> {
    /// The nodes of `stages` with `weights`, each stage's in walking order.
    pub(super) fn stages(
        &self,
        graph: &mut GraphBuilder,
        stages: &[Stage],
        weights: &[Vec<ConvolutionWeights>],
        input: Maps,
    ) -> Maps {
        let mut maps = input;
        for (stage, weights) in stages.iter().zip(weights) {
            maps = self.layers(graph, &stage.layers, &mut weights.iter(), maps);
        }
        maps
    }

    fn layers(
        &self,
        graph: &mut GraphBuilder,
        layers: &[Layer],
        weights: &mut std::slice::Iter<'_, ConvolutionWeights>,
        input: Maps,
    ) -> Maps {
        let mut maps = input;
        for layer in layers {
            maps = match layer {
                Layer::Convolution(convolution) => match weights.next() {
                    Some(weights) => self.convolution(graph, convolution, weights, &maps),
                    None => maps,
                },
                Layer::Pool(pool) => self.pool(graph, pool, &maps),
                Layer::Branches { name, branches } => {
                    let ends: Vec<Maps> = branches
                        .iter()
                        .map(|branch| self.layers(graph, branch, weights, maps.clone()))
                        .collect();
                    self.concatenated(graph, name, &ends)
                }
                Layer::Residual { name, body, scale, activation } => {
                    let branch = self.layers(graph, body, weights, maps.clone());
                    self.sum(graph, name, (&maps, &branch), *scale, *activation)
                }
            };
        }
        maps
    }

    /// The node of `convolution`, batch norm folded in, and of its activation.
    pub(super) fn convolution(
        &self,
        graph: &mut GraphBuilder,
        convolution: &Convolution,
        weights: &ConvolutionWeights,
        input: &Maps,
    ) -> Maps {
        let folded = weights.folded(self.norm_epsilon);
        let (constant, node) = (self.constant(&convolution.name), self.node(&convolution.name));
        let weight = graph.constant(&format!("{constant}.weight"), &convolution.shape(), &folded.weight);
        let bias = graph.constant(&format!("{constant}.bias"), &[convolution.output], &folded.bias);
        let along = |axis: usize| {
            let (side, kernel) = (input.shape.sides[axis], convolution.kernel[axis]);
            convolution.padding.along(axis, side, kernel, convolution.stride)
        };
        let ((top, bottom), (left, right)) = (along(0), along(1));
        let attributes = vec![
            ints("kernel_shape", &convolution.kernel),
            ints("strides", &[convolution.stride, convolution.stride]),
            ints("pads", &[top, left, bottom, right]),
            Attribute::of_int("group", convolution.groups as i64),
        ];
        let value = graph.node("Conv", &node, &[&input.value, &weight, &bias], attributes);
        let shape = convolution.gives(input.shape).unwrap_or(input.shape);
        Maps { value: activated(graph, &node, value, convolution.activation), shape }
    }

    fn pool(&self, graph: &mut GraphBuilder, pool: &Pool, input: &Maps) -> Maps {
        let mut attributes = vec![
            ints("kernel_shape", &[pool.kernel, pool.kernel]),
            ints("strides", &[pool.stride, pool.stride]),
            ints("pads", &[pool.padding; 4]),
        ];
        let op = match pool.kind {
            PoolKind::Max => "MaxPool",
            PoolKind::Average => {
                attributes.push(Attribute::of_int("count_include_pad", 0));
                "AveragePool"
            }
        };
        let value = graph.node(op, &self.node(&pool.name), &[&input.value], attributes);
        Maps { value, shape: pool.gives(input.shape).unwrap_or(input.shape) }
    }

    fn concatenated(&self, graph: &mut GraphBuilder, name: &str, ends: &[Maps]) -> Maps {
        let values: Vec<&str> = ends.iter().map(|end| end.value.as_str()).collect();
        let value = graph.node("Concat", &self.node(name), &values, vec![Attribute::of_int("axis", 1)]);
        let channels = ends.iter().map(|end| end.shape.channels).sum();
        let sides = ends.first().map_or([1, 1], |end| end.shape.sides);
        Maps { value, shape: MapShape { channels, sides } }
    }

    fn sum(
        &self,
        graph: &mut GraphBuilder,
        name: &str,
        (input, branch): (&Maps, &Maps),
        scale: f32,
        activation: Activation,
    ) -> Maps {
        let node = self.node(name);
        let mut value = branch.value.clone();
        #[expect(clippy::float_cmp, reason = "exactly 1 is no factor at all")]
        if scale != 1.0 {
            let factor = graph.constant(&format!("scale.{scale}"), &[], &[scale]);
            value = graph.node("Mul", &format!("{node}.scaled"), &[&value, &factor], vec![]);
        }
        let value = graph.node("Add", &node, &[&value, &input.value], vec![]);
        Maps { value: activated(graph, &node, value, activation), shape: input.shape }
    }

    fn node(&self, name: &str) -> String {
        format!("{}.{name}", self.name)
    }

    fn constant(&self, name: &str) -> String {
        format!("{}.{name}", self.constants)
    }
}

fn activated(graph: &mut GraphBuilder, node: &str, value: String, activation: Activation) -> String {
    match activation {
        Activation::None => value,
        Activation::Relu => graph.node("Relu", &format!("{node}.relu"), &[&value], vec![]),
        Activation::Relu6 => {
            let (low, high) = (graph.constant("zero", &[], &[0.0]), graph.constant("six", &[], &[6.0]));
            graph.node("Clip", &format!("{node}.relu6"), &[&value, &low, &high], vec![])
        }
    }
}

//! What a convolution reads at a place of its maps.

use fieldmark_models::onnx::{Node, Tensor};
use rand::RngExt as _;
use rand::rngs::StdRng;

use super::grid::Grid;
use super::layer::window;

/// A convolution in int8 and what it reads.
pub(super) struct Layer<'g> {
    pub(super) value: &'g str,
    pub(super) grid: Grid,
    pub(super) node: &'g Node,
}

/// What the weights of a convolution are spread over: `[outputs, inputs of a group, height, width]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kernel {
    inputs: usize,
    height: usize,
    width: usize,
    pub(super) groups: usize,
}

impl Kernel {
    /// Of `node` with `weights`; none of other than two dimensions.
    pub(super) fn of(node: &Node, weights: &Tensor) -> Option<Self> {
        let &[_, inputs, height, width] = &weights.dims[..] else { return None };
        let [inputs, height, width, groups] = [inputs, height, width, node.int("group", 1)]
            .map(|side| usize::try_from(side).ok().filter(|&side| side > 0));
        Some(Self { inputs: inputs?, height: height?, width: width?, groups: groups? })
    }

    /// Weights of an output channel.
    pub(super) fn fan(self) -> usize {
        self.inputs * self.height * self.width
    }

    /// Numbers that all groups read at one place.
    pub(super) fn reads(self) -> usize {
        self.fan() * self.groups
    }
}

/// What `layer` reads at some places of `value`, `[channels, side, side]`, goes to the end of `rows`: `[places, reads]`.
pub(super) fn draw(
    layer: &Layer<'_>,
    kernel: Kernel,
    value: &[f32],
    places: usize,
    random: &mut StdRng,
    rows: &mut Vec<f32>,
) {
    let side = (value.len() / (kernel.inputs * kernel.groups)).isqrt();
    let ([top, left, bottom, right], [down, across]) = window(layer.node);
    let count = |padded: usize, kernel: usize, stride: usize| {
        padded.checked_sub(kernel).map_or(0, |last| last / stride.max(1) + 1)
    };
    let (height, width) =
        (count(side + top + bottom, kernel.height, down), count(side + left + right, kernel.width, across));
    if height * width == 0 {
        return;
    }
    for _ in 0..places.min(height * width) {
        let (y, x) = (random.random_range(0..height) * down, random.random_range(0..width) * across);
        let at = Place { y, x, top, left };
        at.read(kernel, value, side, |number| rows.push(layer.grid.rounded(number)));
    }
}

/// A place of the padded maps.
struct Place {
    y: usize,
    x: usize,
    top: usize,
    left: usize,
}

impl Place {
    /// Hands on what stands below the kernel there, in the order of the weights.
    fn read(&self, kernel: Kernel, value: &[f32], side: usize, mut take: impl FnMut(f32)) {
        for channel in 0..kernel.inputs * kernel.groups {
            for row in self.y..self.y + kernel.height {
                for column in self.x..self.x + kernel.width {
                    let inside = row.checked_sub(self.top).zip(column.checked_sub(self.left));
                    let inside = inside.filter(|&(row, column)| row < side && column < side);
                    let number =
                        inside.and_then(|(row, column)| value.get((channel * side + row) * side + column));
                    take(number.copied().unwrap_or(0.0));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use fieldmark_models::onnx::wiring::{Wiring, output};

    use super::*;
    use crate::quantise::layer::is_layer;
    use crate::quantise::tests::{package, samples, toy};
    use crate::quantise::{Engine, fold};

    /// What stands below the kernel times the weights, against the engine's convolution.
    #[test]
    fn what_a_layer_reads_at_a_place_gives_what_the_engine_gives_there() {
        let (package, model) = (package(), toy());
        let graph = fold(model.graph.as_ref().expect("a graph"));
        let wiring = Wiring::new(&graph);
        let sample = &samples(&package, 2)[0];
        let mut compared = 0;
        let mut seen = BTreeSet::new();
        for node in graph.node.iter().filter(|node| node.op_type == "Conv" && is_layer(&wiring, node)) {
            let weights = wiring.constant(&node.input[1]).expect("weights");
            let (kernel, values) =
                (Kernel::of(node, weights).expect("a kernel"), weights.floats().expect("floats"));
            seen.insert(kernel.fan());
            let names = [node.input[0].clone(), output(node).to_owned()];
            let engine = Engine::new(&model, &graph, &names, package.views()).expect("an engine");
            let [value, made] = engine.run(sample).expect("values").try_into().expect("two");
            let biases = wiring.constant(&node.input[2]).and_then(Tensor::floats).expect("a bias");
            let side = (value.len() / (kernel.inputs * kernel.groups)).isqrt();
            let ([top, left, ..], [down, across]) = window(node);
            let width = (made.len() / biases.len()).isqrt();
            for place in [0, width / 2 * width + 1, width * width - 1] {
                let at = Place { y: place / width * down, x: place % width * across, top, left };
                let mut row = Vec::new();
                at.read(kernel, &value, side, |number| row.push(number));
                for (channel, bias) in biases.iter().enumerate() {
                    let group = channel / (biases.len() / kernel.groups);
                    let read = &row[group * kernel.fan()..(group + 1) * kernel.fan()];
                    let weights = &values[channel * kernel.fan()..(channel + 1) * kernel.fan()];
                    let sum: f32 = read.iter().zip(weights).map(|(a, b)| a * b).sum();
                    let there = made[channel * width * width + place];
                    assert!((sum + bias - there).abs() < 1e-3, "{} {sum} {bias} {there}", names[1]);
                    compared += 1;
                }
            }
        }
        assert!(seen.len() > 1, "kernels of one size alone: {seen:?}");
        assert!(compared > 100, "{compared}");
    }
}

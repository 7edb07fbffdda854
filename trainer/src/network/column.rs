//! Units of an EfficientNet-Lite as graph nodes.

use super::graph::{GraphBuilder, int, ints};
use super::weights::{Backbone, Convolution};
use super::{Preset, preset::Block};

/// Runs units of one column: which nodes they make and which weights they share.
pub(super) struct Column<'a> {
    pub preset: &'a Preset,
    pub backbone: &'a Backbone,
    /// Prefix of the node names, such as `whole`.
    pub name: &'a str,
    /// Prefix of the constants: columns that share weights share it.
    pub weights: &'a str,
}

/// A value in the graph and the side of its feature maps.
#[derive(Clone)]
pub(super) struct Maps {
    pub value: String,
    pub side: usize,
}

impl Column<'_> {
    /// The nodes of unit `position`.
    pub(super) fn unit(&self, graph: &mut GraphBuilder, position: usize, input: &Maps) -> Maps {
        if position == 0 {
            return self.convolution(graph, (0, 0), "stem", input, 2, 1, true);
        }
        match self.preset.blocks.get(position - 1) {
            Some(block) => self.block(graph, position, block, input),
            None => self.convolution(graph, (position, 0), "head", input, 1, 1, true),
        }
    }

    fn block(&self, graph: &mut GraphBuilder, position: usize, block: &Block, input: &Maps) -> Maps {
        let name = |part: &str| format!("block{}.{part}", position - 1);
        let wide = block.input * block.expansion;
        let mut maps = input.clone();
        let mut next = 0;
        if block.expansion > 1 {
            maps = self.convolution(graph, (position, next), &name("expand"), &maps, 1, 1, true);
            next += 1;
        }
        maps = self.convolution(graph, (position, next), &name("depthwise"), &maps, block.stride, wide, true);
        maps = self.convolution(graph, (position, next + 1), &name("project"), &maps, 1, 1, false);
        if block.stride == 1 && block.input == block.output {
            let sum = format!("{}.{}", self.name, name("add"));
            maps.value = graph.node("Add", &sum, &[&maps.value, &input.value], vec![]);
        }
        maps
    }

    #[expect(clippy::too_many_arguments, reason = "the settings of one convolution")]
    fn convolution(
        &self,
        graph: &mut GraphBuilder,
        (unit, position): (usize, usize),
        name: &str,
        input: &Maps,
        stride: usize,
        groups: usize,
        activate: bool,
    ) -> Maps {
        let convolution: &Convolution = &self.backbone.units[unit].convolutions[position];
        let kernel = convolution.shape[2];
        let constant = format!("{}.{name}", self.weights);
        let weight = graph.constant(&format!("{constant}.weight"), &convolution.shape, &convolution.weight);
        let bias = graph.constant(&format!("{constant}.bias"), &[convolution.shape[0]], &convolution.bias);
        let (before, after) = same_padding(input.side, kernel, stride);
        let attributes = vec![
            ints("kernel_shape", &[kernel, kernel]),
            ints("strides", &[stride, stride]),
            ints("pads", &[before, before, after, after]),
            int("group", groups as i64),
        ];
        let node = format!("{}.{name}", self.name);
        let mut value = graph.node("Conv", &node, &[&input.value, &weight, &bias], attributes);
        if activate {
            let (low, high) = (graph.constant("zero", &[], &[0.0]), graph.constant("six", &[], &[6.0]));
            value = graph.node("Clip", &format!("{node}.relu6"), &[&value, &low, &high], vec![]);
        }
        Maps { value, side: input.side.div_ceil(stride) }
    }
}

/// TensorFlow's SAME: as many outputs as strides fit, the odd pixel of padding behind.
fn same_padding(side: usize, kernel: usize, stride: usize) -> (usize, usize) {
    let total = ((side.div_ceil(stride) - 1) * stride + kernel).saturating_sub(side);
    (total / 2, total - total / 2)
}

#[cfg(test)]
mod tests {
    use super::same_padding;

    #[test]
    fn same_padding_puts_the_odd_pixel_behind() {
        assert_eq!(same_padding(224, 3, 2), (0, 1));
        assert_eq!(same_padding(65, 3, 2), (1, 1));
        assert_eq!(same_padding(112, 5, 1), (2, 2));
        assert_eq!(same_padding(8, 1, 1), (0, 0));
    }
}

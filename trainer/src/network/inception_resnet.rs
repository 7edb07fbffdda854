//! Inception-ResNet-v2 (Szegedy et al., 2016), the paper's backbone, with the names of its published PyTorch weights.

use super::layer::{Activation, Convolution, Layer, MapShape, Padding, Pool, PoolKind, Published};
use super::stage::{Multipliers, Stage};

/// Stages `conv2d_1a` to `conv2d_7b`; a repeat of blocks is one stage.
pub(super) fn stages(multipliers: Multipliers) -> Vec<Stage> {
    let mut network = Builder { multipliers, channels: 3, stages: Vec::new() };
    network.convolution("conv2d_1a", 32, 3, 2, 0);
    network.convolution("conv2d_2a", 32, 3, 1, 0);
    network.convolution("conv2d_2b", 64, 3, 1, 1);
    network.max_pool("maxpool_3a");
    network.convolution("conv2d_3b", 80, 1, 1, 0);
    network.convolution("conv2d_4a", 192, 3, 1, 0);
    network.max_pool("maxpool_5a");
    network.mixed_5b();
    network.repeat("repeat", 10, 0.17, &BLOCK_35);
    network.mixed_6a();
    network.repeat("repeat_1", 20, 0.10, &BLOCK_17);
    network.mixed_7a();
    network.repeat("repeat_2", 9, 0.20, &BLOCK_8);
    network.last_block8();
    network.convolution("conv2d_7b", 1536, 1, 1, 0);
    network.stages
}

/// Branches of a residual block: channels and kernel of each convolution.
type Body = [&'static [(usize, [usize; 2])]];

const BLOCK_35: [&[(usize, [usize; 2])]; 3] =
    [&[(32, [1, 1])], &[(32, [1, 1]), (32, [3, 3])], &[(32, [1, 1]), (48, [3, 3]), (64, [3, 3])]];
const BLOCK_17: [&[(usize, [usize; 2])]; 2] =
    [&[(192, [1, 1])], &[(128, [1, 1]), (160, [1, 7]), (192, [7, 1])]];
const BLOCK_8: [&[(usize, [usize; 2])]; 2] =
    [&[(192, [1, 1])], &[(192, [1, 1]), (224, [1, 3]), (256, [3, 1])]];

/// Channels of the auxiliary classifier's convolutions at width 1.
pub(super) const AUXILIARY_CHANNELS: [usize; 2] = [128, 768];

/// The auxiliary classifier below its last layer: mean, 1x1, and a convolution over all that is left of the maps. On
/// maps smaller than its window the window is as large as they are.
pub(super) fn auxiliary([narrow, wide]: [usize; 2], shape: MapShape) -> Vec<Layer> {
    let kernel = 5.min(shape.sides[0]).min(shape.sides[1]);
    let mean = Pool { name: "mean".into(), kind: PoolKind::Average, kernel, stride: 3, padding: 0 };
    let left = mean.gives(shape).map_or([1, 1], |maps| maps.sides);
    vec![
        Layer::Pool(mean),
        with_norm("narrow", [shape.channels, narrow], [1, 1], 1, [0, 0]),
        with_norm("wide", [narrow, wide], left, 1, [0, 0]),
    ]
}

/// One convolution of a branch: output channels at width 1, side of the kernel, stride, border.
type Step = (usize, usize, usize, usize);

struct Builder {
    multipliers: Multipliers,
    /// Of what the last stage gives.
    channels: usize,
    stages: Vec<Stage>,
}

impl Builder {
    fn stage(&mut self, name: &str, layers: Vec<Layer>, channels: usize) {
        self.channels = channels;
        self.stages.push(Stage { name: name.into(), layers });
    }

    fn convolution(&mut self, name: &str, output: usize, kernel: usize, stride: usize, padding: usize) {
        let branch = self.branch(name, self.channels, &[(output, kernel, stride, padding)]);
        self.stage(name, branch, self.multipliers.channels(output));
    }

    fn max_pool(&mut self, name: &str) {
        self.stage(name, vec![pool(name, PoolKind::Max, 2, 0)], self.channels);
    }

    fn mixed_5b(&mut self) {
        let (name, input) = ("mixed_5b", self.channels);
        let mut averaged = vec![pool("mixed_5b.branch3.0", PoolKind::Average, 1, 1)];
        averaged.extend(self.branch("mixed_5b.branch3.1", input, &[(64, 1, 1, 0)]));
        let branches = vec![
            self.branch("mixed_5b.branch0", input, &[(96, 1, 1, 0)]),
            self.branch("mixed_5b.branch1", input, &[(48, 1, 1, 0), (64, 5, 1, 2)]),
            self.branch("mixed_5b.branch2", input, &[(64, 1, 1, 0), (96, 3, 1, 1), (96, 3, 1, 1)]),
            averaged,
        ];
        self.branches(name, branches, &[96, 64, 96, 64], 0);
    }

    fn mixed_6a(&mut self) {
        let (name, input) = ("mixed_6a", self.channels);
        let branches = vec![
            self.branch("mixed_6a.branch0", input, &[(384, 3, 2, 0)]),
            self.branch("mixed_6a.branch1", input, &[(256, 1, 1, 0), (256, 3, 1, 1), (384, 3, 2, 0)]),
            vec![pool("mixed_6a.branch2", PoolKind::Max, 2, 0)],
        ];
        self.branches(name, branches, &[384, 384], input);
    }

    fn mixed_7a(&mut self) {
        let (name, input) = ("mixed_7a", self.channels);
        let branches = vec![
            self.branch("mixed_7a.branch0", input, &[(256, 1, 1, 0), (384, 3, 2, 0)]),
            self.branch("mixed_7a.branch1", input, &[(256, 1, 1, 0), (288, 3, 2, 0)]),
            self.branch("mixed_7a.branch2", input, &[(256, 1, 1, 0), (288, 3, 1, 1), (320, 3, 2, 0)]),
            vec![pool("mixed_7a.branch3", PoolKind::Max, 2, 0)],
        ];
        self.branches(name, branches, &[384, 288, 320], input);
    }

    /// A stage of `branches`, which give `outputs` at width 1 and `passed` channels as they came.
    fn branches(&mut self, name: &str, branches: Vec<Vec<Layer>>, outputs: &[usize], passed: usize) {
        let channels = outputs.iter().map(|&output| self.multipliers.channels(output)).sum::<usize>();
        let layer = Layer::Branches { name: format!("{name}.concat"), branches };
        self.stage(name, vec![layer], channels + passed);
    }

    fn repeat(&mut self, name: &str, repeats: usize, scale: f32, body: &Body) {
        let blocks = (0..self.multipliers.repeats(repeats))
            .map(|block| self.residual(&format!("{name}.{block}"), scale, Activation::Relu, body))
            .collect();
        self.stage(name, blocks, self.channels);
    }

    fn last_block8(&mut self) {
        let block = self.residual("block8", 1.0, Activation::None, &BLOCK_8);
        self.stage("block8", vec![block], self.channels);
    }

    fn residual(&self, name: &str, scale: f32, activation: Activation, body: &Body) -> Layer {
        let mut joined = 0;
        let mut branches = Vec::new();
        for (number, convolutions) in body.iter().enumerate() {
            let prefix = format!("{name}.branch{number}");
            let (mut layers, mut input) = (Vec::new(), self.channels);
            for (position, &(output, kernel)) in convolutions.iter().enumerate() {
                let own = numbered(&prefix, position, convolutions.len());
                let (output, [height, width]) = (self.multipliers.channels(output), kernel);
                let padding = [(height - 1) / 2, (width - 1) / 2];
                layers.push(with_norm(&own, [input, output], kernel, 1, padding));
                input = output;
            }
            joined += input;
            branches.push(layers);
        }
        let projection = Layer::Convolution(Convolution {
            name: format!("{name}.conv2d"),
            published: Published { convolution: format!("{name}.conv2d"), norm: None },
            input: joined,
            output: self.channels,
            kernel: [1, 1],
            stride: 1,
            padding: Padding::Symmetric([0, 0]),
            groups: 1,
            activation: Activation::None,
        });
        let body = vec![Layer::Branches { name: format!("{name}.concat"), branches }, projection];
        Layer::Residual { name: format!("{name}.add"), body, scale, activation }
    }

    fn branch(&self, name: &str, mut input: usize, steps: &[Step]) -> Vec<Layer> {
        let mut layers = Vec::new();
        for (position, &(output, kernel, stride, padding)) in steps.iter().enumerate() {
            let output = self.multipliers.channels(output);
            let own = numbered(name, position, steps.len());
            layers.push(with_norm(&own, [input, output], [kernel, kernel], stride, [padding, padding]));
            input = output;
        }
        layers
    }
}

/// The published weights number the convolutions of a branch only where there are several.
fn numbered(name: &str, position: usize, count: usize) -> String {
    if count == 1 { name.into() } else { format!("{name}.{position}") }
}

fn with_norm(
    name: &str,
    [input, output]: [usize; 2],
    kernel: [usize; 2],
    stride: usize,
    padding: [usize; 2],
) -> Layer {
    Layer::Convolution(Convolution {
        name: name.into(),
        published: Published { convolution: format!("{name}.conv"), norm: Some(format!("{name}.bn")) },
        input,
        output,
        kernel,
        stride,
        padding: Padding::Symmetric(padding),
        groups: 1,
        activation: Activation::Relu,
    })
}

fn pool(name: &str, kind: PoolKind, stride: usize, padding: usize) -> Layer {
    Layer::Pool(Pool { name: name.into(), kind, kernel: 3, stride, padding })
}

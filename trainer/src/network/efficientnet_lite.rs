//! EfficientNet-Lite: as EfficientNet-B0 without squeeze-and-excitation, ReLU6 throughout (Tan and Le, 2019; Google's
//! Lite variants, 2020). A stem, inverted-residual blocks, a head convolution.

use super::layer::{Activation, Convolution, Layer, Padding, Published};
use super::stage::{Multipliers, Stage};

/// Kernel, stride, expansion, output channels and repeats of the seven stages at width and depth 1.
const STAGES: [(usize, usize, usize, usize, usize); 7] = [
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
];

/// Channels of the stem, which the width multiplier leaves alone.
const STEM_CHANNELS: usize = 32;
/// Channels of the feature vector, which it leaves alone too.
const FEATURES: usize = 1280;

/// Stages `stem`, `block0` to the last block, `head`.
pub(super) fn stages(multipliers: Multipliers) -> Vec<Stage> {
    let stem = plain("stem", ("_conv_stem".into(), "_bn0".into()), [3, STEM_CHANNELS], 3, 2);
    let mut stages = vec![Stage { name: "stem".into(), layers: vec![stem] }];
    let mut input = STEM_CHANNELS;
    let last = STAGES.len() - 1;
    for (position, (kernel, stride, expansion, channels, repeats)) in STAGES.into_iter().enumerate() {
        let output = multipliers.channels(channels);
        // Lite leaves the first and the last stage at their depth.
        let repeats = if position == 0 || position == last { repeats } else { multipliers.repeats(repeats) };
        for repeat in 0..repeats {
            let stride = if repeat == 0 { stride } else { 1 };
            let block = Block { position: stages.len() - 1, kernel, stride, expansion, input, output };
            stages.push(block.stage());
            input = output;
        }
    }
    let head = plain("head", ("_conv_head".into(), "_bn1".into()), [input, FEATURES], 1, 1);
    stages.push(Stage { name: "head".into(), layers: vec![head] });
    stages
}

/// An inverted-residual block: 1x1 expansion (unless `expansion` is 1), depthwise, 1x1 projection.
struct Block {
    position: usize,
    kernel: usize,
    stride: usize,
    expansion: usize,
    input: usize,
    output: usize,
}

impl Block {
    fn stage(&self) -> Stage {
        let (name, wide) = (format!("block{}", self.position), self.input * self.expansion);
        let named = |part: &str, tensor: &str, norm: &str| {
            let at = |tensor: &str| format!("_blocks.{}.{tensor}", self.position);
            (format!("{name}.{part}"), (at(tensor), at(norm)))
        };
        let mut layers = Vec::new();
        if self.expansion > 1 {
            let (name, published) = named("expand", "_expand_conv", "_bn0");
            layers.push(plain(&name, published, [self.input, wide], 1, 1));
        }
        let (depthwise, published) = named("depthwise", "_depthwise_conv", "_bn1");
        layers.push(convolution(
            &depthwise,
            published,
            [wide, wide],
            (self.kernel, self.stride, wide),
            Activation::Relu6,
        ));
        let (project, published) = named("project", "_project_conv", "_bn2");
        layers.push(convolution(&project, published, [wide, self.output], (1, 1, 1), Activation::None));
        if self.stride == 1 && self.input == self.output {
            let sum = format!("{name}.add");
            layers =
                vec![Layer::Residual { name: sum, body: layers, scale: 1.0, activation: Activation::None }];
        }
        Stage { name, layers }
    }
}

fn plain(
    name: &str,
    published: (String, String),
    channels: [usize; 2],
    kernel: usize,
    stride: usize,
) -> Layer {
    convolution(name, published, channels, (kernel, stride, 1), Activation::Relu6)
}

fn convolution(
    name: &str,
    (convolution, norm): (String, String),
    [input, output]: [usize; 2],
    (kernel, stride, groups): (usize, usize, usize),
    activation: Activation,
) -> Layer {
    Layer::Convolution(Convolution {
        name: name.into(),
        published: Published { convolution, norm: Some(norm) },
        input,
        output,
        kernel: [kernel, kernel],
        stride,
        padding: Padding::Same,
        groups,
        activation,
    })
}

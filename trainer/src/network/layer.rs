//! What networks are made of: convolutions, pools, branches and residual sums, as data.
//!
//! The same description is trained, written as ONNX, filled from published weights and counted.

/// One step of a stage.
#[derive(Debug, Clone, PartialEq)]
pub enum Layer {
    /// A convolution with what follows it.
    Convolution(Convolution),
    /// A pool.
    Pool(Pool),
    /// Branches from the same maps, concatenated on channels.
    Branches {
        /// Name in the graph.
        name: String,
        /// Each begins at the input.
        branches: Vec<Vec<Layer>>,
    },
    /// `activation(input + scale * body(input))`.
    Residual {
        /// Name in the graph.
        name: String,
        /// Gives as many channels as come in.
        body: Vec<Layer>,
        /// Factor on the body.
        scale: f32,
        /// Applied to the sum.
        activation: Activation,
    },
}

/// A convolution, its batch norm or bias, and its activation.
#[derive(Debug, Clone, PartialEq)]
pub struct Convolution {
    /// Name in the graph, unique in the network.
    pub name: String,
    /// What its tensors are called in the published weights.
    pub published: Published,
    /// Channels coming in.
    pub input: usize,
    /// Channels going out.
    pub output: usize,
    /// Height and width.
    pub kernel: [usize; 2],
    /// In both directions.
    pub stride: usize,
    /// Border.
    pub padding: Padding,
    /// Channel groups; as many as channels for a depthwise convolution.
    pub groups: usize,
    /// Applied last.
    pub activation: Activation,
}

/// Names in published weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Prefix of `.weight`, and of `.bias` where there is no batch norm.
    pub convolution: String,
    /// Prefix of `.weight`, `.bias`, `.running_mean` and `.running_var`; without one the convolution has a bias.
    pub norm: Option<String>,
}

impl Convolution {
    /// `[output, input / groups, height, width]`.
    #[must_use]
    pub fn shape(&self) -> [usize; 4] {
        [self.output, self.input / self.groups, self.kernel[0], self.kernel[1]]
    }
}

/// The largest or the mean of a square of pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// Name in the graph.
    pub name: String,
    /// Which of the two.
    pub kind: PoolKind,
    /// Side of the square.
    pub kernel: usize,
    /// In both directions.
    pub stride: usize,
    /// Border; a mean does not count it.
    pub padding: usize,
}

/// What a pool gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolKind {
    /// The largest value.
    Max,
    /// The mean of the values inside the picture.
    Average,
}

/// What follows a convolution or a sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
}

/// Pixels of zero around the maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// The same number above as below, and left as right.
    Symmetric([usize; 2]),
    /// TensorFlow's SAME: as many outputs as strides fit, the odd pixel behind.
    Same,
}

impl Padding {
    /// Pixels before and behind along axis 0 (height) or 1 (width) of maps `side` long.
    #[must_use]
    pub fn along(self, axis: usize, side: usize, kernel: usize, stride: usize) -> (usize, usize) {
        match self {
            Self::Symmetric(sides) => (sides[axis], sides[axis]),
            Self::Same => {
                let total = ((side.div_ceil(stride) - 1) * stride + kernel).saturating_sub(side);
                (total / 2, total - total / 2)
            }
        }
    }
}

/// Height and width behind a window of `kernel` over padded maps; none where the window is larger.
fn slid(side: usize, kernel: usize, stride: usize, (before, behind): (usize, usize)) -> Option<usize> {
    Some((side + before + behind).checked_sub(kernel)? / stride + 1)
}

/// Channels, height and width of maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapShape {
    /// Channels.
    pub channels: usize,
    /// Height and width in pixels.
    pub sides: [usize; 2],
}

impl Convolution {
    /// Shape of what it gives; none where the maps are smaller than the kernel.
    #[must_use]
    pub fn gives(&self, input: MapShape) -> Option<MapShape> {
        let along = |axis: usize| {
            let (side, kernel) = (input.sides[axis], self.kernel[axis]);
            slid(side, kernel, self.stride, self.padding.along(axis, side, kernel, self.stride))
        };
        Some(MapShape { channels: self.output, sides: [along(0)?, along(1)?] })
    }
}

impl Pool {
    /// Shape of what it gives; none where the maps are smaller than the kernel.
    #[must_use]
    pub fn gives(&self, input: MapShape) -> Option<MapShape> {
        let along = |side| slid(side, self.kernel, self.stride, (self.padding, self.padding));
        let [height, width] = input.sides;
        Some(MapShape { sides: [along(height)?, along(width)?], ..input })
    }
}

/// Shape behind all of `layers`; none where the maps become smaller than a kernel.
#[must_use]
pub fn gives(layers: &[Layer], input: MapShape) -> Option<MapShape> {
    layers.iter().try_fold(input, |maps, layer| match layer {
        Layer::Convolution(convolution) => convolution.gives(maps),
        Layer::Pool(pool) => pool.gives(maps),
        Layer::Residual { .. } => Some(maps),
        Layer::Branches { branches, .. } => {
            let shapes: Option<Vec<MapShape>> = branches.iter().map(|branch| gives(branch, maps)).collect();
            let shapes = shapes?;
            let channels = shapes.iter().map(|shape| shape.channels).sum();
            Some(MapShape { channels, sides: shapes.first()?.sides })
        }
    })
}

/// The convolutions of `layers` in the order in which everything else walks them: front to back, branch by branch.
#[must_use]
pub fn convolutions(layers: &[Layer]) -> Vec<&Convolution> {
    let mut found = Vec::new();
    for layer in layers {
        match layer {
            Layer::Convolution(convolution) => found.push(convolution),
            Layer::Pool(_) => {}
            Layer::Residual { body, .. } => found.extend(convolutions(body)),
            Layer::Branches { branches, .. } => {
                found.extend(branches.iter().flat_map(|branch| convolutions(branch)));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_padding_puts_the_odd_pixel_behind() {
        let along = |side, kernel, stride| Padding::Same.along(0, side, kernel, stride);
        assert_eq!(along(224, 3, 2), (0, 1));
        assert_eq!(along(65, 3, 2), (1, 1));
        assert_eq!(along(112, 5, 1), (2, 2));
        assert_eq!(along(8, 1, 1), (0, 0));
    }
}

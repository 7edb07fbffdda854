//! Which numbers of a map a window lies over.

use std::ops::Range;

use burn::tensor::ops::ConvOptions;

/// Sizes of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub images: usize,
    /// Channels, height, width.
    pub input: [usize; 3],
    /// Channels, height, width.
    pub output: [usize; 3],
    /// Height, width.
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    /// Zeros above and left of the input.
    pub before: [usize; 2],
    pub groups: usize,
}

/// A row of windows with the same tap inside the input.
pub(crate) struct Row {
    /// What lies under the first one's tap, in a map of the input; under the others' follows at the stride across.
    pub from: usize,
    /// Positions of the windows.
    pub windows: Range<usize>,
}

impl Geometry {
    /// Of an input `[N, C, H, W]` and weights `[O, C / groups, kernel height, kernel width]`; none for windows with gaps.
    pub(crate) fn new(input: [usize; 4], weight: [usize; 4], options: &ConvOptions<2>) -> Option<Self> {
        if options.dilation != [1, 1] {
            return None;
        }
        let [images, channels, height, width] = input;
        let kernel = [weight[2], weight[3]];
        let side = |axis: usize, side: usize| {
            let (before, behind) = options.padding[axis];
            Some((side + before + behind).checked_sub(kernel[axis])? / options.stride[axis] + 1)
        };
        Some(Self {
            images,
            input: [channels, height, width],
            output: [weight[0], side(0, height)?, side(1, width)?],
            kernel,
            stride: options.stride,
            before: options.padding_begin(),
            groups: options.groups,
        })
    }

    /// Whether every window is one pixel, and every pixel a window.
    pub(crate) fn is_pointwise(&self) -> bool {
        self.kernel == [1, 1] && self.input[1..] == self.output[1..] && self.before == [0, 0]
    }

    /// Whether every channel has a window of its own.
    pub(crate) fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.groups == self.input[0] && self.groups == self.output[0]
    }

    /// Windows of a channel.
    pub(crate) fn positions(&self) -> usize {
        self.output[1] * self.output[2]
    }

    /// Numbers under a window, in all channels.
    pub(crate) fn taps(&self) -> usize {
        self.input[0] * self.kernel[0] * self.kernel[1]
    }

    /// The convolution that brings a gradient of the output back to the input, at a stride of one; none where a window
    /// lies outside the input.
    pub(crate) fn backwards(&self) -> Option<Self> {
        let before = |axis: usize| (self.kernel[axis] - 1).checked_sub(self.before[axis]);
        Some(Self { input: self.output, output: self.input, before: [before(0)?, before(1)?], ..*self })
    }

    /// What lies under tap `[down, right]` of every window that has it inside the input.
    pub(crate) fn rows(&self, [down, right]: [usize; 2]) -> impl Iterator<Item = Row> {
        let (width, across) = (self.input[2], self.output[2]);
        let inside = self.inside(1, right);
        let lines = if inside.is_empty() { 0..0 } else { self.inside(0, down) };
        lines.map(move |window| Row {
            from: self.under(0, down, window) * width + self.under(1, right, inside.start),
            windows: window * across + inside.start..window * across + inside.end,
        })
    }

    /// Whether every line has as many windows as numbers, and windows move by one.
    pub(crate) fn keeps_width(&self) -> bool {
        self.stride == [1, 1] && self.output[2] == self.input[2]
    }

    /// The windows along `axis` whose tap `tap` lies inside the input.
    pub(crate) fn inside(&self, axis: usize, tap: usize) -> Range<usize> {
        let (stride, before) = (self.stride[axis], self.before[axis]);
        let (side, windows) = (self.input[axis + 1], self.output[axis + 1]);
        let first = before.saturating_sub(tap).div_ceil(stride).min(windows);
        let behind = (side + before).saturating_sub(tap).div_ceil(stride).min(windows);
        first..behind.max(first)
    }

    /// What of the input lies under tap `tap` of window `window` along `axis`; only for windows [`Self::inside`].
    fn under(&self, axis: usize, tap: usize, window: usize) -> usize {
        window * self.stride[axis] + tap - self.before[axis]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_inside_are_those_that_lie_over_the_input() {
        for (side, kernel, stride, before, behind) in [
            (5, 3, 1, 1, 1),
            (6, 3, 2, 0, 1),
            (7, 5, 2, 2, 2),
            (3, 1, 1, 0, 0),
            (2, 5, 1, 2, 2),
            (4, 2, 3, 1, 0),
        ] {
            let options = ConvOptions::new_with_padding([stride; 2], [(before, behind); 2], [1, 1], 1);
            let geometry =
                Geometry::new([1, 1, side, side], [1, 1, kernel, kernel], &options).expect("a size");
            for tap in 0..kernel {
                let wanted: Vec<usize> = (0..geometry.output[1])
                    .filter(|window| (before..before + side).contains(&(window * stride + tap)))
                    .collect();
                assert_eq!(geometry.inside(0, tap).collect::<Vec<_>>(), wanted);
            }
        }
    }
}

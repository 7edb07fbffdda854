//! Backbones as data: EfficientNet-Lite is a stem, a list of inverted-residual blocks and a head convolution.

/// A backbone's shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Preset {
    /// Name in recipes and manifests.
    pub name: &'static str,
    /// Side of every view in pixels.
    pub input_size: u32,
    /// Channels of the feature vector.
    pub features: usize,
    /// The blocks between stem and head.
    pub blocks: Vec<Block>,
}

/// An inverted-residual block: 1x1 expansion (unless `expansion` is 1), depthwise, 1x1 projection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Side of the depthwise kernel.
    pub kernel: usize,
    /// Stride of the depthwise convolution.
    pub stride: usize,
    /// Channels between expansion and projection, over the channels coming in.
    pub expansion: usize,
    /// Channels coming in.
    pub input: usize,
    /// Channels going out.
    pub output: usize,
}

/// There is no preset of that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no network preset {0:?}: take efficientnet-lite0, efficientnet-lite1 or efficientnet-lite2"
)]
pub struct UnknownPreset(String);

/// Kernel, stride, expansion, output channels and repeats of the seven stages at width and depth 1
/// (EfficientNet-Lite: as EfficientNet-B0 without squeeze-and-excitation, ReLU6 throughout).
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
pub(super) const STEM_CHANNELS: usize = 32;

impl Preset {
    /// The preset called `name`.
    ///
    /// # Errors
    /// If there is none.
    pub fn named(name: &str) -> Result<Self, UnknownPreset> {
        match name {
            "efficientnet-lite0" => Ok(lite("efficientnet-lite0", 1.0, 1.0, 224)),
            "efficientnet-lite1" => Ok(lite("efficientnet-lite1", 1.0, 1.1, 240)),
            "efficientnet-lite2" => Ok(lite("efficientnet-lite2", 1.1, 1.2, 260)),
            _ => Err(UnknownPreset(name.into())),
        }
    }

    /// Position of the unit called `stem`, `block0`, ..., `head`.
    #[must_use]
    pub fn unit(&self, name: &str) -> Option<usize> {
        match name {
            "stem" => Some(0),
            "head" => Some(self.head()),
            _ => {
                let block: usize = name.strip_prefix("block")?.parse().ok()?;
                (block < self.blocks.len()).then_some(block + 1)
            }
        }
    }

    /// Position of the last unit.
    #[must_use]
    pub fn head(&self) -> usize {
        self.blocks.len() + 1
    }

    /// Channels that unit `position` gives.
    #[must_use]
    pub fn channels(&self, position: usize) -> usize {
        match position.checked_sub(1) {
            None => STEM_CHANNELS,
            Some(block) => self.blocks.get(block).map_or(self.features, |block| block.output),
        }
    }
}

fn lite(name: &'static str, width: f64, depth: f64, input_size: u32) -> Preset {
    let mut blocks = Vec::new();
    let mut input = STEM_CHANNELS;
    let last = STAGES.len() - 1;
    for (position, (kernel, stride, expansion, channels, repeats)) in STAGES.into_iter().enumerate() {
        let output = round_channels(channels as f64 * width);
        // Lite leaves the first and the last stage at their depth.
        let repeats = if position == 0 || position == last {
            repeats
        } else {
            (repeats as f64 * depth).ceil() as usize
        };
        for repeat in 0..repeats {
            let stride = if repeat == 0 { stride } else { 1 };
            blocks.push(Block { kernel, stride, expansion, input, output });
            input = output;
        }
    }
    Preset { name, input_size, features: 1280, blocks }
}

/// To the nearest multiple of eight that is no more than a tenth lower.
fn round_channels(channels: f64) -> usize {
    let rounded = (((channels + 4.0) / 8.0).floor() * 8.0).max(8.0);
    (if rounded < 0.9 * channels { rounded + 8.0 } else { rounded }) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_presets_have_their_published_depths() {
        assert_eq!(Preset::named("efficientnet-lite0").expect("a preset").blocks.len(), 16);
        let lite2 = Preset::named("efficientnet-lite2").expect("a preset");
        assert_eq!((lite2.blocks.len(), lite2.channels(lite2.head() - 1)), (21, 352));
        assert!(Preset::named("resnet").is_err());
    }

    #[test]
    fn units_are_found_by_name() {
        let lite0 = Preset::named("efficientnet-lite0").expect("a preset");
        assert_eq!(lite0.unit("stem"), Some(0));
        assert_eq!(lite0.unit("block15"), Some(16));
        assert_eq!((lite0.unit("block16"), lite0.unit("head")), (None, Some(17)));
    }
}

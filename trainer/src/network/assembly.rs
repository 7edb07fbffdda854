//! The multi-view network's weights: shared stages, a column for each view, merge, tail.

use std::sync::Arc;

use super::layer::{Activation, Convolution, Padding, Published};
use super::weights::{Backbone, ConvolutionWeights, Stages};
use super::{ColumnInit, NetworkSettings};

/// Everything below the classifier.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkWeights {
    /// Stages up to the split.
    pub shared: Stages,
    /// Stages of each view's column; columns with the same weights share them.
    pub columns: Vec<Arc<Stages>>,
    /// Between columns and tail; none for one view.
    pub merge: Option<MergeWeights>,
    /// Stages behind the merge.
    pub tail: Stages,
}

/// How columns become one.
#[derive(Debug, Clone, PartialEq)]
pub enum MergeWeights {
    /// The weighted mean of the columns, channel by channel: this share for the first view, the rest split evenly.
    Mean {
        /// Share of the first view.
        whole_share: f32,
    },
    /// The paper's 1x1 convolution, with batch norm and ReLU as every other of its network.
    Convolution(ConvolutionWeights),
}

impl NetworkWeights {
    /// Published weights in every part, as `settings` say; the merge a weighted mean.
    #[must_use]
    pub fn of_backbone(settings: &NetworkSettings, backbone: &Backbone, views: usize) -> Self {
        let (split, merge) = (settings.split, settings.merge);
        let part = |backbone: &Backbone, from: usize, to: usize| backbone.stages[from..to].to_vec();
        let published = Arc::new(part(backbone, split + 1, merge + 1));
        let mut columns = vec![Arc::clone(&published)];
        for view in 1..views {
            columns.push(match settings.crop_column {
                ColumnInit::Pretrained => Arc::clone(&published),
                ColumnInit::Random => {
                    // Not the backbone's seed: that may be random too.
                    let seed = settings.seed ^ ((view as u64) << 32);
                    Arc::new(part(&Backbone::random(&settings.preset, seed), split + 1, merge + 1))
                }
            });
        }
        let mean = MergeWeights::Mean { whole_share: settings.whole_share };
        Self {
            shared: part(backbone, 0, split + 1),
            columns,
            merge: (views > 1).then_some(mean),
            tail: part(backbone, merge + 1, backbone.stages.len()),
        }
    }
}

/// The 1x1 convolution that brings `columns` of `channels` each back to one column's depth.
#[must_use]
pub fn merge_convolution(channels: usize, columns: usize) -> Convolution {
    Convolution {
        name: "conv".into(),
        published: Published { convolution: "merge.conv".into(), norm: Some("merge.bn".into()) },
        input: channels * columns,
        output: channels,
        kernel: [1, 1],
        stride: 1,
        padding: Padding::Symmetric([0, 0]),
        groups: 1,
        activation: Activation::Relu,
    }
}

/// `[channels, channels * columns]`: each output the weighted mean of the same channel of every column.
#[must_use]
pub(super) fn mean_of_columns(channels: usize, columns: usize, whole_share: f32) -> Vec<f32> {
    let rest = (1.0 - whole_share) / (columns - 1) as f32;
    let mut weight = vec![0.0; channels * channels * columns];
    for channel in 0..channels {
        for column in 0..columns {
            let share = if column == 0 { whole_share } else { rest };
            weight[channel * channels * columns + column * channels + channel] = share;
        }
    }
    weight
}

#[cfg(test)]
mod tests {
    use super::super::Preset;
    use super::*;

    #[test]
    fn a_random_column_is_like_no_other_even_where_all_are_random() {
        let preset = Preset::named("inception-resnet-v2-small").expect("a preset");
        let settings = NetworkSettings::random(preset, 1);
        let backbone = Backbone::random(&settings.preset, settings.seed);
        let columns = NetworkWeights::of_backbone(&settings, &backbone, 3).columns;
        assert!(columns[0] != columns[1] && columns[1] != columns[2] && columns[2] != columns[0]);

        let alike = NetworkSettings { crop_column: ColumnInit::Pretrained, ..settings };
        let columns = NetworkWeights::of_backbone(&alike, &backbone, 3).columns;
        assert!(columns[0] == columns[1] && columns[1] == columns[2]);
    }
}

//! The multi-view network (paper section 3.1): shared stem, a column per view, concat, 1x1, tail.

mod assembly;
mod column;
mod efficientnet_lite;
mod export;
mod graph;
mod head_weights;
mod inception_resnet;
pub mod layer;
mod preset;
mod stage;
mod weights;

use std::path::PathBuf;

use serde::Deserialize;

pub use assembly::{MergeWeights, NetworkWeights, merge_convolution};
pub use export::{NetworkError, RESERVED, export_features, export_model};
pub use head_weights::{Feature, HeadWeights};
pub use preset::{Auxiliary, Normalisation, Preset, PublishedWeights, UnknownPreset};
pub use stage::Stage;
pub use weights::{After, Backbone, ConvolutionWeights, Norm, Stages, WeightsError};

/// Where the columns split and merge, and what they start from.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkSettings {
    /// The backbone.
    pub preset: Preset,
    /// File with its published weights; without one every part starts random.
    pub weights: Option<PathBuf>,
    /// Position of the last shared stage.
    pub split: usize,
    /// Position of the last stage of the columns.
    pub merge: usize,
    /// What every column but the first starts from.
    pub crop_column: ColumnInit,
    /// The merge starts as a weighted mean: this share for the first view, the rest split evenly.
    pub whole_share: f32,
    /// For columns that start random.
    pub seed: u64,
}

impl NetworkSettings {
    /// Split and merged where `preset` says, everything random.
    #[must_use]
    pub fn random(preset: Preset, seed: u64) -> Self {
        Self {
            split: preset.split,
            merge: preset.merge,
            weights: None,
            crop_column: ColumnInit::Random,
            whole_share: 0.5,
            seed,
            preset,
        }
    }
}

/// What a column starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColumnInit {
    /// The backbone's weights, as the whole-view column.
    Pretrained,
    /// Xavier-uniform noise, as in the paper.
    Random,
}

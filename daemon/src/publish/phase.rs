//! How far an update is, as `model/state` tells it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How far an update is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Nothing was ever offered.
    Running,
    /// There is something, and it is not this node's turn.
    Offered,
    /// Chunks are fetched.
    Downloading,
    /// The whole file is checked against its signed digest, and opened.
    Verifying,
    /// An engine is made in a process of its own.
    Building,
    /// The golden pictures are shown to it there.
    SelfTest,
    /// It looks at the same frames as the model that answers.
    Shadow,
    /// It answers, on probation.
    Active,
    /// It answers for good.
    Confirmed,
    /// It was not taken.
    Failed,
    /// It answered, and the one before it does again.
    RolledBack,
}

impl Phase {
    /// Whether nothing more is to be done.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Self::Running | Self::Confirmed | Self::Failed | Self::RolledBack)
    }
}

/// What is told of a model in the shadow, in `model/state`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShadowReport {
    /// Frames both models looked at.
    pub frames: u64,
    /// Share of their regions with the same taxon.
    pub agreement: f64,
    /// Share of them with taxa on one lineage.
    pub compatible: f64,
    /// Share of the answers at each rank: of the model that answers, and of the one in the shadow.
    pub ranks: BTreeMap<String, [f64; 2]>,
    /// Mean milliseconds from pixels to decision, of both.
    pub latency_ms: [f64; 2],
}

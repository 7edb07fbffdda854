//! What a node can be asked to do; configuration says what of it is allowed.

use serde::{Deserialize, Serialize};

/// What can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CommandKind {
    /// A picture of what a camera sees now.
    Snapshot,
    /// Another accuracy to reach.
    Target,
    /// Another confidence cut-off.
    Threshold,
    /// Other taxa to expect.
    Prior,
    /// Another part of a camera's frame.
    Region,
    /// Other rules for which of a camera's frames are looked at.
    Gate,
    /// Another watch list.
    Watch,
    /// Pass a camera's frames over.
    Pause,
    /// Look at them again.
    Resume,
    /// Start the daemon anew.
    Restart,
    /// Take the release that is offered.
    Install,
}

impl CommandKind {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Snapshot,
        Self::Target,
        Self::Threshold,
        Self::Prior,
        Self::Region,
        Self::Gate,
        Self::Watch,
        Self::Pause,
        Self::Resume,
        Self::Restart,
        Self::Install,
    ];

    /// As topics and configuration name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::Target => "target",
            Self::Threshold => "threshold",
            Self::Prior => "prior",
            Self::Region => "region",
            Self::Gate => "gate",
            Self::Watch => "watch",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Restart => "restart",
            Self::Install => "install",
        }
    }

    /// The one called `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

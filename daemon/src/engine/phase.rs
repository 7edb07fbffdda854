//! How far the search for an engine is.

use serde::{Deserialize, Serialize};

use super::EngineKind;

/// An engine that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassedOver {
    /// The engine.
    pub engine: EngineKind,
    /// Why.
    pub reason: String,
}

/// What is being done to get an engine, told while it is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// An engine is tried.
    Trying(EngineKind),
    /// An engine compiles the model for this machine, which takes minutes.
    Building {
        /// The engine.
        engine: EngineKind,
        /// What it is at, in its own words.
        step: String,
        /// How far that is, 0 to 100, where it is known.
        percent: Option<u8>,
    },
    /// An engine was passed over.
    PassedOver(PassedOver),
    /// An engine has given the golden answers.
    Taken(String),
}

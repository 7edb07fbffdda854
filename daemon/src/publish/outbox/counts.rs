//! What became of messages, as `metrics` tells it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::message::{Class, Loss};

/// What became of messages since the daemon started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueCounts {
    /// Events waiting for the broker, those of earlier runs included.
    pub waiting: u64,
    /// Sent and not acknowledged.
    pub in_flight: u64,
    /// Acknowledged.
    pub acknowledged: u64,
    /// Events sent with `replay`.
    pub replayed: u64,
    /// Never delivered, by class and reason; what never happened is absent.
    pub dropped: BTreeMap<Class, BTreeMap<Loss, u64>>,
    /// Whether the disk takes events at present.
    pub durable: bool,
}

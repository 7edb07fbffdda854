//! A message, and how much it matters.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What a message is, the most important first: alerts outlive detections, detections outlive metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// An event on the watch list. Durable.
    Alert,
    /// Any other event. Durable.
    Detection,
    /// The answer to a command. In memory.
    Reply,
    /// What the broker keeps: only the latest of each topic counts. In memory, told again on every connection.
    State,
    /// The newest event of a camera, which the broker keeps: as a state, but it can wait for the next batch.
    Last,
    /// Rates and counts: now or never, only the latest. In memory.
    Metrics,
}

/// How surely a message is to arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// QoS 0: now or never.
    AtMostOnce,
    /// QoS 1: until it is acknowledged.
    AtLeastOnce,
}

/// Why a message was never delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// The outbox reached `outbox.max_mb`.
    Size,
    /// It was older than `outbox.max_age_h`.
    Age,
    /// The disk did not keep up, or was full, and memory was full as well.
    Memory,
    /// Larger than the broker or `mqtt.max_packet_kb` allows.
    Packet,
    /// The broker refused it.
    Refused,
    /// There was no connection, and it cannot wait.
    Offline,
}

/// A message and its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Topic.
    pub topic: String,
    /// Content.
    pub payload: Bytes,
    /// What it is.
    pub class: Class,
}

impl Class {
    /// Quality of service.
    #[must_use]
    pub fn delivery(self) -> Delivery {
        if self == Self::Metrics { Delivery::AtMostOnce } else { Delivery::AtLeastOnce }
    }

    /// Whether the broker keeps the message for later subscribers.
    #[must_use]
    pub fn retained(self) -> bool {
        matches!(self, Self::State | Self::Last)
    }

    /// Whether it has to survive the process.
    #[must_use]
    pub fn durable(self) -> bool {
        matches!(self, Self::Alert | Self::Detection)
    }
}
